//! Chips, cores and strands: where busy threads settle.
//!
//! # Invariants
//! - CPU `n` is strand `n % strands` of its core; cores of a chip are neighbours.

use crate::bench::{Bench, MS, Program, thread};
use umpire_kernel::cell::Cell;
use umpire_kernel::sys::pg::pghw;
use umpire_shared::event::Kind;
use umpire_shared::program::class::{SYS, TS};
use umpire_shared::tunable;
use umpire_shared::work::compute::{Mode, Periodic};
use umpire_sim::TraceRecord;

/// Two chips of two cores of two strands, and so many threads that compute and sleep now and then.
fn busy(nthreads: usize) -> Program {
    let mut p = Program::new(8).topology(2, 2, 2);
    for n in 0..nthreads {
        let busy_us = 40_000 + 1700 * n as u64;
        // They do not sleep by ticks: a callout thread would wake them all at once, and would itself occupy a CPU.
        let work = Periodic { busy_us, mode: Mode::User, sleep_us: 9_000, ..Periodic::defaults() };
        p = p.thread(thread("busy", TS, 20, -1, work));
    }
    // Caches count as cold at once, so that every wake-up chooses a CPU anew.
    p.tunable(tunable::RECHOOSE_INTERVAL, 0)
}

/// How many of 400 looks, from the first second on, found a group of `cpus_per_group` CPUs with more than `share` busy ones.
fn crowded(sim: &mut Bench, cpus_per_group: usize, share: usize) -> u32 {
    let mut crowded = 0;
    for look in 0..400 {
        sim.run_until_ok(1000 * MS + look * 2 * MS);
        let cpus = &sim.kernel().k_cpus;
        let used = |g: &[umpire_kernel::Cpu]| g.iter().filter(|c| c.cpu_dispatch_pri.get() >= 0).count();
        crowded += u32::from(cpus.chunks(cpus_per_group).any(|group| used(group) > share));
    }
    crowded
}

#[test]
fn two_threads_take_a_chip_each_and_four_a_core_each() {
    for seed in 0..5 {
        let chips = crowded(&mut busy(2).boot(seed), 4, 1);
        assert!(chips < 40, "seed {seed}: two threads on one chip in {chips} of 400 looks");
    }
    // At each level one sibling is tried, at random, so four threads do not always find the four cores.
    let looks = |balance| {
        let seeds = 0..8;
        seeds.map(|s| crowded(&mut busy(4).tunable(tunable::CMT_BALANCE, balance).boot(s), 2, 1)).sum::<u32>()
    };
    let (with, without) = (looks(1), looks(0));
    assert!(
        with * 2 < without,
        "two threads on one core in {with} of 3200 looks, in {without} without balance"
    );
}

#[test]
fn without_balance_threads_share_cores_that_need_not() {
    for seed in 0..5 {
        let chips = crowded(&mut busy(2).tunable(tunable::CMT_BALANCE, 0).boot(seed), 4, 1);
        assert!(chips > 100, "seed {seed}: two threads on one chip in only {chips} of 400 looks");
    }
}

#[test]
fn coalescing_gathers_threads_on_one_chip() {
    for seed in 0..5 {
        let chips = crowded(&mut busy(3).tunable(tunable::CMT_COALESCE, 1).boot(seed), 4, 2);
        let spread = crowded(&mut busy(3).boot(seed), 4, 2);
        assert!(chips > 200, "seed {seed}: three threads on one chip in only {chips} of 400 looks");
        assert!(spread < 100, "seed {seed}: three threads on one chip in {spread} of 400 looks, balanced");
    }
}

#[test]
fn utilisation_is_the_number_of_cpus_that_are_not_idle() {
    for seed in 0..5 {
        let mut sim = busy(5).boot(seed);
        let mut agreed = 0;
        for look in 0..200 {
            sim.run_until_ok(100 * MS + look * 3 * MS);
            let kernel = sim.kernel();
            agreed += u32::from(kernel.k_cmt.pgs.iter().all(|pg| {
                let members = kernel.k_cpus.iter().filter(|c| pg.pg_cpus.get() >> c.cpu_id & 1 == 1);
                let busy = members.filter(|c| !c.cpu_thread.is(c.cpu_idle_thread.get().expect("a thread")));
                busy.count() as u32 == pg.cmt_utilization.get()
            }));
            assert!(
                kernel.k_cmt.pgs.iter().all(|pg| pg.cmt_utilization.get() <= pg.pg_cpus.get().count_ones())
            );
        }
        // A switch in progress may be seen between the count and the thread.
        assert!(agreed > 190, "seed {seed}: only {agreed} of 200 looks agree");
    }
}

#[test]
fn groups_are_those_of_the_topology_and_no_redundant_ones() {
    let shape = |ncpus, chips, cores, strands| -> Vec<(u32, u64)> {
        let mut sim = Program::new(ncpus).topology(chips, cores, strands).boot(0);
        sim.run_until_ok(MS);
        sim.kernel().k_cmt.pgs.iter().map(|pg| (pg.pg_hw, pg.pg_cpus.get())).collect()
    };
    assert_eq!(shape(4, 1, 4, 1), []);
    assert_eq!(shape(4, 2, 2, 1), [(pghw::CHIP, 0b0011), (pghw::CHIP, 0b1100)]);
    assert_eq!(shape(4, 1, 2, 2), [(pghw::IPIPE, 0b0011), (pghw::IPIPE, 0b1100)]);
    assert_eq!(shape(8, 2, 2, 2).len(), 6);
}

#[test]
fn thread_is_stolen_at_once_within_a_core_and_not_before_nosteal_nsec_from_another() {
    const NOSTEAL: i64 = 8_000_000;
    let steals = |strands: u32, seed: u64| -> Vec<u64> {
        let mut p = Program::new(2).topology(1, 2 / strands, strands).traced();
        p = p.tunable(tunable::NOSTEAL_NSEC, NOSTEAL);
        // Each CPU is taken now and then by a thread that is bound to it; the other threads are then stolen, which does no
        // harm between strands of one core.
        for cpu in 0..2 {
            let hog = thread(
                "hog",
                SYS,
                60,
                cpu,
                Periodic {
                    busy_us: 12_000 + 13_000 * cpu as u64,
                    sleep_ticks: 1 + cpu as u64,
                    ..Periodic::defaults()
                },
            );
            p = p.thread(hog);
            let t = thread("periodic", TS, 30, -1, Periodic { busy_us: 300, ..Periodic::defaults() });
            p = p.thread(t);
        }
        let mut sim = p.boot(seed);
        sim.run_until_ok(1000 * MS);
        let trace = sim.take_trace();
        // System threads may be stolen at any time.
        let scenario = |e: &TraceRecord| (2..6).contains(&e.thread);
        let stolen = trace.iter().enumerate().filter(|(_, e)| e.kind == Kind::Steal && scenario(e));
        let since = stolen.filter_map(|(n, e)| {
            let put = trace[..n].iter().rev().find(|p| p.kind == Kind::Enqueue && p.thread == e.thread)?;
            Some(e.time_ns.saturating_sub(put.time_ns))
        });
        since.collect()
    };
    let (mut near, mut far) = (Vec::new(), Vec::new());
    for seed in 0..10 {
        near.extend(steals(2, seed));
        far.extend(steals(1, seed));
    }
    let young = |ages: &[u64]| ages.iter().filter(|&&age| age < NOSTEAL as u64).count();
    assert!(young(&near) > 20, "{} of {} steals within a core are quick", young(&near), near.len());
    // A thread that was put on a CPU on which it had not run has no warm cache there, so it need not wait.
    assert!(
        far.len() > 20 && young(&far) * 100 <= far.len(),
        "{} of {} from another core are",
        young(&far),
        far.len()
    );
}
