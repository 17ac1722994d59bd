//! The tick that several CPUs charge: no thread is charged too little or too much, whatever happens to the CPUs that are asked.
//!
//! # Invariants
//! - A thread's ticks are counted by the probe, whose argument is how many it was charged.
//! - They are compared with `clock_ticks` of the same run, give or take what is still pending and what the test allows.

use crate::bench::{Bench, MS, Program, thread};
use umpire_kernel::cell::Cell;
use umpire_kernel::time::clock_tick_mp::state;
use umpire_shared::event::Kind;
use umpire_shared::program::Verb;
use umpire_shared::program::class::{SYS, TS};
use umpire_shared::work::ThreadRef;
use umpire_shared::work::compute::{Mode, Spin};
use umpire_shared::work::levels::PilHold;
use umpire_shared::work::timing::ProcLook;
use umpire_shared::{mutant, program, tunable};

/// The single mode, and sets of so many CPUs.
const MODES: [(i64, i64); 4] = [(0, 32), (1, 1), (1, 2), (1, 32)];

/// A user-mode thread that computes for ever.
fn spin(cpu: i32) -> program::Thread {
    thread("spin", TS, 30, cpu, Spin { mode: Mode::User, ..Spin::defaults() })
}

/// A machine of so many CPUs, a spinner on each of them.
fn spinners(ncpus: u32, (threshold, size): (i64, i64)) -> Program {
    let p = Program::new(ncpus).traced().tunable(tunable::CLOCK_TICK_THRESHOLD, threshold);
    (0..ncpus as i32).fold(p.tunable(tunable::CLOCK_TICK_NCPUS, size), |p, cpu| p.thread(spin(cpu)))
}

/// Ticks that each of the scenario's threads was charged since the last call.
fn charged(sim: &Bench) -> Vec<u64> {
    let kernel = sim.kernel();
    let mut ticks = vec![0; kernel.k_nthreads as usize];
    for record in sim.take_trace().iter().filter(|r| r.kind == Kind::Tick) {
        assert!(record.arg >= 1, "seed {}: charged nothing", sim.seed);
        ticks[(record.thread - kernel.k_ncpus) as usize] += record.arg;
    }
    ticks
}

#[test]
fn every_thread_is_charged_every_tick_in_every_mode() {
    for mode in MODES {
        for seed in 0..60 {
            let mut sim = spinners(6, mode).boot(seed);
            sim.run_until_ok(20 * MS);
            charged(&sim);
            let before = sim.kernel().k_clock.clock_ticks.get();
            sim.run_until_ok(420 * MS);
            let passed = sim.kernel().k_clock.clock_ticks.get() - before;
            // A tick may be under way at either end, and a thread may be in an interrupt when it is looked at.
            for (n, ticks) in charged(&sim).into_iter().enumerate() {
                assert!(
                    (passed - 2..=passed + 1).contains(&ticks),
                    "{mode:?} seed {seed}: thread {n} was charged {ticks} of {passed}"
                );
            }
        }
    }
}

#[test]
fn the_cpus_of_a_set_take_turns_and_the_clock_s_is_never_asked() {
    for seed in 0..20 {
        let mut sim = spinners(6, (1, 3)).boot(seed);
        let mut asked = 0_u32;
        for ms in 1..300 {
            sim.run_until_ok(ms * MS);
            for set in &sim.kernel().k_clock.clock_tick.ct_sets {
                if set.cts_rounds.get() > 1 {
                    asked |= 1 << set.cts_cpu.get();
                }
            }
        }
        assert_eq!(asked, 0b11_1110, "seed {seed}");
        let kernel = sim.kernel();
        let of = |id: usize| kernel.k_cpus[id].cpu_stats.intrthread.get();
        assert!(of(3) > 5 && of(4) > 5 && of(5) > 5, "seed {seed}: {} {} {}", of(3), of(4), of(5));
    }
}

#[test]
fn a_machine_at_the_threshold_has_the_single_mode() {
    for (threshold, nsets) in [(0, 0), (4, 0), (3, 2)] {
        let mut sim = spinners(4, (threshold, 2)).boot(1);
        sim.run_until_ok(50 * MS);
        assert_eq!(sim.kernel().k_clock.clock_tick.ct_sets.len(), nsets, "threshold {threshold}");
    }
}

#[test]
fn a_set_whose_only_cpu_is_the_clock_s_needs_nobody() {
    for seed in 0..20 {
        let mut sim = spinners(2, (1, 1)).boot(seed);
        sim.run_until_ok(300 * MS);
        let kernel = sim.kernel();
        let rounds: Vec<u64> =
            kernel.k_clock.clock_tick.ct_sets.iter().map(|set| set.cts_rounds.get()).collect();
        assert!(rounds[0] == 0 && rounds[1] > 25, "seed {seed}: {rounds:?}");
        assert!(charged(&sim).iter().all(|&ticks| ticks > 25), "seed {seed}");
    }
}

/// Runs six CPUs, the fourth of which is closed to the tick for 150 ms from 100 ms on. Returns what the threads of the other CPUs
/// were charged, and how many ticks have passed.
fn with_one_closed(mutants: impl Into<mutant::Set>, seed: u64) -> (Vec<u64>, u64) {
    let hold =
        thread("hold", TS, 40, 3, PilHold { hold_us: 150_000, after_us: 100_000, ..PilHold::defaults() });
    let p = (0..6).filter(|&cpu| cpu != 3).fold(Program::new(6).traced(), |p, cpu| p.thread(spin(cpu)));
    let p = p.thread(hold).mutant(mutants).tunable(tunable::CLOCK_TICK_THRESHOLD, 1);
    let mut sim = p.tunable(tunable::CLOCK_TICK_NCPUS, 3).boot(seed);
    sim.run_until_ok(20 * MS);
    charged(&sim);
    let before = sim.kernel().k_clock.clock_ticks.get();
    sim.run_until_ok(240 * MS);
    let pending = sim.kernel().k_clock.clock_tick.ct_pending.get();
    assert!(pending > 8, "seed {seed}: {pending} ticks are pending");
    sim.run_until_ok(420 * MS);
    let passed = sim.kernel().k_clock.clock_ticks.get() - before;
    let mut ticks = charged(&sim);
    ticks.truncate(5);
    (ticks, passed)
}

#[test]
fn what_is_pending_while_a_cpu_that_was_asked_is_closed_is_charged_later() {
    for seed in 0..60 {
        let (ticks, passed) = with_one_closed(mutant::Set::NONE, seed);
        assert!(
            ticks.iter().all(|ticks| (passed - 3..=passed + 1).contains(ticks)),
            "seed {seed}: {ticks:?} of {passed}"
        );
    }
}

#[test]
fn a_kernel_that_forgets_what_is_pending_charges_too_little() {
    for seed in 0..20 {
        let (ticks, passed) = with_one_closed(mutant::LOST_TICK_PENDING, seed);
        let others = &ticks[1..];
        assert!(others.iter().all(|&ticks| ticks + 8 < passed), "seed {seed}: {ticks:?} of {passed}");
    }
}

#[test]
fn a_kernel_that_loses_the_soft_interrupt_charges_nobody_any_more() {
    for seed in 0..5 {
        let mut sim = spinners(4, (1, 2)).mutant(mutant::LOST_TICK_SOFTINT).boot(seed);
        sim.run_until_ok(300 * MS);
        let ticks = charged(&sim);
        assert!(ticks.iter().all(|&ticks| ticks < 5), "seed {seed}: {ticks:?}");
    }
}

#[test]
fn a_cpu_that_goes_and_comes_back_is_charged_for_what_it_was_there() {
    for seed in 0..100 {
        // CPU 4 goes and comes back, under some seeds at the very moment of a tick; the threads of the others are charged as ever.
        // No thread is bound to CPU 4.
        let p = Program::new(6).traced().tunable(tunable::CLOCK_TICK_THRESHOLD, 1);
        let p = (0..6).filter(|&cpu| cpu != 4).fold(p, |p, cpu| p.thread(spin(cpu)));
        let at = 100 * MS - MS / 2 + seed * 10_000;
        let p = p.event(at, Verb::Offline, 4, &[]).event(at + 100 * MS, Verb::Online, 4, &[]);
        let mut sim = p.tunable(tunable::CLOCK_TICK_NCPUS, 2).boot(seed);
        sim.run_until_ok(20 * MS);
        charged(&sim);
        let before = sim.kernel().k_clock.clock_ticks.get();
        sim.run_until_ok(180 * MS);
        let kernel = sim.kernel();
        assert!(kernel.k_cpus[4].is_offline(), "seed {seed}: {}", kernel.k_events[0].ev_errno.get());
        assert_eq!(kernel.k_clock.clock_tick.ct_online.get(), 0b10_1111, "seed {seed}");
        sim.run_until_ok(420 * MS);
        let kernel = sim.kernel();
        assert_eq!(kernel.k_clock.clock_tick.ct_online.get(), 0b11_1111, "seed {seed}");
        let passed = kernel.k_clock.clock_ticks.get() - before;
        // The script's thread may run on any CPU, and the thread that it displaces is not charged meanwhile.
        let ticks = charged(&sim);
        assert!(
            ticks.iter().all(|ticks| (passed - 4..=passed + 1).contains(ticks)),
            "seed {seed}: {ticks:?} of {passed}"
        );
    }
}

#[test]
fn a_soft_interrupt_that_its_cpu_cannot_take_before_it_goes_is_given_to_another() {
    let (mut handed_over, mut late) = (0, 0);
    for seed in 0..100 {
        // CPU 1 is closed to the tick from 90 ms on, and has been asked when it is taken offline. The thread that closes it is moved
        // and keeps its level: the CPU to which it goes is closed until 150 ms.
        let mut hold =
            thread("hold", SYS, 60, 1, PilHold { hold_us: 60_000, after_us: 90_000, ..PilHold::defaults() });
        hold.binding = program::binding::SOFT;
        let p = (0..4).filter(|&cpu| cpu != 1).fold(Program::new(4).traced(), |p, cpu| p.thread(spin(cpu)));
        let p =
            p.thread(hold).tunable(tunable::CLOCK_TICK_THRESHOLD, 1).tunable(tunable::CLOCK_TICK_NCPUS, 4);
        let mut sim = p.event(125 * MS + seed * 20_000, Verb::Offline, 1, &[]).boot(seed);
        let set = |sim: &Bench| {
            let set = &sim.kernel().k_clock.clock_tick.ct_sets[0];
            (set.cts_state.get(), set.cts_cpu.get(), set.cts_rounds.get())
        };
        sim.run_until_ok(125 * MS);
        let is_stuck = (set(&sim).0, set(&sim).1) == (state::POSTED, 1);
        sim.run_until_ok(145 * MS);
        let e = &sim.kernel().k_events[0];
        if sim.kernel().k_clock.clock_tick.ct_online.get() == 0b1111 {
            // The script waits on the very CPU that is closed now.
            late += 1;
            continue;
        }
        assert_eq!(
            (e.ev_errno.get(), sim.kernel().k_clock.clock_tick.ct_online.get()),
            (0, 0b1101),
            "seed {seed}"
        );
        assert_ne!(set(&sim).1, 1, "seed {seed}: CPU 1 is still asked");
        handed_over += u64::from(is_stuck);
        sim.run_until_ok(165 * MS);
        let kernel = sim.kernel();
        let (pending, ticks, rounds) =
            (kernel.k_clock.clock_tick.ct_pending.get(), kernel.k_clock.clock_ticks.get(), set(&sim).2);
        assert_eq!(pending, 0, "seed {seed}");
        sim.run_until_ok(400 * MS);
        let ticks = sim.kernel().k_clock.clock_ticks.get() - ticks;
        assert!(
            set(&sim).2 + 1 >= rounds + ticks,
            "seed {seed}: {} rounds, {ticks} ticks",
            set(&sim).2 - rounds
        );
    }
    assert!(handed_over > 30 && late < 5, "{handed_over} and {late} of 100");
}

#[test]
fn whoever_holds_a_process_lock_holds_up_a_set_and_not_the_clock() {
    for seed in 0..30 {
        let look =
            thread("look", TS, 30, 2, ProcLook { hold_us: 35_000, ..ProcLook::defaults(ThreadRef(1)) });
        let mut sim = spinners(4, (1, 2)).thread(look).boot(seed);
        sim.run_until_ok(20 * MS);
        charged(&sim);
        let before = sim.kernel().k_clock.clock_ticks.get();
        sim.run_until_ok(420 * MS);
        let kernel = sim.kernel();
        assert!(kernel.k_clock.clock_ticks.get() - before >= 39, "seed {seed}: the clock waited");
        // Thread 1 is the one whose process lock is held, and runs on the only CPU of its set that may be asked. When the soft
        // interrupt gets the lock, it has displaced the thread that it was to charge, so that thread is not charged then. It is
        // charged for what was pending in the next round.
        let ticks = charged(&sim);
        assert!(ticks[0] >= 30 && 2 * ticks[1] >= ticks[0], "seed {seed}: {ticks:?}");
    }
}
