//! The command line as a user meets it: the binary, its streams, its exit codes, and what it leaves behind.
//!
//! # Invariants
//! - Exit codes are those of SPECIFICATION.md; for each of them a run here must end with it.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use libtest_mimic::Trial;
use rustix::process::{Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value;
use umpire_scenario::builtin::BUILTIN;

use crate::binary::{Said, command, finish, pid, spawn, umpire};
use crate::{processes, trials};

/// The tests.
pub fn trials() -> Vec<Trial> {
    vec![
        trials::anywhere("cli::umpire_alone_shows_three_examples", alone),
        trials::anywhere("cli::help_begins_with_examples", help),
        trials::anywhere("cli::list_names_every_scenario", list),
        trials::anywhere("cli::doctor_says_as_json_what_it_found", doctor),
        trials::anywhere("cli::unknown_scenario_exits_2_with_the_nearest", unknown_scenario),
        trials::anywhere("cli::unknown_tunable_exits_2_with_the_nearest", unknown_tunable),
        trials::anywhere("cli::unknown_variant_exits_2_with_those_there_are", unknown_variant),
        trials::anywhere("cli::bad_file_is_pointed_at_and_the_others_still_run", bad_file),
        trials::anywhere("cli::file_of_any_bytes_exits_2_without_a_panic", any_bytes),
        trials::anywhere("cli::simulated_fix_taken_away_exits_1_and_its_repeat_line_repeats_it", repeat_line),
        trials::anywhere("cli::result_of_a_seed_is_the_same_every_time", same_result),
        trials::anywhere("cli::trace_of_a_seed_is_the_same_byte_for_byte", same_trace),
        trials::anywhere("cli::trace_that_cannot_be_written_exits_2_and_says_so", no_trace),
        trials::anywhere("cli::json_of_a_simulated_run_has_its_keys_in_order", json_of_sim),
        trials::anywhere("cli::silence_of_a_reader_and_its_packets_are_told", packets),
        trials::anywhere("cli::until_violated_ends_with_the_violation_and_nowhere_else", until_violated),
        trials::anywhere("cli::bound_that_judged_nothing_is_named_and_exits_4_and_with_strict_1", unjudged),
        trials::anywhere("cli::events_kept_off_by_rt_hogs_are_one_line_that_says_so", kept_off),
        trials::anywhere("cli::pipe_gets_no_escape_codes", pipe_is_plain),
        trials::anywhere("cli::terminal_gets_colour_unless_no_color_is_set", terminal),
        trials::kvm("cli::json_of_a_run_has_its_keys_in_order", json_of_kvm),
        trials::kvm("cli::guest_of_a_run_shorter_than_its_boot_is_waited_for", shorter_than_a_boot),
        trials::kvm("cli::fix_taken_away_exits_1", fix_taken_away),
        trials::kvm("cli::violation_shows_the_cpu_the_stack_and_the_tunable", violation_is_explained),
        trials::kvm("cli::sixteen_cpus_run_on_any_host", sixteen_cpus),
        trials::kvm("cli::commands_of_the_readme_run", commands_of_the_readme),
        trials::kvm("cli::trace_of_a_run_has_every_kind_of_switch", trace_of_kvm),
        trials::kvm("cli::interrupt_prints_the_summary_and_exits_130", interrupt_kvm),
        trials::kvm("cli::stopped_umpire_accuses_nobody_and_says_when_it_was_stopped", stopped),
        trials::kvm("cli::kill_leaves_nothing_behind", kill),
    ]
}

fn alone() {
    let said = umpire::<&str>(&[]);
    assert_eq!(said.code, Some(0));
    assert_eq!(said.out.matches("\n  umpire run").count(), 3, "{}", said.out);
    assert_eq!(said.err, "");
}

fn help() {
    for arguments in [&["--help"][..], &["run", "--help"]] {
        let said = umpire(arguments);
        assert_eq!(said.code, Some(0));
        assert!(said.out.starts_with("Examples:\n  umpire run i1532"), "{}", said.out);
    }
}

fn list() {
    let text = umpire(&["list"]);
    let json = umpire(&["list", "--json"]);
    assert_eq!((text.code, json.code), (Some(0), Some(0)));
    assert_eq!(json.out.lines().count(), BUILTIN.len());
    let one = umpire(&["list", "i1532"]);
    assert!(one.code == Some(0) && one.out.contains("    kpreemptpri=100: violated\n"), "{}", one.out);
    for (builtin, line) in BUILTIN.iter().zip(json.out.lines()) {
        assert!(text.out.lines().any(|line| line.starts_with(builtin.id)), "{}: {}", builtin.id, text.out);
        let line = parse(line);
        assert_eq!((&line["schema"], &line["id"]), (&"umpire.list/1".into(), &builtin.id.into()));
    }
}

fn doctor() {
    let said = umpire(&["doctor", "--json"]);
    let checks: Vec<Value> = said.out.lines().map(parse).collect();
    assert!(checks.iter().all(|check| check["schema"] == "umpire.doctor/1"), "{}", said.out);
    let failed = checks.iter().filter(|check| check["status"] == "failed");
    assert!(failed.clone().all(|check| check["advice"].is_string()), "{}", said.out);
    assert_eq!(said.code, Some(if failed.count() > 0 { 2 } else { 0 }), "{}", said.out);
    assert_eq!(checks[0]["check"], "/dev/kvm", "{}", said.out);
}

fn unknown_scenario() {
    let said = umpire(&["run", "i1523"]);
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("did you mean `i1532`?"), "{}", said.err);
    assert_eq!(said.out, "");
}

fn unknown_tunable() {
    let said = umpire(&["run", "i1532", "--set", "kprempt_pri=100"]);
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("did you mean `kpreemptpri`?"), "{}", said.err);
}

fn unknown_variant() {
    let said = umpire(&["run", "i1532", "--variant", "kpreemptpri=98"]);
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("kpreemptpri=99") && said.err.contains("mode=user"), "{}", said.err);
}

fn bad_file() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = folder.path().join("bad.toml").to_string_lossy().into_owned();
    let text = "id = \"bad\"\ntitle = \"t\"\nsource = \"s\"\n\n[[thread]]\n  nmae = \"a\"\n";
    fs::write(&path, text).expect("a file for the test");
    let said = umpire(&["run", &path, "stuck_clock", "--sim"]);
    assert_eq!(said.code, Some(2), "{}", said.err);
    assert!(said.err.contains(&format!("{path}:6:3: ")), "{}", said.err);
    assert!(said.err.contains("did you mean `name`?"), "{}", said.err);
    assert_eq!(said.out.lines().filter(|line| line.starts_with("stuck_clock  ")).count(), 3, "{}", said.out);
}

/// Both CPUs belong to RT threads, and two events are to happen.
const KEPT_OFF: &str = r#"
id = "kept_off"
title = "Nobody can rescue a machine from an RT hog"
source = "a test"
cpus = 2
run = "200ms"
[[thread]]
name = "a"
class = "RT"
pri = 10
count = 2
work = { spin = { mode = "user" } }
[[event]]
at = "50ms"
priocntl = { thread = "a/0", class = "TS", pri = 10 }
[[event]]
at = "60ms"
priocntl = { thread = "a/1", class = "TS", pri = 10 }
[[bound]]
monitor = "deadman"
limit = "100ms"
[[variant]]
name = "default"
expect = "held"
"#;

/// Runs a file of this text.
fn run_text(text: &str, arguments: &[&str]) -> Said {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = folder.path().join("case.toml").to_string_lossy().into_owned();
    fs::write(&path, text).expect("a file for the test");
    umpire(&[&["run", &path][..], arguments].concat())
}

fn kept_off() {
    let said = run_text(KEPT_OFF, &["--sim"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    let both = [&said.out[..], &said.err].concat();
    assert_eq!(both.matches("it never began").count(), 1, "{both}");
    assert!(both.contains("nor did the one after it: the script thread is a SYS 99; "), "{both}");
    assert!(both.contains("(RT 110)") && both.contains("; say `console = true` to act above that"), "{both}");
    let said = run_text(&format!("console = true\n{KEPT_OFF}"), &["--sim"]);
    assert_eq!(said.code, Some(0), "{said:?}");
}

fn any_bytes() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = folder.path().join("any.toml");
    let deep = ["[".repeat(10_000), "a.".repeat(10_000)].join("\n");
    let cases: [&[u8]; 7] = [
        b"",
        b"\0\xff\xfe",
        b"id",
        b"id = ",
        "id = \"\u{1b}[2J\"".as_bytes(),
        deep.as_bytes(),
        b"[[thread]]",
    ];
    for bytes in cases {
        fs::write(&path, bytes).expect("a file for the test");
        let said = umpire(&["run".as_ref(), path.as_os_str(), "--sim".as_ref()]);
        assert_eq!(said.code, Some(2), "{said:?}");
        assert!(said.err.contains("any.toml") && !said.err.contains("panicked"), "{said:?}");
        assert!(!said.err.contains('\u{1b}'), "{said:?}");
    }
    let said = umpire(&["run".as_ref(), folder.path().as_os_str()]);
    assert_eq!(said.code, Some(2), "{said:?}");
}

fn repeat_line() {
    let said =
        umpire(&["run", "i1532", "--sim", "--seed", "5", "--set", "kpreemptpri=100", "--run", "500ms"]);
    assert_eq!(said.code, Some(1), "{}", said.err);
    let lines: Vec<&str> =
        said.out.lines().filter_map(|line| line.strip_prefix("  repeat: umpire ")).collect();
    let [line] = lines.as_slice() else { panic!("one variant fails, so one line repeats it:\n{}", said.out) };
    let words: Vec<&str> = line.split(' ').collect();
    let again = umpire(&words);
    assert_eq!(again.code, Some(1), "{}", again.err);
    assert!(again.out.contains("i1532 kpreemptpri=99: fail (violated, not as expected)"), "{}", again.out);
}

/// In 300 ms no window of `share` is over, so that bound judges nothing: exit 4.
fn same_result() {
    let run = |seed| umpire(&["run", "healthy", "--sim", "--seed", seed, "--run", "300ms", "--json"]);
    let first = run("7");
    assert_eq!(first.code, Some(4), "{}", first.err);
    // Each process has its memory at other addresses: nothing may depend on an address.
    for _ in 0..6 {
        assert_eq!(first.out, run("7").out);
    }
}

fn same_trace() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let trace = |name: &str, seed: &str| {
        let path = folder.path().join(name).to_string_lossy().into_owned();
        let run = ["run", "i1532", "--variant", "kpreemptpri=99", "--run", "300ms", "--sim", "--seed", seed];
        let said = umpire(&[&run[..], &["--trace", &path]].concat());
        assert_eq!(said.code, Some(0), "{}", said.err);
        fs::read(&path).expect("the trace was written")
    };
    let first = trace("first", "7");
    assert!(first.len() > 10_000, "{} bytes", first.len());
    assert!(first == trace("second", "7"), "the same seed gave another trace");
    assert!(first != trace("third", "8"), "another seed gave the same trace");
}

/// Nobody ever has priority 42; and a limit of the run's length cannot be passed.
fn unjudged() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = folder.path().join("mute.toml").to_string_lossy().into_owned();
    let text = "id = \"mute\"\ntitle = \"t\"\nsource = \"s\"\nrun = \"200ms\"\n\
        [[thread]]\nname = \"t\"\nclass = \"SYS\"\npri = 60\nwork = \"spin\"\n\
        [[bound]]\nmonitor = \"starvation\"\nthreads = \"pri == 42\"\nlimit = \"20ms\"\n\
        [[bound]]\nmonitor = \"deadman\"\nlimit = \"200ms\"\n\
        [[bound]]\nmonitor = \"progress\"\nlimit = \"20ms\"\n\
        [[variant]]\nname = \"v\"\nexpect = \"EXPECT\"\n";
    let run = |expect: &str, more: &[&str]| {
        fs::write(&path, text.replace("EXPECT", expect)).expect("the file can be written");
        umpire(&[&["run", &path, "--sim"], more].concat())
    };
    for expect in ["held", "violated"] {
        let said = run(expect, &[]);
        assert_eq!(said.code, Some(4), "{}", said.out);
        assert!(
            said.out.contains("a bound that judged nothing has not held: starvation, deadman"),
            "{}",
            said.out
        );
        assert!(
            said.out.contains("  not judged: starvation within 20ms: there was nothing to judge"),
            "{}",
            said.out
        );
        assert!(said.out.contains("the limit of 200ms is not below the 199ms"), "{}", said.out);
        assert_eq!(run(expect, &["--strict"]).code, Some(1));
        let said = run(expect, &["--json"]);
        let run = parse(said.out.lines().next().expect("a line"));
        assert_eq!(
            (run["bounds"][0]["judged_ns"].as_u64(), run["bounds"][2]["unjudged"].as_str()),
            (Some(0), None)
        );
        assert!(run["bounds"][0]["unjudged"].is_string(), "{}", said.out);
    }
}

fn no_trace() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = folder.path().join("no/such/folder").to_string_lossy().into_owned();
    let said =
        umpire(&["run", "i1532", "--variant", "mode=user", "--run", "100ms", "--sim", "--trace", &path]);
    assert_eq!(said.code, Some(2), "{}", said.err);
    assert!(said.err.contains("cannot write the trace to"), "{}", said.err);
}

fn json_of_sim() {
    let said = umpire(&["run", "i1532", "--sim", "--seed", "3", "--run", "100ms", "--json"]);
    assert_eq!(said.out.lines().count(), 6, "{}", said.err);
    for line in said.out.lines() {
        assert_keys(line, &["seed", "events"]);
        assert_eq!(parse(line)["seed"], 3);
    }
}

/// With the workers starved the reader hears nothing and packets are lost; with the fix every packet is read, soon.
fn packets() {
    let of = |variant: &str| {
        let said = umpire(&["run", "i1532", "--sim", "--run", "1s", "--variant", variant, "--json"]);
        parse(said.out.lines().next().unwrap_or_else(|| panic!("{}", said.err)))
    };
    let silence = |run: &Value| {
        let bounds = run["bounds"].as_array().expect("a list of bounds");
        bounds.iter().find(|bound| bound["monitor"] == "progress").expect("of the reader")["held"].clone()
    };
    let (bug, fix) = (of("kpreemptpri=100"), of("kpreemptpri=99"));
    assert_eq!((silence(&bug), silence(&fix)), (false.into(), true.into()));
    assert_eq!((&bug["readers"][0]["read"], &fix["packets"][0]["lost"]), (&0.into(), &0.into()));
    assert!(bug["packets"][0]["lost"].as_u64() > Some(500), "{}", bug["packets"]);
    let reader = &fix["readers"][0];
    assert!(reader["read"].as_u64() > Some(1900), "{reader}");
    let most = reader["latency_max_ns"].as_u64();
    assert!(most > Some(5_000) && most < Some(1_000_000), "5 us for each worker at least: {reader}");
}

fn json_of_kvm() {
    let said = umpire(&["run", "i1532", "--run", "100ms", "--json"]);
    assert_eq!(said.out.lines().count(), 6, "{}", said.err);
    for line in said.out.lines() {
        assert_keys(line, &["events"]);
    }
}

/// A boot takes longer than this on every host.
fn shorter_than_a_boot() {
    let said = umpire(&["run", "healthy", "--run", "2ms", "--json"]);
    assert_eq!(said.out.lines().count(), 1, "{}", said.err);
    let run = parse(said.out.lines().next().unwrap_or_default());
    assert!(matches!(run["observed"].as_str(), Some("held" | "violated")), "it was sampled: {run}");
    assert!(run["boot_ns"].as_u64() > Some(2_000_000), "{run}");
}

fn until_violated() {
    let said =
        umpire(&["run", "lost_kprunrun", "i1532", "--run", "700ms", "--sim", "--until-violated", "--json"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let runs: Vec<Value> = said.out.lines().map(parse).collect();
    let ran_ms = |variant: &str| {
        let run = runs.iter().find(|run| run["variant"] == variant);
        run.and_then(|run| run["run_ns"].as_u64()).unwrap_or_else(|| panic!("{variant}: {runs:?}"))
            / 1_000_000
    };
    assert!((51..200).contains(&ran_ms("mutant")), "a bound of 50 ms and no more: {runs:?}");
    assert_eq!(ran_ms("honest"), 700, "nothing is violated");
    assert_eq!(ran_ms("kpreemptpri=100"), 700, "the guest's deadman has to be silent to the end");
}

/// Keys of a line of `umpire.run/1`, in their order.
const RUN_KEYS: &[&str] = &[
    "schema", "scenario", "variant", "expect", "observed", "outcome", "bounds", "samples", "torn", "exits",
    "steal_ns", "boot_ns", "run_ns", "host",
];
/// Keys of each of its bounds.
const BOUND_KEYS: &[&str] = &[
    "monitor",
    "thread",
    "limit_ns",
    "worst_ns",
    "held",
    "detect_after_ns",
    "judged_ns",
    "judged_count",
    "unjudged",
];

fn assert_keys(line: &str, more: &[&str]) {
    let run = parse(line);
    assert_eq!(run["schema"], "umpire.run/1");
    let bounds = run["bounds"].as_array().expect("a list of bounds");
    assert!(!bounds.is_empty(), "{line}");
    let first_bound = &line[line.find("\"bounds\":[").expect("bounds")..];
    let stalled: &[&str] = if run["stalled"].is_null() { &[] } else { &["stalled"] };
    let packets: &[&str] = if run["packets"].is_null() { &[] } else { &["packets", "readers"] };
    assert_order(&run, line, &[RUN_KEYS, more, packets, stalled].concat());
    assert_order(&bounds[0], first_bound, BOUND_KEYS);
    assert_order(&run["host"], &line[line.find("\"host\":").expect("a host")..], &["kvm", "cpus"]);
}

/// Exactly these keys, and in `text` in this order.
fn assert_order(object: &Value, text: &str, keys: &[&str]) {
    let places: Vec<Option<usize>> = keys.iter().map(|key| text.find(&format!("\"{key}\":"))).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "not in the order {keys:?}: {text}");
    assert_eq!(
        object.as_object().map(serde_json::Map::len),
        Some(keys.len()),
        "other keys than {keys:?}: {text}"
    );
}

fn pipe_is_plain() {
    let said = umpire(&["run", "stuck_clock", "--sim"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(!said.out.contains(['\u{1b}', '\r']) && !said.err.contains(['\u{1b}', '\r']), "{said:?}");
}

fn terminal() {
    let colour = on_a_terminal(|command| command);
    let plain = on_a_terminal(|command| command.env("NO_COLOR", "1"));
    assert!(colour.contains("stuck_clock") && colour.contains("\u{1b}["), "{colour:?}");
    assert!(plain.contains("stuck_clock") && !plain.contains('\u{1b}'), "{plain:?}");
}

/// What a run of `stuck_clock` writes to a terminal.
fn on_a_terminal(with: impl Fn(&mut std::process::Command) -> &mut std::process::Command) -> String {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo terminal");
    grantpt(&ours).and_then(|()| unlockpt(&ours)).expect("its other end");
    let name = ptsname(&ours, Vec::new()).expect("its name").into_string().expect("an ASCII name");
    let theirs = File::options().read(true).write(true).open(name).expect("its other end opens");
    let mut command = command();
    command.args(["run", "stuck_clock", "--sim"]).env("TERM", "xterm-256color");
    with(&mut command).stdout(theirs.try_clone().expect("a second handle")).stderr(theirs);
    let child = spawn(&mut command);
    // Ours is the only handle on their end that is left when the child has gone; then reading fails, which ends it.
    drop(command);
    let reader = thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = File::from(ours).read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    });
    assert_eq!(finish(child).code, Some(0));
    reader.join().expect("the reader only reads")
}

fn fix_taken_away() {
    let said = umpire(&["run", "i1532", "--set", "kpreemptpri=100", "--run", "500ms"]);
    assert_eq!(said.code, Some(1), "{}\n{}", said.out, said.err);
    let failed = "i1532 kpreemptpri=99: fail (violated, not as expected)";
    assert!(said.out.contains(failed), "{}", said.out);
    let repeat = "  repeat: umpire run i1532 --variant kpreemptpri=99 --set kpreemptpri=100 --run 500ms\n";
    assert!(said.out.contains(repeat), "{}", said.out);
}

fn violation_is_explained() {
    let said = umpire(&["run", "i1532", "--variant", "kpreemptpri=100", "--run", "500ms"]);
    assert_eq!(said.code, Some(0), "{}\n{}", said.out, said.err);
    let sentence = "cpu_runrun is set, but cpu_kprunrun is not, because 99 < kpreemptpri = 100";
    let parts = [
        sentence,
        "mac_soft_ring_worker (SYS 99, bound to cpu 1)",
        "behind qemu-system-x86_",
        " ID ADDR             FLG NRUN BSPL PRI RNRN KRNRN SWITCH THREAD           PROC\n  1 ",
        "+-->  PRI THREAD           PROC",
        "stack pointer for thread",
        "thread_start+0x",
    ];
    for part in parts {
        assert!(said.out.contains(part), "no `{part}`:\n{}", said.out);
    }
    assert!(said.out.matches("+0x").count() >= 3, "a stack of named functions:\n{}", said.out);
}

fn sixteen_cpus() {
    let said = umpire(&["run", "i1532", "--variant", "kpreemptpri=100", "--cpus", "16", "--json"]);
    // The starvation on one CPU is found among any number of other CPUs, however few of them the host runs at a time.
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(parse(said.out.trim_end())["observed"], "violated", "{said:?}");
}

/// Runs the README's commands that need KVM, cut short; tests/docs runs the others.
fn commands_of_the_readme() {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let readme = fs::read_to_string(readme).expect("there is a README");
    let commands = readme.lines().filter_map(|line| {
        line.strip_prefix("$ umpire run ").or_else(|| line.strip_prefix("$ cargo run --release -- run "))
    });
    let (mut ran, folder) = (0, tempfile::tempdir().expect("a folder for what they write"));
    for arguments in commands.filter(|arguments| !arguments.contains("--sim")) {
        let mut words: Vec<&str> = ["run"].into_iter().chain(arguments.split_whitespace()).collect();
        if !words.contains(&"--run") {
            words.extend(["--run", "200ms"]);
        }
        let said = finish(spawn(command().current_dir(folder.path()).args(&words)));
        // A host that is too small for four CPUs may say so.
        assert!(matches!(said.code, Some(0 | 1 | 4)), "{words:?}: {said:?}");
        assert!(said.err.contains("variants as expected"), "{words:?}: {said:?}");
        ran += 1;
    }
    assert!(ran > 0, "the README shows no run on KVM");
}

fn trace_of_kvm() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = folder.path().join("trace").to_string_lossy().into_owned();
    let run = ["run", "i1532", "--variant", "mode=user", "--run", "300ms", "--trace", &path];
    let said = umpire(&run);
    let trace = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{e}: {}", said.err));
    for kind in ["enqueue", "dequeue", "off-cpu", "on-cpu", "sleep", "wakeup", "poke", "preempt"] {
        let count = trace.lines().filter(|line| line.split(' ').nth(2) == Some(kind)).count();
        assert!(count > 10, "{count} events `{kind}` in 300 ms of 1000 packets a second");
    }
}

fn interrupt_kvm() {
    let child = spawn(command().args(["run", "i1532", "--run", "60s"]).process_group(0));
    let leader = pid(&child);
    // The first variant's loop has had cpu 1 for 200 ms, four times as long as the bound: the run is being sampled.
    processes::await_thread(leader, "vcpu1", Duration::from_millis(200));
    kill_process(leader, Signal::INT).expect("it runs");
    let said = finish(child);
    assert_eq!(said.code, Some(130), "{said:?}");
    assert!(said.out.contains("i1532 kpreemptpri=100: pass (violated, as expected)"), "{said:?}");
    assert!(said.err.contains("5 not run; interrupted"), "{said:?}");
    assert_eq!(processes::of_group(leader), Vec::<String>::new());
}

fn stopped() {
    const STOP: Duration = Duration::from_millis(1600);
    let child = spawn(command().args(["run", "healthy", "--run", "6s"]).process_group(0));
    let leader = pid(&child);
    for stops in 1..=3 {
        processes::await_thread(leader, "vcpu1", Duration::from_millis(100) * stops);
        kill_process(leader, Signal::STOP).expect("it runs");
        processes::await_stop(leader);
        // How long it is stopped, which is six times the limit of its deadman.
        thread::sleep(STOP);
        kill_process(leader, Signal::CONT).expect("it is stopped");
    }
    let said = finish(child);
    assert!(matches!(said.code, Some(0 | 4)), "{said:?}");
    // A busy host stops it now and then as well.
    let told =
        said.out.split_once("the sampler was stopped ").and_then(|(_, told)| told.split_once(" times, for "));
    assert!(told.and_then(|(times, _)| times.parse().ok()) >= Some(3), "{said:?}");
    assert_eq!(said.out.matches("charged to nobody").count(), 1, "{said:?}");
}

fn kill() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let mut command = command();
    command.args(["run", "i1532", "--run", "60s"]).process_group(0);
    command.current_dir(folder.path()).env("TMPDIR", folder.path()).stdout(Stdio::null());
    let child = spawn(&mut command);
    let leader = pid(&child);
    processes::await_thread(leader, "vcpu1", Duration::from_millis(200));
    let held = processes::held_files(leader);
    kill_process(leader, Signal::KILL).expect("it runs");
    let said: Said = finish(child);
    assert_eq!(said.code, None, "{said:?}");
    assert_eq!(held, Vec::<String>::new(), "files that outlive it");
    assert_eq!(processes::of_group(leader), Vec::<String>::new());
    assert_eq!(
        fs::read_dir(folder.path()).expect("the folder").count(),
        0,
        "files in its folder or in TMPDIR"
    );
}

/// The object that a line is.
pub fn parse(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))
}
