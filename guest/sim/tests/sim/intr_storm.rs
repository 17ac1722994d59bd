//! Too many interrupts: which threads starve on x86, what SPARC's rule of 16 does about it, and how that rule wedged a
//! quiesced CPU (6256245).
//!
//! # Invariants
//! - A test quiesces a CPU by setting the flags that `cpu_offline` sets; it writes nothing else of a kernel.

use crate::bench::{Bench, MS, Program, SECOND, thread};
use umpire_kernel::Cpu;
use umpire_kernel::cell::Cell;
use umpire_kernel::sys::cpu::flag;
use umpire_kernel::sys::thread::{tflag, ts};
use umpire_shared::program::Interrupt;
use umpire_shared::program::class::{SYS, TS};
use umpire_shared::work::IntrRef;
use umpire_shared::work::compute::{Periodic, Spin};
use umpire_shared::work::network::SoftRing;
use umpire_shared::work::unpreemptible::NopreemptLoop;
use umpire_shared::{program, tunable};

const US: u64 = 1000;
const X86: i64 = 0;
const SPARC: i64 = 16;

/// A device that gives level 5 of CPU 0 more to do than there is time for, from 50 ms on.
fn storm() -> Interrupt {
    Interrupt { start_ns: 50 * MS, cost_ns: 150 * US, ..Interrupt::named("storm", 0, 5, 8000) }
}

fn spin(name: &str, pri: i32, cpu: i32) -> program::Thread {
    thread(name, TS, pri, cpu, Spin { chunk_us: 50, ..Spin::defaults() })
}

fn cpu(sim: &Bench, n: usize) -> &Cpu {
    &sim.kernel().k_cpus[n]
}

/// A thread that wakes at each tick on CPU 1, so that CPU 1 looks for work then even if no CPU wakes it: a thread that requeues
/// itself wakes no CPU (`CPU_DISP_DONTSTEAL`), even if another thread is picked.
fn alarm() -> program::Thread {
    thread("alarm", SYS, 65, 1, Periodic { busy_us: 10, ..Periodic::defaults() })
}

fn turns(sim: &Bench, n: usize) -> u64 {
    sim.kernel().scenario_threads()[n].t_progress.get()
}

/// The turns in a second of a thread bound to the storm's CPU, of one that sleeps and may run anywhere, and of a third.
fn turns_in_a_storm(third: program::Thread, seed: u64) -> [u64; 3] {
    let sleeper = thread("sleeper", SYS, 65, -1, Periodic::defaults());
    let p = Program::new(2).tunable(tunable::INTRCNT_LIMIT, X86);
    let mut sim = p.thread(spin("bound", 10, 0)).thread(sleeper).thread(third).device(storm()).boot(seed);
    sim.run_until_ok(250 * MS);
    let before = [0, 1, 2].map(|n| turns(&sim, n));
    sim.run_until_ok(250 * MS + SECOND);
    assert!(cpu(&sim, 0).cpu_thread.get().is_some_and(|t| t.t_pil.get() == 5), "seed {seed}");
    [0, 1, 2].map(|n| turns(&sim, n) - before[n])
}

#[test]
fn in_an_interrupt_storm_the_bound_starve_and_an_idle_cpu_takes_the_others() {
    for seed in 0..10 {
        let [bound, sleeper, _] = turns_in_a_storm(alarm(), seed);
        assert_eq!(bound, 0, "seed {seed}");
        assert!(sleeper > 50, "seed {seed}: {sleeper} turns");
    }
}

#[test]
fn in_an_interrupt_storm_a_busy_cpu_does_not_help() {
    // The storm's CPU looks less busy than the other: its dispatcher has chosen a thread at 10.
    for seed in 0..10 {
        let [bound, sleeper, busy] = turns_in_a_storm(spin("busy", 40, 1), seed);
        assert_eq!((bound, sleeper), (0, 0), "seed {seed}");
        assert!(busy > 10_000, "seed {seed}: {busy} turns");
    }
}

/// The turns in a second of an unbound thread that a storm on CPU 0 pins while CPU 1 idles.
fn turns_of_the_pinned(limit: i64, seed: u64) -> (u64, Bench) {
    let p = Program::new(2).tunable(tunable::INTRCNT_LIMIT, limit).thread(spin("pinned", 40, -1));
    let mut sim = p.thread(alarm()).device(storm()).boot(seed);
    sim.run_until_ok(100 * MS);
    let before = turns(&sim, 0);
    sim.run_until_ok(100 * MS + SECOND);
    (turns(&sim, 0) - before, sim)
}

#[test]
fn the_rule_of_16_unpins_a_thread_and_an_idle_cpu_takes_it() {
    for seed in 0..10 {
        let (turns, sim) = turns_of_the_pinned(SPARC, seed);
        assert!(turns > 15_000, "seed {seed}: {turns} turns on the idle CPU");
        assert!(sim.kernel().scenario_threads()[0].t_cpu.is(cpu(&sim, 1)), "seed {seed}");
        assert!(cpu(&sim, 0).cpu_stats.intrunpin.get() >= 1, "seed {seed}");
        assert!(
            sim.kernel().k_intr.devices[0].dev_count.get() > 6000,
            "seed {seed}: the storm goes on as a thread"
        );
    }
}

#[test]
fn without_the_rule_of_16_the_pinned_thread_waits_beside_an_idle_cpu() {
    for seed in 0..10 {
        let (turns, sim) = turns_of_the_pinned(X86, seed);
        assert_eq!(turns, 0, "seed {seed}");
        assert!(sim.ran_ns(1) < 50 * MS, "seed {seed}: CPU 1 is idle");
        assert_eq!(cpu(&sim, 0).cpu_stats.intrunpin.get(), 0, "x86 has no such rule");
    }
}

#[test]
fn fifteen_interrupts_in_a_row_unpin_nobody_and_sixteen_do() {
    for (burst, unpins) in [(15, false), (16, true)] {
        // Between two bursts a thread runs again that pins none. The test uses CPU 1, where the clock does not come in between.
        let p = Program::new(2).tunable(tunable::INTRCNT_LIMIT, SPARC).thread(spin("pinned", 40, 1));
        let mut sim = p.device(Interrupt { burst, ..Interrupt::named("nic", 1, 6, 90) }).boot(1);
        sim.run_until_ok(500 * MS);
        let stats = &cpu(&sim, 1).cpu_stats;
        assert_eq!(
            stats.intrunpin.get() > 10,
            unpins,
            "bursts of {burst}: {} unpinned",
            stats.intrunpin.get()
        );
        assert_eq!(stats.intrunpin.get() == 0, !unpins, "bursts of {burst}");
        assert!(sim.kernel().k_intr.devices[0].dev_count.get() >= 40 * u64::from(burst));
        assert_eq!(cpu(&sim, 1).cpu_base_spl.get(), 0, "and the interrupt thread came back each time");
    }
}

/// CPU 1 is quiesced, and a device of level 9 goes on interrupting it, 20 at a time: the ecache scrubber.
fn scrubbed(check: i64, seed: u64) -> Bench {
    let p =
        Program::new(2).tunable(tunable::INTRCNT_LIMIT, SPARC).tunable(tunable::INTR_QUIESCE_CHECK, check);
    let scrub =
        Interrupt { burst: 20, start_ns: 50 * MS, cost_ns: 5 * US, ..Interrupt::named("scrub", 1, 9, 50) };
    let mut sim = p.device(scrub).boot(seed);
    sim.run_until_ok(20 * MS);
    let flags = &cpu(&sim, 1).cpu_flags;
    flags.set(flags.get() | flag::QUIESCED | flag::OFFLINE);
    sim.run_until_ok(300 * MS);
    sim
}

#[test]
fn bug_6256245_an_interrupt_thread_preempted_on_a_quiesced_cpu_never_comes_back() {
    for seed in 0..4 {
        let sim = scrubbed(0, seed);
        let cp = cpu(&sim, 1);
        assert_eq!(sim.kernel().k_intr.devices[0].dev_count.get(), 16, "seed {seed}: and not one more");
        assert_eq!(cp.cpu_intr_actv.get(), 1 << 9, "seed {seed}: what mp_cpu_quiesce waits for");
        assert_eq!(cp.cpu_base_spl.get(), 9, "seed {seed}");
        assert_eq!(cp.cpu_disp.disp_nrunnable.get(), 1, "seed {seed}");
        let it = cp.cpu_disp.disp_q[sim.kernel().intr_pri() as usize + 9]
            .dq_first
            .get()
            .expect("it is on its CPU's queue");
        assert_eq!((it.t_state.get(), it.t_pil.get()), (ts::RUN, 9), "seed {seed}");
        assert_eq!(it.t_flag.get() & tflag::INTR_THREAD, tflag::INTR_THREAD);
        assert!(
            cp.cpu_thread.is(cp.cpu_idle_thread.get().expect("it has one")),
            "seed {seed}: beside it, idle"
        );
    }
}

#[test]
fn fix_of_6256245_on_a_quiesced_cpu_an_interrupt_thread_is_left_to_finish() {
    for seed in 0..10 {
        let sim = scrubbed(1, seed);
        let cp = cpu(&sim, 1);
        assert!(sim.kernel().k_intr.devices[0].dev_count.get() >= 200, "seed {seed}");
        assert_eq!((cp.cpu_intr_actv.get(), cp.cpu_base_spl.get()), (0, 0), "seed {seed}");
        assert_eq!(cp.cpu_stats.intrunpin.get(), 0, "seed {seed}");
    }
}

#[test]
fn the_rule_of_16_bubbles_down_a_chain_of_interrupt_threads() {
    for seed in 0..10 {
        // Level 8 comes in bursts on top of level 4, which computes all the time; both let the thread at the bottom go.
        let low = Interrupt { start_ns: 50 * MS, cost_ns: 400 * US, ..Interrupt::named("low", 0, 4, 3000) };
        let high = Interrupt {
            burst: 18,
            start_ns: 51 * MS,
            cost_ns: 5 * US,
            ..Interrupt::named("high", 0, 8, 200)
        };
        let p = Program::new(2).tunable(tunable::INTRCNT_LIMIT, SPARC).thread(spin("pinned", 40, -1));
        let mut sim = p.thread(alarm()).device(low).device(high).boot(seed);
        sim.run_until_ok(100 * MS);
        let before = turns(&sim, 0);
        sim.run_until_ok(400 * MS);
        let turns = turns(&sim, 0) - before;
        assert!(turns > 3000, "seed {seed}: {turns} turns");
        for n in 0..2 {
            let handled = sim.kernel().k_intr.devices[n].dev_count.get();
            assert!(handled > 500, "seed {seed}: device {n} was handled {handled} times");
        }
    }
}

#[test]
fn a_loop_with_preemption_disabled_is_refused_for_ever_while_the_clock_goes_on() {
    for seed in 0..4 {
        let ring = thread("ring", SYS, 99, 0, SoftRing::defaults(IntrRef(0)));
        let stubborn =
            thread("loop", SYS, 60, 0, NopreemptLoop { after_us: 20_000, ..NopreemptLoop::defaults() });
        let p = Program::new(2).thread(stubborn).thread(ring).tunable(tunable::SNOOPING, 1);
        let p = p.tunable(tunable::SNOOP_INTERVAL, 1_000_000);
        let mut sim = p.interrupt("nic0", 0, 6, 500).boot(seed);
        sim.run_until_ok(100 * MS);
        let before = turns(&sim, 1);
        let blocked = cpu(&sim, 0).cpu_stats.kpc_blocked.get();
        sim.run_until_ok(3 * SECOND);
        assert_eq!(turns(&sim, 1), before, "seed {seed}: the ring starves");
        assert_eq!(cpu(&sim, 0).cpu_kprunrun.get(), 1, "seed {seed}");
        assert!(cpu(&sim, 0).cpu_stats.kpc_blocked.get() > blocked + 100, "seed {seed}");
        assert_eq!(sim.kernel().k_deadman.deadman_panics.get(), 0, "seed {seed}: the clock is well");
    }
}

#[test]
fn load_of_a_cpu_is_the_percentage_that_interrupts_take() {
    // The load is averaged ten times a second, and each time half of the old one counts.
    for (rate, cost_us, least, most) in [(1000, 300, 25, 36), (1000, 600, 52, 66), (100, 100, 0, 3)] {
        let device = Interrupt { cost_ns: cost_us * US, ..Interrupt::named("disk", 0, 5, rate) };
        let mut sim = Program::new(2).thread(spin("spin", 20, 0)).device(device).boot(1);
        sim.run_until_ok(SECOND);
        let load = cpu(&sim, 0).cpu_intrload.get();
        assert!((least..=most).contains(&load), "{rate} a second of {cost_us} us: {load}");
    }
}
