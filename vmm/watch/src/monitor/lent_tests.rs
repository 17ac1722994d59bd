//! Tests of `lent`.
//!
//! # Invariants
//! - Thread 2 owns a mutex for which thread 4, of priority 60, waits, and inherits what the test says.

use super::*;
use crate::monitor::bench::{Bench, MS};
use umpire_shared::sys::sobject::sobj;

fn bench(epri: i16) -> Bench {
    let mut bench = Bench::new(Lent::new(20 * MS));
    let waiter_cpu = bench.seen.cpus[1].addr;
    bench.run(1, 2, epri);
    bench.seen.owners = vec![OwnerSample {
        turnstile: 3,
        sobj: 0x500,
        kind: sobj::MUTEX,
        owner: Some(2),
        owner_pri: epri,
        owner_own: 10,
        waiter: 4,
        waiter_pri: 60,
        waiter_own: 60,
        waiter_cpu,
    }];
    bench.seen.workers = vec![WorkerSample {
        index: 2,
        state: ts::ONPROC,
        own_pri: 10,
        epri,
        pri: epri.max(10),
        ..WorkerSample::default()
    }];
    bench
}

#[test]
fn observe_loan_as_good_as_the_waiter_returns_none() {
    assert_eq!(bench(60).passes(100, [1, 1]).len(), 0);
    assert_eq!(bench(0).passes(100, [1, 1]).len(), 0);
}

#[test]
fn observe_loan_that_is_too_high_returns_one_breach() {
    let mut bench = bench(70);

    let breaches = bench.passes(100, [1, 1]);

    assert_eq!(breaches.len(), 1);
    assert_eq!((breaches[0].thread, breaches[0].lasted_ns), (Some(2), 21 * MS));
    assert_eq!(
        bench.sentence(&breaches[0]),
        "an unknown thread (SYS 0) has had an inherited priority of 70 for 21.0 ms, and the best who waits for a lock that it \
         owns is an unknown thread (SYS 0) with 60"
    );
}

#[test]
fn observe_loan_that_outlives_the_wait_returns_one_breach() {
    let mut bench = bench(60);
    assert_eq!(bench.passes(10, [1, 1]).len(), 0);
    bench.seen.owners.clear();

    let breaches = bench.passes(100, [1, 1]);

    assert_eq!(breaches.len(), 1);
    let said = bench.sentence(&breaches[0]);
    assert!(said.ends_with("60 for 21.0 ms, and nobody waits for a lock that it owns"), "{said}");
}

#[test]
fn observe_loan_of_another_lock_is_no_explanation() {
    let mut bench = bench(60);
    assert_eq!(bench.passes(10, [1, 1]).len(), 0);
    let next = &mut bench.seen.owners[0];
    (next.turnstile, next.sobj, next.waiter, next.waiter_pri) = (5, 0x600, 6, 30);

    assert_eq!(bench.passes(100, [1, 1]).len(), 1);
}

#[test]
fn observe_thread_that_no_cpu_has_is_charged_with_wall_time() {
    let mut bench = bench(60);
    bench.seen.owners.clear();
    bench.run(1, 5, 60);
    bench.seen.workers[0].state = ts::SLEEP;

    assert_eq!(bench.passes(100, [0, 0]).len(), 1);
}

#[test]
fn observe_own_priority_as_good_is_no_loan() {
    let mut bench = bench(60);
    bench.seen.owners.clear();
    bench.seen.workers[0].own_pri = 60;

    assert_eq!(bench.passes(100, [1, 1]).len(), 0);
}

#[test]
fn observe_waiter_that_sank_is_excused_as_long_as_it_waits() {
    let mut bench = bench(60);
    assert_eq!(bench.passes(10, [1, 1]).len(), 0);
    bench.seen.owners[0].waiter_pri = 30;
    assert_eq!(bench.passes(100, [1, 1]).len(), 0);
    assert_eq!(bench.excused(Excuse::WaiterSank), 100);

    bench.seen.owners.clear();
    assert_eq!(bench.passes(100, [1, 1]).len(), 1);
}

#[test]
fn observe_waiter_that_sank_before_the_first_look_is_excused_by_what_it_had() {
    let mut bench = bench(0);
    let owners = std::mem::take(&mut bench.seen.owners);
    bench.seen.workers.push(WorkerSample { index: 4, pri: 60, ..WorkerSample::default() });
    assert_eq!(bench.pass([1, 1]), None);
    bench.seen.owners = owners;
    bench.seen.owners[0].waiter_pri = 30;
    bench.seen.workers[0].epri = 60;

    assert_eq!(bench.passes(100, [1, 1]).len(), 0);
}

#[test]
fn observe_vcpu_that_the_host_did_not_run_is_excused() {
    let mut bench = bench(70);

    assert_eq!(bench.passes(100, [1, 0]).len(), 0);
    assert_eq!(bench.excused(Excuse::VcpuAway), 99);
}

#[test]
fn observe_torn_chain_is_excused_and_forgets_nothing() {
    let mut bench = bench(60);
    assert_eq!(bench.passes(10, [1, 1]).len(), 0);
    bench.seen.owners[0].waiter_pri = 30;
    bench.seen.torn_chains = 1;
    let owners = std::mem::take(&mut bench.seen.owners);
    assert_eq!(bench.passes(100, [1, 1]).len(), 0);
    assert_eq!(bench.excused(Excuse::Torn), 100);

    (bench.seen.torn_chains, bench.seen.owners) = (0, owners);
    assert_eq!(bench.passes(100, [1, 1]).len(), 0);
}
