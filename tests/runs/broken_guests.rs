//! Guests that break: the referee survives each, says what happened, and ends in time.
//!
//! # Invariants
//! - Every guest here is a scenario file, run by the binary on KVM; one that is not over within a minute fails the test.
//! - What was sampled before the guest broke is still reported.

use std::fs;

use libtest_mimic::Trial;
use serde_json::Value;

use crate::binary::{Said, umpire};
use crate::trials;

/// The tests.
pub fn trials() -> Vec<Trial> {
    vec![
        trials::kvm("broken_guests::panic_names_thread_and_place_and_exits_3", panic),
        trials::kvm("broken_guests::panic_that_is_expected_passes", expected_panic),
        trials::kvm("broken_guests::stack_overflow_names_the_thread_and_exits_3", overflow),
        trials::kvm("broken_guests::misused_buffer_names_cache_buffer_thread_and_stack", misused_buffer),
        trials::kvm("broken_guests::run_queue_in_a_circle_is_walked_once_and_accused", run_queue_cycle),
        trials::kvm("broken_guests::held_lock_makes_reads_torn_and_the_run_inconclusive", held_lock),
        trials::kvm("broken_guests::loop_above_every_interrupt_is_stopped_and_accused", pil_15),
        trials::kvm("broken_guests::two_cpus_that_wake_each_other_from_halt_never_miss_it", ping_pong),
        trials::anywhere(
            "broken_guests::simulated_panic_names_thread_and_place_and_exits_3",
            simulated_panic,
        ),
        trials::kvm(
            "broken_guests::broken_guest_among_others_leaves_them_their_verdicts",
            broken_among_others,
        ),
    ]
}

fn panic() {
    let report = run("panic = { after_us = 100_000 }", 1);
    assert_eq!(report.said.code, Some(3), "{report:?}");
    assert_eq!(report.line["observed"], "panic", "{report:?}");
    assert_eq!(report.line["outcome"], "error", "{report:?}");
    assert!(report.number("samples") > 0, "nothing of the time before the panic: {report:?}");
    let err = &report.said.err;
    assert!(err.contains("guest panic on cpu 1, thread culprit"), "{err}");
    assert!(err.contains("workload panic: asked for by the scenario"), "{err}");
    assert!(err.contains("thread_start+0x"), "no stack with symbols: {err}");
}

fn simulated_panic() {
    let said = run_file(&file("panic = { after_us = 100_000 }", 1, ""), &["--sim", "--seed", "7"]);
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.out.contains("guest panic on cpu 1, thread culprit: workload panic"), "{said:?}");
    assert!(said.out.contains("--sim --seed 7"), "no line that repeats it: {said:?}");
}

fn expected_panic() {
    let variant = "[[variant]]\nname = \"dies\"\nexpect = \"panic\"\n";
    let report = Report::of(&file("panic = {}", 1, variant));
    assert_eq!(report.line["outcome"], "pass", "{report:?}");
    assert_eq!(report.said.code, Some(0), "{report:?}");
}

fn overflow() {
    let report = run("overflow = { after_us = 100_000 }", 1);
    assert_eq!(report.said.code, Some(3), "{report:?}");
    assert_eq!(report.line["observed"], "panic", "{report:?}");
    let err = &report.said.err;
    assert!(err.contains("stack overflow: thread culprit"), "{err}");
    assert!(err.contains("recurse+0x") && err.contains("overflow+0x"), "no stack with symbols: {err}");
}

fn misused_buffer() {
    for (what, said) in [
        ("free_twice", "duplicate free: buffer freed twice"),
        ("use_after_free", "buffer modified after being freed"),
        ("overrun", "redzone violation: write past end of buffer"),
    ] {
        let variant = "[[variant]]\nname = \"checked\"\nset = { kmem_flags = 7 }\nexpect = \"held\"\n";
        let report = Report::of(&file(&format!("kmem_misuse = {{ what = \"{what}\" }}"), 1, variant));
        assert_eq!(report.said.code, Some(3), "{report:?}");
        let err = &report.said.err;
        let named = regex_lite::Regex::new(
            "buffer=0x[0-9a-f]+ cache: kmem_alloc_256 .*thread=[0-9]+ \"culprit\" time=[0-9]+ stack=0x[0-9a-f]+ 0x[0-9a-f]+",
        );
        assert!(err.contains(said) && named.expect("a pattern").is_match(err), "{what}: {err}");
    }
}

fn run_queue_cycle() {
    let report = run("corrupt = { what = \"run_queue_cycle\" }", 1);
    assert_eq!(report.said.code, Some(1), "{report:?}");
    assert_eq!(report.line["observed"], "violated", "{report:?}");
    assert_eq!(report.bound("runq")["held"], false, "{report:?}");
    assert!(report.said.err.contains("the run queue of cpu 1 disagrees with itself"), "{report:?}");
    assert_eq!(report.number("exits"), 0, "{report:?}");
}

fn held_lock() {
    // Once a second the clock goes through all queues, and would wait for the lock. This run ends before that, even if a busy host
    // makes it three times as long, which is the most. It begins when every system thread has run for the first time: one that is
    // bound to nobody and still waits on the queue of CPU 1 would be looked for there by CPU 0, which would wait for the lock too.
    let text = file("corrupt = { what = \"held_lock\", after_us = 20_000 }", 1, "");
    let report = Report::of_run(&text, &["--run", "300ms"]);
    let (torn, samples) = (report.number("torn"), report.number("samples"));
    assert!(torn > samples / 2 && samples > 0, "a lock that is never free, and {torn} of {samples} torn");
    // A queue that cannot be read is no ground for a charge, and none for an acquittal.
    assert_eq!(report.bound("runq")["held"], true, "{report:?}");
    assert_eq!(report.line["outcome"], "inconclusive", "{report:?}");
    assert_eq!(report.said.code, Some(4), "{report:?}");
}

fn pil_15() {
    let report = run("pil_loop = { pil = 15, after_us = 100_000 }", 0);
    assert_eq!(report.said.code, Some(1), "{report:?}");
    let deadman = report.bound("deadman");
    assert_eq!(deadman["held"], false, "{report:?}");
    assert!(deadman["worst_ns"].as_u64() > deadman["limit_ns"].as_u64(), "{report:?}");
}

/// Each thread wakes the other on another CPU, and sleeps. With nothing else to run, each CPU halts at every turn. If one wake-up is
/// lost, both sleep for ever.
fn ping_pong() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let trace = folder.path().join("trace").to_string_lossy().into_owned();
    let said = run_file(PING_PONG, &["--trace", &trace]);
    // The two threads are in the dispatcher most of the time; on a busy host too many of its locks may be held for a verdict.
    assert!(matches!(said.code, Some(0 | 4)), "{said:?}");
    let trace = fs::read_to_string(&trace).expect("the trace was written");
    let wakeups: Vec<u64> = trace.lines().filter_map(time_of_wakeup).collect();
    assert!(wakeups.len() > 100, "only {} wake-ups", wakeups.len());
    let from_first_to_last = wakeups[wakeups.len() - 1] - wakeups[0];
    assert!(
        from_first_to_last > 800_000_000,
        "of 1 s they played {from_first_to_last} ns, then a wake-up was lost"
    );
}

const PING_PONG: &str = r#"
id = "ping_pong"
title = "Two CPUs wake each other from halt"
source = "a test"
cpus = 2
run = "1s"
[[thread]]
name = "ping"
class = "SYS"
pri = 60
cpu = 0
work = { pingpong = { peer = "pong" } }
[[thread]]
name = "pong"
class = "SYS"
pri = 60
cpu = 1
work = { pingpong = { peer = "ping" } }
[[bound]]
monitor = "runq"
limit = "0s"
"#;

/// The time of a trace's line (`ns cpu event ...`), if it is a wake-up.
fn time_of_wakeup(line: &str) -> Option<u64> {
    let mut words = line.split(' ');
    let time = words.next()?.parse().ok()?;
    words.nth(1).is_some_and(|event| event == "wakeup").then_some(time)
}

fn broken_among_others() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let [dies, lives] = ["dies", "lives"].map(|name| folder.path().join(format!("{name}.toml")));
    fs::write(&dies, file("panic = {}", 1, "")).expect("a file for the test");
    fs::write(&lives, file("periodic = {}", 1, "")).expect("a file for the test");
    let paths = [&dies, &lives].map(|path| path.to_string_lossy().into_owned());
    let said = umpire(&["run", &paths[0], &paths[1], "--json", "--run", "300ms"]);
    let outcomes: Vec<Value> = said.out.lines().map(|line| parse(line)["outcome"].clone()).collect();
    assert_eq!(outcomes, ["error", "pass"], "{said:?}");
    assert_eq!(said.code, Some(3), "{said:?}");
}

/// A scenario in which `culprit`, bound to `cpu`, does `work`, beside a bystander that computes.
fn file(work: &str, cpu: u32, variants: &str) -> String {
    format!(
        r#"
id = "broken"
title = "A guest that breaks"
source = "a test"
cpus = 2
run = "1s"
[[thread]]
name = "culprit"
class = "SYS"
pri = 60
cpu = {cpu}
work = {{ {work} }}
[[thread]]
name = "bystander"
class = "TS"
pri = 29
cpu = 1
work = {{ periodic = {{ mode = "user" }} }}
[[bound]]
monitor = "deadman"
limit = "200ms"
[[bound]]
monitor = "runq"
limit = "0s"
{variants}"#
    )
}

/// Runs a scenario file of this text.
fn run_file(text: &str, options: &[&str]) -> Said {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = folder.path().join("broken.toml");
    fs::write(&path, text).expect("a file for the test");
    let path = path.to_string_lossy();
    umpire(&[&["run", &path], options].concat())
}

fn run(work: &str, cpu: u32) -> Report {
    Report::of(&file(work, cpu, ""))
}

/// What a run of one variant said, and its result.
#[derive(Debug)]
struct Report {
    said: Said,
    line: Value,
}

impl Report {
    fn of(text: &str) -> Report {
        Report::of_run(text, &[])
    }

    fn of_run(text: &str, options: &[&str]) -> Report {
        let said = run_file(text, &[&["--json"], options].concat());
        let line = parse(said.out.lines().next().unwrap_or_else(|| panic!("no result: {said:?}")));
        assert_eq!(said.out.lines().count(), 1, "{said:?}");
        Report { said, line }
    }

    fn number(&self, key: &str) -> u64 {
        self.line[key].as_u64().unwrap_or_else(|| panic!("{key} is a number: {}", self.line))
    }

    fn bound(&self, monitor: &str) -> &Value {
        let bounds = self.line["bounds"].as_array().map(Vec::as_slice).unwrap_or_default();
        bounds
            .iter()
            .find(|bound| bound["monitor"] == monitor)
            .unwrap_or_else(|| panic!("{monitor}: {self:?}"))
    }
}

fn parse(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))
}
