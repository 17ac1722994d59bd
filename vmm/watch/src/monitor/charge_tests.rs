//! Tests of `charge`.
//!
//! # Invariants
//! - Accounts are read at each pass. Thread 4 is made at 1 ms; CPU 1 begins at 0.

use super::*;
use crate::glass::{CpuAccount, Doings};
use crate::monitor::bench::{Bench, MS};
use umpire_shared::sys::cpuvar::cms;

fn bench() -> Bench {
    let mut bench = Bench::new(Charge::new(5 * MS));
    bench.run(0, 2, 20);
    bench.run(1, 3, 20);
    bench.seen.hz = 100;
    bench.seen.has_accounts = true;
    bench.seen.accounts = vec![ThreadAccount { is_whole: true, ..ThreadAccount::default() }; 32];
    bench.seen.accounts[4] = asleep();
    let running = CpuAccount { mstate: cms::SYSTEM, is_whole: true, ..CpuAccount::default() };
    bench.seen.cpu_accounts = vec![running; 2];
    bench
}

/// Thread 4: it ran for 3 ms, and has been asleep since.
fn asleep() -> ThreadAccount {
    let mut account = ThreadAccount {
        does: Doings { state: ts::SLEEP, runs: 1, ..Doings::default() },
        mstate: lms::SLEEP,
        born_ns: MS,
        since_ns: 4 * MS,
        is_whole: true,
        ..ThreadAccount::default()
    };
    account.spent_ns[usize::from(lms::SYSTEM)] = 3 * MS;
    account
}

#[test]
fn observe_accounts_that_add_up_return_none() {
    let mut bench = bench();

    assert_eq!(bench.passes(100, [1, 1]).len(), 0);
    assert_eq!(bench.monitor.ledger().worst_ns(), 0);
}

#[test]
fn observe_time_that_no_account_has_returns_one_breach() {
    let mut bench = bench();
    bench.seen.accounts[4].since_ns = 10 * MS;
    assert_eq!(bench.passes(100, [1, 1]).len(), 0, "a change may be under way");
    bench.seen.accounts[4].since_ns = 11 * MS;

    let breaches = bench.passes(100, [1, 1]);

    assert_eq!(breaches.len(), 1);
    assert_eq!((breaches[0].thread, breaches[0].lasted_ns), (Some(4), 6 * MS));
    assert_eq!(
        bench.sentence(&breaches[0]),
        "6.0 ms of the time of an unknown thread (SYS 0) are in none of its microstates"
    );
}

#[test]
fn observe_time_that_is_counted_twice_breaks_when_the_stay_is_over() {
    let mut bench = bench();
    bench.seen.accounts[4].spent_ns[usize::from(lms::SYSTEM)] += 20 * MS;
    assert_eq!(bench.passes(100, [1, 1]).len(), 0, "a change may be under way");

    bench.seen.accounts[4].since_ns += MS;
    let breach = bench.pass([1, 1]).expect("a breach");
    let said = bench.sentence(&breach);
    assert_eq!(said, "an unknown thread (SYS 0) has 19.0 ms more in its microstates than its time is");
}

#[test]
fn observe_change_under_way_at_two_stays_that_is_over_in_between_is_forgiven() {
    let mut bench = bench();

    for n in 1..20 {
        bench.seen.accounts[4].spent_ns[usize::from(lms::SYSTEM)] += 20 * MS;
        assert_eq!(bench.pass([1, 1]), None, "{n}");
        bench.seen.accounts[4].since_ns += 20 * MS;
        assert_eq!(bench.pass([1, 1]), None, "{n}");
        bench.seen.accounts[4].does.runs += 1;
    }
}

#[test]
fn observe_cpu_time_that_no_account_has_returns_breach() {
    let mut bench = bench();
    bench.seen.cpu_accounts[1].since_ns = 10 * MS;
    assert_eq!(bench.pass([1, 1]), None);
    bench.seen.cpu_accounts[1].since_ns = 11 * MS;

    let breach = bench.pass([1, 1]).expect("a breach");

    assert_eq!((breach.thread, breach.cpu), (None, Some(1)));
    assert!(bench.sentence(&breach).starts_with("10.0 ms of the time of cpu 1 are"));
}

#[test]
fn observe_tick_for_a_sleeper_returns_breach() {
    let mut bench = bench();
    assert_eq!(bench.passes(2, [1, 1]).len(), 0);
    bench.seen.accounts[4].does.lbolt = 7;

    let breach = bench.pass([1, 1]).expect("a breach");

    let said = bench.sentence(&breach);
    assert_eq!(
        said,
        "an unknown thread (SYS 0) was charged with a tick while it did not run; 10.0 ms altogether"
    );
}

#[test]
fn observe_tick_for_who_has_just_left_or_has_run_returns_none() {
    let mut just_left = bench();
    assert_eq!(just_left.pass([1, 1]), None);
    just_left.seen.accounts[4].does.lbolt = 7;
    assert_eq!(just_left.passes(10, [1, 1]).len(), 0);

    let mut on_cpu = bench();
    on_cpu.seen.cpus[0].dispthread = on_cpu.seen.arena.expect("an arena").address_of(4);
    assert_eq!(on_cpu.passes(10, [1, 1]).len(), 0);
    on_cpu.seen.accounts[4].does.lbolt = 7;
    assert_eq!(on_cpu.passes(10, [1, 1]).len(), 0);

    let mut has_run = bench();
    assert_eq!(has_run.passes(10, [1, 1]).len(), 0);
    (has_run.seen.accounts[4].does.lbolt, has_run.seen.accounts[4].does.runs) = (7, 2);
    assert_eq!(has_run.passes(10, [1, 1]).len(), 0);
}

#[test]
fn observe_tick_for_a_choice_that_was_put_back_is_excused() {
    let mut bench = bench();
    let account = &mut bench.seen.accounts[4];
    (account.does.state, account.mstate) = (ts::RUN, lms::WAIT_CPU);
    assert_eq!(bench.passes(10, [1, 1]).len(), 0);
    (bench.seen.accounts[4].does.lbolt, bench.seen.accounts[4].does.moves) = (7, 1);

    assert_eq!(bench.passes(10, [1, 1]).len(), 0);
    assert_eq!(bench.excused(Excuse::PutBack), 1);
}

#[test]
fn observe_time_on_a_cpu_for_who_was_away_returns_breach() {
    let mut bench = bench();
    assert_eq!(bench.passes(2, [1, 1]).len(), 0);
    bench.seen.accounts[4].spent_ns[usize::from(lms::USER)] += 6 * MS;
    bench.seen.accounts[4].since_ns += 6 * MS;

    let breach = bench.pass([1, 1]).expect("a breach");

    let said = bench.sentence(&breach);
    assert_eq!(said, "an unknown thread (SYS 0) was charged with 6.0 ms on a CPU while it did not run");
}

#[test]
fn observe_microstate_of_a_runner_while_away_returns_breach() {
    let mut bench = bench();
    bench.seen.accounts[4].mstate = lms::USER;

    let breaches = bench.passes(100, [1, 1]);

    assert_eq!(breaches.len(), 1);
    let said = bench.sentence(&breaches[0]);
    assert_eq!(said, "an unknown thread (SYS 0) has been in LMS_USER for 6.0 ms while it did not run");
}

#[test]
fn observe_interrupt_threads_are_not_judged_by_what_they_do() {
    let mut bench = bench();
    let account = &mut bench.seen.accounts[4];
    (account.does.flag, account.mstate) = (umpire_shared::sys::thread::tflag::INTR_THREAD, lms::USER);

    assert_eq!(bench.passes(100, [1, 1]).len(), 0);
}

#[test]
fn observe_account_that_changed_is_excused_and_forgotten() {
    let mut bench = bench();
    assert_eq!(bench.passes(5, [1, 1]).len(), 0);
    (bench.seen.accounts[4].is_whole, bench.seen.accounts[4].since_ns) = (false, 10 * MS);
    assert_eq!(bench.passes(10, [1, 1]).len(), 0);
    assert_eq!(bench.excused(Excuse::Torn), 10);

    (bench.seen.accounts[4], bench.seen.accounts[4].does.lbolt) = (asleep(), 0);
    bench.seen.accounts[4].does.lbolt = 7;
    assert_eq!(bench.passes(10, [1, 1]).len(), 0);
}

#[test]
fn observe_interrupts_that_no_state_has_return_breach() {
    let mut bench = bench();
    for n in 1..10 {
        let account = &mut bench.seen.cpu_accounts[1];
        account.levels.ns[5] = n * 2 * MS;
        account.interrupted_ns[usize::from(cms::USER)] = n * 2 * MS;
        assert_eq!(bench.pass([1, 1]), None);
    }

    bench.seen.cpu_accounts[1].interrupted_ns[usize::from(cms::USER)] = 0;
    assert_eq!(bench.pass([1, 1]), None, "a charge may be under way");
    bench.seen.cpu_accounts[1].levels.ns[5] += 2 * MS;
    let breach = bench.pass([1, 1]).expect("a breach");
    let said = bench.sentence(&breach);
    assert_eq!(said, "interrupts of cpu 1 took 18.0 ms more or less of its states than by their levels");
}

#[test]
fn observe_cpu_in_the_state_of_another_is_charged_with_what_it_had() {
    let breaches = |ran, change: fn(&mut Bench)| {
        let mut bench = bench();
        bench.seen.cpu_accounts[1].mstate = cms::IDLE;
        change(&mut bench);
        let breaches = bench.passes(100, ran);
        (breaches.len(), breaches.first().map(|breach| bench.sentence(breach)))
    };
    let said = "cpu 1 has been in CMS_IDLE for 6.0 ms while it ran a thread";
    assert_eq!(breaches([1, 1], |_| {}), (1, Some(said.to_owned())));
    assert_eq!(breaches([1, 0], |_| {}).0, 0, "the host did not run it");
    assert_eq!(breaches([1, 1], |bench| bench.seen.cpus[1].dispatch_pri = -1).0, 0);

    let said = "cpu 1 has been in CMS_SYSTEM for 6.0 ms while it ran its idle thread";
    let idles = |bench: &mut Bench| {
        bench.seen.cpus[1].dispatch_pri = -1;
        bench.seen.cpu_accounts[1].mstate = cms::SYSTEM;
    };
    assert_eq!(breaches([1, 1], idles), (1, Some(said.to_owned())));
}

/// The host takes it off on its way, after a hundredth of a millisecond, and has it be there for three looks.
#[test]
fn observe_cpu_that_is_kept_on_its_way_from_state_to_state_is_not_charged_with_that_on_a_long_run() {
    let mut bench = bench();
    for n in 0..10_000 {
        bench.seen.cpus[1].runner.pswitch = n / 3;
        bench.seen.cpu_accounts[1].mstate = cms::IDLE;
        bench.seen.readings[1].ran_ns += MS / 100;
        assert_eq!(bench.pass([1, 0]), None, "look {n}");
    }
}

#[test]
fn observe_cpu_that_switches_is_in_no_state_for_long() {
    let mut bench = bench();
    bench.seen.cpu_accounts[1].mstate = cms::IDLE;

    for n in 0..100 {
        bench.seen.cpus[1].runner.pswitch = n;
        assert_eq!(bench.pass([1, 1]), None);
    }
}
