//! `pause_cpus` and `start_cpus`: how long pausing takes, what holds it up, and that every thread goes on afterwards.
//!
//! # Invariants
//! - Pauses are events of the program, so they happen at the same times under every seed.

use crate::bench::{Bench, MS, Program, SECOND, load, thread};
use umpire_kernel::cell::Cell;
use umpire_shared::program::Verb;
use umpire_shared::program::class::{SYS, TS};
use umpire_shared::tunable;
use umpire_shared::work::compute::{Mode, Periodic, Spin};
use umpire_shared::work::placement::{How, Pinned};
use umpire_shared::work::vcpu::VcpuLoop;

/// ns that event `n` took, `None` if it is not over.
fn took_ns(sim: &Bench, n: usize) -> Option<u64> {
    let e = &sim.kernel().k_events[n];
    (e.ev_ended_ns.get() != 0).then(|| e.ev_ended_ns.get() - e.ev_began_ns.get())
}

/// A pause of 1 ms at 100 ms, beside a thread on CPU 1 that never sleeps and never leaves the kernel.
fn pause_beside(hog: umpire_shared::program::Thread, kpreemptpri: i64) -> Program {
    Program::new(2).tunable(tunable::KPREEMPTPRI, kpreemptpri).thread(hog).event(
        100 * MS,
        Verb::Pause,
        0,
        &[MS as i64],
    )
}

#[test]
fn pause_of_a_kernel_loop_is_quick_whatever_kpreemptpri_says() {
    for kpreemptpri in [99, 100] {
        for seed in 0..100 {
            let vcpu = thread("vcpu", TS, 0, 1, VcpuLoop { exit_us: 20, ..VcpuLoop::defaults() });
            let mut sim = pause_beside(vcpu, kpreemptpri).boot(seed);
            sim.run_until_ok(150 * MS);
            let took = took_ns(&sim, 0).unwrap_or_else(|| panic!("seed {seed}: the pause never ended"));
            assert!(took < MS + MS / 10, "seed {seed}: pausing and going on took {took} ns");
            let before = sim.kernel().scenario_threads()[0].t_progress.get();
            sim.run_until_ok(200 * MS);
            let after = sim.kernel().scenario_threads()[0].t_progress.get();
            assert!(after > before + 1000, "seed {seed}: the loop did not go on");
        }
    }
}

#[test]
fn pause_of_a_thread_with_preemption_disabled_waits_for_it() {
    for seed in 0..10 {
        let hog = thread(
            "hog",
            TS,
            0,
            1,
            Pinned { how: How::Nopreempt, hold_us: 3_600_000_000, ..Pinned::defaults() },
        );
        let mut sim = pause_beside(hog, 99).boot(seed);
        sim.run_until_ok(250 * MS);
        assert_eq!(took_ns(&sim, 0), None, "seed {seed}: the pause cannot end");
        assert!(sim.kernel().k_cpus[1].cpu_kprunrun.get() != 0, "seed {seed}: the CPU was asked");
        assert!(sim.kernel().lbolt.get() > 20, "seed {seed}: the clock goes on");
    }
}

#[test]
fn pauses_one_after_the_other_under_load_end_and_lose_nobody() {
    for seed in 0..10 {
        let mut p = load::fair(4);
        for n in 0..20 {
            p = p.event((20 + n) * MS, Verb::Pause, 0, &[(n as i64 % 3) * 20_000]);
        }
        let mut sim = p.boot(seed);
        sim.run_until_ok(400 * MS);
        for n in 0..20 {
            let took = took_ns(&sim, n).unwrap_or_else(|| panic!("seed {seed}: pause {n} never ended"));
            assert!(took < 5 * MS, "seed {seed}: pause {n} took {took} ns");
        }
        let before: Vec<u64> = sim.kernel().scenario_threads().iter().map(|t| t.t_progress.get()).collect();
        sim.run_until_ok(SECOND);
        for (t, before) in sim.kernel().scenario_threads().iter().zip(before) {
            assert!(t.t_progress.get() > before, "seed {seed}: thread {} stands still", t.t_did);
        }
    }
}

#[test]
fn nothing_runs_while_the_cpus_are_paused() {
    for seed in 0..40 {
        let mut p = Program::new(4).event(50 * MS, Verb::Pause, 0, &[2 * MS as i64]);
        for cpu in 0..4 {
            // They spin in user mode: a thread at 60 does not preempt one that spins in the kernel.
            let spin = thread("spin", TS, 20, cpu, Spin { mode: Mode::User, ..Spin::defaults() });
            p = p.thread(spin).thread(thread("periodic", SYS, 60, cpu, Periodic::defaults()));
        }
        let mut sim = p.boot(seed);
        let progress = |sim: &Bench| -> Vec<u64> {
            sim.kernel().scenario_threads().iter().map(|t| t.t_progress.get()).collect()
        };
        sim.run_until_ok(50 * MS + MS / 2);
        let before = progress(&sim);
        sim.run_until_ok(51 * MS + MS / 2);
        assert_eq!(progress(&sim), before, "seed {seed}");
        sim.run_until_ok(200 * MS);
        let after = progress(&sim);
        assert!(after.iter().zip(&before).all(|(a, b)| a > b), "seed {seed}: {before:?}, then {after:?}");
    }
}
