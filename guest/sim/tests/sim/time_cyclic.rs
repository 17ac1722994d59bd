//! Cyclics: a cyclic makes up for expiries that it owes, forgets those that are very late, and can go to another CPU.
//!
//! # Invariants
//! - Times are bounded, never equal to anything: what a CPU does costs it time.

use crate::bench::{MS, Program, SECOND, thread};
use umpire_kernel::cell::Cell;
use umpire_kernel::time::cyclic::{CY_NTRACEREC, Cyclic, flag, handler};
use umpire_shared::program::class::SYS;
use umpire_shared::sys::cyclic::why;
use umpire_shared::work::compute::Periodic;
use umpire_shared::work::levels::PilHold;
use umpire_shared::work::timing::{CyclicJuggler, CyclicUser, Level, Place};
use umpire_shared::{mutant, program, tunable};
use umpire_sim::SimState;

const CLOCK_CPU: i32 = 0;
const LEVELS: [Level; 3] = [Level::Low, Level::Lock, Level::High];

/// A thread that holds a level of a CPU once, for `hold_ms`, from `after_ms` on.
fn hold(pil: u64, cpu: i32, hold_ms: u64, after_ms: u64) -> program::Thread {
    thread(
        "hold",
        SYS,
        99,
        cpu,
        PilHold { pil, hold_us: hold_ms * 1000, after_us: after_ms * 1000, ..PilHold::defaults() },
    )
}

/// A thread whose cyclic sends signal 0.
fn user(level: Level, interval_us: u64, rearm_us: u64, remove_us: u64) -> program::Thread {
    thread(
        "user",
        SYS,
        60,
        0,
        CyclicUser { level, interval_us, rearm_us, remove_us, ..CyclicUser::defaults() },
    )
}

/// A thread on another CPU that sends away the cyclics of `cpu`.
fn juggler(cpu: u64, runs_on: i32, away_us: u64, home_us: u64) -> program::Thread {
    thread("juggler", SYS, 90, runs_on, CyclicJuggler { target_cpu: cpu, away_us, home_us })
}

/// Ticks of a second for half of which level 10 of the clock's CPU was held: (in the middle of the hold, at the end).
fn ticks_around_a_hold(mutants: impl Into<mutant::Set>, seed: u64) -> (u64, u64) {
    let mutants = mutants.into();
    let mut sim = Program::new(2).mutant(mutants).thread(hold(10, CLOCK_CPU, 500, 100)).boot(seed);
    sim.run_until_ok(500 * MS);
    let kernel = sim.kernel();
    let clock = &kernel.k_cpus[0].cpu_cyclic.cyp_cyclics;
    let owed = clock.iter().map(|c| c.cy_pend.get()).max();
    if mutants == mutant::Set::NONE {
        assert!(owed >= Some(38), "seed {seed}: {owed:?} ticks are owed after 400 ms");
    }
    let during = kernel.k_clock.clock_ticks.get();
    sim.run_until_ok(SECOND);
    (during, sim.kernel().k_clock.clock_ticks.get())
}

#[test]
fn level_10_held_off_ticks_are_owed_and_then_paid() {
    for seed in 0..20 {
        let (during, after) = ticks_around_a_hold(mutant::Set::NONE, seed);
        assert!(during <= 11, "seed {seed}: {during} ticks while level 10 was held");
        assert!((98..=100).contains(&after), "seed {seed}: {after} ticks in a second");
        let (_, lost) = ticks_around_a_hold(mutant::CYCLIC_PEND_LOST, seed);
        assert!(lost < 60, "seed {seed}: the mutant paid {lost} ticks");
    }
}

/// Ticks after a second in which level 15 of the clock's CPU was held for `ms`, but for the first 100 ms, and as many again.
fn ticks_after_blindness(mutants: impl Into<mutant::Set>, ms: u64, seed: u64) -> u64 {
    let mut sim = Program::new(2).mutant(mutants).thread(hold(15, CLOCK_CPU, ms, 100)).boot(seed);
    sim.run_until_ok((ms + 200) * MS);
    sim.kernel().k_clock.clock_ticks.get()
}

#[test]
fn more_than_a_second_late_a_cyclic_goes_on_at_the_next_boundary() {
    for seed in 0..20 {
        let little = ticks_after_blindness(mutant::Set::NONE, 900, seed);
        assert!(little >= 105, "seed {seed}: less than a second late it makes up for all: {little}");
        let much = ticks_after_blindness(mutant::Set::NONE, 3000, seed);
        assert!((10..=130).contains(&much), "seed {seed}: {much} ticks: 3 s late it forgets them");
        let all = ticks_after_blindness(mutant::CYCLIC_NO_CATCHUP, 3000, seed);
        assert!(all >= 310, "seed {seed}: the mutant makes up for them: {all}");
    }
}

#[test]
fn a_periodic_cyclic_fires_at_each_level_and_not_after_its_removal() {
    for level in LEVELS {
        for seed in 0..20 {
            let mut sim = Program::new(2).thread(user(level, 1000, 0, 200_000)).boot(seed);
            sim.run_until_ok(400 * MS);
            let count = sim.kernel().k_signals[0].sg_count.get();
            assert!((195..=200).contains(&count), "level {level:?} seed {seed}: {count} times in 200 ms");
        }
    }
}

#[test]
fn a_one_shot_fires_once_for_each_time_it_is_given() {
    for level in LEVELS {
        for seed in 0..20 {
            // Every 100 us the cyclic is put off. If its new time is 250 us away, it never comes; if 50 us, it comes each time.
            let count_with = |rearm_us| {
                let mut sim = Program::new(2).thread(user(level, 0, rearm_us, 0)).boot(seed);
                sim.run_until_ok(100 * MS);
                (
                    sim.kernel().k_signals[0].sg_count.get(),
                    sim.kernel().scenario_threads()[0].t_progress.get(),
                )
            };
            let (never, _) = count_with(250);
            assert_eq!(never, 0, "level {level:?} seed {seed}");
            let (each, turns) = count_with(50);
            assert!(turns > 800 && each + 3 >= turns && each <= turns + 1, "seed {seed}: {each} for {turns}");
        }
    }
}

#[test]
fn a_handler_of_a_low_level_waits_for_its_level() {
    for (level, pil) in [(Level::Low, 2), (Level::Lock, 10), (Level::High, 14)] {
        let count_under = |held: u64| {
            // The first cyclic that is added is on CPU 0, wherever the thread that adds it runs.
            let mut adds = user(level, 1000, 0, 0);
            adds.cpu = 1;
            let mut sim = Program::new(2).thread(adds).thread(hold(held, 0, 100, 1)).boot(3);
            sim.run_until_ok(2 * MS);
            let before = sim.kernel().k_signals[0].sg_count.get();
            sim.run_until_ok(100 * MS);
            sim.kernel().k_signals[0].sg_count.get() - before
        };
        assert!(count_under(pil) < 6, "level {level:?} runs although {pil} is held");
        assert!(count_under(pil - 1) > 90, "level {level:?} does not run although only {} is held", pil - 1);
    }
}

#[test]
fn an_offline_cpu_gives_its_clock_and_devices_away_and_no_tick_is_lost() {
    for seed in 0..20 {
        let mut sim = Program::new(3)
            .thread(juggler(0, 1, 0, 300_000))
            // From then on the CPU takes no interrupt.
            .thread(hold(15, 0, 10_000, 400))
            .interrupt("nic0", 0, 6, 1000)
            .boot(seed);
        sim.run_until_ok(350 * MS);
        let kernel = sim.kernel();
        assert_ne!(kernel.k_clock.clock_cpu.get(), 0, "seed {seed}: the clock has moved");
        assert_ne!(kernel.k_intr.devices[0].dev_cpu.get(), 0, "seed {seed}: the device has moved");
        assert!(kernel.k_cpus[0].cpu_cyclic.cyp_cyclics.iter().all(|c| c.cy_flags.get() == 0));
        let (mut ticks, mut counter) = (0, 0);
        for look in 36..300 {
            sim.run_until_ok(look * 10 * MS);
            let kernel = sim.kernel();
            let now = kernel.k_clock.clock_ticks.get();
            assert!(now + 2 >= look && now <= look, "seed {seed}: {now} ticks after {look}0 ms");
            assert!(
                now >= ticks && kernel.k_deadman.deadman_counter.get() >= counter,
                "seed {seed}: it went back"
            );
            (ticks, counter) = (now, kernel.k_deadman.deadman_counter.get());
        }
        assert_eq!(counter, 2, "seed {seed}");
        let packets = sim.kernel().k_intr.devices[0].dev_count.get();
        assert!(packets > 2900, "seed {seed}: {packets} interrupts of 3000");
    }
}

#[test]
fn without_juggling_a_cpu_that_is_gone_takes_the_clock_along() {
    for seed in 0..5 {
        let mut sim = Program::new(3).thread(hold(15, 0, 10_000, 400)).boot(seed);
        sim.run_until_ok(3 * SECOND);
        assert!(sim.kernel().k_clock.clock_ticks.get() < 45, "seed {seed}");
    }
}

#[test]
fn cyclics_that_come_and_go_all_the_time_lose_no_tick() {
    for seed in 0..200 {
        let mut p = Program::new(3).tunable(tunable::HZ, 1000);
        // The jugglers run on CPU 2; the cyclics that they send away from CPUs 0 and 1 meet on one CPU and part again.
        for cpu in 0..2 {
            p = p.thread(juggler(cpu, 2, 300 + 50 * cpu, 200));
        }
        let mut sim = p.boot(seed);
        sim.run_until_ok(60 * MS);
        let kernel = sim.kernel();
        let ticks = kernel.k_clock.clock_ticks.get();
        assert!((57..=60).contains(&ticks), "seed {seed}: {ticks} ticks in 60 ms");
        let turns = kernel.scenario_threads()[0].t_progress.get();
        assert!(turns > 30, "seed {seed}: juggled {turns} times");
    }
}

#[test]
fn the_callouts_of_an_offline_cpu_fire_from_another() {
    for seed in 0..20 {
        let periodic =
            thread("periodic", SYS, 80, 0, Periodic { busy_us: 10, sleep_ticks: 20, ..Periodic::defaults() });
        let mut sim = Program::new(2).thread(periodic).thread(juggler(0, 1, 0, 100_000)).boot(seed);
        sim.run_until_ok(900 * MS);
        let left = &sim.kernel().k_cpus[0].cpu_cyclic.cyp_cyclics;
        assert!(left.iter().all(|c| c.cy_flags.get() == 0), "seed {seed}: CPU 0 still has cyclics");
        let turns = sim.kernel().scenario_threads()[0].t_progress.get();
        assert!((4..=5).contains(&turns), "seed {seed}: {turns} turns of 200 ms");
    }
}

#[test]
fn hz_1000_ticks_ten_times_as_often_as_hz_100() {
    for seed in 0..5 {
        let ticks = |hz| {
            let mut sim = Program::new(2).tunable(tunable::HZ, hz).boot(seed);
            sim.run_until_ok(SECOND);
            sim.kernel().k_clock.clock_ticks.get()
        };
        let (slow, fast) = (ticks(100), ticks(1000));
        assert!((98..=100).contains(&slow) && (995..=1000).contains(&fast), "seed {seed}: {slow} and {fast}");
    }
}

#[test]
fn a_hybrid_lbolt_goes_on_while_the_clock_is_held_off() {
    for (hybrid, at_least, at_most) in [(0, 0, 12), (1, 95, 101)] {
        let p =
            Program::new(2).tunable(tunable::LBOLT_HYBRID, hybrid).thread(hold(10, CLOCK_CPU, 10_000, 100));
        let mut sim = p.boot(1);
        sim.run_until_ok(SECOND);
        let kernel = sim.kernel();
        let lbolt = kernel.lbolt.get();
        assert!((at_least..=at_most).contains(&lbolt), "hybrid {hybrid}: lbolt {lbolt}");
        assert!(kernel.k_clock.clock_ticks.get() <= 11, "hybrid {hybrid}: the clock is held off");
        sim.run_until_ok(3 * SECOND);
        assert_eq!(sim.kernel().k_deadman.deadman_counter.get(), 0, "hybrid {hybrid}: no second is counted");
    }
}

/// The CPU of a cyclic whose user runs on CPU 2 and wants it at `place`.
fn cpu_of(place: Place, seed: u64) -> Option<usize> {
    let t = thread("user", SYS, 60, 2, CyclicUser { level: Level::Lock, place, ..CyclicUser::defaults() });
    let mut sim = Program::new(3).pset("empty", 0).thread(t).boot(seed);
    sim.run_until_ok(50 * MS);
    let count = sim.kernel().k_signals[0].sg_count.get();
    assert!((45..=50).contains(&count), "place {place:?} seed {seed}: {count} times in 50 ms");
    let is_its = |c: &Cyclic| c.cy_handler.get() == handler::SIGNAL && c.cy_flags.get() & flag::USED != 0;
    sim.kernel().k_cpus.iter().position(|cp| cp.cpu_cyclic.cyp_cyclics.iter().any(is_its))
}

#[test]
fn a_cyclic_goes_where_it_is_sent_and_stays_where_nobody_takes_it() {
    for seed in 0..20 {
        for (place, expected) in
            [(Place::Anywhere, 0), (Place::Here, 2), (Place::BoundHere, 2), (Place::EmptySet, 0)]
        {
            assert_eq!(cpu_of(place, seed), Some(expected), "place {place:?} seed {seed}");
        }
    }
}

#[test]
fn a_bound_cyclic_keeps_its_cpu_from_being_emptied() {
    for (place, refuses) in [(Place::Here, false), (Place::BoundHere, true)] {
        let t =
            thread("user", SYS, 60, 0, CyclicUser { level: Level::Lock, place, ..CyclicUser::defaults() });
        let mut sim = Program::new(2).thread(t).thread(juggler(0, 1, 0, 20_000)).boot(1);
        let state = sim.run_until(100 * MS);
        let refused =
            matches!(&state, SimState::Ended(end) if end.message.contains("something had to stay on CPU 0"));
        assert_eq!(refused, refuses, "place {place:?}: {state:?}");
        let online = sim.kernel().k_cpus[0].cpu_cyclic.cyp_online.get();
        assert_eq!(online != 0, refuses, "place {place:?}: a CPU that is refused stays online");
    }
}

#[test]
fn too_many_cyclics_are_refused_with_a_reason() {
    let mut p = Program::new(1);
    for _ in 0..40 {
        p = p.thread(user(Level::Low, 1_000_000, 0, 0));
    }
    let state = p.boot(1).run_until(SECOND);
    assert!(matches!(&state, SimState::Ended(end) if end.message.contains("no room")), "{state:?}");
}

#[test]
fn trace_of_cyclics_is_kept_only_where_it_is_asked_for_and_tells_what_was_done_in_its_order() {
    for kept in [0, 1] {
        let mut sim = Program::new(2).tunable(tunable::CYC_TRACE, kept).boot(1);
        sim.run_until_ok(3 * SECOND);
        let kernel = sim.kernel();
        let buffers = &kernel.k_cyclic.cyc_trace;
        assert_eq!(buffers.len(), if kept == 0 { 0 } else { 2 });
        // The clock's CPU has fired three hundred times, so that its buffer has gone round.
        for (buffer, cp) in buffers.iter().zip(&kernel.k_cpus).take(1) {
            let written = buffer.cyt_ndx.get() as usize;
            assert!(written > CY_NTRACEREC, "cpu {}: {written} records", cp.cpu_id);
            let all = (written - CY_NTRACEREC..written).map(|n| &buffer.cyt_buf[n % CY_NTRACEREC]);
            let all: Vec<(u64, u8)> = all.map(|r| (r.cyt_tstamp.get(), r.cyt_why.get())).collect();
            assert!(all.is_sorted_by_key(|(at, _)| *at), "{all:?}");
            for step in [why::FIRE, why::POST, why::SOFTINT, why::ARM] {
                assert!(all.iter().any(|(_, why)| *why == step), "no step {step}: {all:?}");
            }
        }
    }
}
