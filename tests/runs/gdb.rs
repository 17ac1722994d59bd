//! gdb at a machine that runs: the real gdb, over every way to reach it, and what the run's verdict says afterwards.
//!
//! # Invariants
//! - Each test has a directory of sessions of its own.
//! - What gdb is to do is a script; what is waited for is asked for again and again, within a limit. Nothing sleeps, but for a gdb that
//!   is to hold the machine for long.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use rustix::process::{Signal, kill_process};
use serde_json::Value;

use crate::binary::{Said, command, finish, pid, spawn};
use crate::trials;

/// For how long something may take to come.
const LIMIT: Duration = Duration::from_secs(30);
/// A function that every CPU comes to again and again.
const SWTCH: &str = "break umpire_kernel::disp::swtch::swtch";

/// The tests.
pub fn trials() -> Vec<Trial> {
    let kvm = |name: &str, check: fn()| trials::kvm_with("gdb", &format!("gdb::{name}"), check);
    vec![
        kvm("breaks_steps_watches_and_lets_go_and_the_verdict_is_right", breaks),
        kvm("comes_and_goes_during_one_run_and_a_long_hold_is_charged_to_nobody", comes_and_goes),
        kvm("that_is_killed_while_it_holds_leaves_a_machine_that_goes_on", killed),
        kvm("reaches_a_run_that_was_not_started_for_it_and_interrupts_it", served),
        kvm("sees_where_the_guest_panicked_before_it_goes_away", panicked),
        kvm("ends_the_run_when_it_kills_and_is_told_when_the_run_is_over", kills),
        trials::anywhere("gdb::address_that_others_could_reach_is_refused_and_exits_2", refused),
    ]
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder for the test")
}

fn umpire_in(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = command();
    command.env("XDG_RUNTIME_DIR", folder).args(arguments);
    command
}

/// A run of i1532 as it is when it is sound.
fn run(folder: &Path, arguments: &[&str]) -> Child {
    let all = [&["run", "i1532", "--variant", "kpreemptpri=99", "--json"][..], arguments].concat();
    spawn(&mut umpire_in(folder, &all))
}

fn report(said: &Said) -> Value {
    serde_json::from_str(said.out.trim()).unwrap_or_else(|e| panic!("{e}: {}\n{}", said.out, said.err))
}

/// The report of a run whose verdict is right: whatever gdb did, the host was at most too busy to say.
fn sound(run: Child) -> Value {
    let said = finish(run);
    let report = report(&said);
    assert!(report["observed"] == "held" && matches!(said.code, Some(0 | 4)), "{}{}", said.out, said.err);
    let bounds = report["bounds"].as_array().expect("a list");
    assert!(bounds.iter().all(|bound| bound["worst_ns"].as_u64() < Some(1_000_000_000)), "{report}");
    report
}

/// Waits until there is a socket.
fn socket(path: PathBuf) -> PathBuf {
    let begin = Instant::now();
    while !path.exists() {
        assert!(begin.elapsed() < LIMIT, "there is no {}", path.display());
        std::thread::yield_now();
    }
    path
}

/// A gdb that connects and carries out these commands.
fn gdb(remote: &str, commands: &[&str]) -> Child {
    let mut gdb = Command::new("gdb");
    // As `umpire` says that it is to be started.
    gdb.args(["-nx", "-batch", "-iex", "set pagination off", "-iex", "set can-use-hw-watchpoints 0", "-ex"])
        .arg(format!("target remote {remote}"));
    gdb.args(commands.iter().flat_map(|command| ["-ex", command]));
    gdb.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    spawn(&mut gdb)
}

/// The first line of what a service says, which it does when it serves.
fn first_line(service: &mut Child) -> String {
    let mut line = String::new();
    let out = service.stdout.take().expect("piped");
    BufReader::new(out).read_line(&mut line).expect("a line");
    line
}

/// What it said, all of it.
fn told(gdb: Child) -> String {
    let said = finish(gdb);
    said.out + &said.err
}

fn breaks() {
    let folder = folder();
    let run = run(folder.path(), &["--run", "500ms", "--gdb", "--hold", "start"]);
    let path = socket(folder.path().join("umpire/gdb/i1532"));
    assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    let told = told(gdb(
        path.to_str().expect("plain"),
        &[
            "info threads",
            SWTCH,
            "continue",
            "bt",
            "stepi",
            "next",
            "info registers rip",
            "delete",
            "set language c",
            "set var $at = (unsigned long)$rsp - 16",
            "watch *(unsigned long *)$at",
            "continue",
            "delete",
            "hbreak *0x100000",
            "continue",
            "delete",
            "monitor ::cpuinfo",
            "set var $r15 = $r15 + 1",
            "detach",
        ],
    ));
    for part in [
        "Thread 1.1 (CPU 0)",
        "Thread 1.2 (CPU 1)",
        "hit Breakpoint 1",
        "umpire_kernel::disp::swtch::swtch () at guest/kernel/src/disp/swtch.rs",
        "umpire_image::start::_start",
        "hit Watchpoint 2",
        "New value = ",
        "KRNRN",
        "detached",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    // This host may have them one day; what it does not have is said.
    assert!(told.contains("Cannot insert hardware breakpoint 3"), "{told}");
    let report = sound(run);
    let writes = report["writes"].as_array().expect("gdb wrote");
    let has = |what: &str| writes.iter().any(|w| w["what"].as_str().is_some_and(|w| w.starts_with(what)));
    assert!(
        has("breakpoint:0x")
            && writes.iter().any(|w| w["what"].as_str().is_some_and(|w| w.ends_with(".r15"))),
        "{report}"
    );
}

fn comes_and_goes() {
    let folder = folder();
    let run = run(folder.path(), &["--run", "2s", "--gdb"]);
    let path = socket(folder.path().join("umpire/gdb/i1532"));
    let path = path.to_str().expect("plain");
    for n in 0..3 {
        // Once for longer than the in-guest deadman and every monitor have patience for.
        let hold = if n == 1 { "shell sleep 3" } else { "info threads" };
        let told = told(gdb(path, &["bt 1", hold, "detach"]));
        assert!(told.contains("detached") && told.contains("#0 "), "{told}");
    }
    let report = sound(run);
    assert!(report["held_ns"].as_u64() > Some(2_900_000_000), "{report}");
    assert!(report.get("writes").is_none(), "looking is no writing: {report}");
}

fn killed() {
    let folder = folder();
    let run = run(folder.path(), &["--run", "500ms", "--gdb", "--hold", "start"]);
    let path = socket(folder.path().join("umpire/gdb/i1532"));
    let marker = folder.path().join("holds");
    let touch = format!("shell touch {}", marker.display());
    // Breakpoints are in memory when it is killed, or the machine stands at one.
    let loops = "while 1\ncontinue\nend";
    let script = folder.path().join("script");
    fs::write(&script, format!("{SWTCH}\ncontinue\n{touch}\n{loops}\n")).expect("writable");
    let source = format!("source {}", script.display());
    let gdb = gdb(path.to_str().expect("plain"), &[&source]);
    socket(marker);
    kill_process(pid(&gdb), Signal::KILL).expect("it runs");
    assert_eq!(finish(gdb).code, None);
    // What held it from the beginning was let go by the first `continue`.
    let report = sound(run);
    assert!(report["writes"].as_array().is_some_and(|all| !all.is_empty()), "{report}");
}

fn served() {
    let folder = folder();
    let run = run(folder.path(), &["--run", "3s"]);
    socket(folder.path().join("umpire/i1532"));
    // Over standard input and output, as gdb starts it.
    let program = format!(
        "| env XDG_RUNTIME_DIR={} {} gdb i15 --stdio",
        folder.path().display(),
        env!("CARGO_BIN_EXE_umpire")
    );
    let over_pipe = told(gdb(&program, &["info threads", "detach"]));
    assert!(over_pipe.contains("Thread 1.2 (CPU 1)") && over_pipe.contains("detached"), "{over_pipe}");
    // At a port.
    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
    let address = format!("127.0.0.1:{port}");
    let mut service = spawn(&mut umpire_in(folder.path(), &["gdb", "--json", "--listen", &address]));
    let line = first_line(&mut service);
    let served: Value = serde_json::from_str(&line).expect("JSON");
    assert!(served["address"] == *address && served["name"] == "i1532", "{served}");
    let interrupt = "python import threading, os, signal; threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()";
    let told = told(gdb(&address, &[interrupt, "continue", "info threads", "monitor ::status", "detach"]));
    // A gdb without Python goes on until the run is over.
    assert!(told.contains("SIGINT") || told.contains("exited normally"), "{told}");
    // Whose port it is nobody knows: the monitor can write files, so it is not for everybody.
    assert!(!told.contains("debugging "), "{told}");
    sound(run);
    let said = finish(service);
    assert!(said.code == Some(0) && said.err.contains("has ended"), "{}", said.err);
}

/// A guest that panics after 100 ms.
const DIES: &str = r#"
id = "dies"
title = "A guest that panics"
source = "a test"
cpus = 2
run = "1s"
[[thread]]
name = "culprit"
class = "SYS"
pri = 60
cpu = 1
work = { panic = { after_us = 100_000 } }
[[bound]]
monitor = "deadman"
limit = "200ms"
[[variant]]
name = "it"
expect = "panic"
"#;

fn panicked() {
    let folder = folder();
    let scenario = folder.path().join("dies.toml");
    fs::write(&scenario, DIES).expect("writable");
    let scenario = scenario.to_str().expect("plain");
    let run = spawn(&mut umpire_in(folder.path(), &["run", scenario, "--json", "--gdb", "--hold", "start"]));
    let path = socket(folder.path().join("umpire/gdb/dies"));
    let told = told(gdb(path.to_str().expect("plain"), &["continue", "bt", "continue"]));
    let said = finish(run);
    for part in ["Thread 2 received signal SIGABRT", "panic", "Program terminated with signal SIGABRT"] {
        assert!(told.contains(part), "{part}: {told}{}{}", said.out, said.err);
    }
    assert!(said.code == Some(0) && report(&said)["observed"] == "panic", "{}{}", said.out, said.err);
}

fn kills() {
    let folder = folder();
    let first = run(folder.path(), &["--run", "60s", "--gdb"]);
    let path = socket(folder.path().join("umpire/gdb/i1532"));
    let path = path.to_str().expect("plain");
    // It is served there already: nobody serves it a second time.
    let mut service = spawn(&mut umpire_in(folder.path(), &["gdb", "i1532"]));
    let line = first_line(&mut service);
    assert_eq!(line.trim_end(), format!("target remote {path}"));
    let told_first = told(gdb(path, &["kill"]));
    assert!(told_first.contains("killed"), "{told_first}");
    let (said, service) = (finish(first), finish(service));
    assert!(service.code == Some(0) && service.err.contains("has ended"), "{}", service.err);
    let report = report(&said);
    let run_ns = report["run_ns"].as_u64().expect("a number");
    assert!(run_ns < 59_000_000_000, "{run_ns}");
    // What held for a part of the run says nothing of the rest.
    let what = (said.code, report["outcome"].as_str(), report["ended_from_outside"].as_bool());
    assert_eq!(what, (Some(4), Some("inconclusive"), Some(true)), "{report}");
    assert!(said.err.contains("the run was ended from outside after"), "{}", said.err);
    let second = run(folder.path(), &["--run", "200ms", "--gdb", "--hold", "start"]);
    let path = socket(folder.path().join("umpire/gdb/i1532"));
    let told_second = told(gdb(path.to_str().expect("plain"), &["continue"]));
    assert!(told_second.contains("exited normally"), "{told_second}");
    sound(second);
}

fn refused() {
    let folder = folder();
    let said = finish(spawn(&mut umpire_in(folder.path(), &["run", "i1532", "--gdb=0.0.0.0:1234"])));
    assert!(said.code == Some(2) && said.err.contains("only the loopback is served"), "{}", said.err);
    let at_a_folder = format!("--gdb={}", folder.path().display());
    let said = finish(spawn(&mut umpire_in(folder.path(), &["run", "i1532", &at_a_folder])));
    assert!(said.code == Some(2) && said.err.contains("it is a directory; give the path"), "{}", said.err);
    let said = finish(spawn(&mut umpire_in(folder.path(), &["run", "i1532", "--sim", "--gdb"])));
    assert!(said.code == Some(2) && said.err.contains("--gdb"), "{}", said.err);
    let said = finish(spawn(&mut umpire_in(folder.path(), &["gdb", "nobody"])));
    assert!(said.code == Some(2) && said.err.contains("there is no VM `nobody`"), "{}", said.err);
}
