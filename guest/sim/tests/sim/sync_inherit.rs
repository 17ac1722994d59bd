//! Priority inheritance: along chains, across CPUs, given back at release; where there is none; and chains that close.
//!
//! # Invariants
//! - Each inversion is shown twice: with inheritance it ends, without it lasts.

use crate::bench::{Bench, MS, Program, SECOND, thread};
use umpire_kernel::Kthread;
use umpire_kernel::cell::Cell;
use umpire_shared::event::{Kind, queue_cpu};
use umpire_shared::program::class::{SYS, TS};
use umpire_shared::work::locks::{CvHerd, LockChain, Nested, Part, RwHow, RwMix, SemaMix};
use umpire_shared::{program, tunable};
use umpire_sim::{SimState, TraceRecord};

const HOUR_US: u64 = 3_600_000_000;
const NEVER_AGAIN: u64 = 1_000_000;
const NOT_BOUND: i32 = -1;

/// A kernel in which every better thread preempts: these tests show which thread is better.
fn preemptive(ncpus: u32) -> Program {
    Program::new(ncpus).tunable(tunable::KPREEMPTPRI, 0).tunable(tunable::KPQPRI, 99)
}

/// A thread that takes these mutexes once, one inside the other, `hold_us` each, `after_us` after boot.
fn chain(name: &str, pri: i32, cpu: i32, locks: &[u64], hold_us: u64, after_us: u64) -> program::Thread {
    let work = LockChain { hold_us, rest_ticks: NEVER_AGAIN, after_us, ..taking(locks) };
    thread(name, if pri < 60 { TS } else { SYS }, pri, cpu, work)
}

/// The workload that takes these mutexes, one to three.
fn taking(locks: &[u64]) -> LockChain {
    let [first, inside @ ..] = locks else { panic!("a chain has a first mutex") };
    let (second, third) = (inside.first().copied(), inside.get(1).copied());
    LockChain { first: *first, second, third, ..LockChain::defaults() }
}

/// A thread that computes for ever from 30 ms on, with a mutex that no other thread takes.
fn hog(pri: i32, cpu: i32) -> program::Thread {
    chain("hog", pri, cpu, &[15 - cpu as u64], HOUR_US, 30_000)
}

fn with_inheritance(p: Program, on: bool) -> Program {
    p.tunable(tunable::PRIORITY_INHERITANCE, i64::from(on))
}

fn at(sim: &Bench, n: usize) -> &Kthread {
    &sim.kernel().scenario_threads()[n]
}

fn progress(sim: &Bench, n: usize) -> u64 {
    at(sim, n).t_progress.get()
}

/// Thread 0 owns something, which the last thread wants from 60 ms on. True if the last thread has had it within 300 ms;
/// if it gets it later, within two seconds, the test fails.
fn is_served(p: Program, last: usize, on: bool, seed: u64) -> bool {
    let mut sim = with_inheritance(p, on).boot(seed);
    sim.run_until_ok(300 * MS);
    let early = progress(&sim, last);
    sim.run_until_ok(2 * SECOND);
    assert_eq!(early, progress(&sim, last), "seed {seed}: served late, after the hog had been let through");
    early != 0
}

fn low_middle_high(high_pri: i32) -> Program {
    preemptive(1).thread(chain("low", 10, 0, &[0], 40_000, 0)).thread(hog(60, 0)).thread(chain(
        "high",
        high_pri,
        0,
        &[0],
        1000,
        60_000,
    ))
}

#[test]
fn an_owner_inherits_past_a_hog_only_with_inheritance() {
    for seed in 0..20 {
        assert!(is_served(low_middle_high(80), 2, true, seed), "seed {seed}");
        assert!(!is_served(low_middle_high(80), 2, false, seed), "seed {seed}");
    }
}

#[test]
fn a_chain_of_owners_inherits_only_with_inheritance() {
    for cpus in [[0, 0, 0, 0], [0, 1, 2, 3]] {
        let build = || {
            let mut p = preemptive(4)
                .thread(chain("a", 10, cpus[0], &[0], 40_000, 0))
                .thread(chain("b", 20, cpus[1], &[1, 0], 1000, 10_000))
                .thread(chain("c", 30, cpus[2], &[2, 1], 1000, 20_000))
                .thread(chain("high", 90, cpus[3], &[2], 1000, 60_000));
            let mut hogged = cpus.to_vec();
            hogged.dedup();
            for cpu in hogged {
                p = p.thread(hog(60, cpu));
            }
            p
        };
        for seed in 0..10 {
            assert!(is_served(build(), 3, true, seed), "cpus {cpus:?} seed {seed}");
            assert!(!is_served(build(), 3, false, seed), "cpus {cpus:?} seed {seed}");
        }
    }
}

#[test]
fn everybody_of_a_chain_runs_at_the_priority_of_its_end() {
    // No thread of the chain runs while the test looks: the hog is better than the end of the chain.
    let mut sim = preemptive(1)
        .thread(chain("a", 10, 0, &[0], 40_000, 0))
        .thread(chain("b", 20, 0, &[1, 0], 1000, 10_000))
        .thread(chain("c", 70, 0, &[1], 1000, 20_000))
        .thread(hog(90, 0))
        .boot(1);
    sim.run_until_ok(50 * MS);
    assert_eq!([0, 1, 2].map(|n| at(&sim, n).pri()), [70; 3]);
    assert_eq!([0, 1, 2].map(|n| at(&sim, n).t_epri.get()), [70, 70, 0]);
}

#[test]
fn an_owner_gives_back_lock_by_lock_what_it_inherited() {
    for seed in 0..20 {
        // The owner holds both from 20 ms until it has computed for 40 ms; the two threads that want them come meanwhile.
        let mut sim = preemptive(1)
            .thread(chain("owner", 60, 0, &[0, 1], 20_000, 0))
            .thread(chain("eighty", 80, 0, &[0], 1000, 24_000))
            .thread(chain("ninety", 90, 0, &[1], 1000, 34_000))
            .tunable(tunable::HZ, 1000)
            .boot(seed);
        let mut seen = vec![0];
        for step in 0..4000 {
            sim.run_until_ok(step * 20_000);
            let epri = at(&sim, 0).t_epri.get();
            if seen.last() != Some(&epri) {
                seen.push(epri);
            }
        }
        // The step from 90 to 80 lasts for a moment only: ninety preempts the owner at once, and the owner goes on at 80.
        assert_eq!(seen, [0, 80, 90, 80, 0], "seed {seed}");
        assert!(at(&sim, 0).t_prioinv.is_null(), "seed {seed}");
        assert_eq!([0, 1, 2].map(|n| progress(&sim, n)), [1; 3], "seed {seed}");
    }
}

#[test]
fn an_unbound_owner_that_inherits_99_moves_to_the_kp_queue() {
    for (on, expected) in [(true, true), (false, false)] {
        for seed in 0..10 {
            let p = preemptive(2)
                .thread(chain("low", 10, NOT_BOUND, &[0], 40_000, 0))
                .thread(hog(98, 0))
                .thread(hog(98, 1))
                .thread(chain("high", 99, 1, &[0], 1000, 60_000));
            let mut sim = with_inheritance(p, on).traced().boot(seed);
            sim.run_until_ok(300 * MS);
            let low = at(&sim, 0).t_did;
            let was_there = |e: &TraceRecord| e.kind == Kind::Enqueue && queue_cpu(e.arg).is_none();
            let was_there = sim.take_trace().iter().any(|e| e.thread == low && was_there(e));
            assert_eq!(was_there, expected, "seed {seed}");
            assert_eq!(progress(&sim, 3) != 0, expected, "seed {seed}");
        }
    }
}

fn rw(name: &str, pri: i32, mode: RwHow, hold_us: u64, after_us: u64) -> program::Thread {
    let work = RwMix { mode, hold_us, rest_ticks: NEVER_AGAIN, after_us, ..RwMix::defaults() };
    thread(name, if pri < 60 { TS } else { SYS }, pri, 0, work)
}

fn sema(name: &str, pri: i32, hold_us: u64, after_us: u64) -> program::Thread {
    thread(
        name,
        if pri < 60 { TS } else { SYS },
        pri,
        0,
        SemaMix { hold_us, rest_ticks: NEVER_AGAIN, after_us, ..SemaMix::defaults() },
    )
}

fn herd(name: &str, pri: i32, part: Part, hold_us: u64, after_us: u64) -> program::Thread {
    thread(
        name,
        if pri < 60 { TS } else { SYS },
        pri,
        0,
        CvHerd { part, hold_us, rest_ticks: NEVER_AGAIN, after_us, ..CvHerd::defaults() },
    )
}

#[test]
fn what_has_no_owner_lends_nothing_and_a_written_rwlock_does() {
    let with = |low, high| preemptive(1).thread(low).thread(hog(60, 0)).thread(high);
    let high_rw = |mode| rw("high", 80, mode, 1000, 60_000);
    let low_rw = |mode| rw("low", 10, mode, 40_000, 0);
    for on in [true, false] {
        for mode in [RwHow::Reader, RwHow::Writer] {
            let p = with(low_rw(RwHow::Writer), high_rw(mode));
            assert_eq!(is_served(p, 2, on, 1), on, "write-held, wanted in mode {mode:?}");
        }
        assert!(!is_served(with(low_rw(RwHow::Reader), high_rw(RwHow::Writer)), 2, on, 1), "read-held");
        let p = with(sema("low", 10, 40_000, 0), sema("high", 80, 1000, 60_000));
        assert!(!is_served(p, 2, on, 1), "semaphore");
        // The signal would come at 45 ms, while the hog runs.
        let p = with(herd("low", 10, Part::Caller, 10, 45_000), herd("high", 80, Part::Waiter, 10, 0));
        assert!(!is_served(p, 2, on, 1), "condition variable");
    }
    // The same without a hog: nothing but the hog keeps them waiting.
    let p = preemptive(1).thread(herd("low", 10, Part::Caller, 10, 45_000)).thread(herd(
        "high",
        80,
        Part::Waiter,
        10,
        0,
    ));
    assert!(is_served(p, 1, true, 1), "condition variable without a hog");
    let p = preemptive(1).thread(sema("low", 10, 40_000, 0)).thread(sema("high", 80, 1000, 60_000));
    assert!(is_served(p, 1, true, 1), "semaphore without a hog");
}

/// Runs a program that must panic, and returns what it says.
fn last_words(p: &Program, seed: u64) -> String {
    match p.boot(seed).run_until(SECOND) {
        SimState::Ended(end) => end.message,
        other => panic!("seed {seed}: {other:?}"),
    }
}

#[test]
fn a_chain_that_closes_panics_with_the_cycle() {
    let two = preemptive(1)
        .tunable(tunable::HZ, 1000)
        .thread(chain("anna", 60, 0, &[0, 1], 10_000, 0))
        .thread(chain("bert", 70, 0, &[1, 0], 10_000, 4000));
    let three = preemptive(1)
        .tunable(tunable::HZ, 1000)
        .thread(chain("anna", 60, 0, &[0, 1], 10_000, 0))
        .thread(chain("bert", 70, 0, &[1, 2], 10_000, 4000))
        .thread(chain("carl", 80, 0, &[2, 0], 10_000, 8000));
    for seed in 0..20 {
        let text = last_words(&two, seed);
        let expected = "Deadlock: cycle in blocking chain: thread 1 \"anna\" -> mutex k_work.locks[1] -> \
                        thread 2 \"bert\" -> mutex k_work.locks[0] -> thread 1 \"anna\"";
        assert!(text.starts_with(expected), "seed {seed}: {text}");
        // Carl's priority makes Anna go on before Bert, so it is Bert that closes the chain:
        //
        //   anna (60)                 bert (70)                 carl (80)
        //   takes 0
        //                             preempts, takes 1
        //                                                       preempts, takes 2
        //                                                       wants 0: lends 80 to anna
        //   wants 1: lends 80 to bert
        //                             wants 2: the circle
        let text = last_words(&three, seed);
        let expected = "Deadlock: cycle in blocking chain: thread 2 \"bert\" -> mutex k_work.locks[2] -> \
                        thread 3 \"carl\" -> mutex k_work.locks[0] -> thread 1 \"anna\" -> mutex \
                        k_work.locks[1] -> thread 2 \"bert\"";
        assert!(text.starts_with(expected), "seed {seed}: {text}");
    }
}

#[test]
fn who_waits_for_itself_panics() {
    let work = RwMix { mode: RwHow::Writer, nested: Nested::Again, ..RwMix::defaults() };
    let writer = thread("anna", SYS, 60, 0, work);
    let text = last_words(&preemptive(2).thread(writer), 1);
    let expected = "Deadlock: cycle in blocking chain: thread 2 \"anna\" -> rwlock k_work.rwlocks[0] -> thread 2 \"anna\"";
    assert!(text.starts_with(expected), "{text}");
    let text = last_words(&preemptive(2).thread(chain("anna", 60, 0, &[3, 3], 1000, 0)), 1);
    assert!(text.starts_with("recursive mutex_enter"), "{text}");
}

/// Chains of three mutexes in one order, taken by many: walks of all lengths at once on every CPU.
fn crossing_walks() -> Program {
    let mut p = preemptive(4).tunable(tunable::HZ, 1000);
    for n in 0..10_u64 {
        let locks = [n % 3, 3 + n % 2, 5];
        let pri = [10, 30, 50, 62, 74][n as usize % 5];
        let work = LockChain { hold_us: 100, rest_ticks: 1 + n % 2, ..taking(&locks) };
        p = p.thread(thread("walker", if pri < 60 { TS } else { SYS }, pri, NOT_BOUND, work));
    }
    p
}

#[test]
fn walks_that_meet_out_of_order_give_way_and_go_on() {
    let mut losses = 0;
    for seed in 0..200 {
        let mut sim = crossing_walks().boot(seed);
        sim.run_until_ok(12 * MS);
        losses += sim.kernel().k_cpus.iter().map(|c| c.cpu_stats.turnstile_losses.get()).sum::<u64>();
        for t in sim.kernel().scenario_threads() {
            assert!(t.t_progress.get() > 0, "seed {seed}: thread {}", t.t_did);
        }
    }
    assert!(losses > 100, "{losses} losses: the rule was hardly tried");
}
