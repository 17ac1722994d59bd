//! Mutexes: exclusion, spinning and sleeping, the thundering herd, and what misuse says.
//!
//! # Invariants
//! - Exclusion is judged by a counter that is read, left alone for a while, and written under the mutex.

use crate::bench::{Bench, MS, Program, SECOND, thread};
use umpire_kernel::Kernel;
use umpire_kernel::cell::Cell;
use umpire_kernel::sync::Mutex;
use umpire_shared::event::Kind;
use umpire_shared::program::class::{SYS, TS};
use umpire_shared::work::compute::{LockMix, Periodic};
use umpire_shared::work::levels::SpinMix;
use umpire_shared::work::locks::{CvHerd, LockChain, Part};
use umpire_shared::{program, tunable};

const NEVER_AGAIN: u64 = 1_000_000;

/// A kernel in which every better thread preempts: these tests show which thread is better.
fn preemptive(ncpus: u32) -> Program {
    Program::new(ncpus).tunable(tunable::KPREEMPTPRI, 0).tunable(tunable::KPQPRI, 99)
}

fn caller(pri: i32, hold_us: u64, after_us: u64) -> program::Thread {
    thread(
        "caller",
        if pri < 60 { TS } else { SYS },
        pri,
        -1,
        CvHerd { part: Part::Caller, hold_us, after_us, ..CvHerd::defaults() },
    )
}

#[test]
fn no_update_under_a_mutex_is_lost() {
    let mut blocks = 0;
    for seed in 0..200 {
        let mut p = preemptive(3).tunable(tunable::HZ, 1000);
        for n in 0..7 {
            p = p.thread(caller([10, 30, 62, 70][n % 4], 130, 0));
        }
        let mut sim = p.boot(seed);
        sim.run_until_ok(14 * MS);
        let kernel = sim.kernel();
        let work = &kernel.k_work.cvs[0];
        let done: u64 = kernel.scenario_threads().iter().map(|t| t.t_progress.get()).sum();
        // Each CPU that runs has at most one thread that has written and not counted yet, and that thread has released the mutex.
        let round = work.wc_round.get();
        assert!((done..=done + 7).contains(&round), "seed {seed}: {round} rounds, {done} calls");
        assert!(done > 40, "seed {seed}: {done} calls");
        blocks += work.wc_lock.m_blocks.get();
    }
    assert!(blocks > 60, "{blocks} blocked: they were hardly in each other's way");
}

/// The interleavings in the invariants of `sync/mutex.rs`: a waiter's bit is wiped out by a store whose look is older, and an owner is
/// switched off between the two. A bit that is gone while somebody sleeps is a waiter that the owner forgets.
#[test]
fn exit_that_is_a_look_and_a_store_forgets_no_waiter() {
    let (mut blocks, mut looks) = (0, 0);
    for seed in 0..400 {
        let mut p = preemptive(3);
        for cpu in 0..3 {
            let mix = LockMix { hold_us: 1, think_us: 1, ..LockMix::defaults() };
            let better = Periodic { busy_us: 1, sleep_us: 1, jitter_us: 7, ..Periodic::defaults() };
            p = p.thread(thread("mix", SYS, 60, cpu, mix)).thread(thread("better", SYS, 99, cpu, better));
        }
        let mut sim = p.boot(seed);
        sim.open_exits();
        for step in 1..=2000 {
            sim.run_until_ok(step * 3000);
            let kernel = sim.kernel();
            let lock = &kernel.k_work.locks[0];
            if is_slept_for(kernel, lock) {
                looks += 1;
                let is_known = lock.m_owner.owner().is_some_and(|owner| lock.m_owner.has_waiters(owner));
                assert!(
                    is_known,
                    "seed {seed}, {step}: somebody sleeps for the mutex, and its word does not say so"
                );
            }
        }
        blocks += sim.kernel().k_work.locks[0].m_blocks.get();
    }
    assert!(
        blocks > 1000 && looks > 1000,
        "{blocks} blocked, {looks} looks: they were hardly in each other's way"
    );
}

/// True if a thread sleeps for the mutex and nobody is about to change that.
fn is_slept_for(kernel: &Kernel, lock: &Mutex) -> bool {
    kernel.k_sync.turnstile_table.iter().any(|chain| {
        let turnstiles = core::iter::successors(chain.tc_first.get(), |ts| ts.ts_next.get());
        !chain.tc_lock.is_held() && turnstiles.into_iter().any(|ts| ts.ts_mutex.is(lock))
    })
}

fn lock_mix(cpu: i32, pri: i32) -> program::Thread {
    thread("mix", SYS, pri, cpu, LockMix { hold_us: 30, think_us: 10, ..LockMix::defaults() })
}

#[test]
fn who_wants_a_mutex_spins_while_its_owner_runs_and_sleeps_while_it_does_not() {
    for seed in 0..20 {
        let mut sim = preemptive(2).thread(lock_mix(0, 60)).thread(lock_mix(1, 60)).boot(seed);
        sim.run_until_ok(50 * MS);
        let entered: u64 = sim.kernel().k_cpus.iter().map(|c| c.cpu_stats.mutex_adenters.get()).sum();
        assert!(entered > 100, "seed {seed}: {entered} had to wait");
        // A waiter sleeps only while the clock pins the owner, which then does not run.
        let blocks = sim.kernel().k_work.locks[0].m_blocks.get();
        assert!(blocks <= 2 * 5, "seed {seed}: {blocks} slept in 5 ticks");

        // The same with a third thread, which takes an owner's CPU away now and then.
        let better = thread("better", SYS, 99, 0, Periodic { busy_us: 500, ..Periodic::defaults() });
        let p = preemptive(2).thread(lock_mix(0, 60)).thread(lock_mix(1, 60)).thread(better);
        let mut sim = p.tunable(tunable::HZ, 1000).boot(seed);
        sim.run_until_ok(50 * MS);
        assert!(sim.kernel().k_work.locks[0].m_blocks.get() > 3, "seed {seed}: nobody slept");
    }
}

fn chain(pri: i32, locks: (u64, Option<u64>), hold_us: u64, after_us: u64) -> program::Thread {
    thread(
        "chain",
        SYS,
        pri,
        0,
        LockChain {
            first: locks.0,
            second: locks.1,
            hold_us,
            rest_ticks: NEVER_AGAIN,
            after_us,
            ..LockChain::defaults()
        },
    )
}

#[test]
fn exit_wakes_the_whole_herd_and_all_but_one_sleep_again() {
    const HERD: u64 = 8;
    for seed in 0..50 {
        // There is no inheritance: an owner with the herd's priority would let none of the herd come to the mutex.
        // The first thread holds the mutex on which the herd's winner will block. The second holds the one for which the herd waits,
        // from 4 ms until it has computed for 20 ms.
        let mut p = preemptive(1)
            .tunable(tunable::HZ, 1000)
            .tunable(tunable::PRIORITY_INHERITANCE, 0)
            .thread(chain(60, (1, None), 60_000, 0))
            .thread(chain(61, (0, None), 20_000, 4000));
        for n in 0..HERD {
            p = p.thread(chain(70, (0, Some(1)), 100, 8000 + 1000 * n));
        }
        let mut sim = p.traced().boot(seed);
        let blocks = |sim: &Bench| sim.kernel().k_work.locks[0].m_blocks.get();
        sim.run_until_ok(20 * MS);
        assert_eq!(blocks(&sim), HERD, "seed {seed}");
        sim.take_trace();
        sim.run_until_ok(40 * MS);
        let herd = |e: &&umpire_sim::TraceRecord| e.kind == Kind::Wakeup && e.pri == 70 && e.thread > 2;
        let woken = sim.take_trace().iter().filter(herd).count() as u64;
        assert_eq!(woken, HERD, "seed {seed}: all are woken");
        assert_eq!(blocks(&sim), HERD + HERD - 1, "seed {seed}: all but one sleep again");
        sim.run_until_ok(SECOND / 5);
        for t in sim.kernel().scenario_threads() {
            assert_eq!(t.t_progress.get(), 1, "seed {seed}: thread {}", t.t_did);
        }
    }
}

#[test]
fn every_turnstile_comes_back_to_somebody() {
    for seed in 0..50 {
        let mut p = preemptive(2).tunable(tunable::HZ, 1000);
        for n in 0..8_i32 {
            let first = n as u64 % 2;
            let work = LockChain { first, second: Some(2), hold_us: 200, ..LockChain::defaults() };
            p = p.thread(thread("chain", SYS, 60 + n, -1, work));
        }
        let mut sim = p.boot(seed);
        sim.run_until_ok(50 * MS);
        let kernel = sim.kernel();
        if kernel.k_sync.turnstile_table.iter().any(|c| c.tc_lock.is_held()) {
            continue;
        }
        let mut owned = 0;
        for ts in &kernel.k_sync.turnstiles {
            let is_lent = ts.ts_sobj.get() != 0;
            assert_eq!(
                is_lent,
                ts.ts_waiters.get() != 0,
                "seed {seed}: in use if and only if somebody waits"
            );
            let mut parked = 0;
            let mut at = ts.ts_free.get();
            while let Some(free) = at {
                parked += 1;
                at = free.ts_free.get();
            }
            if is_lent {
                assert_eq!(parked + 1, ts.ts_waiters.get(), "seed {seed}: one turnstile a waiter");
                owned += 1;
            }
        }
        let blocked =
            kernel.scenario_threads().iter().filter(|t| t.t_ts.get().is_some_and(|ts| ts.ts_sobj.get() != 0));
        assert!(blocked.count() >= owned, "seed {seed}");
    }
}

#[test]
fn spin_mutexes_keep_their_holder_on_its_cpu() {
    for seed in 0..20 {
        let mut p = preemptive(2).tunable(tunable::HZ, 1000);
        for cpu in 0..2 {
            let t = thread("spin", SYS, 60, cpu, SpinMix { pil: 13, hold_us: 400, ..SpinMix::defaults() });
            let better = thread("better", SYS, 99, cpu, Periodic { busy_us: 50, ..Periodic::defaults() });
            p = p.thread(t).thread(better);
        }
        let mut sim = p.boot(seed);
        for step in 1..=400 {
            sim.run_until_ok(step * MS / 8);
            let kernel = sim.kernel();
            if kernel.k_work.spins[2].m_spinlock.is_held() {
                let is_spinner =
                    |cp: &&umpire_kernel::Cpu| cp.cpu_thread.get().is_some_and(|t| t.t_pri.get() == 60);
                assert!(
                    kernel.k_cpus.iter().any(|cp| is_spinner(&cp)),
                    "seed {seed}: its holder was preempted"
                );
            }
        }
        let threads = sim.kernel().scenario_threads();
        assert!(threads.iter().all(|t| t.t_progress.get() > 10), "seed {seed}");
    }
}
