//! Busy mixed loads over many seeds: the dispatcher's invariants hold at every look, and no thread is forgotten.
//!
//! # Invariants
//! - The kernel is only looked at between two steps of virtual time, when no CPU moves.

use std::ptr;
use umpire_shared::work::IntrRef;
use umpire_shared::work::compute::{LockMix, Spin};
use umpire_shared::work::network::SoftRing;

use crate::bench::queue::check_queue;
use crate::bench::{Bench, MS, Program, load, side_by_side, thread};
use umpire_kernel::cell::Cell;
use umpire_kernel::disp::NPRI;
use umpire_kernel::sys::thread::{lms, ts};
use umpire_kernel::{Cpu, Kernel, Kthread};
use umpire_shared::program::class::{SYS, TS};

/// True if every queue could be looked at.
fn check(kernel: &Kernel, what: &str) -> bool {
    let mut is_all = check_queue(&kernel.cp_default().cp_kp_queue, &format!("{what} kp"), |_, _| ());
    for cp in &kernel.k_cpus {
        is_all &= check_queue(&cp.cpu_disp, &format!("{what} cpu {}", cp.cpu_id), |_, _| ());
    }
    for cp in &kernel.k_cpus {
        check_cpu(kernel, cp, what);
    }
    let running: Vec<*const Kthread> =
        kernel.k_cpus.iter().filter_map(|c| c.cpu_thread.get()).map(ptr::from_ref).collect();
    for (n, t) in running.iter().enumerate() {
        assert!(!running[..n].contains(t), "{what}: one thread on two CPUs");
    }
    is_all
}

/// Checks what a CPU's words say of the thread that runs there, and that its queue holds no thread of the kp queue.
fn check_cpu(kernel: &Kernel, cp: &Cpu, what: &str) {
    if !cp.cpu_disp.disp_lock.is_held() && kernel.k_cpus.len() > 1 {
        for pri in kernel.k_disp.kpqpri.get() as usize..NPRI {
            let mut at = cp.cpu_disp.disp_q[pri].dq_first.get();
            while let Some(t) = at {
                assert!(t.is_bound(), "{what}: thread {} belongs on the kp queue", t.t_did);
                at = t.t_link.get();
            }
        }
    }
    let Some(t) = cp.cpu_thread.get().filter(|t| is_settled(cp, t)) else { return };
    assert_eq!(
        i32::from(cp.cpu_dispatch_pri.get()),
        t.pri(),
        "{what}: cpu_dispatch_pri of cpu {}",
        cp.cpu_id
    );
    // A thread that has chosen itself keeps both until it goes on.
    let still_waits = t.t_mstate.get() == lms::WAIT_CPU;
    assert!(t.t_waitrq.get() == 0 || still_waits, "{what}: thread {} runs and waits", t.t_did);
    assert!(t.t_disp_queue.is(&cp.cpu_disp) && t.t_cpu.is(cp), "{what}: thread {} is elsewhere", t.t_did);
}

/// True if `t` was chosen here, runs, and no CPU is changing it: in transition its lock is not the CPU's.
fn is_settled(cp: &Cpu, t: &Kthread) -> bool {
    cp.cpu_dispthread.is(t)
        && t.t_state.get() == ts::ONPROC
        && t.t_lockp.is(&cp.cpu_thread_lock)
        && !cp.cpu_thread_lock.is_held()
}

/// CPUs that run something worse than their queue's best without having been told to choose again. A switch in progress looks
/// like that for a moment (facts 2.17, 6).
fn untold(kernel: &Kernel) -> Vec<(u32, u64)> {
    let is_untold = |cp: &&Cpu| {
        let Some(t) = cp.cpu_thread.get().filter(|t| is_settled(cp, t)) else { return false };
        let best = i32::from(cp.cpu_disp.disp_maxrunpri.get());
        let is_told = if best >= kernel.k_disp.kpreemptpri.get() { &cp.cpu_kprunrun } else { &cp.cpu_runrun }
            .get()
            != 0;
        best > t.pri() && !is_told && t.pri() >= 0
    };
    kernel.k_cpus.iter().filter(is_untold).map(|cp| (cp.cpu_id, cp.cpu_stats.pswitch.get())).collect()
}

/// Looks again a little later if a CPU seems not to have been told: nothing but a lost flag lasts that long.
fn check_flags(sim: &mut Bench, now: u64, what: &str) {
    let suspects = untold(sim.kernel());
    if !suspects.is_empty() {
        sim.run_until_ok(now + MS / 50);
        let still = untold(sim.kernel());
        assert!(!suspects.iter().any(|s| still.contains(s)), "{what}: nobody told CPU and switch {still:?}");
    }
}

#[test]
fn mixed_load_keeps_the_invariants_and_lets_everybody_run() {
    let cases = [(8, 0), (4, 0), (3, 0), (3, 1), (2, 0), (2, 1), (1, 0), (1, 1)];
    side_by_side::for_each(cases.into_iter(), |(ncpus, seed)| {
        let mut sim = load::mixed(ncpus).boot(seed);
        let what = format!("ncpus {ncpus} seed {seed}");
        let mut looks = 0;
        // A starved thread is relieved once a second; on one CPU it may need several such turns.
        let step = if ncpus == 1 { 7 * MS } else { 7 * MS / 2 };
        for look in 1..=600 {
            let now = look * step;
            sim.run_until_ok(now);
            looks += u32::from(check(sim.kernel(), &what));
            check_flags(&mut sim, now, &what);
        }
        assert!(looks > 300, "{what}: only {looks} looks found every lock free");
        for t in sim.kernel().scenario_threads() {
            assert!(t.t_progress.get() > 0, "{what}: thread {} never ran", t.t_did);
        }
    });
}

#[test]
fn unbound_threads_use_every_cpu() {
    for seed in 0..10 {
        let mut p = Program::new(4);
        for _ in 0..4 {
            let spin = thread("spin", TS, 29, -1, Spin::defaults());
            p = p.thread(spin);
        }
        let mut sim = p.boot(seed);
        sim.run_until_ok(1000 * MS);
        for cpu in 0..4 {
            let ran = sim.ran_ns(cpu);
            assert!(ran > 900 * MS, "seed {seed}: cpu {cpu} ran {ran} ns of a second");
        }
    }
}

#[test]
fn idle_cpus_halt() {
    let mut sim = Program::new(4).boot(3);
    sim.run_until_ok(1000 * MS);
    for cpu in 0..4 {
        let ran = sim.ran_ns(cpu);
        assert!(ran < 10 * MS, "cpu {cpu} ran {ran} ns of an idle second");
    }
}

#[test]
fn a_packet_is_never_lost() {
    for seed in 0..4 {
        let mut sim = load::mixed(3).boot(seed);
        sim.run_until_ok(500 * MS);
        let kernel = sim.kernel();
        let brought = kernel.k_intr.devices[0].dev_count.get();
        let taken = kernel.k_net.soft_rings[0].s_ring_passed.get();
        assert!(brought >= 900, "seed {seed}: {brought} interrupts");
        assert!(brought - taken < 10, "seed {seed}: {brought} brought, {taken} taken");
    }
}

#[test]
fn a_mutex_whose_owner_was_preempted_is_slept_for() {
    let mut blocks = 0;
    for seed in 0..10 {
        let mut p = Program::new(1);
        // Only a thread at 99 preempts kernel-resident TS threads; then the best of them goes on, not the owner.
        let ring = thread("ring", SYS, 99, 0, SoftRing::defaults(IntrRef(0)));
        p = p.thread(ring).interrupt("nic0", 0, 6, 3000);
        for n in 0..4 {
            // The worst of them holds the mutex across a tick, at which the others wake.
            let hold_us = if n == 0 { 15_000 } else { 300 };
            let mix = LockMix { hold_us, think_us: 50, rest_ticks: 1, ..LockMix::defaults() };
            p = p.thread(thread("lock_mix", TS, 29 + n, -1, mix));
        }
        let mut sim = p.boot(seed);
        sim.run_until_ok(3000 * MS);
        let kernel = sim.kernel();
        blocks += kernel.k_work.locks[0].m_blocks.get();
        for t in kernel.scenario_threads() {
            assert!(
                t.t_progress.get() > 50,
                "seed {seed}: thread {} got in {} times",
                t.t_did,
                t.t_progress.get()
            );
        }
    }
    assert!(blocks > 10, "{blocks} sleeps for a mutex in ten runs");
}
