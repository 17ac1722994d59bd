//! Tests of `binding`.
//!
//! # Invariants
//! - Two CPUs of the default partition, unless the test says otherwise.

use super::*;
use crate::glass::Verdict;
use crate::monitor::bench::{Bench, MS};

fn bench() -> Bench {
    let mut bench = Bench::new(Binding::new(20 * MS));
    bench.run(0, 2, 20);
    bench.run(1, 3, 20);
    for cpu in &mut bench.seen.cpus {
        cpu.placement.part = Some(0);
    }
    bench
}

/// A bench on which thread 4 waits on the queue of CPU 1, with this placement.
fn queued(placement: Placement) -> Bench {
    let mut bench = bench();
    bench.queue(1, 4, 10, false);
    bench.seen.cpus[1].queue.placements.push(placement);
    bench
}

fn bound(cpu: u32) -> Placement {
    Placement { bound: Some(cpu), part: Some(0), ..Placement::default() }
}

fn weakly(cpu: u32) -> Placement {
    Placement { weakbound: Some(cpu), nomigrate: 1, ..bound(0) }
}

#[test]
fn observe_everybody_where_it_may_be_returns_none() {
    for placement in [bound(1), weakly(1), Placement { part: Some(0), ..Placement::default() }] {
        let mut bench = queued(placement);
        bench.seen.cpus[0].placement = bound(0);
        assert_eq!(bench.passes(100, [1, 1]).len(), 0, "{placement:?}");
        assert_eq!(bench.monitor.ledger().worst_ns(), 0);
    }
}

#[test]
fn observe_thread_on_another_cpu_s_queue_returns_one_breach() {
    let mut bench = queued(bound(0));

    let breaches = bench.passes(100, [1, 1]);

    assert_eq!(breaches.len(), 1);
    assert_eq!((breaches[0].thread, breaches[0].cpu, breaches[0].lasted_ns), (Some(4), Some(1), 21 * MS));
    assert_eq!(
        bench.sentence(&breaches[0]),
        "an unknown thread (SYS 0) has been on the run queue of cpu 1 for 21.0 ms: it is bound to cpu 0"
    );
}

#[test]
fn observe_weak_binding_wins() {
    assert_eq!(queued(weakly(0)).passes(100, [1, 1]).len(), 1);
    assert_eq!(queued(weakly(1)).passes(100, [1, 1]).len(), 0);
}

#[test]
fn observe_thread_that_pinned_itself_without_a_binding_returns_breach() {
    let mut bench = bench();
    bench.seen.cpus[1].placement.nomigrate = 1;

    let breaches = bench.passes(100, [1, 1]);

    assert_eq!(breaches.len(), 1);
    let said = bench.sentence(&breaches[0]);
    assert!(said.ends_with("it has pinned itself there, but has no weak binding"), "{said}");
}

#[test]
fn observe_running_thread_bound_elsewhere_returns_breach() {
    let mut bench = bench();
    bench.seen.cpus[1].placement = bound(0);

    assert_eq!(bench.passes(100, [1, 1]).len(), 1);
}

#[test]
fn observe_bound_thread_on_the_kp_queue_is_charged_with_wall_time() {
    let mut bench = bench();
    bench.queue_kp(5, 99);
    bench.seen.kps[0].placements.push(bound(0));

    let breaches = bench.passes(100, [0, 0]);

    assert_eq!(breaches.iter().map(|b| (b.thread, b.part)).collect::<Vec<_>>(), [(Some(5), Some(0))]);
}

#[test]
fn observe_thread_of_another_set_returns_breach_if_that_set_has_a_cpu() {
    let mut bench = bench();
    bench.seen.cpus[1].placement.part = Some(1);
    bench.seen.cpus[0].part = 1;

    bench.seen.cpus[0].placement.part = Some(1);

    let breaches = bench.passes(100, [1, 1]);
    assert_eq!(breaches.iter().map(|b| (b.thread, b.cpu)).collect::<Vec<_>>(), [(Some(3), Some(1))]);

    let mut without = self::bench();
    without.seen.cpus[1].placement.part = Some(1);
    assert_eq!(without.passes(100, [1, 1]).len(), 0, "a set without a CPU");
}

#[test]
fn observe_each_excuse_is_counted_and_not_charged() {
    let excused = |excuse: Excuse, ran: [u64; 2], change: fn(&mut Bench)| {
        let mut bench = bench();
        bench.seen.cpus[1].placement = bound(0);
        change(&mut bench);
        assert_eq!(bench.passes(100, ran).len(), 0, "{excuse:?}");
        assert!(bench.excused(excuse) >= 99, "{excuse:?}");
    };
    excused(Excuse::VcpuAway, [1, 0], |_| {});
    excused(Excuse::PreemptOff, [1, 1], |bench| bench.seen.cpus[1].runner.preempt = 1);
    excused(Excuse::Interrupts, [1, 1], |bench| bench.seen.cpus[1].handles = Some(12));
    excused(Excuse::InMotion, [1, 1], |bench| bench.seen.inmotion = bench.seen.cpus[1].addr);
}

#[test]
fn observe_torn_queue_is_excused_and_forgets_nothing() {
    let mut bench = queued(bound(0));
    assert_eq!(bench.passes(15, [1, 1]).len(), 0);
    bench.seen.cpus[1].queue.verdict = Verdict::Torn;
    assert_eq!(bench.passes(10, [1, 1]).len(), 0);
    assert_eq!(bench.excused(Excuse::Torn), 10);

    bench.seen.cpus[1].queue.verdict = Verdict::Clean;
    assert_eq!(bench.passes(10, [1, 1]).len(), 1);
}

#[test]
fn observe_threads_that_are_misplaced_in_turn_are_not_one() {
    let mut bench = bench();

    for n in 0..200 {
        bench.run(1, 3 + n % 2, 20);
        bench.seen.cpus[1].placement = bound(0);
        assert_eq!(bench.pass([1, 1]), None);
    }
}
