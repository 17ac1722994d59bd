//! The same seed is the same run, however it is watched.
//!
//! # Invariants
//! - Runs are compared event by event; a difference in one is a failure.

use crate::bench::{MS, load, side_by_side};
use umpire_sim::TraceRecord;

/// The trace and the CPU times of 60 ms of a mixed load, which is looked at every `look_ns` ns.
fn run(ncpus: u32, seed: u64, look_ns: u64) -> (Vec<TraceRecord>, Vec<u64>) {
    let mut sim = load::mixed(ncpus).traced().boot(seed);
    let mut trace = Vec::new();
    let mut at = 0;
    while at < 60 * MS {
        at = (at + look_ns).min(60 * MS);
        sim.run_until_ok(at);
        trace.extend(sim.take_trace());
    }
    (trace, (0..ncpus as usize).map(|n| sim.ran_ns(n)).collect())
}

#[test]
fn how_often_it_is_looked_at_changes_nothing() {
    let cases = [4, 2, 1].into_iter().flat_map(|ncpus| (0..3).map(move |seed| (ncpus, seed)));
    side_by_side::for_each(cases, |(ncpus, seed)| {
        let once = run(ncpus, seed, 60 * MS);
        assert!(once.0.len() > 1000, "ncpus {ncpus} seed {seed}: {} events", once.0.len());
        for look_ns in [MS, 33_333, 777] {
            assert!(once == run(ncpus, seed, look_ns), "ncpus {ncpus} seed {seed}: a look each {look_ns} ns");
        }
    });
}

#[test]
fn two_simulations_side_by_side_do_not_disturb_each_other() {
    let alone = [1, 2].map(|seed| run(2, seed, MS));
    let mut sims = [1, 2].map(|seed| load::mixed(2).traced().boot(seed));
    let mut traces = [Vec::new(), Vec::new()];
    for look in 1..=60 {
        for (sim, trace) in sims.iter_mut().zip(&mut traces) {
            sim.run_until_ok(look * MS);
            trace.extend(sim.take_trace());
        }
    }
    assert!(alone[0].0 == traces[0] && alone[1].0 == traces[1]);
}

#[test]
fn another_seed_is_another_run() {
    for ncpus in [2, 4] {
        let traces: Vec<_> = (0..4).map(|seed| run(ncpus, seed, MS).0).collect();
        for (n, one) in traces.iter().enumerate() {
            assert!(traces[..n].iter().all(|other| other != one), "ncpus {ncpus}: seed {n} repeats another");
        }
    }
}
