//! What each role is not allowed, tried by a process of its own: this test program, started again for one attempt.
//!
//! # Invariants
//! - An attempt that is not caught ends its process with 0, which the test that started it takes for a failure.
// The forbidden calls are made as libc has them.
#![allow(unsafe_code)]

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::{CAUGHT, Filter, Places, Role, enter, filter_of, write_only};

/// Names the attempt, to the process that makes it.
const ATTEMPT: &str = "UMPIRE_TEST_ATTEMPT";

/// What may be tried. Each would succeed, or fail harmlessly, without a filter.
const ATTEMPTS: &[(&str, fn())] = &[
    ("execve", || {
        let _ = call(libc::SYS_execve, [0; 3]);
    }),
    ("a program", || drop(Command::new("/bin/true").status())),
    ("socket", || drop(std::net::UdpSocket::bind("127.0.0.1:0"))),
    ("openat", || drop(fs::read("/proc/self/status"))),
    ("ptrace", || {
        let _ = call(libc::SYS_ptrace, [libc::PTRACE_PEEKDATA as i64, 0, 0]);
    }),
    ("fork", || {
        let _ = call(libc::SYS_fork, [0; 3]);
    }),
    // 0x5401 is TCGETS.
    ("ioctl", || {
        let _ = call(libc::SYS_ioctl, [0, 0x5401, 0]);
    }),
    ("mmap of code", || {
        let _ = call(libc::SYS_mprotect, [0, 4096, i64::from(libc::PROT_EXEC)]);
    }),
    ("bpf", || {
        let _ = call(libc::SYS_bpf, [0; 3]);
    }),
    ("kill", || {
        let _ = call(libc::SYS_kill, [1, 0, 0]);
    }),
    ("packet socket", || {
        let _ = call(libc::SYS_socket, [i64::from(libc::AF_PACKET), 3, 0]);
    }),
];

/// A system call with three arguments.
fn call(number: i64, [a, b, c]: [i64; 3]) -> i64 {
    // SAFETY: every call of the table above only fails or reads with these arguments; none touches memory of this process.
    unsafe { libc::syscall(number, a, b, c) }
}

/// What a role must not do, by the names of the attempts, each with the call that is caught.
const FORBIDDEN: &[(Role, &[(&str, &str)])] = &[
    (
        Role::Vcpu,
        &[
            ("execve", "execve"),
            ("socket", "socket"),
            ("openat", "openat"),
            ("ptrace", "ptrace"),
            ("fork", "fork"),
            ("ioctl", "ioctl"),
            ("mmap of code", "mprotect"),
            ("bpf", "bpf"),
            ("kill", "kill"),
        ],
    ),
    (
        Role::Sampler,
        &[
            ("execve", "execve"),
            ("socket", "socket"),
            ("openat", "openat"),
            ("ioctl", "ioctl"),
            ("mmap of code", "mprotect"),
        ],
    ),
    (
        Role::SamplerWithCore,
        &[("socket", "socket"), ("ioctl", "ioctl"), ("mmap of code", "mprotect"), ("ptrace", "ptrace")],
    ),
    (
        Role::Main,
        &[
            ("execve", "execve"),
            ("ptrace", "ptrace"),
            ("fork", "fork"),
            ("bpf", "bpf"),
            ("kill", "kill"),
            ("packet socket", "socket"),
        ],
    ),
];

/// Runs one test of this program again, to make an attempt.
fn again(test: &str, attempt: &str) -> Output {
    let mut program = Command::new(std::env::current_exe().expect("a test knows its program"));
    program.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(ATTEMPT, attempt);
    program.stdin(Stdio::null()).output().expect("this program can be started again")
}

fn role(name: &str) -> Role {
    *Role::ALL.iter().find(|role| role.name() == name).expect("a role")
}

#[test]
fn what_a_role_must_not_do_ends_the_process_with_a_message() {
    const TEST: &str = "confine::tests::what_a_role_must_not_do_ends_the_process_with_a_message";
    if let Ok(asked) = std::env::var(ATTEMPT) {
        let (name, attempt) = asked.split_once('/').expect("role/attempt");
        let (_, attempt) = ATTEMPTS.iter().find(|(of, _)| *of == attempt).expect("an attempt");
        enter(role(name));
        attempt();
        // Not reached, if the filter works.
        std::process::exit(0);
    }
    for (role, attempts) in FORBIDDEN {
        for (attempt, caught) in *attempts {
            let ended = again(TEST, &format!("{}/{attempt}", role.name()));
            let said = String::from_utf8_lossy(&ended.stderr);
            assert_eq!(ended.status.code(), Some(CAUGHT), "{role:?} {attempt}: {said}");
            let begin = format!("a thread of the kind {} made the system call ", role.name());
            assert!(said.contains(&begin), "{role:?} {attempt}: {said}");
            assert!(said.contains(&format!("system call {caught} (")), "{role:?} {attempt}: {said}");
            assert!(said.contains("--no-seccomp"), "{said}");
        }
        // A C library blocks all signals before it makes a process: the host ends this one, without a word.
        let ended = again(TEST, &format!("{}/a program", role.name()));
        assert_eq!(ended.status.signal(), Some(libc::SIGSYS), "{role:?} {ended:?}");
    }
}

#[test]
fn what_is_allowed_is_allowed_and_a_thread_comes_to_its_end() {
    const TEST: &str = "confine::tests::what_is_allowed_is_allowed_and_a_thread_comes_to_its_end";
    if let Ok(asked) = std::env::var(ATTEMPT) {
        let role = role(&asked);
        let worked = std::thread::spawn(move || {
            enter(role);
            let numbers: Vec<u64> = (0..1 << 20).collect();
            std::thread::sleep(std::time::Duration::from_micros(10));
            numbers.iter().sum::<u64>()
        });
        let sum = worked.join().expect("the thread came to its end");
        std::process::exit(if sum == 549_755_289_600 { 7 } else { 1 });
    }
    for role in Role::ALL {
        let ended = again(TEST, role.name());
        assert_eq!(ended.status.code(), Some(7), "{role:?}: {}", String::from_utf8_lossy(&ended.stderr));
    }
}

#[test]
fn threads_that_are_many_and_are_filtered_before_they_allocate_get_memory() {
    const TEST: &str =
        "confine::tests::threads_that_are_many_and_are_filtered_before_they_allocate_get_memory";
    if std::env::var(ATTEMPT).is_ok() {
        let threads = 48;
        let all = std::sync::Arc::new(std::sync::Barrier::new(threads));
        let begin = |_| {
            let all = std::sync::Arc::clone(&all);
            std::thread::spawn(move || {
                enter(Role::Vcpu);
                // All of them are there at once: a C library has more parts of its heap than it makes without a question.
                all.wait();
                vec![1_u8; 1 << 16].len()
            })
        };
        let begun: Vec<_> = (0..threads).map(begin).collect();
        let sum: usize = begun.into_iter().map(|thread| thread.join().expect("it ends")).sum();
        std::process::exit(if sum == threads << 16 { 7 } else { 1 });
    }
    let ended = again(TEST, "vcpu");
    assert_eq!(ended.status.code(), Some(7), "{}", String::from_utf8_lossy(&ended.stderr));
}

#[test]
fn a_debugger_runs_programs_which_are_refused_what_nobody_needs() {
    const TEST: &str = "confine::tests::a_debugger_runs_programs_which_are_refused_what_nobody_needs";
    if std::env::var(ATTEMPT).is_ok() {
        enter(Role::Debugger);
        let ran = Command::new("/bin/true").status().expect("a program can be run");
        assert_eq!(call(libc::SYS_bpf, [0; 3]), -1);
        assert_eq!(std::io::Error::last_os_error().raw_os_error(), Some(libc::EPERM));
        std::process::exit(if ran.success() { 7 } else { 1 });
    }
    let ended = again(TEST, "debugger");
    assert_eq!(ended.status.code(), Some(7), "{}", String::from_utf8_lossy(&ended.stderr));
}

#[test]
fn a_thread_that_runs_a_guest_has_no_capability_and_gets_none() {
    let confined = std::thread::spawn(|| enter(Role::Vcpu)).join().expect("it ends");
    assert!(confined.no_new_privs);
    assert_eq!(confined.capabilities, Some(0));
    assert_eq!(confined.filter, filter_of(Role::Vcpu));
    assert!(matches!(confined.filter, Filter::Allows(calls) if calls < 35), "{:?}", confined.filter);
}

#[test]
fn who_may_write_somewhere_may_not_write_elsewhere() {
    let (mine, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let (mine, other) = (mine.path().to_owned(), other.path().to_owned());
    let tried = std::thread::spawn(move || {
        let mut places = Places::default();
        places.file(&mine.join("trace"));
        let Ok(Some(_)) = write_only(&places) else { return None };
        let here = fs::write(mine.join("trace"), "x").map_err(|e| e.kind());
        let nowhere = fs::write("/dev/null", "x").map_err(|e| e.kind());
        let there = fs::write(other.join("trace"), "x").map_err(|e| e.kind());
        let read = fs::read("/proc/self/status").is_ok();
        Some((here, nowhere, there, read))
    });
    // A host without landlock has nothing to show.
    if let Some((here, nowhere, there, read)) = tried.join().expect("it ends") {
        assert_eq!((here, nowhere, read), (Ok(()), Ok(()), true));
        assert_eq!(there, Err(std::io::ErrorKind::PermissionDenied));
    }
}

#[test]
fn places_of_a_file_are_its_folder_or_the_next_one_that_is_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let of = |path: &Path| {
        let mut places = Places::default();
        places.file(path);
        places.paths().to_vec()
    };
    assert_eq!(of(&folder.path().join("a")), [folder.path()]);
    assert_eq!(of(&folder.path().join("a/b/c")), [folder.path()]);
    assert_eq!(of(Path::new("a")), [Path::new(".")]);
    let link = folder.path().join("link");
    std::os::unix::fs::symlink("/dev/null", &link).expect("a link");
    assert_eq!(of(&link), [folder.path(), Path::new("/dev/null")]);
}
