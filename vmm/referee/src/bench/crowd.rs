//! A thousand threads on sixteen vCPUs: what they take, how fast they come up, and that they are not accused.
//!
//! # Invariants
//! - The load is that of `healthy`, each of its threads many times over; the bounds are the same monitors' with limits that
//!   such a crowd can keep.

use super::super::KvmReferee;
use super::scenario;
use super::{BenchRow, Better};
use crate::report::{Observed, RunError, RunOptions};
use umpire_machine::RAM_PER_THREAD;
use umpire_scenario::Scenario;

/// vCPUs of the crowd.
pub(super) const CPUS: u32 = 16;
/// Its threads.
pub(super) const THREADS: usize = 1_000;

/// The row of guest memory a thread.
pub(super) fn memory() -> BenchRow {
    BenchRow {
        what: "guest memory a thread, its stack included".to_owned(),
        value: RAM_PER_THREAD as f64 / 1024.0,
        goal: 28.0,
        unit: "KiB",
        better: Better::Less,
        note: "by the machine's layout: stack, guard page, share of the heap".to_owned(),
    }
}

/// Rows of a crowded `healthy`: its boot, and the bounds that it broke.
pub(super) fn healthy(kvm: &mut KvmReferee) -> Result<Vec<BenchRow>, RunError> {
    let scenario = crowded()?;
    let report = kvm.run(&scenario, &scenario.variants[0], &RunOptions::default())?;
    // A guest that died has kept no bound.
    let is_judged = matches!(report.observed, Observed::Held | Observed::Violated);
    let broken = report.bounds.iter().filter(|b| !is_judged || !b.held).count();
    let boot = BenchRow {
        what: format!("boot of {THREADS} threads on {CPUS} vCPUs to the first thread"),
        value: report.boot_ns as f64 / 1e6,
        goal: 100.0,
        unit: "ms",
        better: Better::Less,
        note: "once; KVM's object creation included".to_owned(),
    };
    let clean = BenchRow {
        what: format!("bounds broken by `healthy` with {THREADS} threads, {CPUS} vCPUs"),
        value: broken as f64,
        goal: 0.0,
        unit: "bounds",
        better: Better::Less,
        note: format!("{} samples; the referee says {}", report.samples, report.observed.as_str()),
    };
    Ok(vec![boot, clean])
}

/// `healthy` with a thousand threads: on each vCPU a soft ring and an squeue, everything else wherever there is room.
pub(super) fn crowded() -> Result<Scenario, RunError> {
    crowded_with("")
}

/// The same with more keys of the file.
pub(super) fn crowded_with(keys: &str) -> Result<Scenario, RunError> {
    let mut text = format!(
        "id = \"crowd\"\ntitle = \"A thousand threads\"\nsource = \"bench\"\n\
         teaches = \"what many threads cost\"\ncpus = {CPUS}\nrun = \"3s\"\n{keys}"
    );
    let mut left = THREADS;
    for cpu in 0..CPUS {
        let ring = format!("{{ soft_ring = {{ source = \"nic{cpu}\", sink = \"squeue{cpu}\" }} }}");
        for (name, work) in [("ring", ring.as_str()), ("squeue", "\"squeue\"")] {
            text += &super::dispatching::thread(&format!("{name}{cpu}"), "SYS", 99, cpu, 1, work);
            left -= 1;
        }
        text += &format!("[[interrupt]]\nname = \"nic{cpu}\"\ncpu = {cpu}\npil = 6\nrate_hz = 100\n");
    }
    let mixes = [
        ("spin", 29, "{ spin = { mode = \"user\" } }"),
        ("editor", 49, "{ periodic = { busy_us = 300, sleep_ticks = 50, mode = \"user\" } }"),
        ("calls", 20, "{ periodic = { busy_us = 1000, sleep_ticks = 50 } }"),
    ];
    for (n, (name, pri, work)) in mixes.iter().enumerate() {
        let count = left / (mixes.len() - n);
        text += &format!(
            "[[thread]]\nname = \"{name}\"\nclass = \"TS\"\npri = {pri}\ncount = {count}\nwork = {work}\n"
        );
        left -= count;
    }
    text += "[[bound]]\nmonitor = \"starvation\"\nthreads = \"pri >= 60\"\nlimit = \"200ms\"\n";
    text +=
        "[[bound]]\nmonitor = \"deadman\"\nlimit = \"2s\"\n[[bound]]\nmonitor = \"runq\"\nlimit = \"0s\"\n";
    scenario(&text)
}
