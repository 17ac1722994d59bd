//! Dispatching (`taskq_dispatch`, `taskq_dispatch_ent`).
//!
//! # Invariants
//! - A task is on the ring, with its function, before a thread is woken for it, all under `tq_lock`: a thread that goes to sleep has seen
//!   an empty ring under the same lock.
//! - An entry that is the dispatcher's own is the dispatcher's again the moment its function is called, so that the function may
//!   dispatch it again. It is on one ring at a time.

use super::dynamic::dispatch_dynamic;
use super::entry::taskq_ent_alloc;
use super::{TaskFunc, Taskq, TaskqEnt, tq, tqent, tqflag};
use crate::cell::{Cell, Counter};
use crate::platform;
use crate::probe;
use crate::sync::{cv_signal, mutex_enter, mutex_exit};
use umpire_shared::event::{Kind, of_task};
use umpire_shared::{mutant, tunable};

/// ns of good service before the mutant that wakes nobody begins.
const HALF_A_SECOND: u64 = 500_000_000;
/// Modulus of the generator of failures.
const RANDOM_MODULUS: u32 = 1_771_875;

/// Has a thread of the queue call `func` with `arg` later; `flags` are of [`tq`]. The entry that carries the task, by whose address
/// illumos names it; `None` if the task will not be called.
///
/// # Panics
/// If the flags are none that the kind of queue knows.
pub fn taskq_dispatch(
    tq: &'static Taskq,
    func: &'static TaskFunc,
    arg: usize,
    flags: u32,
) -> Option<&'static TaskqEnt> {
    debug_assert!(tq.is_in_use(), "taskq_dispatch to a queue that does not exist");
    if tq.is_dynamic() {
        return dispatch_dynamic(tq, func, arg, flags);
    }
    assert!(flags & tq::NOQUEUE == 0, "taskq_dispatch({tq:p}): TQ_NOQUEUE is for dynamic queues");
    mutex_enter(&tq.tq_lock);
    let is_exempt = tq.has(tqflag::PREPOPULATE) && tq.tq_nalloc.get() <= tq.tq_minalloc.get();
    if flags & tq::NOSLEEP != 0 && !is_exempt && is_failing(tunable::TASKQ_SMTBF) {
        tq.tq_nomem.bump();
        mutex_exit(&tq.tq_lock);
        return None;
    }
    let Some(e) = taskq_ent_alloc(tq, flags) else {
        tq.tq_nomem.bump();
        mutex_exit(&tq.tq_lock);
        return None;
    };
    e.tqent_flags.set(0);
    enqueue(tq, e, func, arg, flags & tq::FRONT != 0);
    mutex_exit(&tq.tq_lock);
    Some(e)
}

/// The same with an entry of the caller's, which cannot fail and does not sleep for memory. Of the flags only [`tq::FRONT`] matters.
///
/// # Panics
/// If the queue is dynamic, or the entry is on a ring.
pub fn taskq_dispatch_ent(
    tq: &'static Taskq,
    func: &'static TaskFunc,
    arg: usize,
    flags: u32,
    e: &'static TaskqEnt,
) {
    assert!(!tq.is_dynamic(), "taskq_dispatch_ent({tq:p}): not for dynamic queues");
    mutex_enter(&tq.tq_lock);
    assert!(e.tqent_next.is_null(), "taskq_dispatch_ent({tq:p}): entry {e:p} is on a queue already");
    e.tqent_flags.set(tqent::PREALLOC);
    enqueue(tq, e, func, arg, flags & tq::FRONT != 0);
    mutex_exit(&tq.tq_lock);
}

/// Puts an entry on the ring and wakes a thread. Called with `tq_lock` (`TQ_ENQUEUE`, `TQ_ENQUEUE_FRONT`).
pub(super) fn enqueue(
    tq: &'static Taskq,
    e: &'static TaskqEnt,
    func: &'static TaskFunc,
    arg: usize,
    at_front: bool,
) {
    let kernel = platform::kernel();
    e.set_task(func, arg);
    if at_front && !kernel.is_mutant(mutant::TQ_FRONT_AT_END) {
        tq.tq_task.prepend(e);
    } else {
        tq.tq_task.append(e);
    }
    tq.tq_tasks.bump();
    let undone = (tq.tq_tasks.get() - tq.tq_executed.get()) as u32;
    tq.tq_maxtasks.set(tq.tq_maxtasks.get().max(undone));
    probe::fire_masked(Kind::TaskqEnqueue, named(tq, None, e));
    // Half a second of good service, so that what watches has seen the queue work.
    if !kernel.is_mutant(mutant::TASKQ_NO_SIGNAL) || platform::now() < HALF_A_SECOND {
        cv_signal(&tq.tq_dispatch_cv);
    }
}

/// What a probe says of a task: queue, bucket and entry by their numbers.
pub(super) fn named(tq: &Taskq, bucket: Option<usize>, e: &TaskqEnt) -> u64 {
    let state = &platform::kernel().k_taskq;
    let entries = &state.taskq_ent_cache.objects;
    let is_own = entries.as_ptr_range().contains(&core::ptr::from_ref(e));
    let entry = if is_own { Some(state.taskq_ent_cache.number_of(e)) } else { None };
    of_task(state.taskq_cache.number_of(tq), bucket.map(|n| n as u32), entry)
}

/// True if the generator has this dispatch fail, which is one in as many as the tunable says.
pub(super) fn is_failing(mtbf: usize) -> bool {
    let kernel = platform::kernel();
    let below = i64::from(RANDOM_MODULUS) / kernel.tunable(mtbf).max(1);
    if below == 0 {
        return false;
    }
    let random = &kernel.k_taskq.taskq_random;
    // Two dispatchers may draw the same number, as in illumos.
    let drawn = (random.get().wrapping_mul(2416).wrapping_add(374_441)) % RANDOM_MODULUS;
    random.set(drawn);
    i64::from(drawn) < below
}
