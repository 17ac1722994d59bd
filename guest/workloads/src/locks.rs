//! Workloads that wait for each other: nested mutexes, rwlocks, semaphores, herds on a condition variable.
//!
//! # Invariants
//! - Each waits for `after_us` first, so that a scenario decides which thread comes before which.
//! - A turn is done when the lock has been released.

use crate::turn::{US, finish_turn, progress, wait_first};
use umpire_kernel::cell::Cell;
use umpire_kernel::sync::{
    Mutex, RwMode, Rwlock, cv_broadcast, cv_wait, mutex_enter, mutex_exit, rw_enter, rw_exit, sema_p, sema_v,
};
use umpire_kernel::work::WorkCv;
use umpire_kernel::{Kthread, platform};
use umpire_shared::work::locks::{CvHerd, LockChain, Locks, Nested, Part, RwHow, RwMix, SemaMix};

umpire_shared::locks_workloads!();

/// Takes up to three mutexes, each inside the one before it.
fn lock_chain(t: &'static Kthread, p: LockChain) {
    let chain = [Some(p.first), p.second, p.third].map(|lock| lock.map(work_lock));
    wait_first(p.after_us);
    loop {
        for mp in chain.iter().flatten() {
            mutex_enter(mp);
            platform::spin(p.hold_us * US);
        }
        for mp in chain[1..].iter().rev().flatten() {
            mutex_exit(mp);
        }
        platform::spin(p.keep_us * US);
        chain[0].into_iter().for_each(mutex_exit);
        finish_turn(t, p.think_us, p.rest_ticks);
    }
}

/// Takes an rwlock, and perhaps a mutex or the same lock again.
fn rw_mix(t: &'static Kthread, p: RwMix) {
    let (rw, mp) = (&platform::kernel().k_work.rwlocks[p.lock as usize], work_lock(p.mutex));
    let mode = match p.mode {
        RwHow::Reader => RwMode::Reader,
        RwHow::Writer => RwMode::Writer,
        RwHow::StarveWriter => RwMode::ReaderStarveWriter,
    };
    wait_first(p.after_us);
    loop {
        if p.nested == Nested::MutexAround {
            mutex_enter(mp);
        }
        rw_enter(rw, mode);
        platform::spin(p.hold_us * US);
        match p.nested {
            Nested::Again => hold_again(rw, mode, p.hold_us),
            Nested::MutexInside => hold_mutex(mp, p.hold_us),
            Nested::Nothing | Nested::MutexAround => {}
        }
        rw_exit(rw);
        if p.nested == Nested::MutexAround {
            mutex_exit(mp);
        }
        finish_turn(t, p.think_us, p.rest_ticks);
    }
}

fn hold_again(rw: &'static Rwlock, mode: RwMode, hold_us: u64) {
    rw_enter(rw, mode);
    platform::spin(hold_us * US);
    rw_exit(rw);
}

fn hold_mutex(mp: &'static Mutex, hold_us: u64) {
    mutex_enter(mp);
    platform::spin(hold_us * US);
    mutex_exit(mp);
}

/// Takes a unit of a semaphore, keeps it, gives it back.
fn sema_mix(t: &'static Kthread, p: SemaMix) {
    let sp = &platform::kernel().k_work.semas[p.sema as usize];
    wait_first(p.after_us);
    loop {
        sema_p(sp);
        platform::spin(p.hold_us * US);
        sema_v(sp);
        finish_turn(t, p.think_us, p.rest_ticks);
    }
}

/// Waits for rounds, or calls rounds for others.
fn cv_herd(t: &'static Kthread, p: CvHerd) {
    let work = &platform::kernel().k_work.cvs[p.cv as usize];
    wait_first(p.after_us);
    match p.part {
        Part::Waiter => await_rounds(t, work, p.hold_us),
        Part::Caller => call_rounds(t, work, p.hold_us, p.rest_ticks),
    }
}

/// Waits for a round, works with the mutex, waits for the next.
fn await_rounds(t: &'static Kthread, work: &'static WorkCv, hold_us: u64) {
    mutex_enter(&work.wc_lock);
    loop {
        let round = work.wc_round.get();
        while work.wc_round.get() == round {
            cv_wait(&work.wc_cv, &work.wc_lock);
        }
        platform::spin(hold_us * US);
        progress(t);
    }
}

/// Broadcasts with the mutex held, so that the herd runs into it.
fn call_rounds(t: &'static Kthread, work: &'static WorkCv, hold_us: u64, rest_ticks: u64) {
    loop {
        mutex_enter(&work.wc_lock);
        let round = work.wc_round.get();
        platform::spin(hold_us * US);
        // The mutex is held, so no other thread has called a round meanwhile.
        work.wc_round.set(round + 1);
        cv_broadcast(&work.wc_cv);
        mutex_exit(&work.wc_lock);
        finish_turn(t, 0, rest_ticks);
    }
}

/// One of the workload mutexes.
fn work_lock(n: u64) -> &'static Mutex {
    &platform::kernel().k_work.locks[n as usize]
}
