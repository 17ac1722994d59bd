//! The deadman inside the guest: what it notices, and what it cannot.
//!
//! # Invariants
//! - A clock is stopped by what a scenario can do, never by reaching into the kernel.

mod bench;

use bench::{Program, SECOND, thread};
use umpire_kernel::cell::Cell;
use umpire_shared::boot::reason;
use umpire_shared::program::class::{SYS, TS};
use umpire_shared::{program, tunable, work};
use umpire_sim::SimState;

const CLOCK_CPU: i32 = 0;
const INTERVAL_S: u64 = 3;

/// A thread that goes to this level for ever after half a second.
fn stuck(pil: u64, cpu: i32) -> program::Thread {
    let mut t = thread("stuck", SYS, 60, cpu, work::PIL_LOOP);
    t.args[..2].copy_from_slice(&[pil, 500_000]);
    t
}

fn with_deadman(ncpus: u32, snooping: i64) -> Program {
    let us = INTERVAL_S as i64 * 1_000_000;
    Program::new(ncpus).tunable(tunable::SNOOPING, snooping).tunable(tunable::SNOOP_INTERVAL, us)
}

#[test]
fn a_starved_99_is_none_of_its_business() {
    let mut vcpu = thread("vcpu", TS, 0, 1, work::VCPU_LOOP);
    vcpu.args[0] = 1000;
    let mut ring = thread("ring", SYS, 99, 1, work::SOFT_RING);
    ring.args[..3].copy_from_slice(&[0, work::NOBODY, 5]);
    let p = with_deadman(2, 1).tunable(tunable::KPREEMPTPRI, 100).thread(vcpu).thread(ring);
    let mut sim = p.interrupt("nic0", 0, 6, 100).boot(1);
    sim.run_until_ok(20 * SECOND);
    assert_eq!(sim.kernel().deadman_panics.get(), 0);
    assert_eq!(sim.kernel().deadman_counter.get(), 19, "20 seconds less the ticks of boot");
}

#[test]
fn without_snooping_it_counts_once_an_interval_on_each_cpu_that_is_open_at_14() {
    for (pil, open_cpus) in [(14, 3), (13, 4), (10, 4)] {
        for seed in 0..3 {
            let mut sim = with_deadman(4, 0).thread(stuck(pil, CLOCK_CPU)).boot(seed);
            sim.run_until_ok(INTERVAL_S * SECOND);
            assert_eq!(sim.kernel().deadman_panics.get(), 0, "pil {pil} seed {seed}: too early");
            sim.run_until_ok((INTERVAL_S + 2) * SECOND);
            assert_eq!(sim.kernel().deadman_panics.get(), open_cpus, "pil {pil} seed {seed}: once");
            sim.run_until_ok((2 * INTERVAL_S + 2) * SECOND);
            assert_eq!(sim.kernel().deadman_panics.get(), 2 * open_cpus, "pil {pil} seed {seed}: and again");
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
    assert_eq!(sim.kernel().deadman_counter.get(), 0, "the clock is dead all the same");
}

#[test]
fn another_cpu_stuck_at_15_does_not_stop_the_clock() {
    for seed in 0..3 {
        let mut sim = with_deadman(2, 1).thread(stuck(15, 1)).boot(seed);
        sim.run_until_ok(3 * INTERVAL_S * SECOND);
        assert_eq!(sim.kernel().deadman_panics.get(), 0, "seed {seed}");
        assert!(sim.kernel().lbolt.get() > 890, "seed {seed}: lbolt is {}", sim.kernel().lbolt.get());
    }
}
