//! Entries of a queue: how many it keeps, and what a dispatcher waits for that wants more (`taskq_ent_alloc`, `taskq_ent_free`).
//!
//! # Invariants
//! - `maxalloc` is a rate limiter and no bound: a dispatcher that may sleep waits a second for an entry and then gets a new one.
//! - Below `minalloc` a dispatch allocates although entries are free, unless it must not: `tq_nalloc` counts what exists.
//! - Both are called with `tq_lock` held and return with it; they drop it to allocate, to free, and to wait.

use super::{TaskqEnt, tq};
use crate::cell::{Cell, Counter};
use crate::kmem::km;
use crate::platform;
use crate::sync::{cv_signal, mutex_enter, mutex_exit};
use crate::sys::NANOSEC;
use crate::taskq::Taskq;
use crate::time::callout::cv_timedwait;
use umpire_shared::mutant;

/// An entry for a task; `flags` are of [`tq`]. `None` if there is none and the caller must not wait, or not allocate.
pub(super) fn taskq_ent_alloc(tq: &'static Taskq, flags: u32) -> Option<&'static TaskqEnt> {
    let is_noalloc = flags & tq::NOALLOC != 0;
    let mut may_exceed = false;
    loop {
        if let Some(e) = tq.tq_freelist.get()
            && (is_noalloc || tq.tq_nalloc.get() >= tq.tq_minalloc.get())
        {
            tq.tq_freelist.set(e.tqent_next.get());
            e.tqent_next.set(None);
            return Some(e);
        }
        if is_noalloc {
            return None;
        }
        if tq.tq_nalloc.get() < tq.tq_maxalloc.get() || may_exceed {
            break;
        }
        if flags & tq::NOSLEEP != 0 {
            return None;
        }
        may_exceed = !wait_for_entry(tq);
    }
    let km = if flags & tq::NOSLEEP != 0 { km::NOSLEEP } else { km::SLEEP };
    mutex_exit(&tq.tq_lock);
    let e = platform::kernel().k_taskq.taskq_ent_cache.alloc(km);
    mutex_enter(&tq.tq_lock);
    if e.is_some() {
        tq.tq_nalloc.bump();
    }
    e
}

/// Takes an entry back whose task has been done.
pub(super) fn taskq_ent_free(tq: &'static Taskq, e: &'static TaskqEnt) {
    if tq.tq_nalloc.get() <= tq.tq_minalloc.get() {
        e.tqent_next.set(tq.tq_freelist.get());
        tq.tq_freelist.set(Some(e));
    } else {
        tq.tq_nalloc.drop_one();
        mutex_exit(&tq.tq_lock);
        platform::kernel().k_taskq.taskq_ent_cache.free(e);
        mutex_enter(&tq.tq_lock);
    }
    if tq.tq_maxalloc_wait.get() != 0 {
        cv_signal(&tq.tq_maxalloc_cv);
    }
}

/// Waits a second for a free entry; true if there is one.
fn wait_for_entry(tq: &'static Taskq) -> bool {
    let is_patient = !platform::kernel().is_mutant(mutant::NO_TASKQ_THROTTLE);
    let deadline = platform::now() + if is_patient { NANOSEC } else { 0 };
    while tq.tq_freelist.is_null() {
        tq.tq_maxalloc_wait.bump();
        let is_late = cv_timedwait(&tq.tq_maxalloc_cv, &tq.tq_lock, deadline);
        tq.tq_maxalloc_wait.drop_one();
        if is_late {
            break;
        }
    }
    !tq.tq_freelist.is_null()
}
