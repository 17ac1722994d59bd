//! What a CPU says of its waits for other CPUs: for what it spins, for whom, and for how long in all.
//!
//! # Invariants
//! - The kernel is only looked at between two steps of virtual time.

use umpire_kernel::cell::Cell;
use umpire_shared::program::class::SYS;
use umpire_shared::work::compute::{LockMix, Spin};
use umpire_shared::work::levels::{How, PilHold, SpinMix, XcallMix};

use crate::bench::{Bench, MS, Program, thread};

const SEEDS: u64 = 20;

fn spin_ns(sim: &Bench) -> Vec<u64> {
    sim.kernel().k_cpus.iter().map(|cpu| cpu.cpu_spin.spin_ns.get()).collect()
}

#[test]
fn cpu_that_waits_for_a_spin_mutex_names_it_as_long_as_it_waits() {
    for seed in 0..SEEDS {
        let mix = |hold_us, think_us| SpinMix { pil: 11, hold_us, think_us, ..SpinMix::defaults() };
        let p = Program::new(3).thread(thread("holder", SYS, 60, 1, mix(900, 1)));
        let mut sim = p.thread(thread("waiter", SYS, 60, 2, mix(1, 1))).boot(seed);
        let lock = std::ptr::from_ref(sim.kernel().k_work.spin_of(11)).addr() as u64;
        let mut named = 0;
        for step in 1..=100 {
            let before = spin_ns(&sim)[2];
            sim.run_until_ok(step * MS / 10);
            let spin = &sim.kernel().k_cpus[2].cpu_spin;
            if spin.spin_for.get() == lock {
                named += 1;
                assert!(spin.spin_ns.get() > before, "seed {seed} step {step}");
            }
        }
        assert!(named > 50, "seed {seed}: named at {named} of 100 looks");
        let [_, _, waited] = spin_ns(&sim)[..] else { panic!("three CPUs") };
        assert!((5 * MS..10 * MS).contains(&waited), "seed {seed}: {waited} ns of 10 ms");
    }
}

#[test]
fn cpu_that_waits_for_a_spin_mutex_never_names_itself() {
    let mut unnamed = 0;
    for seed in 0..SEEDS {
        let mix = SpinMix { pil: 11, hold_us: 3, think_us: 1, ..SpinMix::defaults() };
        let on = |cpu| thread("mix", SYS, 60, cpu, mix);
        let mut sim = Program::new(3).thread(on(0)).thread(on(1)).thread(on(2)).boot(seed);
        let lock = std::ptr::from_ref(sim.kernel().k_work.spin_of(11)).addr() as u64;
        let mut before = spin_ns(&sim);
        for step in 1..=20_000 {
            sim.run_until_ok(MS + step * 50);
            let mutex = sim.kernel().k_work.spin_of(11);
            let holder = mutex.m_cpu.get();
            let now = spin_ns(&sim);
            for (n, cpu) in sim.kernel().k_cpus.iter().enumerate() {
                let spin = &cpu.cpu_spin;
                if spin.spin_for.get() != lock || now[n] == before[n] {
                    continue;
                }
                // While the holder has not said that it is, nobody is named.
                unnamed += u32::from(holder == 0);
                let named = spin.spin_cpus.get();
                assert_eq!(named & 1 << n, 0, "seed {seed} step {step}: cpu {n} waits for itself");
            }
            before = now;
        }
    }
    assert!(unnamed > 0, "no look was between the taking of the mutex and the saying of it");
}

#[test]
fn cpu_that_waits_for_nobody_writes_nothing() {
    for seed in 0..SEEDS {
        let p = Program::new(2).thread(thread("spin", SYS, 60, 1, Spin::defaults()));
        let mut sim = p.boot(seed);
        sim.run_until_ok(20 * MS);
        let spin = &sim.kernel().k_cpus[1].cpu_spin;
        assert_eq!(
            (spin.spin_waits.get(), spin.spin_ns.get(), spin.spin_for.get()),
            (0, 0, 0),
            "seed {seed}"
        );
    }
}

#[test]
fn caller_of_a_cross_call_names_the_cpu_that_does_not_answer() {
    for seed in 0..SEEDS {
        let hold = PilHold { pil: 14, hold_us: 5_000, after_us: 1_000, ..PilHold::defaults() };
        let call = XcallMix { how: How::Call, after_us: 2_000, ..XcallMix::defaults() };
        let p = Program::new(4).thread(thread("masked", SYS, 60, 2, hold));
        let mut sim = p.thread(thread("caller", SYS, 60, 1, call)).boot(seed);
        let mut named = 0;
        for step in 1..=200 {
            let before = spin_ns(&sim)[1];
            sim.run_until_ok(step * MS / 10);
            let spin = &sim.kernel().k_cpus[1].cpu_spin;
            named += u32::from(spin.spin_ns.get() > before && spin.spin_cpus.get() == 1 << 2);
        }
        assert!(named > 20, "seed {seed}: named at {named} of 200 looks");
        assert!(spin_ns(&sim)[1] > 2 * MS, "seed {seed}: {:?}", spin_ns(&sim));
    }
}

#[test]
fn thread_that_spins_for_a_mutex_names_the_cpu_of_its_owner() {
    for seed in 0..SEEDS {
        let mix = |hold_us| LockMix { lock: 0, hold_us, ..LockMix::defaults() };
        let p = Program::new(3).thread(thread("owner", SYS, 60, 1, mix(4_000)));
        let mut sim = p.thread(thread("waiter", SYS, 60, 2, mix(1))).boot(seed);
        let mut named = 0;
        for step in 1..=100 {
            let before = spin_ns(&sim)[2];
            sim.run_until_ok(step * MS / 10);
            let spin = &sim.kernel().k_cpus[2].cpu_spin;
            named += u32::from(spin.spin_ns.get() > before && spin.spin_cpus.get() == 1 << 1);
        }
        assert!(named > 10, "seed {seed}: named at {named} of 100 looks");
    }
}
