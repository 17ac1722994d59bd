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

/// Runs a scenario's text with these arguments.
fn run(text: &str, more: &[&str]) -> Said {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = folder.path().join("why.toml");
    fs::write(&path, text).expect("a file for the test");
    let path = path.to_string_lossy();
    umpire(&[&["run", &path], more].concat())
}
