//! Idle CPUs: halting without missing a wake-up, looking for work beyond one another, and the races of 11.B with their
//! deliberate bugs.
//!
//! # Invariants
//! - The check that shows a bug is the one that the honest kernel passes under every seed.

use crate::bench::{Bench, MS, Program, thread};
use umpire_kernel::Kernel;
use umpire_kernel::cell::Cell;
use umpire_kernel::sys::cpu::CPU_IDLE_PRI;
use umpire_kernel::sys::thread::ts;
use umpire_shared::event::Kind;
use umpire_shared::program::class::{SYS, TS};
use umpire_shared::program::{Interrupt, Thread};
use umpire_shared::work::IntrRef;
use umpire_shared::work::compute::{Periodic, Spin};
use umpire_shared::work::network::SoftRing;
use umpire_shared::{mutant, tunable};

const US: u64 = MS / 1000;

fn periodic(class: u32, pri: i32, cpu: i32, busy_us: u64) -> Thread {
    thread("periodic", class, pri, cpu, Periodic { busy_us, ..Periodic::defaults() })
}

/// An unbound worker that an interrupt on CPU 0 wakes.
fn worker(pri: i32, source: u32, cost_us: u64) -> Thread {
    thread("ring", SYS, pri, -1, SoftRing { cost_us, ..SoftRing::defaults(IntrRef(source)) })
}

/// Unbound threads that wait on a CPU's queue or the kp queue, each with the time of its enqueue, if some CPU idles.
fn waits_beside_idle(kernel: &Kernel) -> Vec<(u32, u64)> {
    let is_idle =
        |c: &umpire_kernel::Cpu| c.cpu_dispatch_pri.get() == CPU_IDLE_PRI && c.cpu_intr_actv.get() == 0;
    if !kernel.k_cpus.iter().any(is_idle) {
        return Vec::new();
    }
    let waiting = kernel.k_threads.iter().filter(|t| t.t_state.get() == ts::RUN && !t.is_bound());
    waiting.map(|t| (t.t_did, t.t_waitrq.get())).collect()
}

/// Looks every 10 us. Returns how often a thread had waited beside an idle CPU for 40 us, ten times as long as a wake-up takes.
fn forgotten(sim: &mut Bench, until_ms: u64) -> usize {
    const LOOKS: u32 = 4;
    let mut seen: Vec<((u32, u64), u32)> = Vec::new();
    let mut count = 0;
    for look in 0..until_ms * 100 {
        sim.run_until_ok(look * 10 * US);
        let times = |w| seen.iter().find(|s| s.0 == w).map_or(1, |s| s.1 + 1);
        seen = waits_beside_idle(sim.kernel()).into_iter().map(|w| (w, times(w))).collect();
        count += seen.iter().filter(|s| s.1 == LOOKS).count();
    }
    count
}

/// CPU 0 takes interrupts and wakes workers on the kp queue. It is busy itself; the others halt between two wake-ups.
fn wakeups() -> Program {
    let hog = thread("hog", SYS, 98, 0, Spin::defaults());
    let mut p = Program::new(3).thread(hog);
    for (n, rate_hz) in [3100, 2900, 2300].into_iter().enumerate() {
        // Each interrupt wakes one worker, with pauses between, so that no later wake-up finds what was lost.
        p = p.thread(worker(99, n as u32, 10 + 7 * n as u64)).interrupt("nic", 0, 6, rate_hz);
    }
    p
}

#[test]
fn halting_cpus_miss_no_wakeup() {
    for seed in 0..30 {
        let lost = forgotten(&mut wakeups().boot(seed), 150);
        assert_eq!(lost, 0, "seed {seed}");
    }
}

#[test]
fn halt_before_publish_loses_wakeups() {
    let lost: usize = (0..30)
        .map(|seed| forgotten(&mut wakeups().mutant(mutant::HALT_BEFORE_PUBLISH).boot(seed), 150))
        .sum();
    assert!(lost > 5, "{lost} wake-ups were lost");
}

/// CPU 1 idles under a handler that hardly ever ends, CPU 2 has one thread too many, CPU 0 has nothing to do.
fn pinned_idle() -> Program {
    let mut storm = Interrupt::named("storm", 1, 5, 1000);
    storm.cost_ns = 1_000_000;
    // It begins at the first moment, before the CPU has found work.
    storm.start_ns = 1;
    let mut p = Program::new(3).device(storm).tunable(tunable::NOSTEAL_NSEC, 0);
    // A thread begins on the CPU of its number modulo 3: the two spinners begin on CPU 2, and the others sleep nearly always.
    for n in 0..6 {
        let is_spinner = n % 3 == 2;
        let (cpu, busy_us, sleep_ticks) = if is_spinner { (-1, 1_000_000, 1) } else { (0, 1, 1_000) };
        let work = Periodic { busy_us, sleep_ticks, ..Periodic::defaults() };
        p = p.thread(thread("spin", TS, 20, cpu, work));
    }
    p
}

#[test]
fn idle_cpu_looks_past_one_that_an_interrupt_pins() {
    for seed in 0..20 {
        let lost = forgotten(&mut pinned_idle().boot(seed), 100);
        assert_eq!(lost, 0, "seed {seed}");
    }
}

#[test]
fn blinded_idle_leaves_work_behind_an_idle_cpu() {
    let lost: usize =
        (0..20).map(|seed| forgotten(&mut pinned_idle().mutant(mutant::BLINDED_IDLE).boot(seed), 100)).sum();
    assert!(lost > 5, "{lost} threads waited beside an idle CPU");
}

/// CPUs that are settled on a thread worse than the best of their own queue, and have not been told of it.
fn untold(kernel: &Kernel) -> Vec<(u32, u64)> {
    let is_untold = |cp: &&umpire_kernel::Cpu| {
        let Some(t) = cp.cpu_thread.get() else { return false };
        let is_settled = cp.cpu_dispthread.is(t)
            && t.t_state.get() == ts::ONPROC
            && !cp.cpu_thread_lock.is_held()
            && !cp.cpu_disp.disp_lock.is_held();
        let best = i32::from(cp.cpu_disp.disp_maxrunpri.get());
        let flags = cp.cpu_runrun.get() | cp.cpu_kprunrun.get();
        is_settled && t.pri() >= 0 && best > t.pri() && flags == 0
    };
    kernel.k_cpus.iter().filter(is_untold).map(|cp| (cp.cpu_id, cp.cpu_stats.pswitch.get())).collect()
}

/// Looks every 10 us. Returns how often a CPU stayed untold, in the same switch, for 20 us.
fn never_told(sim: &mut Bench, until_ms: u64) -> usize {
    let mut before: [Vec<(u32, u64)>; 2] = Default::default();
    let mut count = 0;
    for look in 0..until_ms * 100 {
        sim.run_until_ok(look * 10 * US);
        let now = untold(sim.kernel());
        count += now.iter().filter(|w| before.iter().all(|b| b.contains(w))).count();
        let [last, _] = before;
        before = [now, last];
    }
    count
}

/// Workers at 61 that take long, from the kp queue or from each other's CPUs; bound ones at 99 that displace them; and bound ones
/// at 80 that arrive at any time, above all during a switch or a steal.
///
/// The rates are divided by `slower`: the mutants are slow, and need pauses in which a loss can be seen.
fn arrivals(kpqpri: i64, slower: u64) -> Program {
    let mut p = Program::new(4).tunable(tunable::NOSTEAL_NSEC, 0).tunable(tunable::KPQPRI, kpqpri);
    for n in 0..4_u32 {
        for (pri, source, cost) in [(99, n, 25), (80, (n + 1) % 4, 3)] {
            let mut bound = worker(pri, source, cost);
            bound.cpu = n as i32;
            p = p.thread(bound);
        }
        let rate_hz = [9100, 7700, 8300, 6900][n as usize] / slower;
        p = p.thread(worker(61, n, 70 * slower)).interrupt("nic", n, 6, rate_hz);
    }
    p
}

/// Unbound threads wait on the kp queue from 60 on.
const KP: i64 = 60;
/// They wait on CPUs' queues below 99.
const CPUS: i64 = 99;

#[test]
fn every_cpu_is_told_of_better_work() {
    for seed in 0..20 {
        for kpqpri in [KP, CPUS] {
            let untold = never_told(&mut arrivals(kpqpri, 1).boot(seed), 60);
            assert_eq!(untold, 0, "seed {seed} kpqpri {kpqpri}");
        }
    }
}

#[test]
fn without_ratify_a_cpu_is_not_told() {
    let untold: usize =
        (0..20).map(|seed| never_told(&mut arrivals(KP, 6).mutant(mutant::NO_RATIFY).boot(seed), 60)).sum();
    assert!(untold > 0, "every CPU was told");
}

#[test]
fn with_final_steals_a_cpu_is_not_told() {
    let untold: usize = (0..20)
        .map(|seed| never_told(&mut arrivals(CPUS, 6).mutant(mutant::NO_STEAL_BARRIER).boot(seed), 60))
        .sum();
    assert!(untold > 0, "every CPU was told");
}

#[test]
fn one_cpu_never_uses_the_kp_queue_and_never_steals() {
    for seed in 0..40 {
        let p = Program::new(1).thread(worker(99, 0, 20)).thread(periodic(SYS, 99, -1, 300));
        let mut sim = p.interrupt("nic0", 0, 6, 2000).thread(periodic(TS, 30, -1, 900)).traced().boot(seed);
        sim.run_until_ok(200 * MS);
        assert_eq!(sim.kernel().cp_default().cp_kp_queue.disp_enqueues.get(), 0, "seed {seed}");
        assert!(sim.take_trace().iter().all(|e| e.kind != Kind::Steal), "seed {seed}");
        assert!(sim.kernel().scenario_threads()[0].t_progress.get() > 300, "seed {seed}");
    }
}

/// The number of steals and the longest wait for one, when threads that have waited for less than `nosteal_ns` are not stolen.
fn steals(nosteal_ns: i64, seed: u64) -> (usize, u64) {
    let mut p = Program::new(2).traced().tunable(tunable::NOSTEAL_NSEC, nosteal_ns);
    let hog = thread("hog", SYS, 60, 0, Spin::defaults());
    p = p.thread(hog).thread(periodic(TS, 30, -1, 200)).thread(periodic(TS, 30, 0, 200));
    for _ in 0..3 {
        p = p.thread(periodic(TS, 31, -1, 300));
    }
    let mut sim = p.boot(seed);
    sim.run_until_ok(200 * MS);
    let trace = sim.take_trace();
    let stolen: Vec<_> = trace.iter().filter(|e| e.kind == Kind::Steal).collect();
    let waited = stolen.iter().filter_map(|e| {
        let put = trace.iter().filter(|p| p.kind == Kind::Enqueue && p.thread == e.thread);
        let put = put.map(|p| p.time_ns).filter(|&at| at <= e.time_ns).max()?;
        Some(e.time_ns - put)
    });
    (stolen.len(), waited.max().unwrap_or(0))
}

#[test]
fn thread_too_young_to_steal_is_stolen_when_it_is_old_enough() {
    for seed in 0..30 {
        let (count, longest) = steals(100_000, seed);
        assert!(count > 0 && longest < 2 * MS, "seed {seed}: {count} steals, {longest} ns");
        let (count, longest) = steals(0, seed);
        assert!(count > 0 && longest < 2 * MS, "seed {seed}: {count} steals at once, {longest} ns");
    }
}
