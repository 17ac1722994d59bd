//! Which thread preempts which: `cpu_resched`, `kpreempt` and the thresholds `kpreemptpri`, `kpqpri` and `upreemptpri`.
//!
//! # Invariants
//! - What is asserted follows from the thresholds alone, so it holds under every seed.

use crate::bench::{Bench, MS, Program, thread};
use umpire_kernel::Cpu;
use umpire_kernel::cell::Cell;
use umpire_kernel::kstat::CpuStats;
use umpire_shared::event::Kind;
use umpire_shared::program::class::{SYS, TS};
use umpire_shared::work::IntrRef;
use umpire_shared::work::broken::PilLoop;
use umpire_shared::work::compute::{Mode, Spin};
use umpire_shared::work::network::SoftRing;
use umpire_shared::work::vcpu::{AfterExit, Preempt, VcpuLoop};
use umpire_shared::{event, program, tunable};
use umpire_sim::TraceRecord;

const NOT_BOUND: i32 = -1;

/// A spinner that never sleeps.
fn hog(class: u32, pri: i32, cpu: i32, mode: Mode) -> program::Thread {
    thread("hog", class, pri, cpu, Spin { mode, chunk_us: 1000, ..Spin::defaults() })
}

/// A worker at 99 that nic0's packets wake.
fn ring(cpu: i32) -> program::Thread {
    thread("ring", SYS, 99, cpu, SoftRing::defaults(IntrRef(0)))
}

/// Two CPUs, each with a kernel-resident hog, and a ring; nic0 interrupts CPU 0.
fn two_hogs(kpreemptpri: i64, kpqpri: i64, ring_cpu: i32) -> Program {
    Program::new(2)
        .tunable(tunable::KPREEMPTPRI, kpreemptpri)
        .tunable(tunable::KPQPRI, kpqpri)
        .thread(ring(ring_cpu))
        .thread(hog(TS, 30, 0, Mode::Kernel))
        .thread(hog(TS, 30, 1, Mode::Kernel))
        .interrupt("nic0", 0, 6, 1000)
}

fn turns(sim: &Bench, thread: usize) -> u64 {
    sim.kernel().scenario_threads()[thread].t_progress.get()
}

fn cpu(sim: &Bench, n: usize) -> &Cpu {
    &sim.kernel().k_cpus[n]
}

/// The flags as `::cpuinfo` shows them.
fn runrun_kprunrun(cp: &Cpu) -> (bool, bool) {
    (cp.cpu_runrun.get() != 0, cp.cpu_kprunrun.get() != 0)
}

/// Runs for half a second, and checks which queue the ring used and whether it ever preempted a hog.
fn check_thresholds(kpreemptpri: i64, kpqpri: i64, ring_cpu: i32, uses_kpq: bool, preempts: bool) {
    for seed in 0..5 {
        let what = format!("kpreemptpri {kpreemptpri} kpqpri {kpqpri} cpu {ring_cpu} seed {seed}");
        let mut sim = two_hogs(kpreemptpri, kpqpri, ring_cpu).boot(seed);
        // By 0.9 ms the kernel's own threads, which are at 99 and not bound, have gone to sleep.
        sim.run_until_ok(MS - MS / 10);
        let before = sim.kernel().cp_default().cp_kp_queue.disp_enqueues.get();
        sim.run_until_ok(500 * MS);
        let kpq = &sim.kernel().cp_default().cp_kp_queue;
        assert_eq!(kpq.disp_enqueues.get() != before, uses_kpq, "{what}: used the kp queue");
        let turns = turns(&sim, 0);
        if preempts {
            assert!(turns > 450, "{what}: the ring had {turns} turns");
            continue;
        }
        assert!(turns < 3, "{what}: the ring had {turns} turns");
        let on_cpu_queues =
            sim.kernel().k_cpus.iter().filter(|c| c.cpu_disp.disp_maxrunpri.get() == 99).count();
        assert_eq!(i32::from(kpq.disp_maxrunpri.get()), if uses_kpq { 99 } else { -1 }, "{what}");
        assert_eq!(on_cpu_queues, usize::from(!uses_kpq), "{what}: CPU queues with a 99");
        let asked = sim.kernel().k_cpus.iter().filter(|c| runrun_kprunrun(c) == (true, false)).count();
        assert!(asked >= 1, "{what}: nobody was asked to leave for user mode");
        assert!(sim.kernel().k_cpus.iter().all(|c| c.cpu_kprunrun.get() == 0), "{what}: kprunrun");
    }
}

#[test]
fn a_bound_99_preempts_the_kernel_from_kpreemptpri_99_on() {
    check_thresholds(100, 100, 1, false, false);
    check_thresholds(100, 99, 1, false, false);
    check_thresholds(99, 100, 1, false, true);
    check_thresholds(99, 99, 1, false, true);
}

#[test]
fn an_unbound_99_uses_the_kp_queue_from_kpqpri_99_on() {
    check_thresholds(100, 100, NOT_BOUND, false, false);
    check_thresholds(100, 99, NOT_BOUND, true, false);
    check_thresholds(99, 100, NOT_BOUND, false, true);
    check_thresholds(99, 99, NOT_BOUND, true, true);
}

#[test]
fn kpqpri_follows_kpreemptpri_by_default() {
    check_thresholds(100, -1, NOT_BOUND, false, false);
    check_thresholds(99, -1, NOT_BOUND, true, true);
}

#[test]
fn only_intr_kpreempt_raises_kpreemptpri_and_leaves_kpqpri() {
    let mut sim = two_hogs(99, -1, 1).tunable(tunable::ONLY_INTR_KPREEMPT, 1).boot(1);
    sim.run_until_ok(100 * MS);
    assert_eq!(sim.kernel().k_disp.kpreemptpri.get(), 100);
    assert_eq!(sim.kernel().k_disp.kpqpri.get(), 99);
    assert!(turns(&sim, 0) < 3, "the ring had {} turns", turns(&sim, 0));
}

#[test]
fn an_equal_never_preempts() {
    for (hog_pri, preempts) in [(99, false), (98, true)] {
        for seed in 0..5 {
            let p = Program::new(2).thread(ring(1)).thread(hog(SYS, hog_pri, 1, Mode::Kernel));
            let mut sim = p.interrupt("nic0", 0, 6, 1000).boot(seed);
            sim.run_until_ok(300 * MS);
            let turns = turns(&sim, 0);
            assert_eq!(turns > 250, preempts, "hog at {hog_pri} seed {seed}: the ring had {turns} turns");
            assert!(preempts || turns < 3, "hog at {hog_pri} seed {seed}: the ring had {turns} turns");
            assert_eq!(runrun_kprunrun(cpu(&sim, 1)), (false, false), "hog at {hog_pri} seed {seed}");
            let asked = cpu(&sim, 1).cpu_stats.kpc_apreempt.get();
            assert!(preempts || asked == 0, "hog at {hog_pri} seed {seed}: asked {asked} times");
        }
    }
}

#[test]
fn a_preempted_sys_thread_stays_ahead_of_its_equals() {
    let p = Program::new(2).thread(ring(1)).thread(hog(SYS, 70, 1, Mode::Kernel)).thread(hog(
        SYS,
        70,
        1,
        Mode::Kernel,
    ));
    let mut sim = p.interrupt("nic0", 0, 6, 1000).traced().boot(1);
    sim.run_until_ok(300 * MS);
    assert!(turns(&sim, 0) > 250, "the ring had {} turns", turns(&sim, 0));
    assert!(turns(&sim, 1) > 200, "the first hog had {} turns", turns(&sim, 1));
    assert_eq!(turns(&sim, 2), 0, "the second hog");
    let first_hog = sim.kernel().scenario_threads()[1].t_did;
    let requeues: Vec<bool> = sim
        .take_trace()
        .iter()
        .filter(|e| e.kind == Kind::Enqueue && e.thread == first_hog)
        .map(|e| event::at_head(e.arg))
        .collect();
    assert!(requeues[1..].iter().all(|&is_front| is_front), "after its first, all enqueues are at the head");
}

/// Whether CPU 0 poked right after each `Enqueue` of a thread, in order; it may have raised a flag in between.
fn poked_after_enqueue(trace: &[TraceRecord], thread: u32) -> Vec<bool> {
    let on_cpu0: Vec<&TraceRecord> = trace.iter().filter(|e| e.cpu == 0).collect();
    let enqueues =
        (0..on_cpu0.len()).filter(|&n| on_cpu0[n].kind == Kind::Enqueue && on_cpu0[n].thread == thread);
    let is_flag = |e: &&&TraceRecord| matches!(e.kind, Kind::RunrunRaise | Kind::KprunrunRaise);
    let next = |n: usize| on_cpu0[n + 1..].iter().find(|e| !is_flag(e));
    enqueues.map(|n| next(n).is_some_and(|e| e.kind == Kind::Poke)).collect()
}

#[test]
fn a_second_99_behind_a_99_triggers_nothing() {
    for seed in 0..5 {
        let p = Program::new(2).tunable(tunable::KPREEMPTPRI, 100);
        let p = p.thread(ring(1)).thread(ring(1)).thread(hog(TS, 30, 1, Mode::Kernel));
        let mut sim = p.interrupt("nic0", 0, 6, 1000).traced().boot(seed);
        // Before the first packet the rings run and go to sleep.
        sim.run_until_ok(MS / 2);
        sim.take_trace();
        sim.run_until_ok(20 * MS);
        let did = [0, 1].map(|n| sim.kernel().scenario_threads()[n].t_did);
        let trace = sim.take_trace();
        assert_eq!(poked_after_enqueue(&trace, did[0]), [true], "seed {seed}: the first");
        assert_eq!(poked_after_enqueue(&trace, did[1]), [false], "seed {seed}: the second");
    }
}

#[test]
fn a_99_behind_a_99_does_not_even_set_flags() {
    // The second is enqueued after the test has cleared the flag that the first one set.
    let second = thread("ring", SYS, 99, 1, SoftRing::defaults(IntrRef(1)));
    let p = Program::new(2).tunable(tunable::KPREEMPTPRI, 100).thread(ring(1)).thread(second);
    let p = p.thread(hog(SYS, 60, 1, Mode::Kernel)).interrupt("nic0", 0, 6, 1000).interrupt("nic1", 0, 6, 10);
    let mut sim = p.boot(1);
    sim.run_until_ok(50 * MS + MS / 2);
    assert_eq!(runrun_kprunrun(cpu(&sim, 1)), (true, false));
    cpu(&sim, 1).cpu_runrun.set(0);
    sim.run_until_ok(150 * MS);
    let level = &cpu(&sim, 1).cpu_disp.disp_q[99];
    assert_eq!(level.dq_sruncnt.get(), 2);
    assert_eq!(runrun_kprunrun(cpu(&sim, 1)), (false, false));
}

#[test]
fn a_better_thread_behind_a_set_flag_does_not_poke_again() {
    let mut lesser = ring(1);
    lesser.pri = 90;
    let p = Program::new(2).tunable(tunable::KPREEMPTPRI, 100).thread(lesser).thread(ring(1));
    let mut sim = p.thread(hog(SYS, 60, 1, Mode::Kernel)).interrupt("nic0", 0, 6, 1000).traced().boot(1);
    sim.run_until_ok(MS / 2);
    sim.take_trace();
    sim.run_until_ok(20 * MS);
    let did = [0, 1].map(|n| sim.kernel().scenario_threads()[n].t_did);
    let trace = sim.take_trace();
    assert_eq!(poked_after_enqueue(&trace, did[0]), [true], "the lesser");
    assert_eq!(poked_after_enqueue(&trace, did[1]), [false], "the better");
}

#[test]
fn user_mode_honours_runrun_whatever_kpreemptpri_says() {
    for seed in 0..5 {
        let p = Program::new(2).tunable(tunable::KPREEMPTPRI, 100);
        let p = p.thread(ring(1)).thread(hog(TS, 30, 1, Mode::User)).interrupt("nic0", 0, 6, 1000).traced();
        let mut sim = p.boot(seed);
        sim.run_until_ok(300 * MS);
        assert!(turns(&sim, 0) > 280, "seed {seed}: the ring had {} turns", turns(&sim, 0));
    }
}

#[test]
fn upreemptpri_above_a_thread_keeps_it_from_preempting_user_mode() {
    let p = Program::new(2).tunable(tunable::KPREEMPTPRI, 100).tunable(tunable::UPREEMPTPRI, 100);
    // SYS and user mode: no tick, no surrender.
    let mut user = hog(SYS, 60, 1, Mode::User);
    user.lwp = true;
    let mut sim = p.thread(ring(1)).thread(user).interrupt("nic0", 0, 6, 1000).boot(1);
    sim.run_until_ok(300 * MS);
    assert_eq!(runrun_kprunrun(cpu(&sim, 1)), (false, false));
    assert!(turns(&sim, 0) < 3, "the ring had {} turns", turns(&sim, 0));
}

#[test]
fn a_thread_with_preemption_disabled_is_asked_in_vain_until_it_enables_it() {
    for seed in 0..5 {
        let mut sim = two_hogs(99, 99, 1).boot(seed);
        sim.run_until_ok(100 * MS + 500_000);
        // A6: this is as if the hog on CPU 1 had called kpreempt_disable. It is computing now.
        let hog = &sim.kernel().scenario_threads()[2];
        assert!(cpu(&sim, 1).cpu_thread.is(hog), "seed {seed}: the hog computes");
        hog.t_preempt.set(1);
        let before = counts(cpu(&sim, 1), turns(&sim, 0));
        sim.run_until_ok(300 * MS + 500_000);
        let after = counts(cpu(&sim, 1), turns(&sim, 0));
        // The CPU refuses to be preempted by the poke, by the deadman's cyclic, once a second, and by each tick's poke.
        assert!(after.blocked > before.blocked + 10, "seed {seed}: {before:?} {after:?}");
        assert_eq!(after.apreempt, before.apreempt, "seed {seed}");
        assert_eq!(after.turns, before.turns, "seed {seed}");
        assert_eq!(runrun_kprunrun(cpu(&sim, 1)), (true, true), "seed {seed}");
        assert!(sim.kernel().lbolt.get() >= 29, "seed {seed}: the clock ticks all the same");
        sim.kernel().scenario_threads()[2].t_preempt.set(0);
        sim.run_until_ok(400 * MS);
        assert!(turns(&sim, 0) > before.turns + 50, "seed {seed}: the ring goes on");
    }
}

#[derive(Debug)]
struct Counts {
    blocked: u64,
    apreempt: u64,
    turns: u64,
}

fn counts(cp: &Cpu, turns: u64) -> Counts {
    Counts { blocked: cp.cpu_stats.kpc_blocked.get(), apreempt: cp.cpu_stats.kpc_apreempt.get(), turns }
}

#[test]
fn a_preemption_from_an_interrupt_counts_as_asynchronous() {
    let mut sim = two_hogs(99, 99, 1).boot(1);
    sim.run_until_ok(300 * MS);
    let stats: &CpuStats = &cpu(&sim, 1).cpu_stats;
    assert!(stats.kpc_apreempt.get() > 250, "{} asynchronous", stats.kpc_apreempt.get());
    assert!(stats.inv_swtch.get() >= stats.kpc_apreempt.get());
    assert_eq!(stats.kpc_spreempt.get(), 0, "synchronous");
    assert_eq!(stats.kpc_blocked.get(), 0, "blocked");
}

#[test]
fn kpreempt_enable_preempts_synchronously() {
    // This is the ticket's workaround, with an exit every 20 us.
    let work = VcpuLoop { after_exit: AfterExit::ForceKprunrun, ..VcpuLoop::defaults() };
    let vcpu = thread("vcpu", TS, 0, 1, work);
    let p = Program::new(2).tunable(tunable::KPREEMPTPRI, 100).thread(ring(1)).thread(vcpu);
    let mut sim = p.interrupt("nic0", 0, 6, 1000).boot(1);
    sim.run_until_ok(100 * MS);
    let stats = &cpu(&sim, 1).cpu_stats;
    assert!(stats.kpc_spreempt.get() > 3000, "{} synchronous", stats.kpc_spreempt.get());
    assert!(turns(&sim, 0) > 90, "the ring had {} turns", turns(&sim, 0));
}

#[test]
fn a_high_priority_level_refuses_and_asks_again_when_it_is_lowered() {
    let high = thread("pil_loop", TS, 30, 1, PilLoop { pil: 13, after_us: 10_000 });
    let p = Program::new(2).thread(ring(1)).thread(high).interrupt("nic0", 0, 6, 1000);
    // Only the deadman's timer gets through, once a second.
    let mut sim = p.boot(1);
    sim.run_until_ok(2500 * MS);
    let stats = &cpu(&sim, 1).cpu_stats;
    assert!(stats.kpc_prilevel.get() >= 2, "{} refused", stats.kpc_prilevel.get());
    assert_eq!(cpu(&sim, 1).cpu_kprunrun.get(), 1);
    assert!(turns(&sim, 0) < 15, "the ring had {} turns", turns(&sim, 0));
}

#[test]
fn an_interrupt_handler_is_not_preempted() {
    // The rings are bound to the device's CPU: the handler wakes both before the first of them may run.
    for mode in [Mode::Kernel, Mode::User] {
        for seed in 0..5 {
            let p = Program::new(2).thread(ring(0)).thread(ring(0)).thread(hog(TS, 30, 0, mode));
            let mut sim = p.interrupt("nic0", 0, 6, 1000).traced().boot(seed);
            sim.run_until_ok(MS / 2);
            sim.take_trace();
            sim.run_until_ok(300 * MS);
            let dids = [0, 1].map(|n| sim.kernel().scenario_threads()[n].t_did);
            let mut woken = 0;
            let mut handled = 0;
            for e in sim.take_trace().iter().filter(|e| e.cpu == 0 && dids.contains(&e.thread)) {
                match e.kind {
                    Kind::Wakeup => woken += 1,
                    Kind::OnCpu => {
                        assert!(
                            woken != 1,
                            "mode {mode:?} seed {seed}: a ring ran in the middle of the handler"
                        );
                        handled += u64::from(woken == 2);
                        woken = 0;
                    }
                    _ => {}
                }
            }
            assert!(handled > 250, "mode {mode:?} seed {seed}: {handled} interrupts");
            let stats = &cpu(&sim, 0).cpu_stats;
            assert!(
                stats.kpc_intr.get() > 250,
                "mode {mode:?} seed {seed}: {} refused",
                stats.kpc_intr.get()
            );
            assert_eq!(
                cpu(&sim, 0).cpu_intr_actv.get() & 1 << 6,
                0,
                "mode {mode:?} seed {seed}: level 6 is over"
            );
        }
    }
}

#[test]
fn an_interrupt_on_top_of_a_handler_does_not_preempt_it() {
    // nic0 wakes the ring; nic1, due at the same time at a lower level, computes for 150 us, under a tick each 100 us.
    for mode in [Mode::Kernel, Mode::User] {
        let p = Program::new(2).tunable(tunable::HZ, 10_000).tunable(tunable::INTR_COST_NSEC, 150_000);
        let p = p.thread(ring(0)).thread(hog(TS, 30, 0, mode));
        let p = p.interrupt("nic0", 0, 6, 1000).interrupt("nic1", 0, 5, 1000);
        let mut sim = p.traced().boot(1);
        sim.run_until_ok(300 * MS);
        let ring = sim.kernel().scenario_threads()[0].t_did;
        let mut woken_at = None;
        let mut turns = 0;
        for e in sim.take_trace().iter().filter(|e| e.thread == ring) {
            match (e.kind, woken_at) {
                (Kind::Wakeup, _) => woken_at = Some(e.time_ns),
                (Kind::OnCpu, Some(at)) => {
                    let after = e.time_ns - at;
                    assert!(
                        after > 140_000,
                        "mode {mode:?}: it ran {after} ns after its wake-up, inside nic1's handler"
                    );
                    turns += 1;
                    woken_at = None;
                }
                _ => {}
            }
        }
        assert!(turns > 250, "mode {mode:?}: {turns} turns");
    }
}

/// The longest time, in ns, for which the ring waits behind a loop that asks to be preempted aggressively for 3 ms at a time.
fn longest_wait_behind_an_aggressive_loop(seed: u64) -> u64 {
    let vcpu = thread(
        "vcpu",
        SYS,
        60,
        1,
        VcpuLoop { exit_us: 3_000, preempt: Preempt::Aggressively, ..VcpuLoop::defaults() },
    );
    let rate = 5_000 + 13 * (seed % 101);
    let p = Program::new(2).traced().thread(ring(1)).thread(vcpu).interrupt("nic0", 0, 6, rate);
    let mut sim = p.tunable(tunable::KPREEMPTPRI, 100).boot(seed);
    sim.run_until_ok(40 * MS);
    let ring = sim.kernel().scenario_threads()[0].t_did;
    let (mut worst, mut woken) = (0, None);
    for e in sim.take_trace().iter().filter(|e| e.thread == ring) {
        match e.kind {
            Kind::Wakeup => woken = Some(e.time_ns),
            Kind::OnCpu => worst = worst.max(woken.take().map_or(0, |at| e.time_ns - at)),
            _ => {}
        }
    }
    assert!(worst > 0, "seed {seed}: nobody was woken");
    worst
}

#[test]
fn who_is_woken_while_a_loop_begins_to_be_aggressive_is_not_overlooked() {
    for seed in 0..400 {
        let worst = longest_wait_behind_an_aggressive_loop(seed);
        assert!(worst < 200_000, "seed {seed}: the ring waited {worst} ns");
    }
}
