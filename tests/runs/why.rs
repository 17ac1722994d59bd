//! Why a thread does not run, as a reader of the binary's verdict is told it.
//!
//! # Invariants
//! - Every stall here is made by a scenario file, and the sentence is looked for in what the binary says of it.

use std::fs;

use libtest_mimic::Trial;

use crate::binary::{Said, umpire};
use crate::trials;

/// The tests.
pub fn trials() -> Vec<Trial> {
    vec![
        trials::kvm("why::stack_of_a_thread_that_runs_is_that_of_its_registers", stack_of_running),
        trials::anywhere("why::stack_of_a_simulated_thread_that_runs_says_why_there_is_none", no_stack),
        trials::anywhere("why::each_kind_of_stall_has_its_sentence", || sentences(CASES)),
        trials::anywhere("why::late_timeouts_and_callouts_say_who_is_to_run_them", || sentences(TIMES)),
        trials::anywhere("why::all_that_stand_still_are_in_json_and_the_first_in_text", several),
        trials::anywhere("why::thread_that_a_cap_holds_says_whose", capped),
        trials::anywhere("why::process_is_what_the_scenario_calls_it", process),
    ]
}

/// A thread that holds a spin mutex for longer than the bound, when the bound breaks.
const RUNS: &str = r#"
id = "runs"
title = "The stack of a thread that runs"
source = "drgn 404"
cpus = 2
run = "800ms"

[[thread]]
name = "holder"
class = "SYS"
pri = 60
cpu = 1
work = { spin_mix = { pil = 11, hold_us = 300000, rest_ticks = 3 } }

[[bound]]
monitor = "progress"
threads = "name == holder"
limit = "100ms"

[[variant]]
name = "default"
expect = "violated"
"#;

fn stack_of_running() {
    let said = run(RUNS, &[]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let out = &said.out;
    assert!(out.contains(" (on cpu 1)\n[ ") && out.contains("spin_mix+0x"), "{out}");
    assert!(out.contains("thread_start+0x"), "the stack does not go up to its beginning: {out}");
    assert!(!out.contains(" 0x0()"), "{out}");
}

fn no_stack() {
    let said = run(RUNS, &["--sim", "--seed", "3"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let expected =
        "it runs on cpu 1, and its stack needs that CPU's registers: the simulator's CPUs are turns";
    assert!(said.out.contains(expected), "{said:?}");
}

/// A stall: the scenario's threads and more, and what has to be said of it.
type Case = (&'static str, &'static [&'static str]);

/// `SYS` threads at 60 on a CPU; `victim` is the one whose workload stands still.
const CASES: &[Case] = &[
    (
        "owner 0 lock_chain = { first = 3, hold_us = 2000000 }
         hog:RT 0 lock_chain = { first = 9, hold_us = 2000000, after_us = 30000 }
         victim 1 lock_chain = { first = 3, after_us = 20000 }",
        &[
            "the thread is blocked on mutex 3, which owner (SYS 60, bound to cpu 0) owns; owner (SYS 60, bound to cpu 0) is on \
             the run queue of cpu 0 at place 1 of 1 behind hog (RT 110, bound to cpu 0); hog (RT 110, bound to cpu 0) runs on \
             cpu 0 in the kernel",
            // The stack of each that is waited for.
            "\nvictim:\n",
            "\nowner:\n",
            "\nhog:\n",
        ],
    ),
    (
        "owner 0 lock_chain = { first = 3, hold_us = 2000000 }
         middle 1 lock_chain = { first = 4, second = 3, after_us = 10000 }
         victim 1 lock_chain = { first = 4, after_us = 30000 }
         nudge:RT 0 periodic = { busy_us = 1000, sleep_ticks = 4 }",
        &[
            "the thread is blocked on mutex 4, which middle (SYS 60, bound to cpu 1) owns; middle (SYS 60, bound to cpu 1) is \
             blocked on mutex 3, which owner (SYS 60, bound to cpu 0) owns; owner (SYS 60, bound to cpu 0) runs on cpu 0",
        ],
    ),
    (
        "owner 0 rw_mix = { lock = 5, mode = \"writer\", hold_us = 2000000 }
         victim 1 rw_mix = { lock = 5, mode = \"writer\", after_us = 20000 }
         other 1 rw_mix = { lock = 5, mode = \"writer\", after_us = 30000 }",
        &[
            "blocked as a writer on rwlock 5, which owner (SYS 60, bound to cpu 0) holds as the writer, number 1 of 2 that \
             wait; owner (SYS 60, bound to cpu 0) runs on cpu 0",
        ],
    ),
    (
        "owner 0 rw_mix = { lock = 2, hold_us = 2000000 }
         writer 1 rw_mix = { lock = 2, mode = \"writer\", after_us = 10000 }
         victim 1 rw_mix = { lock = 2, after_us = 30000 }",
        &["blocked as a reader on rwlock 2, which 1 reader holds (the kernel keeps no record of readers)"],
    ),
    (
        "owner 0 sema_mix = { sema = 0, hold_us = 2000000 }
         victim 1 sema_mix = { sema = 0, after_us = 20000 }",
        &["the thread sleeps on semaphore 0, which has no unit free"],
    ),
    (
        "victim:TS 1 spin = { mode = \"user\" }
         [[event]] at = \"100ms\", stop = { thread = \"victim\" }
         [[event]] at = \"200ms\", run = { thread = \"victim\" }
         [[event]] at = \"300ms\", stop = { thread = \"victim\" }",
        &[
            "the thread is stopped (TP_PRSTOP): the event `stop` of 300ms asked for it at 300ms, and none has let it run since",
        ],
    ),
    ("victim 1 cv_herd = { cv = 6 }", &["the thread sleeps on condition variable 6\n"]),
    (
        "owner 0 spin_mix = { pil = 12, hold_us = 2000000 }
         victim 1 spin_mix = { pil = 12 }",
        &[
            "the thread runs on cpu 1 in the kernel, spinning for the spin mutex of level 12, which cpu 0 can end; \
             owner (SYS 60, bound to cpu 0) runs on cpu 0 in the kernel",
        ],
    ),
    (
        "deaf 0 pil_hold = { pil = 14, hold_us = 2000000 }
         victim 1 xcall_mix = { after_us = 30000 }",
        &[
            "spinning for the answers to a cross call of cpu 1, which cpu 0 can end; deaf (SYS 60, bound to cpu 0) runs on cpu 0",
        ],
    ),
    (
        "hog:RT 1 spin = {}
         victim:TS 1 spin = {}",
        &[
            "is on the run queue of cpu 1 at place 1 of 1 behind hog (RT 110, bound to cpu 1); hog (RT 110, bound to cpu 1) runs",
        ],
    ),
    ("victim 1 soft_ring = { source = \"nic0\" }", &["the thread sleeps until nic0 brings packets"]),
    (
        "victim 1 spin = {}
         [[interrupt]] name = \"slow\", cpu = 1, pil = 6, rate_hz = 100, cost = \"900ms\"",
        &["is pinned on cpu 1 by intr of cpu 1 (SYS ", "runs on cpu 1 handling an interrupt of level 6"],
    ),
];

/// The same where time is to end the wait.
const TIMES: &[Case] = &[
    (
        "hog:RT 1 lock_chain = { hold_us = 3000000, after_us = 100000 }
         hog2:RT 0 lock_chain = { first = 1, hold_us = 3000000, after_us = 100000 }
         victim 1 sema_mix = { hold_us = 10 }",
        &[
            "the thread sleeps for a time, and its timeout is ",
            " overdue: it has expired, and waits for a callout_taskq of cpu 1; callout_taskq of cpu 1 (SYS 99) is on ",
        ],
    ),
    (
        "victim 0 callout_chain = { signal = 2 }
         [set] callout_threads = 1",
        &[
            "the thread sleeps until signal 3, sent 0 times so far, is sent again by callout ",
            ", which callout_taskq of cpu 0 (SYS 99) runs; callout_taskq of cpu 0 (SYS 99) sleeps until signal 2, sent 0 times so \
             far, is sent again by callout ",
            ", which has expired, and waits for a callout_taskq of cpu 0; deadlock: callout_taskq of cpu 0 waits for \
             callout_taskq of cpu 0",
        ],
    ),
];

/// Runs each case in the simulator and looks for its sentences.
fn sentences(cases: &[Case]) {
    for (threads, expected) in cases {
        let said = run(&scenario(threads, "name == victim"), &["--sim", "--seed", "1"]);
        for sentence in *expected {
            assert!(said.out.contains(sentence), "no `{sentence}` in\n{}{}", said.out, said.err);
        }
    }
}

/// A scenario of two CPUs with a bound on the progress of the threads that `filter` means. A line is `name[:class] cpu workload`,
/// or a table as TOML has it, on one line.
fn scenario(lines: &str, filter: &str) -> String {
    let mut text =
        "id = \"why\"\ntitle = \"A stall\"\nsource = \"a test\"\ncpus = 2\nrun = \"1s\"\n".to_owned();
    let mut threads = String::new();
    if let Some((_, tunable)) = lines.split_once("[set] ") {
        text.push_str(&format!("set = {{ {tunable} }}\n"));
    }
    for line in lines.lines().map(str::trim).filter(|line| !line.starts_with("[set] ")) {
        if let Some((table, fields)) = line.strip_prefix('[').and_then(|_| line.rsplit_once("] ")) {
            let fields = fields.replace(", ", "\n");
            threads.push_str(&format!("{table}]\n{fields}\n"));
            continue;
        }
        let mut words = line.splitn(3, ' ');
        let [name, cpu, work] = [(); 3].map(|()| words.next().unwrap_or_default());
        let (name, class) = name.split_once(':').unwrap_or((name, "SYS"));
        let pri = if class == "SYS" { 60 } else { 10 };
        threads.push_str(&format!(
            "[[thread]]\nname = \"{name}\"\nclass = \"{class}\"\npri = {pri}\ncpu = {cpu}\nwork = {{ {work} }}\n"
        ));
    }
    if lines.contains("nic0") {
        threads.push_str("[[interrupt]]\nname = \"nic0\"\ncpu = 1\npil = 6\nrate_hz = 1\n");
    }
    text.push_str(&threads);
    text + &format!("[[bound]]\nmonitor = \"progress\"\nthreads = \"{filter}\"\nlimit = \"100ms\"\n")
}

/// More threads than a reader wants to read of stand still for the same lock.
fn several() {
    let waiters: String =
        (0..6).map(|n| format!("\nwaiter{n} 1 lock_chain = {{ first = 3, after_us = 20000 }}")).collect();
    let text = scenario(
        &format!(
            "owner 0 lock_chain = {{ first = 3, hold_us = 2000000 }}\nhog:RT 0 lock_chain = {{ hold_us = 2000000, after_us = \
             10000 }}{waiters}"
        ),
        "name ^= waiter",
    );
    let said = run(&text, &["--sim", "--seed", "1"]);
    assert_eq!(said.out.matches("  why: waiter").count(), 2, "{}", said.out);
    assert!(said.out.contains("  and so 3 more: waiter3 (SYS 60, bound to cpu 1), waiter4"), "{}", said.out);

    let said = run(&text, &["--sim", "--seed", "1", "--json"]);
    let line: serde_json::Value = serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e}: {said:?}"));
    let stalled = line["stalled"].as_array().unwrap_or_else(|| panic!("none stalled: {line}"));
    assert_eq!(stalled.len(), 6, "{line}");
    for stall in stalled {
        assert_eq!(stall["monitor"], "progress");
        let (first, owner) = (&stall["why"][0], &stall["why"][1]);
        assert_eq!((&first["stall"], &first["object"]), (&"mutex".into(), &"mutex 3".into()), "{stall}");
        assert_eq!(first["waits_for"], serde_json::json!([owner["number"]]), "{stall}");
        assert_eq!(
            (&owner["thread"], &owner["stall"], &owner["cpu"]),
            (&"owner".into(), &"queued".into(), &0.into())
        );
    }
}

fn capped() {
    let said = umpire(&["run", "capped_for_ever", "--variant", "best first", "--sim", "--seed", "1"]);
    let place =
        said.out.split_once("the thread is held by the CPU cap of project capped: ").map(|(_, rest)| rest);
    let place = place.and_then(|rest| rest.lines().next());
    let says = |what| place.is_some_and(|place| place.contains(what));
    assert!(says(" % used of 10 %, number ") && says(" that wait"), "{}{}", said.out, said.err);
}

fn process() {
    let text = scenario("hog:RT 1 spin = {}\nvictim:TS 1 spin = {}", "name == victim");
    let text = text.replace("name = \"victim\"", "name = \"victim\"\nprocess = \"qemu-system-x86_\"");
    let text = text.replace("name = \"hog\"", "name = \"hog\"\nprocess = \"zpool-rpool\"\nlwp = false");
    let said = run(&text, &["--sim", "--seed", "1"]);
    let out = &said.out;
    assert!(out.contains(" zpool-rpool\n") && out.contains(" qemu-system-x86_\n"), "{out}{}", said.err);
}

/// Runs a scenario's text with these arguments.
fn run(text: &str, more: &[&str]) -> Said {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = folder.path().join("why.toml");
    fs::write(&path, text).expect("a file for the test");
    let path = path.to_string_lossy();
    umpire(&[&["run", &path], more].concat())
}
