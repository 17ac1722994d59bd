//! No thread is forgotten: the halt protocol, stealing, switches between CPUs, and the AST on the way to user mode.
//!
//! # Invariants
//! - A wait is bounded in virtual time: a thread that waits longer was forgotten.

use std::collections::HashMap;
use umpire_shared::work::compute::{Between, Mode, Periodic, Spin};
use umpire_shared::work::network::{SoftRing, Squeue};
use umpire_shared::work::pair::Pingpong;
use umpire_shared::work::{IntrRef, ThreadRef};

use crate::bench::{Bench, MS, Program, SECOND, thread};
use umpire_kernel::cell::Cell;
use umpire_kernel::sys::thread::ts;
use umpire_shared::event::Kind;
use umpire_shared::program::class::{SYS, TS};
use umpire_shared::{program, tunable};
use umpire_sim::TraceRecord;

const US: u64 = 1000;
const NOT_BOUND: i32 = -1;
/// No device of a program has this place.
const NO_DEVICE: u32 = u32::MAX;

fn spinner(class: u32, pri: i32, cpu: i32, mode: Mode, chunk_us: u64) -> program::Thread {
    thread("spin", class, pri, cpu, Spin { mode, chunk_us, ..Spin::defaults() })
}

fn periodic(pri: i32, busy_us: u64) -> program::Thread {
    thread("periodic", TS, pri, NOT_BOUND, Periodic { busy_us, ..Periodic::defaults() })
}

fn ring(pri: i32, cpu: i32, source: u32) -> program::Thread {
    thread("ring", SYS, pri, cpu, SoftRing::defaults(IntrRef(source)))
}

/// The longest time from any event of one kind to the same thread's next event of another, and how many there were.
fn longest(trace: &[TraceRecord], from: Kind, to: Kind) -> (u64, usize) {
    // A thread that is woken before it has left the CPU only remains on it.
    let is_on_cpu = to == Kind::OnCpu;
    let mut since = HashMap::new();
    let (mut worst, mut count) = (0, 0);
    for e in trace {
        if e.kind == from {
            since.entry(e.thread).or_insert(e.time_ns);
        } else if (e.kind == to || is_on_cpu && e.kind == Kind::RemainCpu)
            && let Some(begin) = since.remove(&e.thread)
        {
            // Clocks of two CPUs may differ by a little in the simulator.
            worst = worst.max(e.time_ns.saturating_sub(begin));
            count += 1;
        }
    }
    (worst, count)
}

#[test]
fn a_wakeup_on_idle_cpus_is_never_lost() {
    for ncpus in [1, 2, 3, 4, 8] {
        for seed in 0..6 {
            // Rings bound and unbound, below and above kpqpri, woken from two CPUs: every way to wake an idle CPU.
            let last = ncpus - 1;
            let p = Program::new(ncpus)
                .thread(ring(60, NOT_BOUND, 0))
                .thread(ring(99, NOT_BOUND, 1))
                .thread(ring(70, last as i32, 0))
                .thread(ring(99, last as i32, 1))
                .interrupt("nic0", 0, 6, 4900)
                .interrupt("nic1", last, 5, 5100);
            let mut sim = p.traced().boot(seed);
            let what = format!("ncpus {ncpus} seed {seed}");
            sim.run_until_ok(200 * MS);
            let (worst, count) = longest(&sim.take_trace(), Kind::Wakeup, Kind::OnCpu);
            assert!(count > 3000, "{what}: {count} wake-ups");
            // 80 us is enough for a poke, for a CPU to wake and for its stalls. A lost wake-up waits for the next packet, 200 us.
            assert!(worst < 80 * US, "{what}: one took {worst} ns");
            let kernel = sim.kernel();
            for (n, ring) in kernel.k_net.soft_rings.iter().enumerate() {
                let brought = kernel.k_intr.devices[n % 2].dev_count.get();
                assert!(brought - ring.s_ring_passed.get() <= 2, "{what}: ring {n} missed packets");
            }
            for cp in &kernel.k_cpus {
                assert!(cp.cpu_halts.get() > 0, "{what}: cpu {} never halted", cp.cpu_id);
            }
        }
    }
}

#[test]
fn a_wakeup_that_meets_a_cpu_on_its_way_to_halt_is_not_lost() {
    // A ring on CPU 0 passes a packet on every 20 us. Its sink has about as much to do, so it goes to sleep, and its CPU
    // halts, just when the next packet comes: the race that idle.rs draws.
    for (pri, cpu) in [(97, NOT_BOUND), (60, NOT_BOUND), (60, 1)] {
        let mut all = 0;
        for cost_us in 10..20 {
            for seed in 0..4 {
                let work =
                    SoftRing { sink: Some(ThreadRef(1)), cost_us: 1, ..SoftRing::defaults(IntrRef(0)) };
                let first = thread("ring", SYS, 99, 0, work);
                let sink = thread("sink", SYS, pri, cpu, Squeue { cost_us, ..Squeue::defaults() });
                let p = Program::new(2).thread(first).thread(sink).interrupt("nic0", 0, 6, 50_000);
                // The thread at 97 goes to the kp queue, where CPU 0 does not look, because it has a better thread to run.
                let p = p.thread(spinner(SYS, 98, 0, Mode::Kernel, 50)).tunable(tunable::KPREEMPTPRI, 97);
                let mut sim = p.traced().boot(seed);
                sim.run_until_ok(50 * MS);
                let (worst, count) = longest(&sim.take_trace(), Kind::Wakeup, Kind::OnCpu);
                assert!(
                    worst < 80 * US,
                    "pri {pri} cpu {cpu} cost {cost_us} seed {seed}: one took {worst} ns"
                );
                all += count;
            }
        }
        assert!(all > 100_000, "pri {pri} cpu {cpu}: {all} wake-ups");
    }
}

#[test]
fn a_bound_thread_runs_nowhere_else() {
    for seed in 0..3 {
        let mut p = bursty(0).interrupt("nic0", 0, 6, 1000);
        for cpu in 0..3 {
            // Bound and unbound threads share a level, so that a CPU that steals meets both.
            let mut unbound = periodic(65, 300);
            unbound.class = SYS;
            p = p.thread(ring(65, cpu, 0)).thread(unbound);
        }
        let mut sim = p.boot(seed);
        sim.run_until_ok(400 * MS);
        let trace = sim.take_trace();
        let mut looked_at = 0;
        for t in sim.kernel().scenario_threads().iter().filter(|t| t.is_bound()) {
            for e in trace.iter().filter(|e| e.thread == t.t_did) {
                assert_ne!(e.kind, Kind::Steal, "seed {seed}: thread {} was stolen", e.thread);
                if e.kind == Kind::OnCpu {
                    let home = t.t_bound_cpu.get().map(|cp| cp.cpu_id);
                    assert_eq!(Some(e.cpu), home, "seed {seed}: thread {}", e.thread);
                    looked_at += 1;
                }
            }
        }
        assert!(looked_at > 300, "seed {seed}: {looked_at} times");
        assert!(trace.iter().any(|e| e.kind == Kind::Steal), "seed {seed}: nothing was stolen at all");
    }
}

/// Ages at which LWPs were stolen from the CPU on which they had last run, in ns.
fn ages_when_stolen(sim: &Bench) -> Vec<u64> {
    let (mut ran_on, mut queued) = (HashMap::new(), HashMap::new());
    let mut ages = Vec::new();
    for e in sim.take_trace() {
        match e.kind {
            Kind::OnCpu => _ = ran_on.insert(e.thread, u64::from(e.cpu)),
            Kind::Enqueue => _ = queued.insert(e.thread, e.time_ns),
            Kind::Steal if ran_on.get(&e.thread) == Some(&e.arg) => {
                ages.push(e.time_ns.saturating_sub(queued[&e.thread]))
            }
            _ => {}
        }
    }
    ages
}

/// LWPs that compute for some milliseconds and sleep for some ticks, on fewer CPUs than threads.
fn bursty(nosteal_nsec: i64) -> Program {
    let mut p = Program::new(3).tunable(tunable::NOSTEAL_NSEC, nosteal_nsec).traced();
    for n in 0..8 {
        // Burst lengths and rests differ, so that one CPU idles while another has a queue.
        let (busy_us, sleep_ticks) = (1000 + 1300 * n as u64, 1 + n as u64 % 3);
        let work = Periodic { busy_us, sleep_ticks, ..Periodic::defaults() };
        p = p.thread(thread("periodic", TS, 20 + n, NOT_BOUND, work));
    }
    p
}

#[test]
fn an_unbound_lwp_is_stolen_only_after_nosteal_nsec() {
    const NOSTEAL: u64 = 500 * US;
    for seed in 0..4 {
        let mut sim = bursty(NOSTEAL as i64).boot(seed);
        sim.run_until_ok(SECOND);
        let ages = ages_when_stolen(&sim);
        assert!(ages.len() > 20, "seed {seed}: {} stolen", ages.len());
        let youngest = ages.into_iter().min().unwrap_or(0);
        // The stamp is not taken at the moment of the event, and the clocks of two CPUs differ by a stall at most.
        assert!(youngest > NOSTEAL - 20 * US, "seed {seed}: one was stolen after {youngest} ns");
    }
}

#[test]
fn with_nosteal_nsec_0_it_is_stolen_at_once() {
    let mut young = 0;
    for seed in 0..4 {
        let mut sim = bursty(0).boot(seed);
        sim.run_until_ok(SECOND);
        young += ages_when_stolen(&sim).iter().filter(|&&age| age < 20 * US).count();
    }
    assert!(young >= 4, "{young} were young");
}

#[test]
fn a_thread_that_requeues_itself_alone_is_left_where_it_is() {
    // DONTSTEAL: the thread's quantum ends, it goes to the back of its own empty queue, and no idle CPU may take it.
    for seed in 0..4 {
        // The other CPU halts, or scans for ever.
        let p =
            Program::new(2).tunable(tunable::NOSTEAL_NSEC, 0).tunable(tunable::HALT_IDLE, seed as i64 % 2);
        let mut sim = p.thread(spinner(TS, 0, NOT_BOUND, Mode::User, 50)).boot(seed);
        sim.run_until_ok(50 * MS);
        let stats =
            |sim: &Bench| sim.kernel().k_cpus.iter().map(|c| c.cpu_stats.cpumigrate.get()).sum::<u64>();
        let before = stats(&sim);
        sim.run_until_ok(2 * SECOND);
        let switched = sim.kernel().scenario_threads()[0].t_nivcsw.get();
        assert!(switched > 5, "seed {seed}: preempted {switched} times");
        assert_eq!(stats(&sim), before, "seed {seed}: it was moved");
    }
}

#[test]
fn an_idle_cpu_helps_one_whose_handler_pins_it() {
    // nic0's handler puts the ring on the kp queue for its own CPU, which is idle apart from the handler. The handler of nic1, due
    // at the same time at a lower level, keeps CPU 0 for 150 us more.
    for seed in 0..4 {
        let p = Program::new(2).tunable(tunable::INTR_COST_NSEC, 150_000).thread(ring(99, NOT_BOUND, 0));
        let p = p.interrupt("nic0", 0, 6, 2000).interrupt("nic1", 0, 5, 2000);
        let mut sim = p.traced().boot(seed);
        sim.run_until_ok(300 * MS);
        let (worst, count) = longest(&sim.take_trace(), Kind::Wakeup, Kind::OnCpu);
        assert!(count > 100, "seed {seed}: {count} wake-ups");
        assert!(worst < 80 * US, "seed {seed}: one took {worst} ns");
    }
}

#[test]
fn cpus_that_exchange_threads_never_wait_for_each_other() {
    for ncpus in [2, 3, 4, 8] {
        for seed in 0..2 {
            // Everything may move at any time: no cache warmth, no residency, more threads than CPUs, no thread bound.
            let mut p =
                Program::new(ncpus).tunable(tunable::NOSTEAL_NSEC, 0).tunable(tunable::RECHOOSE_INTERVAL, 0);
            for n in 0..8 {
                let ping = thread("ping", SYS, 65, NOT_BOUND, Pingpong::defaults(ThreadRef(n ^ 1)));
                p = p.thread(ping);
            }
            for n in 0..4 {
                p = p.thread(periodic(30 + n, 200)).thread(ring(if n < 2 { 99 } else { 61 }, NOT_BOUND, 0));
            }
            p = p.interrupt("nic0", 0, 6, 3000);
            let mut sim = p.boot(seed);
            let mut before = vec![0; 4];
            for look in 1..=10 {
                sim.run_until_ok(look * 4 * MS);
                let pings = &sim.kernel().scenario_threads()[..8];
                let turns: Vec<u64> =
                    pings.chunks(2).map(|p| p[0].t_progress.get() + p[1].t_progress.get()).collect();
                assert!(
                    turns.iter().zip(&before).all(|(now, then)| now > then),
                    "ncpus {ncpus} seed {seed}: {turns:?}"
                );
                before = turns;
            }
            let moved: u64 = sim.kernel().k_cpus.iter().map(|c| c.cpu_stats.cpumigrate.get()).sum();
            assert!(moved > 20, "ncpus {ncpus} seed {seed}: {moved} migrations");
        }
    }
}

#[test]
fn threads_that_swap_cpus_at_once_both_arrive() {
    // Unbound threads at 99 that yield meet on the kp queue: each CPU may want the thread that the other is just leaving.
    //
    //   CPU A, runs a                            CPU B, runs b
    //   a yields: a is on the kp queue
    //                                            b yields: b is behind a on the kp queue
    //                                            takes a, which CPU A is just leaving
    //   takes b, which CPU B is just leaving
    for (ncpus, nthreads) in [(2, 2), (2, 3), (4, 4), (4, 6)] {
        for seed in 0..4 {
            let mut p = Program::new(ncpus);
            for _ in 0..nthreads {
                let work = Spin { chunk_us: 1, between: Between::Yield, ..Spin::defaults() };
                p = p.thread(thread("spin", SYS, 99, NOT_BOUND, work));
            }
            let mut sim = p.boot(seed);
            let mut before = vec![0; nthreads];
            for look in 1..=10 {
                sim.run_until_ok(look * MS);
                let turns: Vec<u64> =
                    sim.kernel().scenario_threads().iter().map(|t| t.t_progress.get()).collect();
                assert!(
                    turns.iter().zip(&before).all(|(now, then)| now > then),
                    "{nthreads} on {ncpus} seed {seed}: {turns:?}"
                );
                before = turns;
            }
            let moved: u64 = sim.kernel().k_cpus.iter().map(|c| c.cpu_stats.cpumigrate.get()).sum();
            assert!(moved > 100, "{nthreads} on {ncpus} seed {seed}: {moved} migrations");
        }
    }
}

#[test]
fn equals_in_user_mode_share_every_cpu_by_ticks() {
    // No system call in 100 ms: only the tick's AST makes them take turns, on the clock's CPU and on another.
    for cpu in [0, 1] {
        for seed in 0..4 {
            let user = spinner(TS, 0, cpu, Mode::User, 100_000);
            let mut sim = Program::new(2).thread(user).thread(user).traced().boot(seed);
            sim.run_until_ok(950 * MS);
            let (worst, count) = longest(&sim.take_trace(), Kind::Enqueue, Kind::OnCpu);
            // Row 0's quantum is 20 ticks.
            assert!(count >= 4, "cpu {cpu} seed {seed}: {count} turns");
            assert!(worst < 210 * MS, "cpu {cpu} seed {seed}: one waited {worst} ns");
        }
    }
}

#[test]
fn a_waker_reaches_user_mode_within_a_poke() {
    for seed in 0..4 {
        let p = Program::new(2).tunable(tunable::KPREEMPTPRI, 100).thread(ring(99, 1, 0));
        let p = p.thread(spinner(TS, 30, 1, Mode::User, 200)).interrupt("nic0", 0, 6, 20_000).traced();
        let mut sim = p.boot(seed);
        sim.run_until_ok(500 * MS);
        let (worst, count) = longest(&sim.take_trace(), Kind::Wakeup, Kind::OnCpu);
        assert!(count > 9000, "seed {seed}: {count} wake-ups");
        assert!(worst < 40 * US, "seed {seed}: one took {worst} ns");
    }
}

#[test]
fn delay_of_a_tick_never_takes_many() {
    // A timeout that is set while its tick passes must not be missed: its sleep would take many ticks.
    for seed in 0..16 {
        let mut p = Program::new(8).tunable(tunable::HZ, 10_000).traced();
        for n in 0..8 {
            // The threads go to sleep about when the next tick comes.
            let mut t = periodic(30, 94 + n as u64 % 4);
            t.cpu = n;
            p = p.thread(t);
        }
        let mut sim = p.boot(seed);
        sim.run_until_ok(300 * MS);
        let (worst, count) = longest(&sim.take_trace(), Kind::Sleep, Kind::Enqueue);
        assert!(count > 10_000, "seed {seed}: {count} sleeps");
        assert!(worst < 500 * US, "seed {seed}: one took {worst} ns");
    }
}

#[test]
fn an_idle_machine_halts_and_wakes_for_its_timers_only() {
    for ncpus in [1, 4] {
        let mut sim = Program::new(ncpus).thread(ring(99, 0, NO_DEVICE)).boot(3);
        sim.run_until_ok(SECOND);
        assert_eq!(sim.kernel().scenario_threads()[0].t_state.get(), ts::SLEEP);
        for cp in &sim.kernel().k_cpus {
            let halts = cp.cpu_halts.get();
            assert!((1..150).contains(&halts), "cpu {} of {ncpus} halted {halts} times", cp.cpu_id);
        }
    }
}

#[test]
fn a_kernel_spinner_keeps_an_unbound_waiter_only_until_a_cpu_idles() {
    for seed in 0..4 {
        // CPU 1's own queue holds the waiter; CPU 0 runs something else for a while and then has nothing.
        let p = Program::new(2)
            .thread(spinner(SYS, 60, 1, Mode::Kernel, 50))
            .thread(periodic(40, 2000))
            .thread(periodic(30, 2000));
        let mut sim = p.traced().boot(seed);
        sim.run_until_ok(500 * MS);
        let (worst, count) = longest(&sim.take_trace(), Kind::Enqueue, Kind::OnCpu);
        assert!(count > 50, "seed {seed}: {count} waits");
        assert!(worst < 6 * MS, "seed {seed}: one waited {worst} ns");
    }
}
