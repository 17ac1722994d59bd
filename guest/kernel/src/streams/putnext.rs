//! `putnext` and `put` (`putnext.c`): a message goes to the next module, or is parked at its perimeter.
//!
//! # Invariants
//! - A message is given to the put procedure, or parked for a drain: there is no third way, and no waiting.
//! - Who finds the perimeter closed, somebody who wants to be alone there, or too little stack, parks. Whoever is inside, or opens the
//!   perimeter, then drains, or calls a background thread:
//!
//! ```text
//!   CPU A: putnext, inside                 CPU B: putnext
//!   SQ_EXCL, count 1, put procedure runs
//!                                          SQLOCK: SQ_EXCL: claims, count 2, unlocks
//!                                          QLOCK, SQLOCK: parks, SQ_MESSAGES, count 1
//!   SQLOCK: count 0, flags has QUEUED
//!   drains what B has parked
//! ```
//! - Only a thread that was alone inside drains. Who shared the perimeter hides what is queued from the tail, so that a background thread
//!   does it: others are still inside, and somebody has to be last.
//! - While messages of a queue are parked, others go behind them (`q_syncqmsgs`): order is kept (ORD-1).
//!
//! # What is not here
//! Per-CPU counts and put locks (`sq_ciputctrl`): on x86 `disable_putlocks` is 1, so they are never made there.

use super::drain::{drain_syncq, qdrain_syncq, set_qfull};
use super::message::Mblk;
use super::queue::Queue;
use super::sqenable::sqenable;
use super::syncq::{Syncq, qsq, sq, sqsvc, wake};
use super::{lbolt, streams};
use crate::cell::Cell;
use crate::sync::{mutex_enter, mutex_exit};
use crate::{platform, probe};
use core::sync::atomic::Ordering;
use umpire_shared::event::Kind;
use umpire_shared::{mutant, tunable};

/// Gives a message to the next queue (`putnext`).
///
/// # Panics
/// If the message is on a list, or if there is no next queue.
#[inline]
pub fn putnext(qp: &'static Queue, mp: &'static Mblk) {
    let stp = qp.stream();
    mutex_enter(&stp.sd_lock);
    let next = qp.q_next.get().expect("putnext: there is no next queue");
    let sqp = next.syncq();
    mutex_enter(&sqp.sq_lock);
    mutex_exit(&stp.sd_lock);
    enter(next, sqp, mp);
}

/// Gives a message to this queue (`put`).
///
/// # Panics
/// If the message is on a list.
#[inline]
pub fn put(qp: &'static Queue, mp: &'static Mblk) {
    let sqp = qp.syncq();
    mutex_enter(&sqp.sq_lock);
    enter(qp, sqp, mp);
}

/// Gives a message to the queue that comes after the other side of this one (`qreply`).
pub fn qreply(qp: &'static Queue, mp: &'static Mblk) {
    putnext(qp.other(), mp);
}

/// SQLOCK is held and is given up.
#[inline]
fn enter(qp: &'static Queue, sqp: &'static Syncq, mp: &'static Mblk) {
    debug_assert!(mp.b_next.is_null() && mp.b_prev.is_null(), "putnext: the message is on a list");
    sqp.claim();
    let is_shared = sqp.shares_put();
    if sqp.has(sq::STAYAWAY | sq::EXCL | sq::EVENTS) || sqp.sq_needexcl.get() != 0 || stack_low() {
        mutex_exit(&sqp.sq_lock);
        qfill_syncq(sqp, qp, mp);
        return;
    }
    let is_listed = qp.q_sqflags.get() & qsq::SQQUEUED != 0;
    if !is_shared && !platform::kernel().is_mutant(mutant::PUT_NOT_EXCL) {
        sqp.raise(sq::EXCL);
    }
    mutex_exit(&sqp.sq_lock);
    if is_listed {
        put_behind(qp, sqp, mp);
    } else {
        call(qp, mp);
    }
    leave(sqp);
}

#[inline(always)]
pub(super) fn call(qp: &'static Queue, mp: &'static Mblk) {
    probe::fire_each(Kind::StrPut, || place(qp));
    (qp.qinfo().qi_putp)(qp, mp);
}

/// Messages are, or were just now, parked for the queue: goes behind them.
#[cold]
fn put_behind(qp: &'static Queue, sqp: &'static Syncq, mp: &'static Mblk) {
    mutex_enter(&qp.q_lock);
    if qp.q_syncqmsgs.get() == 0 {
        mutex_exit(&qp.q_lock);
        call(qp, mp);
    } else {
        park(qp, mp);
        qdrain_syncq(sqp, qp);
    }
}

#[inline]
fn leave(sqp: &'static Syncq) {
    mutex_enter(&sqp.sq_lock);
    sqp.unclaim();
    let flags = sqp.sq_flags.get();
    if flags & sq::TAIL != 0 || sqp.sq_needexcl.get() != 0 {
        let hidden = if flags & sq::EXCL != 0 { 0 } else { sq::QUEUED };
        putnext_tail(sqp, flags & !hidden);
    } else {
        sqp.sq_flags.set(flags & !sq::EXCL);
        mutex_exit(&sqp.sq_lock);
    }
}

/// The way out when somebody waits or something is queued. SQLOCK is held and is given up (`putnext_tail`).
#[cold]
pub(super) fn putnext_tail(sqp: &'static Syncq, pass: u16) {
    if pass & sq::EXCL != 0 {
        sqp.lower(sq::EXCL);
    }
    wake(sqp);
    if !sqp.has(sq::STAYAWAY | sq::EXCL) {
        if pass & sq::QUEUED != 0 || sqp.sq_svcflags.get() & sqsvc::DISABLED != 0 {
            drain_syncq(sqp);
            return;
        }
        if sqp.has(sq::QUEUED) {
            sqenable(sqp);
        }
    }
    mutex_exit(&sqp.sq_lock);
}

/// Parks a message. The caller has a claim and no lock; the claim is given up (`qfill_syncq`).
#[cold]
#[inline(never)]
fn qfill_syncq(sqp: &'static Syncq, qp: &'static Queue, mp: &'static Mblk) {
    mutex_enter(&qp.q_lock);
    park(qp, mp);
    mutex_enter(&sqp.sq_lock);
    if qp.q_sqflags.get() & qsq::SQQUEUED == 0 {
        qp.q_spri.set(platform::curthread().pri());
        sqput(sqp, qp);
    }
    mutex_exit(&qp.q_lock);
    sqp.unclaim();
    putnext_tail(sqp, 0);
}

/// Appends a message to those that are parked for the queue; QLOCK is held, and may be dropped for a moment.
fn park(qp: &'static Queue, mp: &'static Mblk) {
    match qp.q_sqtail.get() {
        Some(last) => last.b_next.set(Some(mp)),
        None => qp.q_sqhead.set(Some(mp)),
    }
    qp.q_sqtail.set(Some(mp));
    note(Kind::StrPark, qp);
    qp.q_syncqmsgs.set(qp.q_syncqmsgs.get() + 1);
    set_qfull(qp);
}

/// Tells what happens at a queue, if somebody wants to know.
#[inline]
pub(super) fn note(kind: Kind, qp: &'static Queue) {
    if probe::is_wanted() {
        probe::fire_masked(kind, place(qp) as u64);
    }
}

fn place(qp: &'static Queue) -> usize {
    platform::kernel().place_of(core::ptr::from_ref(qp).addr())
}

/// Puts a queue onto its syncq's list, by `q_spri`; QLOCK and SQLOCK are held.
pub(super) fn sqput(sqp: &'static Syncq, qp: &'static Queue) {
    let pri = qp.q_spri.get();
    let mut after = sqp.sq_tail.get();
    if pri != 0 {
        while let Some(at) = after.filter(|at| at.q_spri.get() < pri) {
            after = at.q_sqprev.get();
        }
    }
    let before = match after {
        Some(at) => at.q_sqnext.get(),
        None => sqp.sq_head.get(),
    };
    qp.q_sqprev.set(after);
    qp.q_sqnext.set(before);
    match after {
        Some(at) => at.q_sqnext.set(Some(qp)),
        None => {
            // Of the first queue of an empty list the priority is not noted: `::syncq` shows 0.
            if before.is_some() {
                sqp.sq_pri.set(pri);
            }
            sqp.sq_head.set(Some(qp));
        }
    }
    match before {
        Some(at) => at.q_sqprev.set(Some(qp)),
        None => sqp.sq_tail.set(Some(qp)),
    }
    qp.q_sqflags.set(qp.q_sqflags.get() | qsq::SQQUEUED);
    qp.q_sqtstamp.set(lbolt());
    sqp.sq_nqueues.set(sqp.sq_nqueues.get() + 1);
    sqp.raise(sq::MESSAGES);
}

/// Takes a queue off its syncq's list; QLOCK and SQLOCK are held.
pub(super) fn sqrm(sqp: &'static Syncq, qp: &'static Queue) {
    let (ahead, behind) = (qp.q_sqprev.get(), qp.q_sqnext.get());
    match ahead {
        Some(at) => at.q_sqnext.set(behind),
        None => {
            sqp.sq_head.set(behind);
            sqp.sq_pri.set(behind.map_or(0, |at| at.q_spri.get()));
        }
    }
    match behind {
        Some(at) => at.q_sqprev.set(ahead),
        None => sqp.sq_tail.set(ahead),
    }
    qp.q_sqprev.set(None);
    qp.q_sqnext.set(None);
    qp.q_sqflags.set(qp.q_sqflags.get() & !qsq::SQQUEUED);
    sqp.sq_nqueues.set(sqp.sq_nqueues.get() - 1);
    if sqp.sq_head.is_null() {
        sqp.lower(sq::MESSAGES);
    }
}

/// The thread is below its stack. On hardware the guard page is there and was met before; a simulated thread has more than it should.
#[cold]
#[inline(never)]
fn overflow() -> ! {
    let name: [u8; umpire_shared::NAME_LEN] = core::array::from_fn(|n| platform::curthread().t_name[n].get());
    panic!("stack overflow: thread {}", umpire_shared::unpack_name(&name));
}

/// True if the thread's stack has less than `put_stack_needed` bytes left (`PUT_STACK_NEEDED`).
#[inline(always)]
fn stack_low() -> bool {
    let here = 0_u8;
    let sp = core::ptr::from_ref(&here).addr();
    let kernel = platform::kernel();
    let needed = kernel.tunable(tunable::PUT_STACK_NEEDED) as usize;
    let t = platform::curthread();
    let Some(left) = sp.checked_sub(t.t_stkbase.get()) else { overflow() };
    if left < t.t_stkleast.get() as usize {
        t.t_stkleast.set(left as u32);
    }
    let is_low = left < needed && !kernel.is_mutant(mutant::PUT_STACK_UNHEEDED);
    if is_low {
        // Relaxed: it orders nothing.
        streams().put_stack_notenough.fetch_add(1, Ordering::Relaxed);
    }
    is_low
}
