//! A host that takes vCPUs off again and again, thousands of times, at moments that a seed draws: no sound kernel is accused for
//! it, and a broken one still is.
//!
//! # Invariants
//! - In the simulator a moment that matters can be repeated: what fails names its seed. On KVM moments are real ones, between any two
//!   instructions, and are some hundreds in each run.

use std::fmt::Write as _;

use libtest_mimic::Trial;

use crate::binary::{Said, umpire};
use crate::trials;

/// A lock's holder that the host puts aside, while another CPU spins for the lock; a worker waits there behind the spinner.
const SPINNERS: &str = r#"
id = "absent_holder"
title = "A lock's holder that the host puts aside"
source = "lock-holder preemption"
cpus = 4
run = "1s"

[[thread]]
name = "spinner"
class = "SYS"
pri = 60
cpu = 3
work = { spin_mix = { pil = 11, hold_us = 100 } }

[[thread]]
name = "holder"
class = "SYS"
pri = 60
cpu = 2
work = { spin_mix = { pil = 11, hold_us = 100 } }

[[thread]]
name = "worker"
class = "SYS"
pri = 99
cpu = 3
work = { soft_ring = { source = "nic0" } }

[[interrupt]]
name = "nic0"
cpu = 0
pil = 6
rate_hz = 500

[[bound]]
monitor = "starvation"
threads = "name == worker"
limit = "5ms"

[[variant]]
name = "default"
expect = "held"
"#;

/// Sixteen CPUs, a light load, and a host that has fewer.
const CROWDED: &str = r#"
id = "absent_waker"
title = "More vCPUs than the host has CPUs, and a light load"
source = "false-alarm control"
cpus = 16
run = "1s"

[[thread]]
name = "busy"
class = "TS"
pri = 20
count = 40
work = { periodic = { busy_us = 300, sleep_ticks = 3, mode = "user" } }

[[thread]]
name = "lock"
class = "SYS"
pri = 60
count = 8
work = { lock_mix = { lock = 3, rest_ticks = 1 } }

[[bound]]
monitor = "idle_while_queued"
limit = "20ms"

[[variant]]
name = "default"
expect = "held"
"#;

/// A deadman of one second beside a clock whose vCPU may be away for as long.
const WATCHDOG: &str = r#"
id = "absent_clock"
title = "A clock that the host keeps off its CPU, and a deadman that watches it"
source = "clock.c deadman"
cpus = 2
run = "6s"
set = { snooping = 1, snoop_interval = 1_000_000 }

[[thread]]
name = "worker"
class = "TS"
pri = 20
work = { periodic = { busy_us = 300, sleep_ticks = 3, mode = "user" } }

[[bound]]
monitor = "deadman"
limit = "900ms"

[[variant]]
name = "default"
expect = "held"
guest_deadman = "silent"
"#;

pub fn trials() -> Vec<Trial> {
    let trial = |name: &str, test: fn()| {
        Trial::test(format!("absent_host::{name}"), move || {
            test();
            Ok(())
        })
    };
    vec![
        trials::kvm("absent_host::spinners", || of_text_on_kvm("spinners", SPINNERS, "1ms:10ms")),
        trials::kvm("absent_host::crowded", || of_text_on_kvm("crowded", CROWDED, "1ms:3ms")),
        trials::kvm("absent_host::healthy", || {
            accuses_nobody_on_kvm("healthy", &["--run", "1s", "--host-absence", "5ms:30ms"]);
        }),
        trials::kvm("absent_host::crowd", || {
            accuses_nobody_on_kvm("crowd", &["--run", "500ms", "--host-absence", "1ms:3ms"]);
        }),
        trials::kvm("absent_host::lost_wakeup", || {
            let mutant = ["--variant", "mutant", "--host-absence", "10ms:5ms"];
            accuses_nobody_on_kvm("lost_wakeup", &mutant);
        }),
        trial("spinners", || of_text("spinners", SPINNERS)),
        trial("crowded", || of_text("crowded", CROWDED)),
        trial("healthy", || accuses_nobody("healthy", &["--run", "1s"])),
        trial("crowd", || accuses_nobody("crowd", &["--run", "500ms"])),
        trial("watchdog", || {
            with_file("watchdog", WATCHDOG, |path| accuses_nobody_away(path, &["500ms:1s"], &[]));
        }),
        trial("b6655821", || accuses_nobody_away("b6655821", &["200ms:1s", "500ms:1s"], &[])),
        trial("zone_cap", || accuses_nobody("zone_cap", &[])),
        trial("fss_shares", || accuses_nobody("fss_shares", &[])),
        trial("lost_wakeup", || accuses("lost_wakeup")),
        trial("lost_kprunrun", || accuses("lost_kprunrun")),
    ]
}

fn of_text(name: &str, text: &str) {
    with_file(name, text, |path| accuses_nobody(path, &[]));
}

fn of_text_on_kvm(name: &str, text: &str, absence: &str) {
    let name = format!("kvm-{name}");
    with_file(&name, text, |path| accuses_nobody_on_kvm(path, &["--host-absence", absence]));
}

fn with_file(name: &str, text: &str, check: impl FnOnce(&str)) {
    let path = std::env::temp_dir().join(format!("umpire-absent-host-{name}-{}.toml", std::process::id()));
    std::fs::write(&path, text).unwrap_or_else(|e| panic!("cannot write {}: {e}", path.display()));
    check(&path.display().to_string());
    let _left_behind = std::fs::remove_file(&path);
}

/// Whatever the host does to it, the outcome is what the variant expects, or inconclusive. That nothing was done to it would show: one
/// vCPU is away for a fifth of the time at least.
fn accuses_nobody_on_kvm(scenario: &str, more: &[&str]) {
    let said = umpire(&[&["run", scenario, "--json"][..], more].concat());
    assert!(matches!(said.code, Some(0 | 4)), "{:?}\n{}\n{}", said.code, said.out, said.err);
    for line in said.out.lines() {
        let run: serde_json::Value = serde_json::from_str(line).expect("a line is a JSON object");
        let of = |key: &str| run[key].as_u64().unwrap_or_else(|| panic!("no {key} in {line}"));
        assert!(of("steal_ns") > of("run_ns") / 10, "nobody was away: {line}");
    }
}

/// Each CPU is away for 3 to 30 ms of every 27 on average, or for up to 100 of every 60.
fn absent(scenario: &str, absence: &str, more: &[&str]) -> Said {
    let fixed = ["run", scenario, "--sim", "--seeds", "8", "--host-absence", absence];
    umpire(&[&fixed[..], more].concat())
}

/// Whatever the variant shows, it is held, or inconclusive.
fn accuses_nobody(scenario: &str, more: &[&str]) {
    accuses_nobody_away(scenario, &["10ms:30ms", "1ms:3ms", "5ms:100ms"], more);
}

/// The same on hosts with these absences.
fn accuses_nobody_away(scenario: &str, absences: &[&str], more: &[&str]) {
    let mut wrong = String::new();
    for absence in absences {
        let said = absent(scenario, absence, more);
        if !matches!(said.code, Some(0 | 4)) {
            let _ =
                write!(wrong, "{scenario}, absent {absence}: {:?}\n{}\n{}\n", said.code, said.out, said.err);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// A kernel that breaks a rule is found out on such a host as well.
fn accuses(scenario: &str) {
    let said = absent(scenario, "10ms:5ms", &["--variant", "mutant"]);
    assert_eq!(said.code, Some(0), "{}\n{}", said.out, said.err);
}
