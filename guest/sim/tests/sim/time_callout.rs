//! Callouts: which thread or interrupt runs them, when, and what can be taken back.
//!
//! # Invariants
//! - A workload panics where a promise is broken. A test lets it run, and its red twin makes it panic.

use crate::bench::{MS, Program, SECOND, thread};
use umpire_kernel::Kernel;
use umpire_kernel::cell::Cell;
use umpire_kernel::time::callout::{CALLOUT_NORMAL, CALLOUT_REALTIME, CalloutTable};
use umpire_shared::program::class::{SYS, TS};
use umpire_shared::work::compute::{Periodic, Spin};
use umpire_shared::work::timing::{
    Call, CalloutChain, CyclicJuggler, Sender, SignalWait, Table, TimeoutUser,
};
use umpire_shared::work::vcpu::VcpuLoop;
use umpire_shared::{mutant, program, tunable};
use umpire_sim::SimState;

/// A thread that asks for a callout `delay_us` away that takes `run_us`, and takes it back after `untimeout_us`.
fn user(table: Table, signal: u64, delay_us: u64, run_us: u64, untimeout_us: u64) -> program::Thread {
    let work = TimeoutUser { table, delay_us, run_us, signal, untimeout_us, ..TimeoutUser::defaults() };
    thread("user", SYS, 70, -1, work)
}

fn chain(later_ticks: u64) -> program::Thread {
    thread("chain", SYS, 70, -1, CalloutChain { later_ticks, ..CalloutChain::defaults() })
}

fn table(kernel: &Kernel, cpu: u32, kind: u32) -> &CalloutTable {
    &kernel.k_callout.callout_tables[(cpu << 1 | kind) as usize]
}

fn sum(kernel: &Kernel, kind: u32, of: impl Fn(&CalloutTable) -> u64) -> u64 {
    (0..kernel.k_ncpus).map(|cpu| of(table(kernel, cpu, kind))).sum()
}

#[test]
fn callouts_of_both_kinds_run_on_time_and_are_counted() {
    for (kind, number) in [(Table::Realtime, CALLOUT_REALTIME), (Table::Normal, CALLOUT_NORMAL)] {
        for seed in 0..20 {
            let mut sim = Program::new(2).thread(user(kind, 0, 1000, 0, 0)).boot(seed);
            sim.run_until_ok(100 * MS);
            let kernel = sim.kernel();
            let turns = kernel.scenario_threads()[0].t_progress.get();
            assert!((80..=100).contains(&turns), "kind {kind:?} seed {seed}: {turns} turns of a ms");
            let expired = sum(kernel, number, |ct| ct.callout_expirations.get());
            assert!(
                expired >= turns && expired <= turns + 1,
                "kind {kind:?} seed {seed}: {expired} for {turns}"
            );
            assert!(sum(kernel, number, |ct| ct.callout_timeouts_pending.get()) <= 1);
        }
    }
}

#[test]
fn normal_callouts_wait_for_a_thread_and_realtime_ones_do_not() {
    for (kind, expected) in [(Table::Realtime, 1), (Table::Normal, 0)] {
        for seed in 0..10 {
            // A kernel loop that no thread at 99 preempts keeps CPU 0; the user ran before it.
            let hog = thread("hog", SYS, 60, 0, Spin { chunk_us: 50, ..Spin::defaults() });
            let mut one = user(kind, 0, 1000, 0, 0);
            (one.pri, one.cpu) = (99, 0);
            let p = Program::new(1).tunable(tunable::KPREEMPTPRI, 180).thread(one).thread(hog);
            let mut sim = p.boot(seed);
            sim.run_until_ok(100 * MS);
            // The user itself cannot come back to ask for a second one.
            let sent = sim.kernel().k_signals[0].sg_count.get();
            assert_eq!(sent, expected, "kind {kind:?} seed {seed}");
        }
    }
}

#[test]
fn untimeout_against_expiry_never_lets_a_callout_run_afterwards() {
    for seed in 0..200 {
        // The callout takes 30 us and comes after 100 us. It is taken back after 90 to 120 us, in each of its states.
        let mut p = Program::new(3);
        for (n, after) in [90, 105, 120].into_iter().enumerate() {
            let kind = if seed % 2 == 0 { Table::Realtime } else { Table::Normal };
            p = p.thread(user(kind, n as u64, 100, 30, after));
        }
        let mut sim = p.boot(seed);
        sim.run_until_ok(20 * MS);
        for t in sim.kernel().scenario_threads() {
            assert!(t.t_progress.get() > 50, "seed {seed}: {} turns", t.t_progress.get());
        }
    }
}

#[test]
fn untimeout_that_does_not_wait_is_caught() {
    let mut caught = 0;
    for seed in 0..20 {
        let p = Program::new(2).mutant(mutant::STALE_CALLOUTS).thread(user(Table::Normal, 0, 100, 30, 120));
        let state = p.boot(seed).run_until(20 * MS);
        caught += u32::from(
            matches!(&state, SimState::Ended(end) if end.message.contains("untimeout returned -1")),
        );
    }
    assert!(caught >= 15, "caught in {caught} of 20 runs");
}

#[test]
fn a_callout_that_cancels_itself_is_told_minus_one_and_does_not_wait() {
    for kind in [Table::Realtime, Table::Normal] {
        for seed in 0..10 {
            let work = TimeoutUser {
                table: kind,
                delay_us: 500,
                call: Call::CancelItself,
                ..TimeoutUser::defaults()
            };
            let mut sim = Program::new(2).thread(thread("user", SYS, 70, -1, work)).boot(seed);
            sim.run_until_ok(100 * MS);
            let turns = sim.kernel().scenario_threads()[0].t_progress.get();
            assert!(turns > 90, "kind {kind:?} seed {seed}: {turns} turns");
        }
    }
}

#[test]
fn a_callout_that_waits_for_another_needs_the_second_thread() {
    for later_ticks in [0, 1, 3] {
        for seed in 0..20 {
            let turns = |threads| {
                let p = Program::new(2).tunable(tunable::CALLOUT_THREADS, threads).thread(chain(later_ticks));
                let mut sim = p.boot(seed);
                sim.run_until_ok(SECOND);
                sim.kernel().scenario_threads()[0].t_progress.get()
            };
            let expected = 100 / (later_ticks + 3);
            let two = turns(2);
            assert!(two >= expected, "later {later_ticks} seed {seed}: {two} turns with two threads");
            assert_eq!(turns(1), 0, "later {later_ticks} seed {seed}: one thread waits for itself");
        }
    }
}

#[test]
fn an_expiry_calls_for_one_thread_for_one_callout_and_two_for_several() {
    // A single sleeper's waits are an expiry each; three waits that end at the same tick are one expiry.
    for (sleepers, calls) in [(1, 1), (3, 2)] {
        for seed in 0..10 {
            let mut p = Program::new(1);
            for _ in 0..sleepers {
                let t = thread(
                    "periodic",
                    SYS,
                    70,
                    0,
                    Periodic { busy_us: 10, sleep_ticks: 10, ..Periodic::defaults() },
                );
                p = p.thread(t);
            }
            let mut sim = p.boot(seed);
            sim.run_until_ok(SECOND);
            let ct = table(sim.kernel(), 0, CALLOUT_NORMAL);
            let (dispatches, expired) = (ct.ct_dispatches.get(), ct.callout_expirations.get());
            assert!(
                (9..=10).contains(&(dispatches / calls)),
                "seed {seed}: {dispatches} calls, {sleepers} sleepers"
            );
            assert!((9 * sleepers..=10 * sleepers).contains(&expired), "seed {seed}: {expired} expired");
        }
    }
}

#[test]
fn delays_of_a_tick_keep_the_clock_s_pace() {
    for hz in [100, 1000] {
        for seed in 0..20 {
            let t = thread("periodic", SYS, 70, 1, Periodic { busy_us: 200, ..Periodic::defaults() });
            let mut sim = Program::new(2).tunable(tunable::HZ, hz).thread(t).boot(seed);
            sim.run_until_ok(SECOND);
            let turns = sim.kernel().scenario_threads()[0].t_progress.get();
            let hz = hz as u64;
            assert!(
                turns <= hz + 1 && turns >= hz - hz / 50 - 1,
                "hz {hz} seed {seed}: {turns} turns in a second"
            );
        }
    }
}

#[test]
fn a_delayed_thread_depends_on_the_callout_threads_at_99() {
    for (kpreemptpri, lower, upper) in [(99, 80, 101), (100, 0, 3)] {
        for seed in 0..10 {
            // The sleeper is bound to the vCPU's CPU. The threads that run callouts are not bound, but there is no other CPU.
            let sleeper = thread("sleeper", SYS, 99, 0, Periodic { busy_us: 10, ..Periodic::defaults() });
            let vcpu = thread("vcpu", TS, 0, 0, VcpuLoop { exit_us: 20, ..VcpuLoop::defaults() });
            let p = Program::new(1).tunable(tunable::KPREEMPTPRI, kpreemptpri).thread(vcpu).thread(sleeper);
            let mut sim = p.boot(seed);
            sim.run_until_ok(SECOND);
            let kernel = sim.kernel();
            let turns = kernel.scenario_threads()[1].t_progress.get();
            assert!((lower..=upper).contains(&turns), "kpreemptpri {kpreemptpri} seed {seed}: {turns} turns");
            let ct = table(kernel, 0, CALLOUT_NORMAL);
            if kpreemptpri == 100 {
                assert!(ct.callout_timeouts_pending.get() == 1, "seed {seed}: expired, and nobody runs it");
            }
        }
    }
}

/// Waits on CPU 0 that end by signal or by time at about the same moment. The time ends on another CPU, to which CPU 0's callouts
/// have gone: otherwise the thread could not run before the interrupt on its CPU has ended.
fn timed_waits(mutants: impl Into<mutant::Set>) -> Program {
    let mut p = Program::new(3).mutant(mutants);
    let wait =
        thread("wait", SYS, 80, 0, SignalWait { limit_us: 150, long_us: 300, ..SignalWait::defaults() });
    let sender = thread("sender", SYS, 60, 1, Sender { work_us: 151, ..Sender::defaults() });
    let juggler = thread("juggler", SYS, 90, 2, CyclicJuggler { home_us: 10, ..CyclicJuggler::defaults() });
    p = p.thread(wait).thread(sender).thread(juggler);
    p
}

#[test]
fn a_time_out_that_comes_too_late_does_not_end_the_next_sleep() {
    for seed in 0..200 {
        let mut sim = timed_waits(mutant::Set::NONE).boot(seed);
        sim.run_until_ok(20 * MS);
        let turns = sim.kernel().scenario_threads()[0].t_progress.get();
        assert!(turns > 35, "seed {seed}: {turns} turns");
    }
}

#[test]
fn a_wake_up_that_is_not_checked_against_its_wait_is_caught() {
    let is_caught = |seed| {
        let state = timed_waits(mutant::STALE_CALLOUTS).boot(seed).run_until(200 * MS);
        matches!(&state, SimState::Ended(end) if end.message.contains("woken by an older time-out"))
    };
    let caught = (0..50).filter(|&seed| is_caught(seed)).count();
    assert!(caught > 0, "in none of 50 runs");
}
