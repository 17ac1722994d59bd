//! How a queue ends (`taskq_destroy`).
//!
//! # Invariants
//! - Nobody dispatches to it any more. What has been dispatched is done first.
//! - Its threads end from the last to the first; those of buckets when they have been told and found nothing to do.

use super::create::free_instance;
use super::dynamic::buckets;
use super::wait::taskq_wait;
use super::{Taskq, tqbucket, tqflag};
use crate::cell::Cell;
use crate::platform;
use crate::sync::{cv_broadcast, cv_signal, cv_wait, mutex_enter, mutex_exit};

/// Waits for a queue's tasks and ends it.
///
/// # Panics
/// If the queue is one that never ends, or the caller is one of its threads.
pub fn taskq_destroy(tq: &'static Taskq) {
    assert!(!tq.has(tqflag::CPR_SAFE), "taskq_destroy({tq:p}): a queue with CPR_SAFE is never destroyed");
    tq.tq_cpupart.set(None);
    taskq_wait(tq);
    mutex_enter(&tq.tq_lock);
    tq.tq_nthreads_target.set(0);
    tq.set_flag(tqflag::CHANGING);
    cv_broadcast(&tq.tq_dispatch_cv);
    cv_broadcast(&tq.tq_exit_cv);
    while tq.tq_nthreads.get() != 0 {
        cv_wait(&tq.tq_wait_cv, &tq.tq_lock);
    }
    free_entries(tq);
    mutex_exit(&tq.tq_lock);
    for b in buckets(tq) {
        mutex_enter(&b.tqbucket_lock);
        b.tqbucket_flags.set(b.tqbucket_flags.get() | tqbucket::CLOSE);
        let mut e = b.tqbucket_freelist.first();
        while let Some(idle) = e {
            cv_signal(&idle.tqent_cv);
            e = idle.tqent_next.get().filter(|next| !core::ptr::eq(*next, &b.tqbucket_freelist));
        }
        while b.tqbucket_nfree.get() != 0 {
            cv_wait(&b.tqbucket_cv, &b.tqbucket_lock);
        }
        mutex_exit(&b.tqbucket_lock);
    }
    if tq.has(tqflag::NOINSTANCE) {
        free_instance(tq.tq_instance.get());
    }
    reset(tq);
    platform::kernel().k_taskq.taskq_cache.free(tq);
}

/// Frees what entries it keeps. Called with `tq_lock`.
fn free_entries(tq: &'static Taskq) {
    let cache = &platform::kernel().k_taskq.taskq_ent_cache;
    tq.tq_minalloc.set(0);
    while let Some(e) = tq.tq_freelist.get() {
        tq.tq_freelist.set(e.tqent_next.get());
        e.tqent_next.set(None);
        cache.free(e);
    }
    tq.tq_nalloc.set(0);
}

fn reset(tq: &Taskq) {
    for cell in [&tq.tq_totaltime, &tq.tq_nomem, &tq.tq_tasks, &tq.tq_executed, &tq.tq_crtime] {
        cell.set(0);
    }
    for cell in [&tq.tq_maxtasks, &tq.tq_tcreates, &tq.tq_tdeaths, &tq.tq_maxsize, &tq.tq_threads_ncpus_pct] {
        cell.set(0);
    }
    tq.tq_flags.set(0);
    tq.tq_name[0].set(0);
}
