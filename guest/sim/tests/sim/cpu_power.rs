//! Cross traps, and powering an offline CPU off while they arrive.
//!
//! # Invariants
//! - The kernel is only looked at between two steps of virtual time.

use crate::bench::{Bench, MS, Program, SECOND, thread};
use umpire_kernel::cell::Cell;
use umpire_kernel::sys::cpu::flag;
use umpire_shared::program::class::SYS;
use umpire_shared::program::{Interrupt, Verb};
use umpire_shared::work::compute::Periodic;
use umpire_shared::{errno, tunable};
use umpire_sim::SimState;

/// CPU 0 sends CPU 1 bursts of traps of level 9, 100 times a second.
fn scrubbed(check: i64) -> Program {
    let scrub = Interrupt { from: 0, burst: 20, cost_ns: 5_000, ..Interrupt::named("scrub", 1, 9, 100) };
    Program::new(3)
        .tunable(tunable::INTRCNT_LIMIT, 16)
        .tunable(tunable::INTR_QUIESCE_CHECK, check)
        .tunable(tunable::SNOOPING, 1)
        .tunable(tunable::SNOOP_INTERVAL, 1_000_000)
        .device(scrub)
}

fn errno_of(sim: &Bench, n: usize) -> Option<u32> {
    let e = &sim.kernel().k_events[n];
    (e.ev_ended_ns.get() != 0).then(|| e.ev_errno.get())
}

fn handled(sim: &Bench) -> u64 {
    sim.kernel().k_intr.devices[0].dev_count.get()
}

#[test]
fn cross_trap_is_handled_on_its_cpu_wherever_its_cyclic_goes() {
    for seed in 0..20 {
        let mut sim = scrubbed(1).event(200 * MS, Verb::Offline, 0, &[]).boot(seed);
        sim.run_until_ok(150 * MS);
        let before = handled(&sim);
        assert!(before >= 20 * 12, "seed {seed}: {before} traps");
        assert!(sim.kernel().k_cpus[0].cpu_stats.xcalls.get() >= 12, "seed {seed}: sent by CPU 0");
        sim.run_until_ok(400 * MS);
        assert_eq!(errno_of(&sim, 0), Some(0), "seed {seed}: the sender is offline");
        assert!(handled(&sim) >= before + 20 * 20, "seed {seed}: another CPU goes on sending");
        assert_eq!(sim.kernel().k_intr.devices[0].dev_cpu.get(), 1, "seed {seed}");
    }
}

#[test]
fn poweroff_of_a_cpu_that_is_not_quiesced_is_refused() {
    let online = |p: Program| p.event(100 * MS, Verb::Poweroff, 1, &[]);
    let offline = |p: Program| p.event(50 * MS, Verb::Offline, 1, &[]);
    let mut sim = online(Program::new(2)).boot(1);
    sim.run_until_ok(200 * MS);
    assert_eq!(errno_of(&sim, 0), Some(errno::EBUSY));
    let mut sim = online(offline(Program::new(2).tunable(tunable::CPU_NO_QUIESCE, 1))).boot(1);
    sim.run_until_ok(200 * MS);
    assert_eq!(errno_of(&sim, 1), Some(errno::EBUSY));
    let mut sim = online(offline(Program::new(2))).boot(1);
    sim.run_until_ok(200 * MS);
    assert_eq!(errno_of(&sim, 1), Some(0));
}

#[test]
fn cpu_that_is_off_takes_no_traps_until_it_is_online_again() {
    for seed in 0..20 {
        let p = scrubbed(1).event(100 * MS, Verb::Offline, 1, &[]).event(150 * MS, Verb::Poweroff, 1, &[]);
        let mut sim = p.event(400 * MS, Verb::Online, 1, &[]).boot(seed);
        sim.run_until_ok(140 * MS);
        let offline = handled(&sim);
        sim.run_until_ok(200 * MS);
        assert_eq!(errno_of(&sim, 1), Some(0), "seed {seed}");
        assert_eq!(sim.kernel().k_cpus[1].cpu_flags.get() & flag::READY, 0, "seed {seed}");
        let off = handled(&sim);
        assert!(off <= offline + 40, "seed {seed}");
        sim.run_until_ok(390 * MS);
        assert_eq!(handled(&sim), off, "seed {seed}: a trap reached a CPU that is off");
        sim.run_until_ok(600 * MS);
        assert_eq!(errno_of(&sim, 2), Some(0), "seed {seed}");
        assert!(handled(&sim) >= off + 20 * 15, "seed {seed}: nothing arrives after it is back");
    }
}

#[test]
fn poweroff_waits_for_a_trap_that_is_on_its_way() {
    for seed in 0..300 {
        let rate_hz = 40_000 + 997 * (seed % 31);
        let scrub = Interrupt { from: 0, cost_ns: 1_000, ..Interrupt::named("scrub", 1, 9, rate_hz) };
        let p = Program::new(3).device(scrub).event(4 * MS, Verb::Offline, 1, &[]);
        let mut sim = p.event(8 * MS, Verb::Poweroff, 1, &[]).boot(seed);
        // In steps of a microsecond, less than a poke travels.
        let mut now = 8 * MS;
        while errno_of(&sim, 1).is_none() {
            now += 1000;
            assert!(now < 100 * MS, "seed {seed}: poweroff does not end");
            sim.run_until_ok(now);
        }
        assert_eq!(errno_of(&sim, 1), Some(0), "seed {seed}");
        let off = handled(&sim);
        assert!(off > 100, "seed {seed}: {off} traps");
        sim.run_until_ok(now + MS);
        assert_eq!(handled(&sim), off, "seed {seed}: a trap reached a CPU that is off");
    }
}

/// The whole of 6256245.
fn powered_off(check: i64, seed: u64) -> (SimState, Bench) {
    let p = scrubbed(check).event(100 * MS, Verb::Offline, 1, &[]).event(200 * MS, Verb::Poweroff, 1, &[]);
    let busy = thread("cron", SYS, 60, -1, Periodic::defaults());
    let mut sim = p.thread(busy).boot(seed);
    let state = sim.run_until(3 * SECOND);
    (state, sim)
}

#[test]
fn bug_6256245_poweroff_waits_for_a_level_that_never_falls_and_the_clock_with_it() {
    for seed in 0..20 {
        let (state, sim) = powered_off(0, seed);
        let SimState::Ended(end) = state else { panic!("seed {seed}: the machine goes on") };
        assert!(end.message.contains("deadman: timed out after 1 seconds"), "seed {seed}: {}", end.message);
        assert_eq!(errno_of(&sim, 1), None, "seed {seed}: the script waits with the CPUs paused");
        assert_eq!(sim.kernel().k_cpus[1].cpu_intr_actv.get(), 1 << 9, "seed {seed}");
    }
}

#[test]
fn fix_of_6256245_poweroff_succeeds_and_the_clock_ticks_on() {
    for seed in 0..20 {
        let (_, sim) = powered_off(1, seed);
        assert_eq!(errno_of(&sim, 1), Some(0), "seed {seed}");
        assert!(sim.kernel().lbolt.get() > 290, "seed {seed}: {} ticks", sim.kernel().lbolt.get());
        assert_eq!(
            sim.kernel().k_deadman.deadman_panics.load(core::sync::atomic::Ordering::Relaxed),
            0,
            "seed {seed}"
        );
    }
}
