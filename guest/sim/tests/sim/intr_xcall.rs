//! Cross calls: every CPU that is called runs the function once, no caller waits for ever, and a CPU that holds a lock above the
//! level of cross calls stops the machine.
//!
//! # Invariants
//! - The kernel is only looked at between two steps of virtual time.

use std::cell::Cell as StdCell;
use std::rc::Rc;
use umpire_shared::work::broken::PilLoop;
use umpire_shared::work::compute::{Mode, Spin};
use umpire_shared::work::levels::{How, PilHold, XcallMix};

use crate::bench::{Bench, MS, Program, SECOND, thread};
use umpire_kernel::cell::Cell;
use umpire_kernel::intr::xcall::{XcFunc, xc_call, xc_sync};
use umpire_kernel::{platform, spl};
use umpire_shared::boot::reason;
use umpire_shared::program::Verb;
use umpire_shared::program::class::{SYS, TS};
use umpire_shared::sys::machlock::XC_SYS_PIL;
use umpire_shared::{program, tunable};
use umpire_sim::SimState;

const SEEDS: u64 = 60;
const ALL: u32 = u32::MAX;

/// A thread of `xcall_mix`: the level of its spin mutex, and how it calls.
fn mix(cpu: i32, pil: Option<u64>, how: How) -> program::Thread {
    thread("mix", SYS, 60, cpu, XcallMix { pil, how, hold_us: 3, think_us: 5, ..XcallMix::defaults() })
}

/// A machine with a caller on each CPU.
fn callers(ncpus: u32, pil: Option<u64>, how: impl Fn(i32) -> How) -> Program {
    (0..ncpus as i32).fold(Program::new(ncpus), |p, cpu| p.thread(mix(cpu, pil, how(cpu))))
}

fn turns(sim: &Bench) -> Vec<u64> {
    sim.kernel().scenario_threads().iter().map(|t| t.t_progress.get()).collect()
}

/// Has the first thread of the scenario run `body` instead of its workload, when every CPU is up.
fn instead(sim: &mut Bench, body: impl Fn() + 'static) {
    let did = sim.kernel().k_ncpus;
    sim.run_instead(move |t| {
        if t.t_did != did {
            return false;
        }
        platform::spin(5 * MS);
        body();
        platform::spin(3600 * SECOND);
        true
    });
}

#[test]
fn every_cpu_of_the_set_has_run_the_function_once_when_the_call_returns() {
    for seed in 0..SEEDS {
        for is_sync in [false, true] {
            // CPU 2 is closed to pokes, not to cross calls; CPU 3 computes; the others halt.
            let hold = thread("hold", SYS, 60, 2, PilLoop { pil: 12, ..PilLoop::defaults() });
            let p = Program::new(5).thread(thread("caller", SYS, 60, 0, Spin::defaults())).thread(hold);
            let spin = thread("spin", TS, 30, 3, Spin { mode: Mode::User, ..Spin::defaults() });
            let mut sim = p.thread(spin).boot(seed);
            let seen = Rc::new(StdCell::new([0; 5]));
            let sink = Rc::clone(&seen);
            instead(&mut sim, move || {
                let call = if is_sync { xc_sync } else { xc_call };
                call(0b0_1111, XcFunc::Add, 7);
                call(0b0_1110, XcFunc::Add, 100);
                let cpus = &platform::kernel().k_cpus;
                sink.set(core::array::from_fn(|n| cpus[n].cpu_xc.xc_sum.get()));
            });
            sim.run_until_ok(10 * MS);
            assert_eq!(seen.get(), [7, 107, 107, 107, 0], "sync {is_sync} seed {seed}");
            let xcalls = sim.kernel().k_cpus[0].cpu_stats.xcalls.get();
            assert!(xcalls >= 6, "sync {is_sync} seed {seed}: {xcalls} cross calls");
        }
    }
}

#[test]
fn callers_that_call_each_other_answer_each_other() {
    for seed in 0..SEEDS {
        // Calls, calls that wait until every CPU is there, and both.
        for how in [|_| How::Call, |_| How::Sync, |cpu| if cpu & 1 == 0 { How::Call } else { How::Sync }] {
            let mut sim = callers(4, None, how).boot(seed);
            let served = |sim: &Bench| -> Vec<u64> {
                sim.kernel().k_cpus.iter().map(|cp| cp.cpu_xc.xc_served.get()).collect()
            };
            sim.run_until_ok(2 * MS);
            let before = (turns(&sim), served(&sim));
            sim.run_until_ok(4 * MS);
            let got: Vec<u64> = turns(&sim).iter().zip(&before.0).map(|(a, b)| a - b).collect();
            assert!(got.iter().all(|&n| n > 10), "seed {seed}: {got:?} turns");
            // Each call is served on each CPU; those under way at either end may be missing or too many.
            let all: u64 = got.iter().sum();
            for (now, then) in served(&sim).iter().zip(&before.1) {
                assert!((all - 4..=all + 4).contains(&(now - then)), "seed {seed}: {} of {all}", now - then);
            }
        }
    }
}

#[test]
fn nobody_runs_the_function_of_an_xc_sync_before_everybody_has_come() {
    for seed in 0..SEEDS {
        // CPU 2 comes late: it is closed to cross calls for a millisecond, in the middle of which the call is made.
        let hold = thread("hold", SYS, 60, 2, PilHold { pil: 14, after_us: 4_600, ..PilHold::defaults() });
        let p = Program::new(3).thread(thread("caller", SYS, 60, 0, Spin::defaults())).thread(hold);
        let sums = |sim: &Bench| -> Vec<u64> {
            sim.kernel().k_cpus.iter().map(|cp| cp.cpu_xc.xc_sum.get()).collect()
        };
        for (is_sync, before) in [(true, [0, 0, 0]), (false, [1, 1, 0])] {
            let mut sim = p.boot(seed);
            instead(&mut sim, move || {
                let call = if is_sync { xc_sync } else { xc_call };
                call(ALL, XcFunc::Add, 1);
            });
            sim.run_until_ok(5 * MS + MS / 4);
            assert_eq!(sums(&sim), before, "sync {is_sync} seed {seed}");
            sim.run_until_ok(7 * MS);
            assert_eq!(sums(&sim), [1, 1, 1], "sync {is_sync} seed {seed}");
        }
    }
}

#[test]
fn a_cpu_that_is_offline_answers_and_one_that_is_powered_off_is_not_asked() {
    for seed in 0..SEEDS / 2 {
        let p = Program::new(3).thread(mix(0, None, How::Call)).thread(mix(1, None, How::Sync));
        let p = p.event(10 * MS, Verb::Offline, 2, &[]).event(30 * MS, Verb::Poweroff, 2, &[]);
        let mut sim = p.event(50 * MS, Verb::Online, 2, &[]).boot(seed);
        let mut served = [0; 4];
        for (n, at) in [15, 28, 45, 70].into_iter().enumerate() {
            let before = turns(&sim);
            sim.run_until_ok(at * MS);
            served[n] = sim.kernel().k_cpus[2].cpu_xc.xc_served.get();
            assert!(turns(&sim).iter().zip(before).all(|(a, b)| a > &b), "seed {seed}: at {at} ms");
        }
        let k = sim.kernel();
        assert!(k.k_events.iter().all(|e| e.ev_errno.get() == 0 && e.ev_ended_ns.get() != 0), "seed {seed}");
        assert!(served[1] > served[0] + 100, "seed {seed}: offline, and does not answer");
        assert!(served[3] > served[2] + 100, "seed {seed}: back, and does not answer");
    }
}

#[test]
fn a_mutex_below_the_call_s_level_lets_its_waiters_answer() {
    for seed in 0..SEEDS {
        for pil in [11, 12] {
            let mut sim =
                callers(3, Some(pil), |cpu| if cpu == 1 { How::Sync } else { How::Call }).boot(seed);
            sim.run_until_ok(2 * MS);
            let before = turns(&sim);
            sim.run_until_ok(5 * MS);
            let after = turns(&sim);
            assert!(after.iter().zip(&before).any(|(a, b)| a > b), "pil {pil} seed {seed}: {after:?}");
            assert!(after.iter().sum::<u64>() > before.iter().sum::<u64>() + 50, "pil {pil} seed {seed}");
        }
    }
}

#[test]
fn a_mutex_at_or_above_the_call_s_level_stops_its_cpus() {
    for seed in 0..SEEDS {
        for pil in 13..=15 {
            let mut sim = callers(2, Some(pil), |_| How::Call).boot(seed);
            sim.run_until_ok(2 * MS);
            let before = turns(&sim);
            sim.run_until_ok(3 * MS);
            assert_eq!(turns(&sim), before, "pil {pil} seed {seed}: they still get on");
            // The holder waits for the other CPU's answer; the other CPU waits for the mutex.
            let waits = sim.kernel().k_cpus.iter().map(|cp| cp.cpu_xc.xc_wait.get());
            assert!([vec![2, 0], vec![0, 1]].contains(&waits.collect()), "pil {pil} seed {seed}");
        }
    }
}

#[test]
fn the_deadman_that_finds_out_is_neither_the_holder_s_nor_the_waiter_s() {
    for seed in 0..2 {
        let p = Program::new(3).tunable(tunable::SNOOPING, 1).tunable(tunable::SNOOP_INTERVAL, 1_000_000);
        let late = |cpu| {
            let work = XcallMix {
                pil: Some(15),
                hold_us: 3,
                think_us: 5,
                after_us: 950_000,
                ..XcallMix::defaults()
            };
            thread("mix", SYS, 60, cpu, work)
        };
        let mut sim = p.thread(late(0)).thread(late(2)).boot(seed);
        // It looks for the clock half a second after boot, and a second later.
        let state = sim.run_until(8 * SECOND / 5);
        let SimState::Ended(end) = state else { panic!("seed {seed}: {state:?}") };
        assert_eq!((end.reason, end.cpu), (reason::DEADMAN, 1), "seed {seed}: {}", end.message);
    }
}

#[test]
fn the_check_panics_on_the_cpu_that_breaks_the_rule() {
    for (pil, is_caught) in
        [(None, false), (Some(12), false), (Some(u64::from(XC_SYS_PIL)), true), (Some(15), true)]
    {
        for seed in 0..10 {
            let mut sim = callers(2, pil, |_| How::Call).tunable(tunable::XC_LEVEL_CHECK, 1).boot(seed);
            let state = sim.run_until(5 * MS);
            let text = "a lock held at or above level 13 across a cross call";
            let is_panic = matches!(&state, SimState::Ended(end) if end.message.contains(text));
            assert_eq!(is_panic, is_caught, "pil {pil:?} seed {seed}: {state:?}");
        }
    }
}

#[test]
fn a_level_is_raised_from_any_below_it_and_kept_from_any_above() {
    let mut sim = Program::new(1).thread(thread("caller", SYS, 60, 0, Spin::defaults())).boot(1);
    instead(&mut sim, || {
        for from in 0..=15 {
            for to in 0..=15 {
                let before = spl::splr(from);
                assert_eq!((before, platform::pil()), (0, from));
                let old = spl::splr(to);
                assert_eq!((old, platform::pil()), (from, from.max(to)), "from {from} to {to}");
                spl::splx(old);
                spl::splx(before);
            }
        }
    });
    sim.run_until_ok(10 * MS);
}

#[test]
fn a_call_to_nobody_else_is_made_at_any_level() {
    let p = Program::new(2).tunable(tunable::XC_LEVEL_CHECK, 1);
    let mut sim = p.thread(thread("caller", SYS, 60, 0, Spin::defaults())).boot(1);
    instead(&mut sim, || {
        let level = spl::splr(15);
        xc_call(1, XcFunc::Add, 3);
        xc_sync(0, XcFunc::Add, 3);
        spl::splx(level);
    });
    sim.run_until_ok(10 * MS);
    let sums: Vec<u64> = sim.kernel().k_cpus.iter().map(|cp| cp.cpu_xc.xc_sum.get()).collect();
    assert_eq!(sums, [3, 0]);
}
