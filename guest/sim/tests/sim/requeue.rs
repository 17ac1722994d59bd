//! A thread that is requeued while it waits is in one wait: by SDC's update, by `ts_update`, by `priocntl`, by
//! inheritance.
//!
//! # Invariants
//! - Each requeue is shown twice: the honest kernel keeps `t_waitrq`, and the kernel whose `dispdeq` clears it does not. So the
//!   thread was requeued between the two looks.

use crate::bench::{MS, Program, thread};
use umpire_kernel::cell::Cell;
use umpire_kernel::sys::thread::{lms, ts};
use umpire_shared::program::class::{FX, SDC, SYS, TS};
use umpire_shared::program::{self, Verb};
use umpire_shared::work::compute::Spin;
use umpire_shared::work::locks::LockChain;
use umpire_shared::{mutant, tunable};

/// The thread that waits is the first of the program.
const WAITER: u32 = 0;

fn spinner(class: u32, pri: i32, cpu: i32) -> program::Thread {
    let mut t = thread("spin", class, pri, cpu, Spin::defaults());
    t.lwp = class != SYS;
    t
}

/// A waiter behind a kernel loop that nobody preempts.
fn behind_a_hog(waiter: program::Thread) -> Program {
    let hog = thread("hog", SYS, 98, 0, Spin::defaults());
    Program::new(2).tunable(tunable::KPREEMPTPRI, 100).thread(waiter).thread(hog)
}

/// A thread that has a mutex waits behind a better one; from 60 ms on a third wants the mutex.
fn inherits() -> Program {
    let taking =
        |first, after_us| LockChain { first, hold_us: 3_600_000_000, after_us, ..LockChain::defaults() };
    Program::new(2)
        .tunable(tunable::KPREEMPTPRI, 0)
        .thread(thread("low", TS, 10, 0, taking(0, 0)))
        .thread(thread("hog", SYS, 90, 0, taking(1, 30_000)))
        .thread(thread("high", SYS, 70, 1, taking(0, 60_000)))
}

/// What each requeue needs, and when to look before and after it, in ms.
fn requeues() -> Vec<(&'static str, Program, u64, u64)> {
    let mut sdc = spinner(SDC, 0, 0);
    sdc.duty_cycle = 50;
    let event = |verb, args: &[i64]| behind_a_hog(spinner(TS, 5, 0)).event(100 * MS, verb, WAITER, args);
    vec![
        ("sysdc_update", behind_a_hog(sdc), 300, 500),
        ("ts_update", behind_a_hog(spinner(TS, 5, 0)), 950, 1050),
        ("priocntl", event(Verb::Priocntl, &[i64::from(FX), 10]), 90, 110),
        ("inheritance", inherits(), 50, 100),
    ]
}

/// `t_waitrq` at both looks.
fn stamps(p: &Program, seed: u64, looks: [u64; 2], what: &str) -> [u64; 2] {
    let mut sim = p.boot(seed);
    looks.map(|ms| {
        sim.run_until_ok(ms * MS);
        let t = &sim.kernel().scenario_threads()[WAITER as usize];
        assert_eq!(
            (t.t_state.get(), t.t_mstate.get()),
            (ts::RUN, lms::WAIT_CPU),
            "{what}, seed {seed}, {ms} ms"
        );
        t.t_waitrq.get()
    })
}

#[test]
fn a_thread_that_is_requeued_keeps_the_stamp_of_its_wait() {
    for (what, p, before, after) in requeues() {
        for seed in 0..10 {
            let [first, then] = stamps(&p, seed, [before, after], what);
            assert_ne!(first, 0, "{what}, seed {seed}");
            assert_eq!(first, then, "{what}, seed {seed}");
        }
    }
}

#[test]
fn a_kernel_whose_dispdeq_clears_the_stamp_gives_it_another() {
    for (what, p, before, after) in requeues() {
        let p = p.mutant(mutant::RESTAMPED_WAIT);
        for seed in 0..10 {
            let [first, then] = stamps(&p, seed, [before, after], what);
            assert!(first < then, "{what}, seed {seed}: not requeued between {before} and {after} ms");
        }
    }
}
