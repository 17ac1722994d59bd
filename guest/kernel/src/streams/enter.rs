//! Coming into a perimeter as open, close, service procedure or callback, and leaving it (`strsubr.c entersq`, `leavesq`).
//!
//! # Invariants
//! - Unlike a put, these wait. Who wants to be alone inside waits for parked messages to go first, and while it waits puts are parked
//!   (`sq_needexcl`), so that it is not for ever.
//! - The last one out drains.

use super::drain::drain_syncq;
use super::events::{outer_enter, outer_exit};
use super::queue::Queue;
use super::syncq::{Syncq, await_change, sq, sqtype, wake};
use crate::cell::Cell;
use crate::platform;
use crate::sync::{cv_wait, mutex_enter, mutex_exit};
use umpire_shared::mutant;

/// As what a thread comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// An open or a close.
    OpenClose,
    /// A service procedure.
    Service,
    /// A callback.
    Callback,
}

impl Entry {
    /// The bit that shares the inner perimeter, and the one that shares the outer one.
    const fn bits(self) -> (u16, u16) {
        match self {
            Entry::OpenClose => (sqtype::CIOC, sqtype::COOC),
            Entry::Service => (sqtype::CISVC, sqtype::COSVC),
            Entry::Callback => (sqtype::CICB, sqtype::COCB),
        }
    }
}

/// Comes in, sleeping until that is possible (`entersq`).
pub fn entersq(sqp: &'static Syncq, entry: Entry) {
    let (inner, outer_bit) = entry.bits();
    let excl = !sqp.is(inner);
    let closed = sq::STAYAWAY | sq::EVENTS | sq::EXCL | if excl { sq::MESSAGES } else { 0 };
    mutex_enter(&sqp.sq_lock);
    while sqp.has(closed) || excl && is_taken(sqp) {
        await_change(sqp, excl);
    }
    if let Some(outer) = sqp.sq_outer.get().filter(|_| !sqp.is(outer_bit)) {
        mutex_exit(&sqp.sq_lock);
        outer_enter(outer, sq::GOAWAY);
        mutex_enter(&sqp.sq_lock);
        while sqp.has(sq::EXCL | sq::BLOCKED | sq::FROZEN) || excl && is_taken(sqp) {
            await_change(sqp, excl);
        }
    }
    sqp.claim();
    if excl {
        sqp.raise(sq::EXCL);
    }
    mutex_exit(&sqp.sq_lock);
}

fn is_taken(sqp: &Syncq) -> bool {
    sqp.sq_count.get() != 0 && !platform::kernel().is_mutant(mutant::ENTER_IN_COMPANY)
}

/// Leaves (`leavesq`).
pub fn leavesq(sqp: &'static Syncq, entry: Entry) {
    let (_, outer_bit) = entry.bits();
    let outer = sqp.sq_outer.get().filter(|_| !sqp.is(outer_bit));
    mutex_enter(&sqp.sq_lock);
    wake(sqp);
    sqp.unclaim();
    sqp.lower(sq::EXCL);
    if sqp.has(sq::QUEUED) && !sqp.has(sq::STAYAWAY) {
        drain_syncq(sqp);
    } else {
        mutex_exit(&sqp.sq_lock);
    }
    if let Some(outer) = outer {
        outer_exit(outer);
    }
}

/// From an open or a close procedure: lets others in, waits until somebody has left the perimeter, and comes in again (`qwait`).
pub fn qwait(qp: &'static Queue) {
    let sqp = qp.syncq();
    let outer = sqp.sq_outer.get().filter(|_| !sqp.is(sqtype::COOC));
    if let Some(outer) = outer {
        outer_exit(outer);
    }
    mutex_enter(&sqp.sq_lock);
    sqp.unclaim();
    sqp.lower(sq::EXCL);
    if sqp.has(sq::WANTWAKEUP) {
        sqp.lower(sq::WANTWAKEUP);
        crate::sync::cv_broadcast(&sqp.sq_wait);
    }
    if sqp.has(sq::QUEUED) && !sqp.has(sq::STAYAWAY) {
        drain_syncq(sqp);
    } else {
        // Not on sq_wait: several that wait like this would wake each other for ever.
        sqp.raise(sq::WANTEXWAKEUP);
        cv_wait(&sqp.sq_exitwait, &sqp.sq_lock);
        mutex_exit(&sqp.sq_lock);
    }
    entersq(sqp, Entry::OpenClose);
}
