//! Tests of `fifo`.
//!
//! # Invariants
//! - Threads 4 to 7 are equals; each waits in the wait before which it had run once, unless the test says otherwise.

use super::*;
use crate::glass::{Placement, Verdict};
use crate::monitor::bench::{Bench, MS};

/// The mark of the wait before which a thread had run once.
const THIS_WAIT: u32 = 2;

fn bench(limit_ns: u64) -> Bench {
    let mut bench = Bench::new(Fifo::new(limit_ns));
    bench.run(0, 2, 50);
    bench.run(1, 3, 50);
    bench
}

/// Puts these threads on the queue of CPU 1, in this order.
fn order(bench: &mut Bench, threads: &[u32]) {
    let queue = &mut bench.seen.cpus[1].queue;
    (queue.threads, queue.placements) = (Vec::new(), Vec::new());
    for &thread in threads {
        bench.queue(1, thread, 30, false);
        let queue = &mut bench.seen.cpus[1].queue;
        queue.threads.last_mut().expect("just put there").runs = 1;
        queue.placements.push(Placement { runs: 1, ..Placement::default() });
    }
}

#[test]
fn observe_queue_that_moves_up_returns_none() {
    let mut bench = bench(0);

    for threads in [&[4, 5, 6][..], &[5, 6], &[5, 6, 7], &[7], &[], &[4, 5]] {
        order(&mut bench, threads);
        assert_eq!(bench.pass([1, 1]), None);
    }
    assert_eq!(bench.monitor.ledger().worst_ns(), 0);
}

#[test]
fn observe_two_that_change_places_returns_one_breach_at_once() {
    let mut bench = bench(0);
    order(&mut bench, &[4, 5, 6]);
    assert_eq!(bench.pass([1, 1]), None);

    order(&mut bench, &[5, 4, 6]);
    let breach = bench.pass([1, 1]).expect("a breach");

    assert_eq!((breach.thread, breach.cpu), (Some(4), Some(1)));
    assert_eq!(
        bench.sentence(&breach),
        "an unknown thread (SYS 0) waits at 30 on the run queue of cpu 1, and an unknown thread (SYS 0), which came to that \
         level after it and was not put to the front, was placed before it, 0.0 ms ago"
    );
    assert_eq!(bench.passes(100, [1, 1]).len(), 0);
}

#[test]
fn observe_limit_counts_from_the_overtaking_on() {
    let mut bench = bench(20 * MS);
    order(&mut bench, &[4, 5]);
    assert_eq!(bench.pass([1, 1]), None);
    order(&mut bench, &[5, 4]);

    let breaches = bench.passes(100, [0, 0]);

    assert_eq!(breaches.len(), 1);
    assert_eq!(breaches[0].lasted_ns, 21 * MS);
}

#[test]
fn observe_newcomer_before_one_that_waited_returns_breach() {
    let mut bench = bench(0);
    order(&mut bench, &[4, 5]);
    assert_eq!(bench.pass([1, 1]), None);

    order(&mut bench, &[7, 4, 5]);
    assert!(bench.pass([1, 1]).is_some());
}

#[test]
fn observe_thread_that_was_put_in_front_passes() {
    let mut bench = bench(0);
    order(&mut bench, &[4, 5]);
    assert_eq!(bench.pass([1, 1]), None);

    order(&mut bench, &[7, 4, 5]);
    bench.seen.cpus[1].queue.placements[0].front_wait = THIS_WAIT;
    assert_eq!(bench.passes(10, [1, 1]).len(), 0);

    order(&mut bench, &[7, 4, 5]);
    bench.seen.cpus[1].queue.placements[0].front_wait = THIS_WAIT;
    bench.seen.cpus[1].queue.threads.swap(1, 2);
    assert!(bench.pass([1, 1]).is_some(), "the mark is for the one that has it");
}

#[test]
fn observe_mark_of_another_wait_is_no_leave() {
    let mut bench = bench(0);
    order(&mut bench, &[4, 5]);
    assert_eq!(bench.pass([1, 1]), None);

    order(&mut bench, &[7, 4, 5]);
    bench.seen.cpus[1].queue.placements[0].front_wait = THIS_WAIT - 1;
    assert!(bench.pass([1, 1]).is_some());
}

#[test]
fn observe_thread_that_was_requeued_is_passed() {
    let mut bench = bench(0);
    order(&mut bench, &[4, 5]);
    assert_eq!(bench.pass([1, 1]), None);

    order(&mut bench, &[5, 4]);
    bench.seen.cpus[1].queue.placements[1].moves = 1;
    assert_eq!(bench.passes(10, [1, 1]).len(), 0);
}

#[test]
fn observe_thread_that_has_run_in_between_is_passed() {
    let mut bench = bench(0);
    order(&mut bench, &[4, 5]);
    assert_eq!(bench.pass([1, 1]), None);

    order(&mut bench, &[5, 4]);
    bench.seen.cpus[1].queue.threads[1].runs = 2;
    assert_eq!(bench.passes(10, [1, 1]).len(), 0);
}

/// Has CPU 1 run thread 5 for the second time, while thread 4 waits, which was before it.
fn taken_from_behind(bench: &mut Bench) {
    order(bench, &[4, 5]);
    assert_eq!(bench.pass([1, 1]), None);
    order(bench, &[4]);
    bench.run(1, 5, 30);
    bench.seen.cpus[1].placement = Placement { runs: 2, cpu: Some(1), level: 30, ..Placement::default() };
}

#[test]
fn observe_thread_that_ran_from_behind_returns_breach() {
    let mut bench = bench(0);
    taken_from_behind(&mut bench);

    let breach = bench.pass([1, 1]).expect("a breach");

    assert_eq!(breach.thread, Some(4));
    let said = bench.sentence(&breach);
    assert!(said.ends_with("not put to the front, ran before it, 0.0 ms ago"), "{said}");
}

#[test]
fn observe_thread_that_ran_by_a_rule_or_elsewhere_returns_none() {
    let by_a_rule = |change: fn(&mut Bench)| {
        let mut bench = bench(0);
        taken_from_behind(&mut bench);
        change(&mut bench);
        assert_eq!(bench.pass([1, 1]), None);
    };
    by_a_rule(|bench| bench.seen.cpus[1].placement.moves = 1);
    by_a_rule(|bench| bench.seen.cpus[1].placement.runs = 3);
    by_a_rule(|bench| bench.seen.cpus[1].placement.level = 31);
    by_a_rule(|bench| bench.seen.cpus[1].placement.cpu = Some(0));
    by_a_rule(|bench| bench.seen.cpus[1].queue.placements[0].moves = 1);
    by_a_rule(|bench| order(bench, &[4, 5]));
}

/// Has CPU 1 run thread 5, which ran there before, for the second time, while thread 4 waits.
fn taken_anew(bench: &mut Bench) {
    order(bench, &[4]);
    bench.run(1, 5, 30);
    bench.seen.cpus[1].placement = Placement { runs: 1, cpu: Some(1), level: 30, ..Placement::default() };
    assert_eq!(bench.pass([1, 1]), None);
    bench.seen.cpus[1].placement.runs = 2;
}

#[test]
fn observe_thread_that_runs_anew_while_another_waits_returns_breach() {
    let mut bench = bench(0);
    taken_anew(&mut bench);

    assert_eq!(bench.pass([1, 1]).and_then(|breach| breach.thread), Some(4));
}

#[test]
fn observe_thread_that_runs_anew_by_a_rule_or_from_another_level_returns_none() {
    let by_a_rule = |change: fn(&mut Bench)| {
        let mut bench = bench(0);
        taken_anew(&mut bench);
        change(&mut bench);
        assert_eq!(bench.passes(10, [1, 1]).len(), 0);
    };
    by_a_rule(|bench| bench.seen.cpus[1].placement.moves = 1);
    by_a_rule(|bench| bench.seen.cpus[1].placement.level = 40);
    by_a_rule(|bench| bench.seen.cpus[1].queue.threads[0].bound = true);
    by_a_rule(|bench| bench.seen.cpus[1].placement.cpu = Some(0));
    by_a_rule(|bench| bench.seen.cpus[1].queue.threads[0].runs = 2);
}

#[test]
fn observe_torn_queue_is_excused_and_forgotten() {
    let mut bench = bench(0);
    order(&mut bench, &[4, 5]);
    assert_eq!(bench.pass([1, 1]), None);

    bench.seen.cpus[1].queue.verdict = Verdict::Torn;
    order(&mut bench, &[5, 4]);
    assert_eq!(bench.pass([1, 1]), None);
    assert_eq!(bench.excused(Excuse::Torn), 1);

    bench.seen.cpus[1].queue.verdict = Verdict::Clean;
    assert_eq!(bench.passes(10, [1, 1]).len(), 0);
}
