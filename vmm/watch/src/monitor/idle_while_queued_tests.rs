//! Tests of the monitor `idle_while_queued`, on snapshots made by hand.
//!
//! # Invariants
//! - Time is what a test says it is.

use super::*;
use crate::glass::Verdict;
use crate::monitor::bench::{Bench, MS};

/// CPU 0 runs something at 20, CPU 1 is idle and halted.
fn bench() -> Bench {
    let mut bench = Bench::new(IdleWhileQueued::new(20 * MS));
    bench.seen.cpus[0].dispatch_pri = 20;
    bench.seen.cpus[1].dispatch_pri = -1;
    bench.seen.cpus[1].disp_flags = disp_flag::HALTED;
    bench
}

#[test]
fn observe_halted_cpu_with_work_of_its_own_returns_one_breach() {
    let mut bench = bench();
    bench.queue(1, 2, 60, true);

    let breaches = bench.passes(100, [1, 0]);

    assert_eq!(breaches.len(), 1);
    assert_eq!((breaches[0].cpu, breaches[0].thread, breaches[0].lasted_ns), (Some(1), Some(2), 21 * MS));
}

#[test]
fn observe_unbound_work_elsewhere_returns_breach_and_bound_work_none() {
    let mut unbound = bench();
    unbound.queue(0, 2, 10, false);
    let mut bound = bench();
    bound.queue(0, 2, 10, true);

    assert_eq!(unbound.passes(100, [1, 0]).len(), 1);
    assert_eq!(bound.passes(100, [1, 0]).len(), 0);
}

#[test]
fn observe_kp_work_of_another_partition_returns_none() {
    let mut bench = bench();
    bench.queue_kp(2, 99);
    assert_eq!(bench.passes(50, [1, 0]).len(), 1);

    let mut other = self::bench();
    other.queue_kp(2, 99);
    other.seen.cpus[1].part = 1;
    assert_eq!(other.passes(50, [1, 0]).len(), 0);
}

#[test]
fn observe_interrupt_thread_that_is_met_now_and_then_ends_nothing() {
    let mut bench = bench();
    bench.queue(1, 2, 60, true);

    assert_eq!(bench.passes_with_interrupts(100, [1, 1]).len(), 1);
}

#[test]
fn observe_cpu_that_switches_begins_anew() {
    let mut bench = bench();
    bench.queue(1, 2, 60, true);

    for n in 0..100 {
        bench.seen.cpus[1].runner.pswitch = n / 10;
        assert_eq!(bench.pass([1, 0]), None);
    }
}

#[test]
fn observe_offline_cpu_owes_nothing() {
    let mut bench = bench();
    bench.queue(0, 2, 10, false);
    bench.seen.cpus[1].flags = 0x20;

    assert_eq!(bench.passes(100, [1, 0]).len(), 0);
}

#[test]
fn observe_each_excuse_is_counted_and_not_charged() {
    let mut young = bench();
    young.seen.nosteal_ns = 1000 * MS;
    young.queue(0, 2, 10, false);
    assert_eq!(young.passes(100, [1, 0]).len(), 0);
    assert_eq!(young.excused(Excuse::TooYoung), 100);

    let mut pinned = bench();
    pinned.queue(1, 2, 60, true);
    pinned.seen.cpus[1].handles = Some(6);
    assert_eq!(pinned.passes(100, [1, 1]).len(), 0);
    assert_eq!(pinned.excused(Excuse::Interrupts), 99);

    let mut away = bench();
    away.queue(1, 2, 60, true);
    away.seen.cpus[1].disp_flags = 0;
    assert_eq!(away.passes(100, [1, 0]).len(), 0);
    assert_eq!(away.excused(Excuse::VcpuAway), 99);

    let mut torn = bench();
    torn.queue(1, 2, 60, true);
    torn.pass([1, 0]);
    torn.seen.cpus[1].queue.verdict = Verdict::Torn;
    assert_eq!(torn.passes(100, [1, 0]).len(), 0);
    assert_eq!(torn.excused(Excuse::Torn), 100);
}

#[test]
fn observe_queues_that_are_torn_in_turn_end_no_wait() {
    let mut bench = bench();
    bench.queue(0, 2, 10, false);
    bench.queue_kp(3, 10);

    let mut breaches = 0;
    for pass in 0..100 {
        let verdict = |turn| if pass % 4 == turn { Verdict::Torn } else { Verdict::Clean };
        bench.seen.cpus[0].queue.verdict = verdict(0);
        bench.seen.kps[0].verdict = verdict(2);
        breaches += usize::from(bench.pass([1, 0]).is_some());
    }

    assert_eq!(breaches, 1);
    assert_eq!(bench.excused(Excuse::Torn), 49);
}

#[test]
fn sentence_after_a_thread_left_a_queue_that_is_torn_since_names_where_it_waits() {
    let mut bench = bench();
    bench.queue(0, 2, 10, false);
    bench.pass([1, 0]);
    bench.seen.cpus[0].queue.verdict = Verdict::Torn;
    bench.queue_kp(2, 10);

    let breaches = bench.passes(100, [1, 0]);

    let sentence = bench.sentence(&breaches[0]);
    assert!(sentence.contains(" on the kp queue; "), "{sentence}");
}

#[test]
fn observe_woken_vcpu_that_the_host_keeps_waiting_is_excused() {
    let mut bench = bench();
    bench.queue(1, 2, 60, true);

    for _ in 0..200 {
        bench.seen.readings[1].is_ready = bench.monitor.doubts() == 0b10;
        assert_eq!(bench.pass([1, 0]), None);
    }
}

#[test]
fn observe_work_on_the_queue_of_a_cpu_that_the_host_does_not_run_is_excused() {
    let mut bench = bench();
    bench.queue(0, 2, 10, false);

    assert_eq!(bench.passes(100, [0, 0]).len(), 0);
    assert_eq!(bench.excused(Excuse::VcpuAway), 99);
    assert_eq!(bench.passes(100, [1, 0]).len(), 1);
}

#[test]
fn observe_cpu_that_was_called_is_charged_with_what_it_ran_until_the_host_says_that_it_sleeps() {
    let mut bench = bench();
    bench.queue(1, 2, 60, true);
    bench.seen.cpus[1].is_called = true;
    bench.seen.readings[1].is_ready = true;
    assert_eq!(bench.passes(100, [1, 0]).len(), 0);
    assert_eq!(bench.excused(Excuse::VcpuAway), 99);

    bench.seen.readings[1].is_ready = false;
    let breaches = bench.passes(100, [1, 0]);
    assert_eq!(breaches.len(), 1);
    let said = bench.sentence(&breaches[0]);
    assert!(said.ends_with("halted: it was called out of its halt, and no poke has come"), "{said}");
}

#[test]
fn observe_halted_cpu_beside_one_that_was_called_and_that_the_host_does_not_run_is_excused() {
    let mut bench = bench();
    bench.queue_kp(2, 99);
    bench.seen.cpus[0].dispatch_pri = -1;
    bench.seen.cpus[0].disp_flags = disp_flag::HALTED;
    bench.seen.cpus[0].is_called = true;
    bench.seen.readings[0].is_ready = true;

    assert_eq!(bench.passes(100, [0, 0]).len(), 0);
    bench.seen.cpus[0].is_called = false;
    bench.seen.readings[0].is_ready = false;
    assert_eq!(bench.passes(100, [0, 0]).len(), 1);
}

#[test]
fn observe_idle_cpu_beside_one_that_was_chosen_for_the_kp_queue_and_is_away_is_excused() {
    let mut bench = bench();
    bench.queue_kp(2, 99);
    (bench.seen.cpus[0].chosen_level, bench.seen.cpus[0].kprunrun) = (99, true);

    assert_eq!(bench.passes(100, [0, 0]).len(), 0);
    bench.seen.cpus[0].kprunrun = false;
    assert_eq!(bench.passes(100, [0, 0]).len(), 1);
}
