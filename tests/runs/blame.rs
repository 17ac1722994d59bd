//! Who is to blame, as a user is told: of each rule that keeps a thread a scenario, and what `umpire why` says of it.
//!
//! # Invariants
//! - Everything here runs in the simulator, where a seed gives the same waits.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;
use std::process::{Command, Stdio};

use libtest_mimic::Trial;
use serde_json::Value;
use umpire_record::{Asked, Ending, Events, Header, Latencies, Stored, Thread, Writer, blame_of, open};
use umpire_shared::event::{self, Kind};
use umpire_watch::glass::TraceRecord;

use crate::binary::{finish, spawn, umpire};
use crate::cli::parse;
use crate::trials;

/// The tests.
pub fn trials() -> Vec<Trial> {
    vec![
        trials::anywhere("blame::each_rule_has_a_scenario_that_it_is_blamed_for", rules),
        trials::anywhere("blame::tunable_that_is_named_ends_the_wait", remedy),
        trials::anywhere("blame::wait_of_a_thread_at_a_moment_is_told_in_shares", moment),
        trials::anywhere("blame::what_cannot_be_asked_is_said", misuse),
        trials::anywhere("blame::wait_that_begins_after_the_moment_has_its_own_mechanism", before),
        trials::anywhere("blame::chain_of_owners_is_followed_to_the_thread_that_does_not_run", chain),
        trials::anywhere("blame::violation_that_is_no_wait_is_told_first", no_wait),
        trials::anywhere("blame::recording_that_stays_in_its_file_is_blamed_as_one_in_memory", passes),
        trials::anywhere("blame::recording_that_is_too_long_for_memory_is_told_in_part", long),
    ]
}

/// A scenario, its variant, the thread whose longest wait is meant, and the rule.
const RULES: &[(&str, &str, &str, &str)] = &[
    ("i1532", "kpreemptpri=100", "mac_soft_ring_worker", "kpreemptpri"),
    ("nopreempt_loop", "kpreemptpri=99", "worker", "t_preempt"),
    ("interrupt_storm", "bound", "worker/0", "interrupt"),
    ("interrupt_storm", "bound", "worker/1", "equal"),
    ("rt_hog", "RT", "worker", "binding"),
    ("cpu_caps", "capped", "free", "better"),
    ("nosteal", "a second", "sharer", "nosteal"),
    ("pi_inversion", "not inherited", "high", "lock"),
    ("deadlock", "two orders", "other_way", "deadlock"),
    ("cpu_caps", "capped", "capped", "cap"),
    ("deaf_return", "mutant", "urgent", "pil"),
    ("lost_kprunrun", "mutant", "soft_ring", "not asked"),
    ("ia_focus", "the focus is there", "back", "nobody asked"),
    ("halt_before_publish", "mutant", "worker", "idle"),
    ("stale_maxrunpri", "mutant", "spin/0", "idle"),
];

fn why(arguments: &[&str]) -> Vec<Value> {
    let said = umpire(&[&["why"], arguments, &["--sim", "--json"]].concat());
    assert_eq!(said.code, Some(0), "{}", said.err);
    said.out.lines().map(parse).collect()
}

fn rules() {
    for (scenario, variant, thread, rule) in RULES {
        let rows = why(&[scenario, thread, "--variant", variant, "--worst", "40"]);
        let found: Vec<&str> = rows.iter().filter_map(|row| row["mechanism"].as_str()).collect();
        assert!(
            found.contains(rule),
            "{scenario}, {variant}: {thread} is kept by {found:?}, and not by {rule}"
        );
        let longest = rows.iter().find(|row| row["mechanism"] == *rule).expect("one");
        assert!(longest["says"].as_str().is_some_and(|says| says.contains(thread)), "{longest}");
    }
}

/// The change that is named is made, and the bound holds.
fn remedy() {
    let rows = why(&["i1532", "--variant", "kpreemptpri=100", "--worst", "0"]);
    let [row] = &rows[..] else { panic!("one bound was broken: {rows:?}") };
    assert_eq!((&row["tunable"], &row["value"]), (&"kpreemptpri".into(), &99.into()));
    let set = format!("{}={}", row["tunable"].as_str().expect("a name"), row["value"]);
    let run = ["run", "i1532", "--sim", "--variant", "kpreemptpri=100", "--set", &set, "--json"];
    let said = umpire(&run);
    assert_eq!(parse(said.out.trim())["observed"], "held", "{}", said.out);
}

fn moment() {
    let said = umpire(&["why", "i1532", "squeue_worker", "1s", "--sim"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    for part in [
        "squeue_worker (priority 99): runnable on cpu 1, not running, for 2.00s from 1.0",
        "  Blocking thread:  ",
        "      qemu-system-x86_ (TS 0, bound to cpu 1), kernel  ",
        " 2.00s (100.00 %)",
        "  mechanism: kpreemptpri\n    squeue_worker (SYS 99, bound to cpu 1) waited for cpu 1 behind qemu-system-x86_",
        "because 99 < kpreemptpri = 100, and the thread does not return to user mode\n",
        "it is bound to cpu 1: cpu 0 was idle for 100 % of that and may not take it\n",
        "  would have ended it: kpreemptpri = 99: ",
    ] {
        assert!(said.out.contains(part), "no `{part}` in\n{}", said.out);
    }
}

fn before() {
    // It begins to wait a while later, and is asked about when nothing keeps it yet.
    let said = umpire(&["why", "i1532:kpreemptpri=100", "squeue_worker", "500us", "--sim"]);
    assert!(said.out.contains("  mechanism: kpreemptpri\n"), "{}{}", said.out, said.err);
}

/// Who waits for a lock is told of every owner on the way, of what keeps the last one, and of that alone as the remedy.
fn chain() {
    let rows = why(&["pi_chain", "high", "--variant", "not inherited", "--worst", "1"]);
    let row = rows.iter().find(|row| row["mechanism"] == "lock").expect("it waits for a lock");
    let says = row["says"].as_str().expect("a sentence");
    let mut rest = says;
    for part in [
        "mutex 2, which owner_c ",
        "asleep on mutex 1, which owner_b ",
        "mutex 0, which owner_a ",
        "behind hog ",
    ] {
        let at = rest.find(part).unwrap_or_else(|| panic!("no `{part}` in its place in {says}"));
        rest = &rest[at + part.len()..];
    }
    assert!(row["remedy"].as_str().is_some_and(|remedy| remedy.contains("binding taken away")), "{row}");
    let inherited = why(&["pi_chain", "high", "--variant", "inherited", "--worst", "1"]);
    let short = inherited.iter().all(|row| row["wait_ns"].as_u64() < Some(100_000_000));
    assert!(short, "with inheritance nobody is kept for long: {inherited:?}");
}

fn no_wait() {
    let said = umpire(&["why", "squeue_drain:as long as some come", "--sim"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let first = said.out.lines().next().unwrap_or_default();
    assert!(first.starts_with("violated, by no wait for a CPU, a lock or a CPU cap: "), "{}", said.out);
    // What is said there is of that bound, and not of one whose wait is told below.
    let said = umpire(&["why", "i1532", "--sim", "--worst", "0"]);
    let (first, rest) = said.out.split_once("\n\n").expect("two paragraphs");
    assert!(first.contains("progress of reader; the verdict said:\n  the workload of reader "), "{first}");
    assert!(
        !first.contains("mac_soft_ring_worker") && rest.starts_with("mac_soft_ring_worker"),
        "{}",
        said.out
    );
}

/// Every rule, and every longest wait of the scenarios that have one, told both ways.
fn passes() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = folder.path().join("run.rec");
    let file = path.to_string_lossy();
    let mut told: BTreeSet<&str> = BTreeSet::new();
    for (scenario, variant, thread, _) in RULES {
        let said = umpire(&["run", scenario, "--sim", "--variant", variant, "--record", &file]);
        assert!(path.is_file(), "{said:?}");
        let all = 0..=u64::MAX;
        let whole = open(&path, all.clone()).expect("a recording");
        let ms = |ms: u64| Some(ms * 1_000_000);
        let asked = [
            (None, None),
            (Some(*thread), None),
            (Some(*thread), ms(7)),
            (None, ms(33)),
            (Some("t5"), ms(50)),
        ];
        let mut in_memory = Events::Whole(whole);
        let mut in_file = Events::Stored(Stored::open(&path, all).expect("a recording"));
        for (thread, at_ns) in asked {
            let asked = Asked { at_ns, worst: 40, ..Asked::default() };
            let one = blame_of(&mut in_memory, thread, &asked).expect("they are there");
            let other = blame_of(&mut in_file, thread, &asked).expect("they are there");
            let (of_one, of_other) = (format!("{one:#?}"), format!("{other:#?}"));
            assert_eq!(of_one, of_other, "{scenario}, {variant}: {thread:?} at {at_ns:?}");
            told.extend(one.blames.iter().map(|blame| blame.mechanism));
        }
        let waits =
            [&mut in_memory, &mut in_file].map(|of| format!("{:#?}", Latencies::of_events(of).rows()));
        assert!(waits[0].contains("max_ns"), "it has waits: {}", waits[0]);
        assert_eq!(waits[0], waits[1], "{scenario}, {variant}: latencies");
        let nobody = ["t9999", "nobody"].map(|name| {
            let asked = Asked { worst: 1, ..Asked::default() };
            let [one, other] =
                [&mut in_memory, &mut in_file].map(|of| blame_of(of, Some(name), &asked).err());
            one.is_some() && one == other
        });
        assert_eq!(nobody, [true; 2], "who is not there is said");
    }
    let rules: BTreeSet<&str> = RULES.iter().map(|(.., rule)| *rule).collect();
    assert!(rules.is_subset(&told), "{rules:?} and {told:?}");
}

/// Events of the recording that is too long, and what a process may have to tell of it, in KiB: less than they take in memory.
const LONG: u64 = 9_000_000;
const MOST_KIB: u64 = 800_000;

fn long() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = folder.path().join("long.rec");
    write_long(&path).expect("a file");
    for what in ["why", "events --by probe,cpu"] {
        let line = format!(
            "ulimit -v {MOST_KIB} && exec {} {what} {}",
            env!("CARGO_BIN_EXE_umpire"),
            path.display()
        );
        let mut command = Command::new("sh");
        command.args(["-c", &line]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let said = finish(spawn(&mut command));
        assert_eq!(said.code, Some(0), "{what}: {}", said.err);
        let told = match what {
            "why" => "starved (priority 50): runnable on cpu 0, not running, for 22.5ms".to_owned(),
            _ => format!("tick 0 {}", LONG / 4),
        };
        let words = said.out.split_whitespace().collect::<Vec<&str>>().join(" ");
        assert!(words.contains(&told), "no `{told}` in {}", said.out);
        assert_eq!(
            said.out.contains("of so long a wait no more is read than "),
            what == "why",
            "{}",
            said.out
        );
    }
}

/// Two threads take turns on a CPU, and a third waits for it all the time.
fn write_long(path: &Path) -> io::Result<()> {
    let header = Header { scenario: "long".to_owned(), cpus: 1, ..Header::default() };
    let mut writer = Writer::begin(BufWriter::new(File::create(path)?), &header)?;
    let thread =
        |id, name: &str| Thread { id, name: name.to_owned(), class: "TS".to_owned(), ..Thread::default() };
    let record = |time_ns, kind, thread, arg| TraceRecord { time_ns, cpu: 0, kind, thread, pri: 50, arg };
    let on_queue = event::on_queue(Some(0), false);
    for n in 0..LONG / 90_000 {
        let turn = |n: u64| {
            let (me, next, at) = (1 + n % 2, 1 + (n + 1) % 2, 10 * n);
            [
                record(at + 2, Kind::Enqueue, me, on_queue),
                record(at + 3, Kind::OffCpu, me, next),
                record(at + 4, Kind::OnCpu, next, 0),
                record(at + 5, Kind::Tick, next, 0),
            ]
        };
        let mut records: Vec<TraceRecord> = (n * 22_500..(n + 1) * 22_500).flat_map(turn).collect();
        if n == 0 {
            records.insert(0, record(1, Kind::Enqueue, 3, on_queue));
        }
        writer.records(&records)?;
    }
    writer.roster(&[thread(0, "idle"), thread(1, "one"), thread(2, "other"), thread(3, "starved")])?;
    writer.finish(&Ending::default())
}

fn misuse() {
    let nobody = umpire(&["why", "i1532", "nobody", "--sim"]);
    assert!(
        nobody.code == Some(2) && nobody.err.contains("there is no thread `nobody`; there are "),
        "{nobody:?}"
    );
    let never = umpire(&["why", "i1532", "squeue_worker", "never", "--sim"]);
    assert_eq!(never.code, Some(2), "{never:?}");
    let none = umpire(&["why", "i1532", "qemu-system-x86_", "3600s", "--sim"]);
    assert!(
        none.code == Some(0) && none.err.contains("no thread waited there: nobody is to blame"),
        "{none:?}"
    );
}
