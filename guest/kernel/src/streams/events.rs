//! `qwriter`: a function that runs alone, in the inner perimeter or in the outer one (`strsubr.c`).
//!
//! # Invariants
//! - Events are in the order in which they came. While SQ_EVENTS is set nobody new comes in and drains stop, so what came before a
//!   `qwriter` is done before its function, and what comes after waits (ORD-3).
//! - `qwriter_inner` leaves SQ_EXCL set: the frame that has the claim clears it on the way out.
//! - A writer is in the outer perimeter when SQ_WRITER is set in every inner one and every inner count has been seen at 0. The bit keeps
//!   newcomers out; who is inside leaves.
//! - Who has `kpreemptpri` or more does not run an outer writer's function itself, so that interrupt threads run no long ones.

use core::sync::atomic::Ordering;

use super::background;
use super::drain::drain_syncq;
use super::message::Mblk;
use super::queue::{Queue, Writer, q};
use super::sqenable::sqenable;
use super::syncq::{Syncq, await_change, claimq, releaseq, sq, wake};
use super::{allocb, streams};
use crate::cell::Cell;
use crate::platform;
use crate::sync::{cv_wait, mutex_enter, mutex_exit};
use umpire_shared::mutant;

/// Which perimeter `qwriter` is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Perim {
    /// `PERIM_INNER`.
    Inner,
    /// `PERIM_OUTER`.
    Outer,
}

/// Has `func` run with queue and message when nobody else is in the perimeter. The caller is inside it (`qwriter`).
///
/// # Panics
/// If there is no outer perimeter and it is asked for.
pub fn qwriter(qp: &'static Queue, mp: &'static Mblk, func: &'static Writer, perim: Perim) {
    match perim {
        Perim::Inner => qwriter_inner(qp, mp, func),
        Perim::Outer => qwriter_outer(qp, mp, func),
    }
}

fn qwriter_inner(qp: &'static Queue, mp: &'static Mblk, func: &'static Writer) {
    let sqp = qp.syncq();
    mutex_enter(&sqp.sq_lock);
    if sqp.sq_count.get() == 1 || platform::kernel().is_mutant(mutant::QWRITER_IN_COMPANY) {
        sqp.raise(sq::EXCL);
        mutex_exit(&sqp.sq_lock);
        (func.0)(qp, mp);
        return;
    }
    sqfill_event(sqp, qp, mp, func);
    mutex_exit(&sqp.sq_lock);
}

/// Appends an event; SQLOCK is held (`sqfill_events`).
fn sqfill_event(sqp: &'static Syncq, qp: &'static Queue, mp: &'static Mblk, func: &'static Writer) {
    mp.b_next.set(None);
    mp.b_queue.set(Some(qp));
    mp.b_func.set(Some(func));
    match sqp.sq_evtail.get() {
        Some(last) => last.b_next.set(Some(mp)),
        None => {
            sqp.sq_evhead.set(Some(mp));
            sqp.raise(sq::EVENTS);
        }
    }
    sqp.sq_evtail.set(Some(mp));
}

/// Takes the first event; SQLOCK is held.
pub(super) fn take_event(sqp: &'static Syncq, mp: &'static Mblk) -> (&'static Queue, &'static Writer) {
    sqp.sq_evhead.set(mp.b_next.get());
    if sqp.sq_evhead.is_null() {
        sqp.sq_evtail.set(None);
        sqp.lower(sq::EVENTS);
    }
    mp.b_next.set(None);
    let qp = mp.b_queue.get().expect("invariant: an event names its queue");
    let func = mp.b_func.get().expect("invariant: an event names its function");
    mp.b_queue.set(None);
    mp.b_func.set(None);
    (qp, func)
}

/// Takes the events of a queue that goes off the list and returns them, linked by `b_next`; SQLOCK is held (`flush_events`).
pub(super) fn flush_events(sqp: &'static Syncq, qp: &'static Queue) -> Option<&'static Mblk> {
    let mut at = sqp.sq_evhead.get();
    let mut last: Option<&'static Mblk> = None;
    let mut gone: Option<&'static Mblk> = None;
    while let Some(mp) = at {
        at = mp.b_next.get();
        if !mp.b_queue.is(qp) {
            last = Some(mp);
            continue;
        }
        match last {
            Some(before) => before.b_next.set(at),
            None => sqp.sq_evhead.set(at),
        }
        mp.b_next.set(gone);
        gone = Some(mp);
    }
    sqp.sq_evtail.set(last);
    if sqp.sq_evhead.is_null() {
        sqp.lower(sq::EVENTS);
    }
    gone
}

fn qwriter_outer(qp: &'static Queue, mp: &'static Mblk, func: &'static Writer) {
    let own = qp.syncq();
    let outer = own.sq_outer.get().expect("qwriter: there is no outer perimeter");
    mutex_enter(&outer.sq_lock);
    let is_urgent = platform::curthread().pri() >= platform::kernel().k_disp.kpreemptpri.get();
    if outer.has(sq::GOAWAY) || is_urgent {
        queue_writer(outer, qp, mp, func);
        return;
    }
    outer.claim();
    outer.raise(sq::WRITER);
    let mut is_alone = true;
    for inner in outer.inner() {
        mutex_enter(&inner.sq_lock);
        inner.raise(sq::WRITER);
        let most = u16::from(core::ptr::eq(inner, own));
        is_alone &= inner.sq_count.get() <= most;
        mutex_exit(&inner.sq_lock);
    }
    if is_alone {
        mutex_exit(&outer.sq_lock);
        (func.0)(qp, mp);
        mutex_enter(&outer.sq_lock);
    } else {
        // Somebody else is inside: it may not wait here, so another thread will.
        queue_writer(outer, qp, mp, func);
        mutex_enter(&outer.sq_lock);
    }
    outer_leave(outer);
}

/// Leaves a function to a background thread; the outer SQLOCK is held and is given up.
fn queue_writer(outer: &'static Syncq, qp: &'static Queue, mp: &'static Mblk, func: &'static Writer) {
    streams().strstat().qwr_outer.fetch_add(1, Ordering::Relaxed);
    outer.claim();
    let is_first = outer.sq_evhead.is_null();
    sqfill_event(outer, qp, mp, func);
    mutex_exit(&outer.sq_lock);
    if is_first {
        background::dispatch_outer(outer);
    }
}

/// What the background thread does (`qwriter_outer_service`).
pub(super) fn qwriter_outer_service(outer: &'static Syncq) {
    outer_enter(outer, sq::BLOCKED | sq::WRITER);
    outer_exit(outer);
}

/// Comes into the outer perimeter as a writer, when none of `flags` is set there and everybody has left (`outer_enter`).
pub(super) fn outer_enter(outer: &'static Syncq, flags: u16) {
    mutex_enter(&outer.sq_lock);
    loop {
        while outer.has(flags) {
            await_change(outer, false);
        }
        outer.raise(sq::WRITER);
        outer.claim();
        for inner in outer.inner() {
            mutex_enter(&inner.sq_lock);
            inner.raise(sq::WRITER);
            mutex_exit(&inner.sq_lock);
        }
        mutex_exit(&outer.sq_lock);
        for inner in outer.inner() {
            mutex_enter(&inner.sq_lock);
            while inner.sq_count.get() != 0 {
                inner.raise(sq::WANTWAKEUP);
                cv_wait(&inner.sq_wait, &inner.sq_lock);
            }
            mutex_exit(&inner.sq_lock);
        }
        mutex_enter(&outer.sq_lock);
        if !outer.has(flags & !sq::WRITER) {
            break;
        }
        mutex_exit(&outer.sq_lock);
        outer_exit(outer);
        mutex_enter(&outer.sq_lock);
    }
    mutex_exit(&outer.sq_lock);
}

/// Runs what writers have left, lets the inner perimeters go on, and leaves (`outer_exit`). The caller came in by [`outer_enter`].
///
/// Everybody had left when it came in, so it does not ask again: who comes now claims before it finds SQ_WRITER and parks. To take that
/// claim for somebody inside would leave the events to nobody, for this is the thread that was called for them:
///
/// ```text
///   background thread                      CPU B: putnext
///   outer_enter: every inner count is 0
///                                          SQLOCK: SQ_WRITER: claims, count 1, unlocks
///   outer_exit: runs the events
///                                          QLOCK, SQLOCK: parks, count 0
/// ```
pub(super) fn outer_exit(outer: &'static Syncq) {
    mutex_enter(&outer.sq_lock);
    write_now(outer);
    outer_leave(outer);
}

/// Lets the inner perimeters go on, and leaves; the outer SQLOCK is held and is given up. What writers have left stays for the thread
/// that has been called for it: a caller that did not come in by [`outer_enter`] may have others inside beside it.
fn outer_leave(outer: &'static Syncq) {
    for inner in outer.inner() {
        mutex_enter(&inner.sq_lock);
        inner.lower(sq::WRITER);
        wake(inner);
        mutex_exit(&inner.sq_lock);
    }
    // While this bit is set and the claim is held, the list of inner perimeters stays as it is.
    mutex_exit(&outer.sq_lock);
    for inner in outer.inner() {
        emptysq(inner);
    }
    mutex_enter(&outer.sq_lock);
    outer.unclaim();
    outer.lower(sq::WRITER);
    wake(outer);
    mutex_exit(&outer.sq_lock);
}

/// Runs the events of an outer perimeter, with a claim on their queue's; the outer SQLOCK is held, and dropped for each (`write_now`).
fn write_now(outer: &'static Syncq) {
    while let Some(mp) = outer.sq_evhead.get() {
        let (qp, func) = take_event(outer, mp);
        mutex_exit(&outer.sq_lock);
        if qp.has(q::QWCLOSE) {
            allocb::freemsg(mp);
        } else {
            claimq(qp);
            (func.0)(qp, mp);
            releaseq(qp);
        }
        mutex_enter(&outer.sq_lock);
        outer.unclaim();
    }
}

/// Drains a perimeter in which something is queued, here if nobody is inside, by a background thread otherwise (`emptysq`).
pub(super) fn emptysq(sqp: &'static Syncq) {
    mutex_enter(&sqp.sq_lock);
    if !sqp.has(sq::STAYAWAY | sq::EXCL) && sqp.has(sq::QUEUED) {
        if sqp.sq_count.get() == 0 {
            drain_syncq(sqp);
            return;
        }
        sqenable(sqp);
    }
    mutex_exit(&sqp.sq_lock);
}

/// Puts a perimeter under an outer one (`outer_insert`).
pub(super) fn outer_insert(outer: &'static Syncq, sqp: &'static Syncq) {
    hold_list(outer);
    let first = outer.sq_onext.get();
    sqp.sq_outer.set(Some(outer));
    sqp.sq_onext.set(first);
    sqp.sq_oprev.set(Some(outer));
    if let Some(first) = first {
        first.sq_oprev.set(Some(sqp));
    }
    outer.sq_onext.set(Some(sqp));
    release_list(outer);
}

/// Takes a perimeter from under its outer one (`outer_remove`).
pub(super) fn outer_remove(outer: &'static Syncq, sqp: &'static Syncq) {
    hold_list(outer);
    let (before, after) = (sqp.sq_oprev.get(), sqp.sq_onext.get());
    if let Some(before) = before {
        before.sq_onext.set(after);
    }
    if let Some(after) = after {
        after.sq_oprev.set(before);
    }
    sqp.sq_outer.set(None);
    sqp.sq_onext.set(None);
    sqp.sq_oprev.set(None);
    release_list(outer);
}

/// `blocksq(outer, SQ_BLOCKED, 0)`: no writer is there, and none comes.
fn hold_list(outer: &'static Syncq) {
    super::syncq::blocksq(outer, sq::BLOCKED, 0);
}

fn release_list(outer: &'static Syncq) {
    mutex_enter(&outer.sq_lock);
    outer.lower(sq::BLOCKED);
    wake(outer);
    mutex_exit(&outer.sq_lock);
}
