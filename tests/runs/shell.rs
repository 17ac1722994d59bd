//! The binary as a shell knows it: pipes that close, full disks, signals, standard input.
//!
//! # Invariants
//! - No test here needs KVM.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::thread;

use libtest_mimic::Trial;
use rustix::process::{Signal, kill_process};

use crate::binary::{Said, command, finish, pid, spawn, umpire};
use crate::cli::parse;
use crate::trials;

/// The tests.
pub fn trials() -> Vec<Trial> {
    vec![
        trials::anywhere("shell::reader_that_goes_away_ends_the_output_and_not_the_judgement", closed_pipe),
        trials::anywhere("shell::help_that_cannot_be_written_is_an_error", full_disk),
        trials::anywhere(
            "shell::sigterm_and_sighup_print_the_summary_and_have_their_exit_codes",
            other_signals,
        ),
        trials::anywhere("shell::scenario_comes_from_standard_input", from_stdin),
        trials::anywhere("shell::version_says_commit_guest_and_target", version),
        trials::anywhere(
            "shell::interrupt_of_a_simulated_run_prints_the_summary_and_exits_130",
            interrupt_sim,
        ),
    ]
}

fn closed_pipe() {
    let fails = ["run", "i1532", "--sim", "--set", "kpreemptpri=100"];
    for (arguments, code) in [
        (&["list"][..], 0),
        (&["--help"], 0),
        (&["run", "i1532", "--sim", "--json"], 0),
        (&fails, 1),
        (&["mpstat", "--run", "i1532", "--sim", "1", "3"], 0),
    ] {
        let (reader, writer) = io::pipe().expect("a pipe");
        drop(reader);
        let said = finish(spawn(command().args(arguments).stdout(writer)));
        assert_eq!(said.code, Some(code), "{arguments:?}: {}", said.err);
        assert!(!said.err.contains("panicked"), "{}", said.err);
    }
}

fn full_disk() {
    for arguments in
        [&["--help"][..], &["run", "--help"], &["--version"], &["list"], &["completions", "bash"]]
    {
        let full = File::options().write(true).open("/dev/full").expect("every Linux has it");
        let said = finish(spawn(command().args(arguments).stdout(full)));
        assert_eq!(said.code, Some(2), "{arguments:?}: {}", said.err);
        assert!(said.err.contains("cannot write the "), "{arguments:?}: {}", said.err);
    }
}

fn from_stdin() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/stuck_clock.toml");
    let stdin = || File::open(&file).expect("a scenario of the tree");
    let said = finish(spawn(command().args(["run", "-", "--sim", "--json"]).stdin(stdin())));
    let from_file = umpire(&["run", "stuck_clock", "--sim", "--json"]);
    assert_eq!((said.code, said.out), (Some(0), from_file.out), "{}", said.err);
    let said = finish(spawn(command().args(["run", "-", "--sim"]).stdin(Stdio::null())));
    assert!(said.code == Some(2) && said.err.contains("-:1:1: "), "{}", said.err);
    let endless = File::open("/dev/zero").expect("every Linux has it");
    let said = finish(spawn(command().args(["list", "-"]).stdin(endless)));
    assert!(said.code == Some(2) && said.err.contains("more than 1048576 bytes"), "{}", said.err);
}

fn version() {
    let said = umpire(&["--version"]).out;
    let lines: Vec<&str> = said.lines().collect();
    let [first, commit, guest, target] = lines[..] else { panic!("{said}") };
    assert!(first.starts_with("umpire ") && commit.starts_with("commit "), "{said}");
    let id = guest.strip_prefix("guest  ").expect("the guest's build");
    assert!(id.len() >= 16 && id.chars().all(|c| c.is_ascii_hexdigit()), "{said}");
    assert!(target.contains("x86_64"), "{said}");
}

fn other_signals() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::HUP, 129)] {
        let said = interrupted_by(signal);
        assert_eq!(said.code, Some(code), "{}", said.err);
        assert!(said.err.contains("5 not run; interrupted"), "{}", said.err);
    }
}

fn interrupt_sim() {
    let said = interrupted_by(Signal::INT);
    assert_eq!(said.code, Some(130), "{}", said.err);
    assert!(said.err.contains("5 not run; interrupted"), "{}", said.err);
}

/// What a simulated run says that gets a signal after its first result.
fn interrupted_by(signal: Signal) -> Said {
    let (reader, writer) = io::pipe().expect("a pipe");
    let mut command = command();
    command.args(["run", "i1532", "--sim", "--seeds", "1000000", "--json"]).stdout(writer);
    let child = spawn(&mut command);
    drop(command);
    let mut lines = BufReader::new(reader).lines();
    let first = lines.next().expect("a result").expect("a line");
    kill_process(pid(&child), signal).expect("it runs");
    let rest = thread::spawn(move || lines.count());
    let said = finish(child);
    assert_eq!(parse(&first)["outcome"], "pass");
    assert!(rest.join().expect("the reader only reads") < 1_000_000);
    said
}
