//! What does not wait: `tryenter`, `tryp`, `tryupgrade`, `downgrade`. And which thread owns an rwlock.
//!
//! # Invariants
//! - Threads run code of the tests, each step when the one before it has been seen to be over.

use std::cell::RefCell;
use std::rc::Rc;
use umpire_shared::work::compute::Spin;

use crate::bench::{Bench, MS, Program, thread};
use umpire_kernel::cell::Cell;
use umpire_kernel::platform;
use umpire_kernel::sync::{
    RwMode, Rwlock, mutex_enter, mutex_exit, mutex_tryenter, rw_downgrade, rw_enter, rw_exit, rw_owner,
    rw_tryenter, rw_tryupgrade, sema_p, sema_tryp, sema_v,
};
use umpire_kernel::sys::thread::{lms, ts};
use umpire_kernel::time::callout::sleep_until;
use umpire_shared::program::class::SYS;

/// What threads report.
type Log = Rc<RefCell<Vec<(u32, &'static str)>>>;

/// Runs two threads on a CPU each: number 2 runs `first` at once, number 3 runs `second` after 2 ms. Returns what they reported
/// within 20 ms.
fn two(
    first: impl Fn(&dyn Fn(&'static str)) + 'static,
    second: impl Fn(&dyn Fn(&'static str)) + 'static,
) -> (Bench, Vec<(u32, &'static str)>) {
    let p = Program::new(2).thread(thread("first", SYS, 60, 0, Spin::defaults()));
    let mut sim = p.thread(thread("second", SYS, 61, 1, Spin::defaults())).boot(11);
    let log: Log = Rc::default();
    let sink = Rc::clone(&log);
    sim.run_instead(move |t| {
        let report = |what| sink.borrow_mut().push((t.t_did, what));
        match t.t_did {
            2 => first(&report),
            3 => {
                sleep_until(2 * MS);
                second(&report);
            }
            _ => return false,
        }
        // There is nothing more to do: the workload that would follow must not run.
        sleep_until(u64::MAX / 2);
        true
    });
    sim.run_until_ok(20 * MS);
    let reports = log.borrow().clone();
    (sim, reports)
}

fn lock() -> &'static Rwlock {
    &platform::kernel().k_work.rwlocks[0]
}

#[test]
fn a_held_mutex_is_not_entered_and_a_free_one_is() {
    let (_, log) = two(
        |report| {
            let mp = &platform::kernel().k_work.locks[0];
            mutex_enter(mp);
            sleep_until(4 * MS);
            mutex_exit(mp);
            report("given up");
        },
        |report| {
            let mp = &platform::kernel().k_work.locks[0];
            report(if mutex_tryenter(mp) { "entered" } else { "refused" });
            sleep_until(6 * MS);
            report(if mutex_tryenter(mp) { "entered" } else { "refused" });
            mutex_exit(mp);
        },
    );
    assert_eq!(log, [(3, "refused"), (2, "given up"), (3, "entered")]);
}

#[test]
fn a_semaphore_without_units_is_refused() {
    let (_, log) = two(
        |report| {
            // One unit.
            let sema = &platform::kernel().k_work.semas[0];
            sema_p(sema);
            sleep_until(4 * MS);
            sema_v(sema);
            report("given back");
        },
        |report| {
            let sema = &platform::kernel().k_work.semas[0];
            report(if sema_tryp(sema) { "taken" } else { "refused" });
            sleep_until(6 * MS);
            report(if sema_tryp(sema) { "taken" } else { "refused" });
        },
    );
    assert_eq!(log, [(3, "refused"), (2, "given back"), (3, "taken")]);
}

#[test]
fn readers_share_and_a_writer_is_alone_and_has_a_name() {
    let (_, log) = two(
        |report| {
            rw_enter(lock(), RwMode::Reader);
            report(if rw_owner(lock()).is_none() { "nobody owns" } else { "owned" });
            sleep_until(4 * MS);
            rw_exit(lock());
            rw_enter(lock(), RwMode::Writer);
            let is_mine = rw_owner(lock()).is_some_and(|t| t.t_did == 2);
            report(if is_mine { "owned by me" } else { "owned by somebody" });
            sleep_until(8 * MS);
            rw_exit(lock());
        },
        |report| {
            report(if rw_tryenter(lock(), RwMode::Writer) { "writes" } else { "may not write" });
            report(if rw_tryenter(lock(), RwMode::Reader) { "reads" } else { "may not read" });
            rw_exit(lock());
            sleep_until(6 * MS);
            report(if rw_tryenter(lock(), RwMode::Reader) { "reads" } else { "may not read" });
        },
    );
    let expected =
        [(2, "nobody owns"), (3, "may not write"), (3, "reads"), (2, "owned by me"), (3, "may not read")];
    assert_eq!(log, expected);
}

#[test]
fn only_the_last_reader_becomes_the_writer() {
    let (_, log) = two(
        |report| {
            rw_enter(lock(), RwMode::Reader);
            report(if rw_tryupgrade(lock()) { "upgraded" } else { "still reads" });
            rw_downgrade(lock());
            sleep_until(4 * MS);
            // The other thread reads too by now.
            report(if rw_tryupgrade(lock()) { "upgraded" } else { "still reads" });
            rw_exit(lock());
        },
        |_| {
            rw_enter(lock(), RwMode::Reader);
            sleep_until(8 * MS);
            rw_exit(lock());
        },
    );
    assert_eq!(log, [(2, "upgraded"), (2, "still reads")]);
}

#[test]
fn a_downgrade_lets_the_waiting_reader_in() {
    let (sim, log) = two(
        |report| {
            rw_enter(lock(), RwMode::Writer);
            sleep_until(4 * MS);
            report("downgrades");
            rw_downgrade(lock());
            sleep_until(8 * MS);
            report("lets go");
            rw_exit(lock());
        },
        |report| {
            rw_enter(lock(), RwMode::Reader);
            report("reads");
            rw_exit(lock());
        },
    );
    assert_eq!(log, [(2, "downgrades"), (3, "reads"), (2, "lets go")]);
    // The reader had to wait and was counted, and its wait counts as a wait for a lock.
    let waiter = &sim.kernel().scenario_threads()[1];
    let fails: u64 = sim.kernel().k_cpus.iter().map(|cp| cp.cpu_stats.rw_rdfails.get()).sum();
    assert_eq!(fails, 1);
    assert!(waiter.t_acct[usize::from(lms::USER_LOCK)].get() > MS);
    assert_eq!(waiter.t_state.get(), ts::SLEEP, "and sleeps again, for good");
}
