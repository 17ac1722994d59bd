//! The binary as a shell knows it: pipes that close, full disks, signals, standard input.
//!
//! # Invariants
//! - No test here needs KVM.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
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
        trials::anywhere("shell::hangup_that_is_ignored_ends_nothing", ignored_hangup),
        trials::anywhere("shell::scenario_comes_from_standard_input", from_stdin),
        trials::anywhere("shell::first_signal_ends_what_reads_standard_input", reading),
        trials::anywhere("shell::line_that_repeats_a_run_works_whatever_its_path", odd_path),
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
    // What is to be typed again says where the scenario comes from.
    let fails = |stdin: Stdio| {
        let all = [
            "run",
            "-",
            "--sim",
            "--run",
            "300ms",
            "--set",
            "kpreemptpri=100",
            "--variant",
            "kpreemptpri=99",
        ];
        finish(spawn(command().args(all).stdin(stdin)))
    };
    let i1532 = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/i1532.toml");
    let said = fails(File::open(&i1532).expect("a scenario of the tree").into());
    let from = format!("--set kpreemptpri=100 --run 300ms --sim --seed 1 < {}\n", i1532.display());
    assert!(said.code == Some(1) && said.out.contains(&from), "{}{}", said.out, said.err);
    let (reader, mut writer) = io::pipe().expect("a pipe");
    let text = fs::read(&i1532).expect("readable");
    let writes = std::thread::spawn(move || writer.write_all(&text));
    let said = fails(reader.into());
    writes.join().expect("it only writes").expect("it is read");
    let again = "--sim --seed 1 # the scenario on standard input again\n";
    assert!(said.code == Some(1) && said.out.contains(again), "{}{}", said.out, said.err);
    let endless = File::open("/dev/zero").expect("every Linux has it");
    let said = finish(spawn(command().args(["list", "-"]).stdin(endless)));
    assert!(said.code == Some(2) && said.err.contains("more than 1048576 bytes"), "{}", said.err);
}

fn reading() {
    // More than a pipe holds: it has been written when somebody has begun to read.
    let mut run = spawn(command().args(["run", "-", "--sim"]).stdin(Stdio::piped()));
    let mut scenario = run.stdin.take().expect("a pipe");
    scenario.write_all(&[b'#'; 100_000]).expect("it reads");
    kill_process(pid(&run), Signal::TERM).expect("it runs");
    let said = finish(run);
    assert_eq!((said.code, said.out.as_str()), (Some(143), ""), "{}", said.err);
    // What was answered was asked by a line, and whoever answers waits for the next one.
    let (reader, writer) = io::pipe().expect("a pipe");
    let mut mdb = command();
    mdb.args(["mdb", "--run", "i1532", "--sim", "--at", "20ms"]).stdin(Stdio::piped()).stdout(writer);
    let mut debugger = spawn(&mut mdb);
    drop(mdb);
    let mut commands = debugger.stdin.take().expect("a pipe");
    commands.write_all(b"1=D\n").expect("it reads");
    let answer = BufReader::new(reader).lines().next().expect("an answer").expect("a line");
    assert_eq!(answer.trim(), "1");
    kill_process(pid(&debugger), Signal::INT).expect("it runs");
    let said = finish(debugger);
    assert_eq!(said.code, Some(130), "{}", said.err);
}

fn odd_path() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let folder = folder.path().join(OsStr::from_bytes(b"odd\xff'`\x1b[2J"));
    fs::create_dir(&folder).expect("a folder");
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/i1532.toml"));
    let text = text.expect("a scenario of the tree") + "\n[tables.FSS]\nfile = \"beside it\"\n";
    fs::write(folder.join("beside it"), "RES=1000\nQUANTUM=10\n").expect("a table");
    let path = folder.join("a b.toml");
    fs::write(&path, text).expect("a scenario");
    let arguments = ["--sim", "--run", "300ms", "--set", "kpreemptpri=100"].map(OsString::from);
    let said = umpire(&[&[OsString::from("run"), path.into()], &arguments[..]].concat());
    assert_eq!(said.code, Some(1), "{}{}", said.out, said.err);
    let repeat = |said: &Said| {
        let line = said.out.lines().find_map(|line| line.trim().strip_prefix("repeat: ")).map(str::to_owned);
        line.unwrap_or_else(|| panic!("{}{}", said.out, said.err))
    };
    let line = repeat(&said);
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("umpire() {{ \"$0\" \"$@\"; }}\n{line}"), env!("CARGO_BIN_EXE_umpire")]);
    let again = finish(spawn(shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped())));
    assert_eq!((again.code, repeat(&again)), (Some(1), line), "{}", again.err);
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

fn ignored_hangup() {
    let (child, mut results) = simulating("--ignore-signal=HUP");
    kill_process(pid(&child), Signal::HUP).expect("it runs");
    assert_eq!(result(&mut results)["outcome"], "pass");
    kill_process(pid(&child), Signal::TERM).expect("it runs");
    let rest = thread::spawn(move || results.count());
    let said = finish(child);
    assert_eq!(said.code, Some(143), "{}", said.err);
    assert!(rest.join().expect("the reader only reads") < 1_000_000);
}

/// Lines of results.
type Results = io::Lines<BufReader<io::PipeReader>>;

fn result(results: &mut Results) -> serde_json::Value {
    parse(&results.next().expect("a result").expect("a line"))
}

/// A simulated run that is long, behind its first result. `signals` is an option of `env`: what was ignored where the tests were
/// started, as `nohup` has SIGHUP ignored, would be ignored here too.
fn simulating(signals: &str) -> (Child, Results) {
    let (reader, writer) = io::pipe().expect("a pipe");
    let umpire = command();
    let mut env = Command::new("env");
    env.arg(signals).arg(umpire.get_program()).env("TERM", "dumb");
    env.args(["run", "i1532", "--sim", "--seeds", "1000000", "--json"]);
    let child = spawn(env.stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped()));
    drop(env);
    let mut results = BufReader::new(reader).lines();
    assert_eq!(result(&mut results)["outcome"], "pass");
    (child, results)
}

/// What a simulated run says that gets a signal after its first result.
fn interrupted_by(signal: Signal) -> Said {
    let (child, results) = simulating("--default-signal=HUP,INT,TERM");
    kill_process(pid(&child), signal).expect("it runs");
    let rest = thread::spawn(move || results.count());
    let said = finish(child);
    assert!(rest.join().expect("the reader only reads") < 1_000_000);
    said
}
