//! Waiting for a queue to be empty; suspending and resuming it (`taskq_wait`, `taskq_suspend`).
//!
//! # Invariants
//! - Waiting keeps nobody from dispatching: a producer that goes on can keep a waiter for ever.
//! - A queue is suspended by holding `tq_threadlock` as writer: so that waits for tasks that run, and the thread that suspended the queue
//!   is the one that resumes it. Tasks that threads of buckets run are not waited for.

use super::dynamic::buckets;
use super::{Taskq, TaskqEnt, tqbucket, tqflag};
use crate::cell::Cell;
use crate::platform;
use crate::sync::{RwMode, cv_wait, mutex_enter, mutex_exit, rw_enter, rw_exit};
use crate::sys::Kthread;

/// Waits until the queue has no task and no thread works; of a dynamic one also until each bucket in turn has had no busy thread.
///
/// # Panics
/// If the caller is one of the queue's threads: it would wait for itself.
pub fn taskq_wait(tq: &'static Taskq) {
    assert!(!taskq_member(tq, platform::curthread()), "taskq_wait({tq:p}): called by one of its own threads");
    mutex_enter(&tq.tq_lock);
    while tq.tq_task.first().is_some() || tq.tq_active.get() != 0 {
        cv_wait(&tq.tq_wait_cv, &tq.tq_lock);
    }
    mutex_exit(&tq.tq_lock);
    for b in buckets(tq) {
        mutex_enter(&b.tqbucket_lock);
        while b.tqbucket_nalloc.get() > 0 {
            cv_wait(&b.tqbucket_cv, &b.tqbucket_lock);
        }
        mutex_exit(&b.tqbucket_lock);
    }
}

/// Waits for a task, which is to wait for all of them (`taskq_wait_id`).
pub fn taskq_wait_id(tq: &'static Taskq, _task: &TaskqEnt) {
    taskq_wait(tq);
}

/// True if the queue has no task and no thread works; buckets are not looked at (`taskq_empty`).
pub fn taskq_empty(tq: &'static Taskq) -> bool {
    mutex_enter(&tq.tq_lock);
    let is_empty = tq.tq_task.first().is_none() && tq.tq_active.get() == 0;
    mutex_exit(&tq.tq_lock);
    is_empty
}

/// True for a thread of the queue (`taskq_member`).
pub fn taskq_member(tq: &Taskq, t: &Kthread) -> bool {
    t.t_taskq.is(tq)
}

/// Keeps every task from being begun that has not been, until [`taskq_resume`] by the same thread. A task of the queue must not call it.
pub fn taskq_suspend(tq: &'static Taskq) {
    rw_enter(&tq.tq_threadlock, RwMode::Writer);
    for b in buckets(tq) {
        mutex_enter(&b.tqbucket_lock);
        b.tqbucket_flags.set(b.tqbucket_flags.get() | tqbucket::SUSPEND);
        mutex_exit(&b.tqbucket_lock);
    }
    mutex_enter(&tq.tq_lock);
    assert!(!tq.has(tqflag::SUSPENDED), "taskq_suspend({tq:p}): suspended already");
    tq.set_flag(tqflag::SUSPENDED);
    mutex_exit(&tq.tq_lock);
}

/// True while the queue is suspended (`taskq_suspended`).
pub fn taskq_suspended(tq: &Taskq) -> bool {
    tq.has(tqflag::SUSPENDED)
}

/// Lets tasks begin again.
///
/// # Panics
/// If the caller is not the thread that suspended the queue.
pub fn taskq_resume(tq: &'static Taskq) {
    let me = platform::curthread();
    assert!(
        tq.tq_threadlock.rw_wwwh.is_owned_by(me),
        "taskq_resume({tq:p}): suspended by another thread, or not at all"
    );
    for b in buckets(tq) {
        mutex_enter(&b.tqbucket_lock);
        b.tqbucket_flags.set(b.tqbucket_flags.get() & !tqbucket::SUSPEND);
        mutex_exit(&b.tqbucket_lock);
    }
    mutex_enter(&tq.tq_lock);
    tq.clear_flag(tqflag::SUSPENDED);
    mutex_exit(&tq.tq_lock);
    rw_exit(&tq.tq_threadlock);
}
