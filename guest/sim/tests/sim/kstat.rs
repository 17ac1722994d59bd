//! The kstats against what a trace and the machine say.
//!
//! # Invariants
//! - A counter is compared with an independent count: events of the trace, the simulated machine's own clock, or
//!   arithmetic on the load. A run may stop between a counter and its event, so they may be one apart.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use umpire_shared::work::compute::{Mode, Spin};

use crate::bench::{Bench, MS, Program, SECOND, load, thread};
use umpire_kernel::Cpu;
use umpire_kernel::cell::Cell;
use umpire_kernel::mstate::cms;
use umpire_shared::event::Kind;
use umpire_shared::program::class::{SYS, TS};
use umpire_shared::{program, tunable};
use umpire_sim::TraceRecord;

fn sum(counters: &[AtomicU64]) -> u64 {
    counters.iter().map(Cell::get).sum()
}

fn spinner(class: u32, pri: i32, mode: Mode, chunk_us: u64) -> program::Thread {
    thread("spin", class, pri, 0, Spin { mode, chunk_us, ..Spin::defaults() })
}

fn traced(ncpus: u32, seed: u64) -> (Bench, Vec<TraceRecord>) {
    let mut sim = load::mixed(ncpus).traced().boot(seed);
    sim.run_until_ok(50 * MS);
    let trace = sim.take_trace();
    (sim, trace)
}

#[test]
fn counters_of_a_mixed_load_agree_with_its_trace() {
    for seed in 0..12 {
        let (sim, trace) = traced(1 + seed as u32 % 4, seed);
        for cp in sim.kernel().k_cpus.iter() {
            let events = |kind| trace.iter().filter(|e| e.cpu == cp.cpu_id && e.kind == kind).count() as u64;
            let stats = &cp.cpu_stats;
            let pairs = [
                ("pswitch", stats.pswitch.get(), events(Kind::OffCpu)),
                ("inv_swtch", stats.inv_swtch.get(), events(Kind::Preempt)),
                ("xcalls", stats.xcalls.get(), events(Kind::Poke)),
                ("steal", stats.steal.get(), events(Kind::Steal)),
            ];
            for (name, counter, counted) in pairs {
                assert!(counter.abs_diff(counted) <= 1, "seed {seed}: {name} {counter}, events {counted}");
            }
            let own = trace.iter().filter(|e| e.cpu == cp.cpu_id).count() as u64;
            assert_eq!(stats.dtrace_probes.get(), own, "seed {seed} CPU {}", cp.cpu_id);
        }
        let switches: u64 = sim.kernel().k_cpus.iter().map(|cp| cp.cpu_stats.pswitch.get()).sum();
        assert!(switches > 100, "seed {seed}: {switches} switches");
    }
}

/// How many threads each CPU has got from another one, by the trace: those that it then ran, and all that it took.
fn moves(trace: &[TraceRecord], ncpus: usize) -> (Vec<u64>, Vec<u64>) {
    (of_kind(trace, Kind::OnCpu, ncpus), of_kind(trace, Kind::Dequeue, ncpus))
}

fn of_kind(trace: &[TraceRecord], kind: Kind, ncpus: usize) -> Vec<u64> {
    let mut was_at: HashMap<u32, u32> = HashMap::new();
    let mut moves = vec![0; ncpus];
    for e in trace.iter().filter(|e| e.kind == kind) {
        let home = e.thread % ncpus as u32;
        let before = was_at.insert(e.thread, e.cpu).unwrap_or(home);
        moves[e.cpu as usize] += u64::from(before != e.cpu);
    }
    moves
}

#[test]
fn cpumigrate_is_what_came_from_other_cpus() {
    let mut all = 0;
    for seed in 0..12 {
        let ncpus = 2 + seed as usize % 3;
        let (sim, trace) = traced(ncpus as u32, seed);
        let (ran, taken) = moves(&trace, ncpus);
        for (n, cp) in sim.kernel().k_cpus.iter().enumerate() {
            let counter = cp.cpu_stats.cpumigrate.get();
            // Bound threads begin at home without moving; a thread that was taken and put back has moved all the same.
            assert!(counter + 2 >= ran[n], "seed {seed} CPU {n}: {counter}, ran {}", ran[n]);
            assert!(counter <= taken[n] + ran[n], "seed {seed} CPU {n}: {counter}, taken {}", taken[n]);
            all += counter;
        }
    }
    assert!(all > 200, "{all} moves in all seeds");
}

fn snap_of(cp: &Cpu) -> [u64; 5] {
    let s = &cp.cpu_snap;
    [&s.cpu_nsec_idle, &s.cpu_nsec_user, &s.cpu_nsec_kernel, &s.cpu_nsec_intr, &s.snaptime].map(Cell::get)
}

#[test]
fn cpu_times_add_up_to_the_time_that_passed_and_agree_with_the_machine_s_clock() {
    for seed in 0..2 {
        let mut sim = load::mixed(2).boot(seed);
        let mut before = [[0; 5]; 2];
        for second in 1..=3 {
            sim.run_until_ok(second * SECOND + 5 * MS);
            for (n, cp) in sim.kernel().k_cpus.iter().enumerate() {
                let snap = snap_of(cp);
                let disabled = cp.cpu_ms.cpu_acct[usize::from(cms::DISABLED)].get();
                assert_eq!(snap[..4].iter().sum::<u64>(), snap[4] - disabled, "seed {seed} CPU {n}");
                assert!(snap.iter().zip(&before[n]).all(|(now, old)| now >= old), "seed {seed}: {snap:?}");
                assert!(snap[4] + 10 * MS > second * SECOND, "seed {seed}: a look each second");
                before[n] = snap;
                // A CPU that is halted idles; one that idles is halted, except while it runs the loop around the halt.
                let halted = (second * SECOND + 5 * MS).saturating_sub(sim.ran_ns(n));
                assert!(snap[0] + 10 * MS > halted, "seed {seed}: idle {}, halted {halted}", snap[0]);
            }
        }
    }
}

#[test]
fn an_idle_cpu_is_idle_and_a_busy_one_is_not() {
    let mut sim = Program::new(2).thread(spinner(SYS, 60, Mode::Kernel, 100)).boot(3);
    sim.run_until_ok(SECOND + 5 * MS);
    let [busy, idle] = [0, 1].map(|n| snap_of(&sim.kernel().k_cpus[n]));
    assert!(busy[2] > 980 * MS && busy[0] < 5 * MS, "CPU 0: {busy:?}");
    // Callout threads have looked once whether there is work for them.
    assert!(idle[0] > 980 * MS && idle[1] == 0 && idle[2] < MS, "CPU 1: {idle:?}");
    let ticks = &sim.kernel().k_cpus[0].cpu_snap;
    assert!(ticks.cpu_ticks_kernel.get() >= 98 && ticks.cpu_ticks_idle.get() == 0);
}

#[test]
fn system_calls_and_ast_traps_are_counted_apart() {
    let mut sim = Program::new(1)
        .thread(spinner(TS, 30, Mode::User, 100))
        .thread(spinner(TS, 30, Mode::User, 100))
        .boot(5);
    sim.run_until_ok(SECOND);
    let stats = &sim.kernel().k_cpus[0].cpu_stats;
    let (calls, traps) = (stats.syscall.get(), stats.trap.get());
    let turns: u64 = sim.kernel().scenario_threads().iter().map(|t| t.t_progress.get()).sum();
    assert!(calls.abs_diff(turns) <= 2, "{calls} system calls in {turns} turns");
    assert!((2..1000).contains(&traps), "{traps} traps: only quanta end by them");
}

#[test]
fn interrupt_time_and_count_are_kept_by_level() {
    for seed in 0..20 {
        let p = Program::new(1).tunable(tunable::INTR_COST_NSEC, 500_000);
        let mut sim = p.interrupt("nic0", 0, 6, 1000).boot(seed);
        sim.run_until_ok(2 * SECOND + 5 * MS);
        let cp = &sim.kernel().k_cpus[0];
        let (time, count) = (&cp.cpu_intrstat.level_time, &cp.cpu_intrstat.level_count);
        assert_eq!(sum(count), cp.cpu_stats.intr.get(), "seed {seed}: every interrupt has a level");
        assert_eq!(sum(time), sum(&cp.cpu_ms.cpu_intracct), "seed {seed}: every charge has a level");
        let level_6 = time[5].get();
        assert!((950 * MS..1060 * MS).contains(&level_6), "seed {seed}: level 6 took {level_6} ns");
        let load = cp.cpu_snap.cpu_load_intr.get();
        assert!((45..60).contains(&load), "seed {seed}: cpu_load_intr is {load}");
    }
}

#[test]
fn interrupt_load_without_devices_is_nothing() {
    let mut sim = Program::new(1).thread(spinner(SYS, 60, Mode::Kernel, 100)).boot(1);
    sim.run_until_ok(2 * SECOND + 5 * MS);
    assert!(sim.kernel().k_cpus[0].cpu_snap.cpu_load_intr.get() <= 1);
}

#[test]
fn sysinfo_counts_who_waits_and_nothing_on_an_idle_machine() {
    let mut busy = Program::new(1);
    for _ in 0..4 {
        busy = busy.thread(spinner(SYS, 60, Mode::Kernel, 100));
    }
    for (program, waiters) in [(busy, 3), (Program::new(1).thread(spinner(SYS, 60, Mode::Kernel, 100)), 0)] {
        let mut sim = program.boot(2);
        sim.run_until_ok(3 * SECOND + 5 * MS);
        let info = &sim.kernel().k_sysinfo;
        assert_eq!(info.updates.get(), 3);
        assert_eq!(info.runque.get(), 3 * waiters);
        assert_eq!(info.runocc.get(), if waiters == 0 { 0 } else { 3 });
        assert_eq!(info.waiting.get(), 0);
    }
}
