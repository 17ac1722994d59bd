//! Work that is left to other threads: tasks of `system_taskq`, and threads that are always there for what no task can be had for
//! (`strsubr.c`).
//!
//! Three threads of class SYS at 60: `qbkgrnd` runs service procedures and frees external buffers, `sqbkgrnd` drains perimeters, and
//! `bufcall` calls back who waits for memory. The first two are not one thread, because a service procedure may wait at a perimeter
//! that only the other one drains. A fourth, `qwriter`, runs outer writers, which sleep until everybody has left.
//!
//! # Invariants
//! - `bg_lock` (the service lock) guards the lists and comes last in the lock order. Nothing is called under it.
//! - What is put on a list wakes its thread, which looks at its list under the lock before it sleeps.

use core::sync::atomic::Ordering;

use super::esballoc;
use super::events::qwriter_outer_service;
use super::message::Dblk;
use super::queue::Queue;
use super::service::{queue_service, stream_service};
use super::sqenable::syncq_service;
use super::stdata::Stdata;
use super::streams;
use super::syncq::Syncq;
use crate::lock::SharedPtr;
use crate::platform;
use crate::sync::{Condvar, Mutex, cv_signal, cv_wait, mutex_enter, mutex_exit};
use crate::taskq::{TaskFunc, taskq_dispatch, tq};
use umpire_shared::mutant;

/// The lists of the background threads.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Background {
    /// The service lock.
    pub bg_lock: Mutex,
    /// `qbkgrnd` sleeps here.
    pub services_to_run: Condvar,
    /// `sqbkgrnd` sleeps here.
    pub syncqs_to_run: Condvar,
    /// `qwriter` sleeps here.
    pub writers_to_run: Condvar,
    /// Queues to be serviced.
    pub qhead: SharedPtr<Queue>,
    /// The last of them.
    pub qtail: SharedPtr<Queue>,
    /// Perimeters to be drained.
    pub sqhead: SharedPtr<Syncq>,
    /// The last of them.
    pub sqtail: SharedPtr<Syncq>,
    /// Outer perimeters with writers.
    pub outerhead: SharedPtr<Syncq>,
    /// External buffers whose free routine is to be called.
    pub freebs: SharedPtr<Dblk>,
}

/// A list of external buffers.
#[derive(Debug)]
pub(super) struct FreeList {
    /// The first.
    pub head: &'static Dblk,
    /// The last.
    pub tail: &'static Dblk,
}

/// Has a task of `system_taskq` service a stream; false if there is none, and the caller has to use the lists here.
pub(super) fn dispatch_stream(stp: &'static Stdata) -> bool {
    dispatch(&STREAM_SERVICE, streams().stdatas.number_of(stp))
}

/// Has a task of `system_taskq` drain a perimeter; false if there is none.
pub(super) fn dispatch_syncq(sqp: &'static Syncq) -> bool {
    dispatch(&SYNCQ_SERVICE, streams().syncq_number(sqp))
}

/// Sleeps for nothing: the caller has the locks of a stream or of a perimeter, or is an interrupt.
fn dispatch(func: &'static TaskFunc, arg: usize) -> bool {
    let taskq = platform::kernel().k_taskq.system_taskq.get();
    taskq.is_some_and(|taskq| taskq_dispatch(taskq, func, arg, tq::NOSLEEP | tq::NOQUEUE).is_some())
}

static STREAM_SERVICE: TaskFunc = TaskFunc(|n| stream_service(&streams().stdatas.ar_objects[n]));
static SYNCQ_SERVICE: TaskFunc = TaskFunc(|n| syncq_service(streams().syncq_of_number(n)));

/// Has the outer perimeter's writers run. The caller may hold a perimeter, so it leaves them to a thread of their own rather than wait
/// for a task.
pub(super) fn dispatch_outer(outer: &'static Syncq) {
    let bg = &streams().background;
    mutex_enter(&bg.bg_lock);
    outer.sq_next.set(bg.outerhead.get());
    bg.outerhead.set(Some(outer));
    cv_signal(&bg.writers_to_run);
    mutex_exit(&bg.bg_lock);
}

/// Leaves a queue to `qbkgrnd`.
pub(super) fn qenable_later(qp: &'static Queue) {
    let bg = &streams().background;
    mutex_enter(&bg.bg_lock);
    qp.q_link.set(None);
    match bg.qtail.get() {
        Some(last) => last.q_link.set(Some(qp)),
        None => bg.qhead.set(Some(qp)),
    }
    bg.qtail.set(Some(qp));
    cv_signal(&bg.services_to_run);
    mutex_exit(&bg.bg_lock);
}

/// Leaves a perimeter to `sqbkgrnd`.
pub(super) fn sqenable_later(sqp: &'static Syncq) {
    let bg = &streams().background;
    mutex_enter(&bg.bg_lock);
    sqp.sq_next.set(None);
    match bg.sqtail.get() {
        Some(last) => last.sq_next.set(Some(sqp)),
        None => bg.sqhead.set(Some(sqp)),
    }
    bg.sqtail.set(Some(sqp));
    if !platform::kernel().is_mutant(mutant::SQBKGRND_ASLEEP) {
        cv_signal(&bg.syncqs_to_run);
    }
    mutex_exit(&bg.bg_lock);
}

/// Leaves external buffers to `qbkgrnd`.
pub(super) fn free_later(list: FreeList) {
    let bg = &streams().background;
    mutex_enter(&bg.bg_lock);
    list.tail.next_free().set(bg.freebs.get());
    bg.freebs.set(Some(list.head));
    cv_signal(&bg.services_to_run);
    mutex_exit(&bg.bg_lock);
}

/// Takes a queue off the list of `qbkgrnd`; false if it is not there.
pub(super) fn forget_queue(qp: &'static Queue) -> bool {
    let bg = &streams().background;
    mutex_enter(&bg.bg_lock);
    let mut before: Option<&'static Queue> = None;
    let mut at = bg.qhead.get();
    while let Some(here) = at.filter(|here| !core::ptr::eq(*here, qp)) {
        before = Some(here);
        at = here.q_link.get();
    }
    if at.is_some() {
        match before {
            Some(before) => before.q_link.set(qp.q_link.get()),
            None => bg.qhead.set(qp.q_link.get()),
        }
        if bg.qtail.is(qp) {
            bg.qtail.set(before);
        }
        qp.q_link.set(None);
        streams().strstat().qremoved.fetch_add(1, Ordering::Relaxed);
    }
    mutex_exit(&bg.bg_lock);
    at.is_some()
}

/// Takes a perimeter off the list of `sqbkgrnd`; false if it is not there.
pub(super) fn forget_syncq(sqp: &'static Syncq) -> bool {
    let bg = &streams().background;
    mutex_enter(&bg.bg_lock);
    let mut before: Option<&'static Syncq> = None;
    let mut at = bg.sqhead.get();
    while let Some(here) = at.filter(|here| !core::ptr::eq(*here, sqp)) {
        before = Some(here);
        at = here.sq_next.get();
    }
    if at.is_some() {
        match before {
            Some(before) => before.sq_next.set(sqp.sq_next.get()),
            None => bg.sqhead.set(sqp.sq_next.get()),
        }
        if bg.sqtail.is(sqp) {
            bg.sqtail.set(before);
        }
        sqp.sq_next.set(None);
        streams().strstat().sqremoved.fetch_add(1, Ordering::Relaxed);
    }
    mutex_exit(&bg.bg_lock);
    at.is_some()
}

/// Runs what is on the list of `qbkgrnd`, in the caller's thread.
pub(super) fn help() {
    while let Some(qp) = take_queue() {
        streams().strstat().qhelps.fetch_add(1, Ordering::Relaxed);
        queue_service(qp);
    }
}

/// The first queue of the list, which is usually empty: a look without the lock is enough then, since its thread looks as well.
fn take_queue() -> Option<&'static Queue> {
    let bg = &streams().background;
    if bg.qhead.is_null() {
        return None;
    }
    mutex_enter(&bg.bg_lock);
    let first = pop_queue(bg);
    mutex_exit(&bg.bg_lock);
    first
}

fn pop_queue(bg: &'static Background) -> Option<&'static Queue> {
    let qp = bg.qhead.get()?;
    bg.qhead.set(qp.q_link.get());
    if bg.qhead.is_null() {
        bg.qtail.set(None);
    }
    qp.q_link.set(None);
    Some(qp)
}

/// The thread `qbkgrnd` (`streams_qbkgrnd_service`).
pub fn streams_qbkgrnd_service() {
    let bg = &streams().background;
    mutex_enter(&bg.bg_lock);
    loop {
        if let Some(head) = bg.freebs.get() {
            bg.freebs.set(None);
            mutex_exit(&bg.bg_lock);
            esballoc::free_all(head);
        } else if let Some(qp) = pop_queue(bg) {
            mutex_exit(&bg.bg_lock);
            queue_service(qp);
        } else {
            cv_wait(&bg.services_to_run, &bg.bg_lock);
            continue;
        }
        mutex_enter(&bg.bg_lock);
    }
}

/// The thread `sqbkgrnd` (`streams_sqbkgrnd_service`).
pub fn streams_sqbkgrnd_service() {
    let bg = &streams().background;
    mutex_enter(&bg.bg_lock);
    loop {
        let Some(sqp) = bg.sqhead.get() else {
            cv_wait(&bg.syncqs_to_run, &bg.bg_lock);
            continue;
        };
        bg.sqhead.set(sqp.sq_next.get());
        if bg.sqhead.is_null() {
            bg.sqtail.set(None);
        }
        sqp.sq_next.set(None);
        mutex_exit(&bg.bg_lock);
        syncq_service(sqp);
        mutex_enter(&bg.bg_lock);
    }
}

/// The thread `qwriter`.
pub fn streams_qwriter_service() {
    let bg = &streams().background;
    mutex_enter(&bg.bg_lock);
    loop {
        let Some(outer) = bg.outerhead.get() else {
            cv_wait(&bg.writers_to_run, &bg.bg_lock);
            continue;
        };
        bg.outerhead.set(outer.sq_next.get());
        outer.sq_next.set(None);
        mutex_exit(&bg.bg_lock);
        qwriter_outer_service(outer);
        mutex_enter(&bg.bg_lock);
    }
}
