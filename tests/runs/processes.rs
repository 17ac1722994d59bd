//! What `/proc` says of a running process, and of what a process has left behind.
//!
//! # Invariants
//! - It is no error if a process ends while it is looked at: it has nothing any more.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Pid;

/// The longest that a test waits for something that must happen.
const LIMIT: Duration = Duration::from_secs(30);

/// Waits until the process has a thread of this name that has had so much CPU time.
pub fn await_thread(pid: Pid, name: &str, ran: Duration) {
    let begin = Instant::now();
    while ran_ns(pid, name).is_none_or(|ns| Duration::from_nanos(ns) < ran) {
        assert!(begin.elapsed() < LIMIT, "no thread {name} that has run for {ran:?}");
        thread::yield_now();
    }
}

/// Waits until the process is stopped by a signal.
pub fn await_stop(pid: Pid) {
    let begin = Instant::now();
    // Every thread of it: one that is in the kernel stops when it leaves that.
    let is_stopped = || {
        let mut tasks = fs::read_dir(proc(pid).join("task")).into_iter().flatten().flatten();
        tasks.all(|task| {
            let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with('T'))
        })
    };
    while !is_stopped() {
        assert!(begin.elapsed() < LIMIT, "a process that was told to stop still runs");
        thread::yield_now();
    }
}

/// What the process holds that the file system would still have after its end: open files and shared mappings of
/// files, but for devices, the kernel's own, pipes, sockets and memory without a name.
pub fn held_files(pid: Pid) -> Vec<String> {
    let proc = proc(pid);
    let fds = fs::read_dir(proc.join("fd")).into_iter().flatten().flatten();
    let open = fds.filter_map(|fd| Some(fs::read_link(fd.path()).ok()?.to_string_lossy().into_owned()));
    let maps = fs::read_to_string(proc.join("maps")).unwrap_or_default();
    let mapped = maps.lines().filter_map(|line| {
        let is_shared = line.split_whitespace().nth(1)?.ends_with('s');
        is_shared.then(|| line.split_whitespace().nth(5).map(str::to_owned))?
    });
    open.chain(mapped).filter(|name| outlives(name)).collect()
}

fn outlives(name: &str) -> bool {
    let is_kernel_s = name.starts_with("/proc/") || name.starts_with("/sys/");
    let is_device = name.starts_with("/dev/") && !name.starts_with("/dev/shm/");
    let is_gone = name.starts_with("/memfd:") || name.ends_with(" (deleted)");
    name.starts_with('/') && !is_kernel_s && !is_device && !is_gone
}

/// Processes of a process group, which has the ID of the process that was started as its leader.
pub fn of_group(leader: Pid) -> Vec<String> {
    let all = fs::read_dir("/proc").expect("there is a /proc").flatten();
    let members = all.filter_map(|entry| {
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        // "pid (name, which may hold anything) state ppid pgrp ..."
        let group: i32 = stat.rsplit_once(')')?.1.split_whitespace().nth(2)?.parse().ok()?;
        (group == leader.as_raw_nonzero().get()).then_some(stat)
    });
    members.collect()
}

/// CPU time of a thread in ns.
fn ran_ns(pid: Pid, name: &str) -> Option<u64> {
    let tasks = fs::read_dir(proc(pid).join("task")).ok()?.flatten();
    let mut named =
        tasks.filter(|task| fs::read_to_string(task.path().join("comm")).is_ok_and(|c| c.trim_end() == name));
    let stat = fs::read_to_string(named.next()?.path().join("schedstat")).ok()?;
    stat.split_whitespace().next()?.parse().ok()
}

fn proc(pid: Pid) -> PathBuf {
    PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero()))
}
