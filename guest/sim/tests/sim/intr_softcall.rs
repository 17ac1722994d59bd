//! High-level interrupts and the soft calls that they leave behind.
//!
//! # Invariants
//! - Every packet that a device brings is delivered, even if late.

use crate::bench::{Bench, MS, Program, thread};
use umpire_kernel::cell::Cell;
use umpire_shared::boot::reason;
use umpire_shared::program::Interrupt;
use umpire_shared::program::class::{SYS, TS};
use umpire_shared::work::IntrRef;
use umpire_shared::work::compute::LockMix;
use umpire_shared::work::network::SoftRing;
use umpire_shared::{program, tunable};
use umpire_sim::SimState;

const US: u64 = 1000;
const NEVER: i64 = 1_000_000;

/// A worker on CPU 1 that takes what device 0 brings.
fn ring() -> program::Thread {
    thread("ring", SYS, 99, 1, SoftRing::defaults(IntrRef(0)))
}

fn device(name: &str, cpu: u32, pil: u32, rate_hz: u64, cost_us: u64) -> Interrupt {
    Interrupt { cost_ns: cost_us * US, ..Interrupt::named(name, cpu, pil, rate_hz) }
}

/// Packets that device 0 brought, and that the ring has taken.
fn packets(sim: &Bench) -> (u64, u64) {
    (sim.kernel().k_intr.devices[0].dev_count.get(), sim.kernel().k_net.soft_rings[0].s_ring_passed.get())
}

#[test]
fn every_high_level_brings_its_packets_by_soft_call() {
    for pil in 11..=15 {
        for seed in 0..4 {
            let mut sim = Program::new(2).thread(ring()).device(device("high", 0, pil, 1000, 3)).boot(seed);
            sim.run_until_ok(500 * MS);
            let (brought, taken) = packets(&sim);
            assert!(brought > 480, "pil {pil} seed {seed}: {brought} brought");
            assert!(brought - taken <= 2, "pil {pil} seed {seed}: {taken} of {brought} taken");
            assert_eq!(sim.kernel().k_intr.softcall.sc_steals.get(), 0, "pil {pil} seed {seed}");
        }
    }
}

#[test]
fn soft_calls_of_many_devices_on_all_cpus_are_never_lost() {
    let mut p_packets = 0;
    for seed in 0..200 {
        let mut p = Program::new(3).thread(ring());
        for n in 0..6 {
            let rate = 4000 + 700 * u64::from(n) + 31 * (seed % 13);
            p = p.device(device("high", n % 3, 11 + n % 5, rate, 2 + u64::from(n)));
        }
        let mut sim = p.boot(seed);
        sim.run_until_ok(10 * MS);
        for dev in &sim.kernel().k_intr.devices {
            let left = dev.dev_packets.get();
            assert!(left <= 2, "seed {seed}: {left} packets of level {} wait", dev.dev_pil);
            assert!(dev.dev_count.get() > 30, "seed {seed}: level {} was handled", dev.dev_pil);
        }
        p_packets += packets(&sim).1;
    }
    assert!(p_packets > 200 * 30, "{p_packets} taken");
}

/// The longest time, in ns, that packets waited for the ring while CPU 0 spends 80 of each 100 ms in a handler of level 9,
/// below the device's level and above that of soft calls; how often the soft calls were stolen; and at how many of 1000 looks a CPU had
/// yet to take up that it was asked.
fn longest_wait(softcall_delay: i64, seed: u64) -> (u64, u64, u32) {
    let p = Program::new(3).tunable(tunable::SOFTCALL_DELAY, softcall_delay).thread(ring());
    let p = p.device(device("high", 0, 12, 1000, 3)).device(device("slow", 0, 9, 10, 80_000));
    let mut sim = p.boot(seed);
    let (mut worst, mut since, mut before, mut asked) = (0, 0, 0, 0);
    for look in 1..=1000 {
        let now = look * 500 * US;
        sim.run_until_ok(now);
        asked += u32::from(sim.kernel().k_cpus.iter().any(|cp| cp.cpu_siron.get() != 0));
        let (brought, taken) = packets(&sim);
        if taken != before || brought == taken {
            (since, before) = (now, taken);
        }
        worst = worst.max(now - since);
    }
    (worst, sim.kernel().k_intr.softcall.sc_steals.get(), asked)
}

#[test]
fn soft_calls_whose_cpu_does_not_respond_are_stolen_after_softcall_delay() {
    for seed in 0..10 {
        let (worst, steals, asked) = longest_wait(1, seed);
        assert!(worst < 25 * MS, "seed {seed}: {worst} ns with a delay of 10 ms");
        assert!(steals >= 8, "seed {seed}: {steals} steals");
        assert!(asked < 20, "seed {seed}: a request is still up at {asked} looks");
    }
}

#[test]
fn a_drain_that_is_pinned_is_stolen_as_well() {
    // It takes so long to empty the FIFO for eight listeners that the interrupt of level 9 often comes in the middle of it, and
    // pins the thread that empties the FIFO.
    let mut steals = 0;
    for seed in 0..100 {
        let p = (0..8).fold(Program::new(3), |p, _| p.thread(ring()));
        let p = p.tunable(tunable::SOFTCALL_DELAY, 0).device(device("high", 0, 12, 20_000, 3));
        // The handler begins at any phase of the soft calls.
        let slow = Interrupt { start_ns: MS + 497 * seed, ..device("slow", 0, 9, 100, 5_000) };
        let mut sim = p.device(slow).boot(seed);
        let mut before = 0;
        // After eleven steals within a second the delay grows to 10 ms: one interrupt must be seen before that.
        for look in 1..=10 {
            sim.run_until_ok(MS + look * 400 * US);
            // Who is pinned in the middle of handing packets on keeps PROC: what a stolen soft call takes in waits for it in the set.
            let brought = packets(&sim).0;
            let taken = sim.kernel().k_net.srs[0].sr_intr_count.get();
            let is_early = sim.kernel().k_intr.softcall.sc_delay_more.get() == 0;
            assert!(taken > before || !is_early, "seed {seed}: {taken} of {brought} taken at look {look}");
            before = taken;
        }
        steals += sim.kernel().k_intr.softcall.sc_steals.get();
    }
    assert!(steals > 100, "{steals} steals");
}

#[test]
fn a_steal_asks_another_if_the_first_cannot_either() {
    for seed in 0..20 {
        // CPU 1 looks free, but a blocked handler keeps its level at 5 until the lock is released.
        let mix = thread("lock_mix", TS, 30, 1, LockMix { hold_us: 300_000, ..LockMix::defaults() });
        let p = Program::new(3).thread(program::Thread { cpu: 2, ..ring() }).thread(mix);
        let p = p.device(device("high", 0, 12, 1000, 3));
        let blocked = Interrupt { lock: 0, start_ns: 20 * MS, ..device("blocked", 1, 5, 1, 10) };
        let stuck = Interrupt { start_ns: 40 * MS, ..device("stuck", 0, 9, 1, 900_000) };
        let mut sim = p.device(blocked).device(stuck).boot(seed);
        sim.run_until_ok(60 * MS);
        assert_ne!(sim.kernel().k_cpus[1].cpu_base_spl.get(), 0, "seed {seed}: the handler is blocked");
        let (mut before, mut steals) = (packets(&sim).1, sim.kernel().k_intr.softcall.sc_steals.get());
        for look in 1..=4 {
            sim.run_until_ok(60 * MS + look * 30 * MS);
            let (brought, taken) = packets(&sim);
            assert!(taken > before, "seed {seed}: {taken} of {brought} taken at look {look}");
            before = taken;
        }
        steals = sim.kernel().k_intr.softcall.sc_steals.get() - steals;
        assert!(steals >= 4, "seed {seed}: {steals} steals");
    }
}

#[test]
fn soft_calls_that_nobody_steals_wait_for_the_whole_handler() {
    for seed in 0..10 {
        let (worst, steals, _) = longest_wait(NEVER, seed);
        assert!(worst > 70 * MS, "seed {seed}: {worst} ns");
        assert_eq!(steals, 0, "seed {seed}");
    }
}

#[test]
fn a_steal_asks_somebody_even_while_the_interrupt_load_changes() {
    // CPU 1 is the only one that may be asked, and goes in and out of interrupt threads all the time. A kernel that looked at
    // its load twice asked no CPU, and the FIFO was never emptied again:
    //
    //   CPU 0 steals                             CPU 1
    //   looks for the least load: CPU 1's
    //                                            enters or leaves an interrupt thread
    //   looks for a CPU with that load: none
    //
    // With no delay the first eleven steals are done within 2 ms; then the delay grows to 10 ms.
    for seed in 0..1000 {
        let p = Program::new(2).tunable(tunable::SOFTCALL_DELAY, 0).thread(ring());
        let p = p.device(device("high", 0, 12, 20_000, 3)).device(device("busy", 1, 9, 90_000, 5));
        let stuck = Interrupt { start_ns: 100 * US, ..device("stuck", 0, 9, 1, 900_000) };
        let mut sim = p.device(stuck).boot(seed);
        sim.run_until_ok(3 * MS);
        let steals = sim.kernel().k_intr.softcall.sc_steals.get();
        assert!(steals >= 11, "seed {seed}: nobody was asked after {steals} steals");
    }
}

#[test]
fn softcall_delay_grows_when_it_pokes_too_often() {
    // CPU 0 is never below level 9 for long, so that the soft calls are stolen every 10 ms: 100 pokes a second, ten times as many
    // as are allowed.
    let p = Program::new(3).thread(ring()).device(device("high", 0, 12, 2000, 3));
    let mut sim = p.device(device("storm", 0, 9, 1000, 1100)).boot(1);
    sim.run_until_ok(200 * MS);
    let early = sim.kernel().k_intr.softcall.sc_delay_more.get();
    sim.run_until_ok(4000 * MS);
    let late = sim.kernel().k_intr.softcall.sc_delay_more.get();
    assert!(late > early && late >= 3, "grown by {early}, then by {late}");
    let pokes = sim.kernel().k_intr.softcall.sc_steals.get();
    assert!(pokes < 4 * 60, "{pokes} steals in 4 s");
}

/// A device that takes a mutex, which a thread on its CPU holds most of the time.
fn contended(pil: u32) -> Program {
    let mix = thread("lock_mix", TS, 30, 0, LockMix { hold_us: 900, ..LockMix::defaults() });
    Program::new(2).thread(mix).device(Interrupt { lock: 0, ..device("dev", 0, pil, 300, 3) })
}

#[test]
fn a_high_level_handler_that_must_wait_for_a_mutex_panics() {
    for pil in [11, 13, 15] {
        for seed in 0..4 {
            let state = contended(pil).boot(seed).run_until(200 * MS);
            let SimState::Ended(end) = state else { panic!("pil {pil} seed {seed}: {state:?}") };
            assert_eq!(end.reason, reason::PANIC);
            assert!(end.message.contains("mutex_enter: adaptive at high PIL"), "{}", end.message);
        }
    }
}

#[test]
fn a_handler_of_level_10_may_wait_for_a_mutex() {
    let mut sim = contended(10).boot(1);
    sim.run_until_ok(200 * MS);
    assert!(sim.kernel().k_work.locks[0].m_blocks.get() > 10);
}
