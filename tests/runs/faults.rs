//! A host that refuses: each system call of a run's start and of its loop fails once, with what a host says when it is short of
//! something or interrupts.
//!
//! The faults are injected by strace, which leaves the call out and gives the error instead; the calls before the program's first own
//! one, which are the loader's and the C library's, are left alone.
//!
//! # Invariants
//! - The run goes on, or ends with 2 and a message, or is inconclusive: it never panics, aborts, is killed, hangs or blames the guest.
//! - No socket stays behind.
//! - What allocates is not among them: a Rust program that gets no memory for its heap ends. Nor is futex: the half of it that wakes a
//!   thread fails on no host, and one that is left out leaves the other asleep.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use libtest_mimic::Trial;

use crate::binary::{Said, finish, spawn};
use crate::trials;

/// Each call with the errors that it gets.
const FAULTS: &[(&str, &[&str])] = &[
    ("openat", &["EMFILE", "ENOMEM"]),
    ("eventfd2", &["EMFILE", "ENOMEM"]),
    ("timerfd_create", &["EMFILE"]),
    ("timerfd_settime", &["EINVAL"]),
    ("epoll_create1", &["EMFILE"]),
    ("epoll_ctl", &["ENOMEM"]),
    ("epoll_wait", &["EINTR"]),
    ("socket", &["EMFILE"]),
    ("bind", &["ENOMEM"]),
    ("listen", &["ENOMEM"]),
    ("accept4", &["EMFILE", "EINTR"]),
    ("memfd_create", &["EMFILE", "ENOMEM"]),
    ("ftruncate", &["ENOMEM"]),
    ("clone3", &["EAGAIN"]),
    ("ioctl", &["ENOMEM", "EINTR", "EAGAIN"]),
    ("read", &["EINTR"]),
    ("write", &["EINTR", "EAGAIN"]),
    ("pread64", &["EINTR"]),
    ("flock", &["EINTR"]),
    ("fcntl", &["EMFILE"]),
    ("mkdir", &["ENOSPC"]),
    ("clock_nanosleep", &["EINTR"]),
    ("statx", &["ENOMEM"]),
    ("connect", &["EINTR"]),
    ("prctl", &["EINVAL"]),
    ("capset", &["EPERM"]),
    ("landlock_restrict_self", &["E2BIG"]),
    ("madvise", &["EAGAIN"]),
    ("getrandom", &["EINTR"]),
];

/// The first call that is the program's own.
const FIRST: &str = "eventfd2";
/// How many moments of a call are tried; `UMPIRE_FAULTS` asks for more.
const MOMENTS: usize = 1;

/// The tests.
pub fn trials() -> Vec<Trial> {
    vec![trials::kvm_with("strace", "faults::host_that_refuses_a_call_is_told_or_asked_again", refused)]
}

fn run(folder: &Path, strace: &[&str]) -> Said {
    let at = |name: &str| folder.join(name).display().to_string();
    let mut command = Command::new("strace");
    // Only the calls that are asked for stop.
    command.args(["-f", "-qq", "--seccomp-bpf"]).args(strace).arg(env!("CARGO_BIN_EXE_umpire"));
    command.args(["run", "i1532", "--variant", "mode=user", "--run", "20ms"]);
    command.args(["--trace", &at("trace"), "--record", &at("recording")]);
    // strace has a filter meet a call that it leaves out as number -1.
    command.env("XDG_RUNTIME_DIR", folder).env("UMPIRE_NO_SECCOMP", "1");
    finish(spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped())))
}

/// How often each call was made, before the first of the program's own and in all.
fn counts(trace: &str) -> BTreeMap<String, (usize, usize)> {
    let (mut counts, mut is_own) = (BTreeMap::<String, (usize, usize)>::new(), false);
    for line in trace.lines() {
        let call = line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
        let name: String = call.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        is_own |= name == FIRST;
        let count = counts.entry(name).or_default();
        count.1 += 1;
        count.0 += usize::from(!is_own);
    }
    counts
}

fn refused() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let trace = folder.path().join("calls").display().to_string();
    let said = run(folder.path(), &["-o", &trace]);
    assert!(matches!(said.code, Some(0 | 1 | 4)), "{:?} {}", said.code, said.err);
    let counts = counts(&fs::read_to_string(&trace).expect("strace writes it"));
    let moments = std::env::var("UMPIRE_FAULTS").ok().and_then(|n| n.parse().ok()).unwrap_or(MOMENTS);
    let (mut injected, mut told) = (0, 0);
    for (call, errors) in FAULTS {
        let Some(&(before, all)) = counts.get(*call) else { continue };
        let step = ((all - before) / moments).max(1);
        for (n, error) in (before + 1..=all).step_by(step).flat_map(|n| errors.iter().map(move |e| (n, e))) {
            let inject = format!("inject={call}:error={error}:when={n}");
            let said =
                run(folder.path(), &["-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject]);
            let what = format!("{call} {error} at {n} of {all}: {:?}\n{}{}", said.code, said.out, said.err);
            // So short a run may judge nothing, which is inconclusive or a failure to violate, and no fault of its own.
            assert!(matches!(said.code, Some(0 | 1 | 2 | 4)), "{what}");
            assert!(!said.err.contains("panicked"), "{what}");
            assert!(
                said.code != Some(2)
                    || said.err.contains("umpire: ")
                    || said.out.contains("cannot")
                    || said.out.contains("refuses"),
                "{what}\n{}",
                said.out
            );
            let names = fs::read_dir(folder.path().join("umpire")).into_iter().flatten().flatten();
            let sockets: Vec<_> = names
                .map(|e| e.file_name())
                .filter(|name| name.to_string_lossy().starts_with("i1532"))
                .collect();
            // To take a name away may be what was refused; who lists the sessions takes it away then.
            assert!(sockets.is_empty() || *call == "unlink", "{what}: {sockets:?}");
            injected += 1;
            told += usize::from(said.code == Some(2));
        }
    }
    println!("{injected} faults injected, {told} of them told with exit code 2");
    assert!(injected > 30 && told > 10, "{injected} faults, {told} told");
}
