//! A thread of a static queue, and the backing thread of a dynamic one (`taskq_thread`).
//!
//! # Invariants
//! - A task is taken off the ring before `tq_threadlock` is taken: while the queue is suspended as many as there are threads may be neither
//!   on the ring nor running.
//! - An entry is not looked at once its function has been called, if it is the dispatcher's own.
//! - A thread that has nothing to do is in [`taskq_thread_wait`], by which a debugger knows it.

use super::create::taskq_thread_create;
use super::dispatch::named;
use super::entry::taskq_ent_free;
use super::pool;
use super::{Taskq, TaskqEnt, tqent, tqflag};
use crate::cell::{Cell, Counter};
use crate::platform;
use crate::probe;
use crate::sync::{
    Condvar, Mutex, RwMode, cv_broadcast, cv_wait, mutex_enter, mutex_exit, rw_enter, rw_exit,
};
use crate::sys::thread::Start;
use crate::time::callout::cv_reltimedwait;
use umpire_shared::event::Kind;
use umpire_shared::mutant;

/// Where a thread of a queue begins.
pub(super) static TASKQ_THREAD: Start = Start(taskq_thread);

/// Serves the queue until there are to be fewer threads.
fn taskq_thread() {
    let tq = platform::curthread().t_taskq.get().expect("invariant: set when the thread was created");
    mutex_enter(&tq.tq_lock);
    tq.tq_nthreads.bump();
    let id = tq.tq_nthreads.get();
    tq.clear_flag(tqflag::THREAD_CREATED);
    cv_broadcast(&tq.tq_wait_cv);
    loop {
        if tq.has(tqflag::CHANGING) {
            let target = tq.tq_nthreads_target.get();
            if id > target {
                if id == tq.tq_nthreads.get() || target == 0 {
                    break;
                }
                cv_wait(&tq.tq_exit_cv, &tq.tq_lock);
                continue;
            }
            if !tq.has(tqflag::THREAD_CREATED) {
                if tq.tq_nthreads.get() == target {
                    tq.clear_flag(tqflag::CHANGING);
                    cv_broadcast(&tq.tq_wait_cv);
                }
                if tq.tq_nthreads.get() < target {
                    taskq_thread_create(tq);
                    continue;
                }
            }
        }
        let Some(e) = tq.tq_task.first() else {
            tq.tq_active.drop_one();
            if tq.tq_active.get() == 0 {
                cv_broadcast(&tq.tq_wait_cv);
            }
            taskq_thread_wait(&tq.tq_dispatch_cv, &tq.tq_lock, None);
            tq.tq_active.bump();
            continue;
        };
        e.unlink();
        mutex_exit(&tq.tq_lock);
        let is_own = call(tq, e);
        mutex_enter(&tq.tq_lock);
        tq.tq_executed.bump();
        if is_own {
            taskq_ent_free(tq, e);
        }
    }
    tq.tq_active.drop_one();
    tq.tq_nthreads.drop_one();
    cv_broadcast(&tq.tq_exit_cv);
    if tq.tq_nthreads.get() == tq.tq_nthreads_target.get() {
        if !tq.has(tqflag::THREAD_CREATED) {
            tq.clear_flag(tqflag::CHANGING);
        }
        cv_broadcast(&tq.tq_wait_cv);
    }
    pool::leave();
    mutex_exit(&tq.tq_lock);
}

/// Calls a task's function. True if the entry is the queue's own.
fn call(tq: &'static Taskq, e: &'static TaskqEnt) -> bool {
    let is_own = tq.is_dynamic() || e.tqent_flags.get() & tqent::PREALLOC == 0;
    let func = e.tqent_func.get().expect("invariant: what is on the ring has a function");
    let (arg, name) = (e.tqent_arg.get(), named(tq, None, e));
    let is_held = !platform::kernel().is_mutant(mutant::SUSPEND_UNHEEDED);
    if is_held {
        rw_enter(&tq.tq_threadlock, RwMode::Reader);
    }
    let start = platform::now();
    probe::fire_masked(Kind::TaskqExecStart, name);
    (func.0)(arg);
    probe::fire_masked(Kind::TaskqExecEnd, name);
    // Several threads add to it; the lock is not held, and illumos takes it only afterwards.
    let spent = platform::now() - start;
    if is_held {
        rw_exit(&tq.tq_threadlock);
    }
    tq.tq_totaltime.fetch_add(spent, core::sync::atomic::Ordering::Relaxed);
    is_own
}

/// Waits for something to do; with a time, no longer than so many ns from now. True if the time is up.
#[inline(never)]
pub(super) fn taskq_thread_wait(cv: &'static Condvar, lock: &'static Mutex, timeout_ns: Option<u64>) -> bool {
    match timeout_ns {
        None => {
            cv_wait(cv, lock);
            false
        }
        Some(ns) => cv_reltimedwait(cv, lock, ns),
    }
}
