//! A host that takes vCPUs off again and again, thousands of times, at moments that a seed draws: no sound kernel is accused for
//! it, and a broken one still is.
//!
//! # Invariants
//! - In the simulator, so that a moment that matters can be repeated: what fails names its seed.

use std::fmt::Write as _;

use libtest_mimic::Trial;

use crate::binary::{Said, umpire};

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

pub fn trials() -> Vec<Trial> {
    let trial = |name: &str, test: fn()| {
        Trial::test(format!("sim::absent_host::{name}"), move || {
            test();
            Ok(())
        })
    };
    vec![
        trial("spinners", || of_text("spinners", SPINNERS)),
        trial("crowded", || of_text("crowded", CROWDED)),
        trial("healthy", || accuses_nobody("healthy", &["--run", "1s"])),
        trial("crowd", || accuses_nobody("crowd", &["--run", "500ms"])),
        trial("lost_wakeup", || accuses("lost_wakeup")),
        trial("lost_kprunrun", || accuses("lost_kprunrun")),
    ]
}

fn of_text(name: &str, text: &str) {
    let path = std::env::temp_dir().join(format!("umpire-absent-host-{name}-{}.toml", std::process::id()));
    std::fs::write(&path, text).unwrap_or_else(|e| panic!("cannot write {}: {e}", path.display()));
    accuses_nobody(&path.display().to_string(), &[]);
    let _left_behind = std::fs::remove_file(&path);
}

/// Each CPU is away for 3 to 30 ms of every 27 on average, or for up to 100 of every 60.
fn absent(scenario: &str, absence: &str, more: &[&str]) -> Said {
    let fixed = ["run", scenario, "--sim", "--seeds", "8", "--host-absence", absence];
    umpire(&[&fixed[..], more].concat())
}

/// Whatever the variant shows, it is held, or inconclusive.
fn accuses_nobody(scenario: &str, more: &[&str]) {
    let mut wrong = String::new();
    for absence in ["10ms:30ms", "1ms:3ms", "5ms:100ms"] {
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
