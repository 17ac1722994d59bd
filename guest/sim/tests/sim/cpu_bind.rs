//! Bindings made and broken while threads run: `processor_bind`, affinity, weak bindings.
//!
//! # Invariants
//! - The workload `pinned` itself checks that it is not moved, and panics if it is.

use std::cell::Cell;
use std::rc::Rc;

use crate::bench::{Bench, MS, Program, name, thread};
use umpire_kernel::cell::Cell as _;
use umpire_kernel::cpu::online::{POnline, p_online};
use umpire_kernel::platform;
use umpire_shared::event::Kind;
use umpire_shared::program::class::{FX, SYS, TS};
use umpire_shared::program::{Verb, binding};
use umpire_shared::work::compute::{Mode, Periodic, Spin};
use umpire_shared::work::placement::{How, Pinned};
use umpire_shared::work::vcpu::VcpuLoop;
use umpire_shared::{errno, tunable};

const HARD: i64 = binding::HARD as i64;

#[track_caller]
fn errno_of(sim: &Bench, n: usize) -> u32 {
    let e = &sim.kernel().k_events[n];
    assert_ne!(e.ev_ended_ns.get(), 0, "seed {}: event {n} is not over", sim.seed);
    e.ev_errno.get()
}

#[test]
fn bind_moves_a_thread_that_never_leaves_the_kernel() {
    for seed in 0..100 {
        let vcpu = thread("vcpu", TS, 0, -1, VcpuLoop { exit_us: 20, ..VcpuLoop::defaults() });
        let mut sim = Program::new(3)
            .thread(vcpu)
            .event(50 * MS, Verb::Bind, 0, &[1, HARD])
            .event(100 * MS, Verb::Bind, 0, &[2, HARD])
            .event(150 * MS, Verb::Bind, 0, &[7, HARD])
            .boot(seed);
        for (at, cpu) in [(60, 1), (110, 2), (160, 2)] {
            sim.run_until_ok(at * MS);
            let t = &sim.kernel().scenario_threads()[0];
            assert_eq!((t.cpu().cpu_id, t.t_bind_cpu.get()), (cpu, cpu as i32), "seed {seed} at {at} ms");
        }
        assert_eq!([0, 1, 2].map(|n| errno_of(&sim, n)), [0, 0, errno::EINVAL], "seed {seed}");
    }
}

#[test]
fn who_is_bound_to_a_cpu_cannot_take_it_offline_and_stays_bound_there() {
    let mut admin = thread("admin", TS, 30, 1, Spin::defaults());
    admin.binding = binding::HARD;
    let mut sim = Program::new(2).thread(admin).boot(1);
    let asked = Rc::new(Cell::new(false));
    let told = Rc::clone(&asked);
    sim.run_instead(move |t| {
        if name(t) != "admin" || told.replace(true) {
            return false;
        }
        // Forced, it breaks the hard bindings of others; the caller would go on where nobody may.
        assert_eq!(p_online(1, POnline::OfflineForced), errno::EBUSY);
        assert_eq!((t.t_bind_cpu.get(), platform::cpu().cpu_id), (1, 1));
        true
    });
    sim.run_until_ok(50 * MS);
    assert!(asked.get(), "the thread has run");
}

#[test]
fn thread_that_is_unbound_while_it_waits_is_taken_by_an_idle_cpu() {
    for seed in 0..50 {
        let mut p = Program::new(2).traced();
        for _ in 0..2 {
            let mut spin = thread("spin", TS, 20, 1, Spin { mode: Mode::User, ..Spin::defaults() });
            spin.binding = binding::HARD;
            p = p.thread(spin);
        }
        // Both are unbound; the CPU that has nothing to do must see the one that then waits.
        let p = p.event(50 * MS, Verb::Bind, 0, &[-1, HARD]).event(50 * MS, Verb::Bind, 1, &[-1, HARD]);
        let mut sim = p.boot(seed);
        sim.run_until_ok(49 * MS);
        assert!(sim.ran_ns(0) < 5 * MS, "seed {seed}: CPU 0 ran {} ns", sim.ran_ns(0));
        sim.run_until_ok(150 * MS);
        assert!(sim.ran_ns(0) > 70 * MS, "seed {seed}: CPU 0 ran {} ns", sim.ran_ns(0));
        assert!(sim.take_trace().iter().any(|e| e.kind == Kind::Steal), "seed {seed}");
    }
}

#[test]
fn last_level_is_looked_at_when_those_above_have_only_bound_threads_left() {
    for seed in 0..20 {
        let bound = |class, pri, mode| {
            let mut t = thread("bound", class, pri, 1, Spin { mode, ..Spin::defaults() });
            (t.binding, t.lwp) = (binding::HARD, class == FX);
            t
        };
        let waits = |pri| bound(FX, pri, Mode::User);
        // CPU 1 is nobody's but the hog's, so what waits there runs only if another CPU takes it.
        let hog = bound(SYS, 60, Mode::Kernel);
        let p = Program::new(3).thread(waits(10)).thread(waits(0)).thread(waits(10)).thread(hog);
        // One thread unbinds both, one after the other: the better one goes, and leaves its level to a thread that is bound.
        let p = p.event(50 * MS, Verb::Bind, 0, &[-1, HARD]).event(50 * MS, Verb::Bind, 1, &[-1, HARD]);
        let mut sim = p.boot(seed);
        sim.run_until_ok(100 * MS);
        assert_eq!([0, 1].map(|n| errno_of(&sim, n)), [0, 0], "seed {seed}");
        let mut cpus = [0, 1, 2].map(|n| sim.kernel().scenario_threads()[n].cpu().cpu_id);
        cpus[..2].sort_unstable();
        assert_eq!(
            cpus,
            [0, 2, 1],
            "seed {seed}: where the two that were unbound, and the one that was not, are"
        );
    }
}

/// Threads that forbid their migration and allow it again, among others that are stolen, with a CPU that comes and goes.
fn pinned(how: How) -> Program {
    let mut p = Program::new(3).tunable(tunable::NOSTEAL_NSEC, 0);
    for n in 0..5 {
        let t = thread(
            "pinned",
            TS,
            25 + n,
            -1,
            Pinned { how, hold_us: 400, think_us: 150, rest_ticks: u64::from(n == 0) },
        );
        p = p.thread(t);
        let periodic = thread(
            "periodic",
            TS,
            40,
            -1,
            Periodic { busy_us: 900, mode: Mode::User, ..Periodic::defaults() },
        );
        p = p.thread(periodic);
    }
    for n in 0..4 {
        p = p.event((30 + 40 * n) * MS, Verb::Offline, 2, &[]);
        p = p.event((50 + 40 * n) * MS, Verb::Online, 2, &[]);
    }
    p
}

#[test]
fn nomigrate_holds_while_a_cpu_comes_and_goes() {
    for how in [How::Nomigrate, How::Nopreempt] {
        for seed in 0..50 {
            let mut sim = pinned(how).boot(seed);
            sim.run_until_ok(300 * MS);
            let kernel = sim.kernel();
            let done: u64 = kernel.scenario_threads().iter().step_by(2).map(|t| t.t_progress.get()).sum();
            assert!(done > 300, "how {how:?} seed {seed}: {done} turns");
            assert!((0..8).all(|n| errno_of(&sim, n) == 0), "how {how:?} seed {seed}");
            let moved: u64 = kernel.k_cpus.iter().map(|c| c.cpu_stats.cpumigrate.get()).sum();
            assert!(moved > 5, "how {how:?} seed {seed}: the threads were never moved at all");
        }
    }
}
