//! What a run gives up, as the host tells it of each of its threads, and what is left to its user.
//!
//! # Invariants
//! - What is asked of a run is asked of /proc, not of the run.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use rustix::process::{Signal, kill_process};

use crate::binary::{Said, command, finish, pid, spawn};
use crate::trials;

/// For how long something may take to come.
const LIMIT: Duration = Duration::from_secs(30);

/// The tests.
pub fn trials() -> Vec<Trial> {
    vec![
        trials::kvm("confined::each_thread_of_a_run_has_its_filter_and_no_rights", threads),
        trials::kvm("confined::no_seccomp_leaves_the_filters_out_and_nothing_else", unfiltered),
        trials::kvm("confined::debugger_runs_a_program_beside_a_filtered_machine", shell),
        trials::kvm("confined::real_time_policy_does_not_starve_the_judge", real_time),
        trials::anywhere("confined::run_writes_where_its_arguments_say", writes),
    ]
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder for the test")
}

/// Of each thread of a process, by the first letters of its name: a line of its status.
fn status(child: &Child, key: &str) -> BTreeMap<String, String> {
    let tasks = format!("/proc/{}/task", child.id());
    let mut found = BTreeMap::new();
    for task in fs::read_dir(tasks).into_iter().flatten().flatten() {
        // A thread may end while it is looked at.
        let Ok(text) = fs::read_to_string(task.path().join("status")) else { continue };
        let value = |key: &str| text.lines().find_map(|line| Some(line.strip_prefix(key)?.trim().to_owned()));
        let name = value("Name:").unwrap_or_default();
        // KVM has a thread of its own in the process, which runs none of its code.
        if name.starts_with("kvm-") {
            continue;
        }
        found.insert(name, value(key).unwrap_or_default());
    }
    found
}

/// A run that is held at its end, and has all its threads.
fn held(folder: &Path, arguments: &[&str]) -> Child {
    let mut run = command();
    run.env("XDG_RUNTIME_DIR", folder)
        .args(["run", "healthy", "--run", "50ms", "--hold", "end"])
        .args(arguments);
    let child = spawn(&mut run);
    becomes(&child, "Seccomp:", |all| {
        ["vcpu0", "vcpu1", "sampler", "session"].iter().all(|name| all.contains_key(*name))
    });
    child
}

fn end(child: Child) -> Said {
    kill_process(pid(&child), Signal::INT).expect("it runs");
    finish(child)
}

/// Asks until it is so, for a thread gives up what it has when it has begun.
fn becomes(child: &Child, key: &str, is: impl Fn(&BTreeMap<String, String>) -> bool) {
    let begin = Instant::now();
    loop {
        let has = status(child, key);
        if is(&has) {
            return;
        }
        assert!(begin.elapsed() < LIMIT, "{key} {has:?}");
    }
}

fn threads() {
    let folder = folder();
    let child = held(folder.path(), &["--gdb"]);
    becomes(&child, "NoNewPrivs:", |all| all.values().all(|value| value == "1"));
    becomes(&child, "Seccomp:", |all| all.values().all(|value| value == "2"));
    // The main thread has two filters, and who has more of them may do less.
    becomes(&child, "Seccomp_filters:", |all| {
        all.iter().all(|(name, filters)| {
            let is_strict = name.starts_with("vcpu") || name == "sampler";
            filters == if is_strict { "4" } else { "2" }
        })
    });
    let none = "0000000000000000";
    becomes(&child, "CapEff:", |all| {
        ["vcpu0", "vcpu1", "sampler", "session", "gdb-listener"].iter().all(|name| all[*name] == none)
    });
    becomes(&child, "CapPrm:", |all| {
        all.iter().all(|(name, mask)| {
            // CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH are bits 1 and 2.
            let mask = u64::from_str_radix(mask, 16).expect("a mask");
            if name == "umpire" { mask & !6 == 0 } else { mask == 0 || name == "umpire" }
        })
    });
    let said = end(child);
    assert_eq!(said.code, Some(130), "{}{}", said.out, said.err);
}

fn unfiltered() {
    let folder = folder();
    let child = held(folder.path(), &["--no-seccomp"]);
    becomes(&child, "Seccomp:", |all| all.values().all(|value| value == "0"));
    becomes(&child, "NoNewPrivs:", |all| all.values().all(|value| value == "1"));
    becomes(&child, "CapEff:", |all| all["vcpu0"] == "0000000000000000");
    let said = end(child);
    assert_eq!(said.code, Some(130), "{}{}", said.out, said.err);
}

fn shell() {
    let mut mdb = command();
    mdb.args(["mdb", "--run", "i1532", "-e", "::cpuinfo", "-e", "!echo a program ran"]);
    let said = finish(spawn(&mut mdb));
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    assert!(said.out.contains("a program ran"), "{}{}", said.out, said.err);
}

fn real_time() {
    // Both vCPUs of it are busy for ever, and there may be no more CPUs than those.
    let mut run = std::process::Command::new("chrt");
    run.args(["--fifo", "10", env!("CARGO_BIN_EXE_umpire"), "run", "i1532", "--run", "300ms"]);
    run.args(["--variant", "kpreemptpri=100", "--json"]);
    let Ok(output) = run.output() else { return };
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    // Without the privilege, or the program, there is nothing to try.
    if said.contains("failed to set") {
        return;
    }
    assert!(matches!(output.status.code(), Some(0 | 4)), "{:?}: {said}", output.status.code());
    assert!(said.contains("\"observed\":\"violated\"") || said.contains("inconclusive"), "{said}");
}

fn writes() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let mut run = command();
    run.args(["run", "i1532", "--sim", "--variant", "kpreemptpri=99", "--run", "300ms"]);
    run.args(["--trace", &at("new"), "--junit", &at("j"), "--core-on", "end", &at("a/b")]);
    let said = finish(spawn(&mut run));
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    for name in ["new", "j", "a/b/i1532.kpreemptpri_99.1.core"] {
        let is_there = Path::new(&at(name)).exists() || Path::new(&at(&name.replace("_99", "=99"))).exists();
        assert!(is_there, "{name}: {}", said.err);
    }
}
