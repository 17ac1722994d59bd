//! The deadman inside the guest: what it notices, and what it cannot.
//!
//! # Invariants
//! - A test stops a clock by what a scenario can do, never by writing to the kernel. Only that a CPU panics is written by
//!   hand, because a simulation ends with a panic.

use crate::bench::{Program, SECOND, thread};
use umpire_kernel::cell::Cell;
use umpire_kernel::time::cyclic::handler;
use umpire_shared::boot::reason;
use umpire_shared::program::class::{SYS, TS};
use umpire_shared::work::broken::PilLoop;
use umpire_shared::work::compute::{Mode, Spin};
use umpire_shared::work::levels::PilHold;
use umpire_shared::work::network::SoftRing;
use umpire_shared::work::timing::ProcLook;
use umpire_shared::work::vcpu::VcpuLoop;
use umpire_shared::work::{IntrRef, ThreadRef};
use umpire_shared::{mutant, program, tunable};
use umpire_sim::SimState;

const CLOCK_CPU: i32 = 0;
const INTERVAL_S: u64 = 3;

/// A thread that goes to this level for ever after half a second.
fn stuck(pil: u64, cpu: i32) -> program::Thread {
    thread("stuck", SYS, 60, cpu, PilLoop { pil, after_us: 500_000 })
}

fn with_deadman(ncpus: u32, snooping: i64) -> Program {
    let us = INTERVAL_S as i64 * 1_000_000;
    Program::new(ncpus).tunable(tunable::SNOOPING, snooping).tunable(tunable::SNOOP_INTERVAL, us)
}

#[test]
fn a_starved_99_is_none_of_its_business() {
    let vcpu = thread("vcpu", TS, 0, 1, VcpuLoop { exit_us: 1000, ..VcpuLoop::defaults() });
    let ring = thread("ring", SYS, 99, 1, SoftRing::defaults(IntrRef(0)));
    let p = with_deadman(2, 1).tunable(tunable::KPREEMPTPRI, 100).thread(vcpu).thread(ring);
    let mut sim = p.interrupt("nic0", 0, 6, 100).boot(1);
    sim.run_until_ok(20 * SECOND);
    assert_eq!(sim.kernel().k_deadman.deadman_panics.get(), 0);
    assert_eq!(sim.kernel().k_deadman.deadman_counter.get(), 19, "20 seconds less the ticks of boot");
}

#[test]
fn without_snooping_it_counts_once_an_interval_on_each_cpu_that_is_open_at_14() {
    for (pil, open_cpus) in [(14, 3), (13, 4), (10, 4)] {
        for seed in 0..3 {
            let mut sim = with_deadman(4, 0).thread(stuck(pil, CLOCK_CPU)).boot(seed);
            sim.run_until_ok(INTERVAL_S * SECOND);
            assert_eq!(sim.kernel().k_deadman.deadman_panics.get(), 0, "pil {pil} seed {seed}: too early");
            sim.run_until_ok((INTERVAL_S + 2) * SECOND);
            assert_eq!(sim.kernel().k_deadman.deadman_panics.get(), open_cpus, "pil {pil} seed {seed}: once");
            sim.run_until_ok((2 * INTERVAL_S + 2) * SECOND);
            assert_eq!(
                sim.kernel().k_deadman.deadman_panics.get(),
                2 * open_cpus,
                "pil {pil} seed {seed}: and again"
            );
        }
    }
}

#[test]
fn with_snooping_it_panics_on_another_cpu_and_says_how_long() {
    for seed in 0..4 {
        let mut sim = with_deadman(2, 1).thread(stuck(14, CLOCK_CPU)).boot(seed);
        sim.run_until_ok(INTERVAL_S * SECOND);
        let state = sim.run_until((INTERVAL_S + 2) * SECOND);
        let SimState::Ended(end) = state else { panic!("seed {seed}: {state:?}") };
        assert_eq!((end.reason, end.cpu), (reason::DEADMAN, 1), "seed {seed}");
        assert!(
            end.message.contains("deadman") && end.message.contains("3 seconds"),
            "seed {seed}: {}",
            end.message
        );
    }
}

#[test]
fn with_snooping_a_clock_held_off_below_14_panics_on_one_cpu_too() {
    let mut sim = with_deadman(1, 1).thread(stuck(11, CLOCK_CPU)).boot(1);
    let state = sim.run_until((INTERVAL_S + 2) * SECOND);
    assert!(matches!(&state, SimState::Ended(end) if end.reason == reason::DEADMAN), "{state:?}");
}

#[test]
fn stuck_above_14_on_the_only_cpu_nobody_is_left_to_notice() {
    let mut sim = with_deadman(1, 1).thread(stuck(14, CLOCK_CPU)).boot(1);
    sim.run_until_ok(3 * INTERVAL_S * SECOND);
    assert_eq!(sim.kernel().k_deadman.deadman_counter.get(), 0, "the clock is dead all the same");
}

#[test]
fn another_cpu_stuck_at_15_does_not_stop_the_clock() {
    for seed in 0..3 {
        let mut sim = with_deadman(2, 1).thread(stuck(15, 1)).boot(seed);
        sim.run_until_ok(3 * INTERVAL_S * SECOND);
        assert_eq!(sim.kernel().k_deadman.deadman_panics.get(), 0, "seed {seed}");
        assert!(sim.kernel().lbolt.get() > 890, "seed {seed}: lbolt is {}", sim.kernel().lbolt.get());
    }
}

/// ns from the moment the clock stops until the deadman ends a guest with this interval.
fn stopped_for(interval_s: i64, mutants: impl Into<mutant::Set>, seed: u64) -> u64 {
    let p = Program::new(2).tunable(tunable::SNOOPING, 1).mutant(mutants).thread(stuck(14, CLOCK_CPU));
    let mut sim = p.tunable(tunable::SNOOP_INTERVAL, interval_s * 1_000_000).boot(seed);
    let stops = SECOND / 2;
    let mut now = stops;
    while now < 20 * SECOND {
        now += SECOND / 20;
        if matches!(sim.run_until(now), SimState::Ended(_)) {
            return now - stops;
        }
    }
    panic!("interval {interval_s} seed {seed}: silent for {now} ns");
}

#[test]
fn an_interval_of_one_second_fires_within_two() {
    for seed in 0..5 {
        for interval_s in [1, 2, 5] {
            let limit = (interval_s as u64 + 1) * SECOND;
            let honest = stopped_for(interval_s, mutant::Set::NONE, seed);
            assert!(honest <= limit, "interval {interval_s} seed {seed}: {honest} ns");
            let late = stopped_for(interval_s, mutant::DEADMAN_OFF_BY_ONE, seed);
            assert!(late > limit, "interval {interval_s} seed {seed}: the mutant took {late} ns");
        }
    }
}

/// A guest whose CPU 1 sees nothing for 8 seconds, as if its time had jumped; the clock on CPU 0 goes on.
fn jump(mutants: impl Into<mutant::Set>, seed: u64) -> SimState {
    let blind = thread(
        "blind",
        SYS,
        60,
        1,
        PilHold { pil: 15, hold_us: 8_000_000, after_us: 500_000, ..PilHold::defaults() },
    );
    with_deadman(2, 1).mutant(mutants).thread(blind).boot(seed).run_until(12 * SECOND)
}

#[test]
fn time_that_jumps_forward_does_not_fire_it() {
    for seed in 0..5 {
        assert_eq!(jump(mutant::Set::NONE, seed), SimState::Running, "seed {seed}");
        // A cyclic that makes up for what it missed looks eight times while the clock stands at one second.
        let state = jump(mutant::CYCLIC_NO_CATCHUP, seed);
        assert!(
            matches!(&state, SimState::Ended(end) if end.reason == reason::DEADMAN),
            "seed {seed}: {state:?}"
        );
    }
}

#[test]
fn a_clock_that_comes_late_counts_the_seconds_it_missed_as_one() {
    for seed in 0..5 {
        let late = thread(
            "late",
            SYS,
            60,
            CLOCK_CPU,
            PilHold { hold_us: 4_000_000, after_us: 1_500_000, ..PilHold::defaults() },
        );
        let mut sim = Program::new(2).thread(late).boot(seed);
        sim.run_until_ok(5 * SECOND + SECOND / 4);
        assert_eq!(sim.kernel().k_deadman.deadman_counter.get(), 1, "seed {seed}: while it is held off");
        sim.run_until_ok(5 * SECOND + SECOND * 3 / 4);
        assert_eq!(sim.kernel().k_deadman.deadman_counter.get(), 2, "seed {seed}: four seconds at once");
        assert!(sim.kernel().k_clock.clock_ticks.get() > 560, "seed {seed}: but every tick");
    }
}

#[test]
fn an_interval_below_a_second_becomes_the_default_with_a_warning() {
    for (us, seconds, warns) in
        [(0, 50, true), (999_999, 50, true), (1_000_000, 1, false), (9_500_000, 9, false)]
    {
        let mut sim = Program::new(1).tunable(tunable::SNOOP_INTERVAL, us).boot(1);
        sim.run_until_ok(SECOND / 10);
        assert_eq!(sim.kernel().k_deadman.deadman_seconds.get(), seconds, "snoop_interval {us}");
        assert_eq!(sim.take_console().contains("WARNING: snoop_interval"), warns, "snoop_interval {us}");
    }
}

/// How often the deadman fired in five seconds, and the ticks of a hybrid lbolt in the last four of them. The clock needs the lock
/// of a process, and the thread that holds it has lost CPU 0.
fn blocked_clock(has_inheritance: bool, seed: u64) -> (u32, u64) {
    let process = thread("process", TS, 30, 1, Spin { mode: Mode::User, ..Spin::defaults() });
    let reader = thread(
        "reader",
        TS,
        10,
        CLOCK_CPU,
        ProcLook { hold_us: 20_000, think_us: 0, ..ProcLook::defaults(ThreadRef(0)) },
    );
    let hog =
        thread("hog", SYS, 99, CLOCK_CPU, SoftRing { cost_us: 1_000_000, ..SoftRing::defaults(IntrRef(0)) });
    let p = with_deadman(2, 0).thread(process).thread(reader).thread(hog).interrupt("nic0", 1, 6, 2);
    let p = p.tunable(tunable::PRIORITY_INHERITANCE, i64::from(has_inheritance));
    let mut sim = p.tunable(tunable::LBOLT_HYBRID, 1).boot(seed);
    sim.run_until_ok(SECOND);
    let before = sim.kernel().lbolt.get();
    sim.run_until_ok((INTERVAL_S + 2) * SECOND);
    (sim.kernel().k_deadman.deadman_panics.get(), sim.kernel().lbolt.get() - before)
}

#[test]
fn a_clock_that_waits_for_a_process_lock_fires_it_although_lbolt_goes_on() {
    for seed in 0..5 {
        let (fired, ticks) = blocked_clock(false, seed);
        assert!(fired > 0 && ticks > 390, "seed {seed}: fired {fired} times in {ticks} ticks");
        let (fired, ticks) = blocked_clock(true, seed);
        assert!(fired == 0 && ticks > 390, "seed {seed}: with inheritance {fired} times in {ticks} ticks");
    }
}

#[test]
fn while_one_cpu_panics_the_others_deadmen_are_silent() {
    for panics in 1..4 {
        let mut sim = with_deadman(4, 0).thread(stuck(10, CLOCK_CPU)).boot(1);
        sim.run_until_ok(SECOND);
        sim.kernel().k_deadman.panic_cpu.set(panics);
        sim.run_until_ok((INTERVAL_S + 2) * SECOND);
        assert_eq!(sim.kernel().k_deadman.deadman_panics.get(), 1, "only CPU {panics}");
    }
}

#[test]
fn each_cpu_looks_at_a_time_of_its_own() {
    let mut sim = Program::new(4).boot(1);
    sim.run_until_ok(SECOND / 2);
    let mut looks: Vec<u64> = Vec::new();
    for cp in &sim.kernel().k_cpus {
        let of_cpu = cp.cpu_cyclic.cyp_cyclics.iter().filter(|c| c.cy_handler.get() == handler::DEADMAN);
        looks.extend(of_cpu.map(|c| c.cy_expire.get() % SECOND));
    }
    looks.sort_unstable();
    assert_eq!(looks.len(), 4, "one a CPU");
    assert!(looks.windows(2).all(|pair| pair[1] - pair[0] > SECOND / 5), "{looks:?}");
}
