//! Condition variables and semaphores: order, counts, and waits that end by time.
//!
//! # Invariants
//! - Times are bounded, never equal.

use std::cell::RefCell;
use std::rc::Rc;
use umpire_shared::work::compute::Spin;
use umpire_shared::work::locks::{CvHerd, Part, SemaMix};
use umpire_shared::work::timing::TimedWait;

use crate::bench::{Bench, MS, Program, SECOND, thread};
use umpire_kernel::cell::Cell;
use umpire_kernel::platform;
use umpire_kernel::sys::thread::{role, sobj, ts};
use umpire_kernel::time::callout::sleep_until;
use umpire_kernel::time::signal::{signal_send, signal_wait};
use umpire_shared::event::Kind;
use umpire_shared::program::class::SYS;
use umpire_shared::{program, tunable};

const HOUR_US: u64 = 3_600_000_000;

/// A kernel in which every better thread preempts: these tests show which thread is better.
fn preemptive(ncpus: u32) -> Program {
    Program::new(ncpus).tunable(tunable::KPREEMPTPRI, 0).tunable(tunable::KPQPRI, 99)
}

fn herd(pri: i32, cpu: i32, part: Part, hold_us: u64, after_us: u64) -> program::Thread {
    thread("herd", SYS, pri, cpu, CvHerd { part, hold_us, after_us, ..CvHerd::defaults() })
}

fn timed(pri: i32, cpu: i32, timeout_us: u64) -> program::Thread {
    thread("timed", SYS, pri, cpu, TimedWait { timeout_us, ..TimedWait::defaults() })
}

#[test]
fn waking_all_ends_though_all_sleep_again_at_once() {
    for seed in 0..20 {
        // Six on three CPUs wait for what never comes: each looks at the count, and sleeps on the same address again.
        let mut p = Program::new(4).thread(thread("sender", SYS, 99, 0, Spin::defaults()));
        for n in 0..6 {
            p = p.thread(thread("waiter", SYS, 60, 1 + n % 3, Spin::defaults()));
        }
        let mut sim = p.boot(seed);
        let took = Rc::new(RefCell::new(Vec::new()));
        let sink = Rc::clone(&took);
        sim.run_instead(move |t| {
            if t.t_role.get() != role::SCENARIO {
                return false;
            }
            if t.t_did != 4 {
                signal_wait(0, u64::MAX, u64::MAX);
            }
            for turn in 1..=20 {
                sleep_until(turn * 2 * MS);
                let begin = platform::now();
                signal_send(0);
                sink.borrow_mut().push(platform::now() - begin);
            }
            sleep_until(u64::MAX / 2);
            true
        });
        sim.run_until_ok(100 * MS);
        let took = took.borrow();
        let worst = took.iter().max().copied();
        assert!(took.len() == 20 && worst < Some(20_000), "seed {seed}: {} sent, {worst:?} ns", took.len());
        assert!(sim.kernel().scenario_threads()[1..].iter().all(|t| t.t_nvcsw.get() >= 20), "seed {seed}");
    }
}

#[test]
fn a_broadcast_wakes_the_best_first_and_equals_in_the_order_in_which_they_came() {
    for seed in 0..50 {
        let pris = [62, 70, 62, 80, 70, 62, 80, 70];
        let mut p = preemptive(1).tunable(tunable::HZ, 1000);
        for (n, pri) in pris.into_iter().enumerate() {
            p = p.thread(herd(pri, 0, Part::Waiter, 0, 2000 + 2000 * n as u64));
        }
        let mut sim = p.thread(herd(60, 0, Part::Caller, 0, 40_000)).traced().boot(seed);
        sim.run_until_ok(35 * MS);
        assert_eq!(sim.kernel().k_work.cvs[0].wc_cv.cv_waiters.get(), 8, "seed {seed}");
        sim.take_trace();
        sim.run_until_ok(40 * MS + MS / 2);
        let is_herd = |e: &&umpire_sim::TraceRecord| e.kind == Kind::Wakeup && (1..=8).contains(&e.thread);
        let woken: Vec<u32> = sim.take_trace().iter().filter(is_herd).take(8).map(|e| e.thread - 1).collect();
        assert_eq!(woken, [3, 6, 1, 4, 7, 0, 2, 5], "seed {seed}");
    }
}

#[test]
fn a_wait_that_nobody_ends_ends_by_time_and_not_before() {
    for (hz, timeout_ms) in [(100, 25), (100, 40), (1000, 25), (1000, 7)] {
        for seed in 0..20 {
            let mut sim = preemptive(1)
                .tunable(tunable::HZ, hz)
                .thread(timed(70, 0, timeout_ms * 1000))
                .traced()
                .boot(seed);
            sim.run_until_ok(SECOND);
            let trace = sim.take_trace();
            let times =
                |kind| trace.iter().filter(move |e| e.kind == kind && e.thread == 1).map(|e| e.time_ns);
            let tick = SECOND / hz as u64;
            let waits: Vec<u64> =
                times(Kind::Sleep).zip(times(Kind::OnCpu).skip(1)).map(|(s, w)| w - s).collect();
            assert!(
                waits.len() as u64 >= 1000 / (timeout_ms + 2 * tick / MS + 1),
                "{hz} {timeout_ms} seed {seed}"
            );
            for w in waits {
                // The moment of work from the call to the sleep counts too.
                let range = timeout_ms * MS - MS / 10..timeout_ms * MS + 2 * tick + MS / 10;
                assert!(range.contains(&w), "{hz} {timeout_ms} seed {seed}: {w} ns");
            }
            assert_eq!(sim.kernel().scenario_threads()[0].t_progress.get(), 0, "seed {seed}: nobody called");
        }
    }
}

/// Sleepers that really wait for the first work condition variable.
fn sleepers(sim: &Bench) -> usize {
    let kernel = sim.kernel();
    let cv = std::ptr::from_ref(&kernel.k_work.cvs[0].wc_cv).addr();
    kernel.scenario_threads().iter().filter(|t| t.t_state.get() == ts::SLEEP && t.t_wchan.get() == cv).count()
}

#[test]
fn a_call_takes_the_timeout_back() {
    for seed in 0..20 {
        let p = preemptive(2).tunable(tunable::HZ, 1000);
        let mut sim = p.thread(timed(70, 0, 100_000)).thread(herd(60, 1, Part::Caller, 10, 0)).boot(seed);
        for step in 1..=100 {
            sim.run_until_ok(step * 5 * MS);
            let t = &sim.kernel().scenario_threads()[0];
            assert_eq!(t.t_timedout.get(), 0, "seed {seed}: it was called every tick");
        }
        let [waits, calls] = [0, 1].map(|n| sim.kernel().scenario_threads()[n].t_progress.get());
        assert!(waits > 400 && waits <= calls, "seed {seed}: {waits} of {calls}");
    }
}

#[test]
fn calls_that_meet_timeouts_lose_nobody_and_wake_nobody_from_a_mutex() {
    let (mut by_time, mut by_call) = (0, 0);
    for seed in 0..200 {
        // The callers hold the mutex for long, so a thread that wakes blocks on it, perhaps while its timeout is still armed.
        let mut p = preemptive(3).tunable(tunable::HZ, 1000);
        for n in 0..4 {
            p = p.thread(timed(70 + n, -1, 1000 + 500 * n as u64));
        }
        for n in 0..2 {
            p = p.thread(herd(60 + n, -1, Part::Caller, 900, 0));
        }
        let mut sim = p.boot(seed);
        for step in 1..=15 {
            sim.run_until_ok(step * MS);
            let work = &sim.kernel().k_work.cvs[0];
            let is_busy = sim.kernel().k_sync.sleepq.iter().any(|q| q.sq_lock.is_held());
            let counted = work.wc_cv.cv_waiters.get() as usize;
            if !is_busy {
                // A broadcast under way has taken a thread off the queue, and counts it next.
                assert!(counted.abs_diff(sleepers(&sim)) <= 1, "seed {seed}: {counted} waiters");
            }
            for t in sim.kernel().scenario_threads() {
                let is_blocked = t.t_sobj.get() == sobj::MUTEX && t.t_state.get() == ts::SLEEP;
                assert!(!is_blocked || t.t_ts.get().is_some_and(|s| s.ts_sobj.get() != 0), "seed {seed}");
            }
        }
        let (timed, callers) = sim.kernel().scenario_threads().split_at(4);
        by_call += timed.iter().map(|t| t.t_progress.get()).sum::<u64>();
        by_time += timeouts(&sim);
        assert!(callers.iter().all(|t| t.t_progress.get() > 2), "seed {seed}");
    }
    assert!(by_call > 500 && by_time > 500, "{by_call} calls, {by_time} timeouts");
}

/// How many waits ended by their timeout: what the realtime tables have run.
fn timeouts(sim: &Bench) -> u64 {
    let realtime = sim.kernel().k_callout.callout_tables.iter().filter(|table| table.ct_number & 1 == 0);
    realtime.map(|table| table.callout_expirations.get()).sum()
}

fn sema(n: u64, cpu: i32) -> program::Thread {
    thread(
        "sema",
        SYS,
        60 + cpu,
        cpu,
        SemaMix { sema: n, hold_us: 10_000, rest_ticks: 0, ..SemaMix::defaults() },
    )
}

#[test]
fn as_many_hold_a_semaphore_as_it_has_units() {
    for seed in 0..10 {
        for units in 1..=3 {
            let mut p = preemptive(4);
            for cpu in 0..4 {
                p = p.thread(sema(units - 1, cpu));
            }
            let mut sim = p.boot(seed);
            sim.run_until_ok(SECOND);
            let turns: u64 = sim.kernel().scenario_threads().iter().map(|t| t.t_progress.get()).sum();
            // Each unit is worth 100 turns of 10 ms a second.
            assert!((units * 95..=units * 100).contains(&turns), "seed {seed} units {units}: {turns} turns");
            assert!(sim.kernel().k_work.semas[units as usize - 1].s_count.get() == 0, "seed {seed}");
        }
    }
}

#[test]
fn a_waiter_for_ever_is_not_woken() {
    let mut sim = preemptive(1).thread(timed(70, 0, HOUR_US)).thread(herd(60, 0, Part::Waiter, 0, 0)).boot(1);
    sim.run_until_ok(3 * SECOND);
    assert_eq!(sleepers(&sim), 2);
    assert_eq!(timeouts(&sim), 0);
}
