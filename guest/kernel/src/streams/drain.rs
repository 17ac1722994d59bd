//! Draining: parked messages go to their put procedures (`strsubr.c`).
//!
//! # Invariants
//! - `q_syncqmsgs` goes down after the put procedure has returned. Were it before, a later message of the same source would find 0 and
//!   overtake the one that is being put:
//!
//! ```text
//!   CPU A: qdrain_syncq                    CPU B: putnext, perimeter shared
//!   takes m1 off the list, syncqmsgs = 0
//!                                          syncqmsgs == 0: put procedure(m2)
//!   put procedure(m1)
//! ```
//! - One thread at a time drains a queue (`q_draining`).
//! - At a perimeter that puts do not share a drain is alone inside (SQ_EXCL).
//! - Draining ends at once when somebody wants everybody out (STAYAWAY) or an event has come, which is before the messages behind it.

use super::events::take_event;
use super::flow::backenable;
use super::message::Mblk;
use super::putnext::{call, note, sqrm};
use super::queue::{Queue, q};
use super::syncq::{Syncq, qsq, sq, sqsvc, wake};
use crate::cell::Cell;
use crate::platform;
use crate::sync::{mutex_enter, mutex_exit};
use umpire_shared::event::Kind;
use umpire_shared::{mutant, tunable};

/// Drains a perimeter: events first, then the queues in their order. SQLOCK is held and is given up; the caller has no claim
/// (`drain_syncq`).
pub fn drain_syncq(sqp: &'static Syncq) {
    let is_background = sqp.sq_svcflags.get() & sqsvc::SERVICE != 0;
    sqp.sq_svcflags.set(sqp.sq_svcflags.get() & !sqsvc::SERVICE);
    let done = |sqp: &'static Syncq| {
        if is_background {
            sqp.sq_servcount.set(sqp.sq_servcount.get() - 1);
            // Who frees the perimeter waits for this.
            wake(sqp);
        }
        mutex_exit(&sqp.sq_lock);
    };
    if sqp.has(sq::EXCL) {
        return done(sqp);
    }
    if !sqp.has(sq::QUEUED) {
        wake(sqp);
        return done(sqp);
    }
    let is_shared = sqp.shares_put();
    if !is_shared {
        if sqp.sq_count.get() > 1 {
            return done(sqp);
        }
        sqp.raise(sq::EXCL);
    }
    sqp.claim();
    while sqp.has(sq::QUEUED) && !sqp.has(sq::STAYAWAY) {
        if !sqp.sq_evhead.is_null() {
            if sqp.sq_count.get() > 1 {
                break;
            }
            sqp.raise(sq::EXCL);
            sq_run_events(sqp);
            if is_shared {
                sqp.lower(sq::EXCL);
            }
            continue;
        }
        let is_free =
            |qp: &&'static Queue| qp.q_draining.get() == 0 && qp.q_sqflags.get() & qsq::SQDRAINING == 0;
        let mut queues = core::iter::successors(sqp.sq_head.get(), |qp| qp.q_sqnext.get());
        let Some(qp) = queues.find(is_free) else { break };
        qp.q_sqflags.set(qp.q_sqflags.get() | qsq::SQDRAINING);
        mutex_exit(&sqp.sq_lock);
        mutex_enter(&qp.q_lock);
        qdrain_syncq(sqp, qp);
        mutex_enter(&sqp.sq_lock);
        qp.q_sqflags.set(qp.q_sqflags.get() & !qsq::SQDRAINING);
    }
    if !is_shared {
        sqp.lower(sq::EXCL);
    }
    wake(sqp);
    sqp.unclaim();
    done(sqp);
}

/// Drains one queue. The caller has a claim and QLOCK, which is given up, and is alone inside if puts do not share the perimeter
/// (`qdrain_syncq`).
pub(super) fn qdrain_syncq(sqp: &'static Syncq, qp: &'static Queue) {
    if qp.q_draining.get() != 0 {
        mutex_exit(&qp.q_lock);
        return;
    }
    qp.q_draining.set(1);
    if qp.q_sqhead.is_null() {
        relieve(qp);
    }
    let is_early = platform::kernel().is_mutant(mutant::DRAIN_EARLY);
    while let Some(mp) = qp.q_sqhead.get() {
        if sqp.has(sq::STAYAWAY | sq::EVENTS) {
            break;
        }
        unpark(qp, mp);
        note(Kind::StrDrain, qp);
        if is_early {
            qp.q_syncqmsgs.set(qp.q_syncqmsgs.get() - 1);
        }
        mutex_exit(&qp.q_lock);
        call(qp, mp);
        mutex_enter(&qp.q_lock);
        if !is_early {
            qp.q_syncqmsgs.set(qp.q_syncqmsgs.get() - 1);
        }
        if qp.q_syncqmsgs.get() == 0 {
            relieve(qp);
        }
        if sqp.shares_put() && sqp.has(sq::EXCL) {
            // The put procedure has used qwriter(INNER), which leaves the perimeter closed for who called it.
            mutex_enter(&sqp.sq_lock);
            sqp.lower(sq::EXCL);
            mutex_exit(&sqp.sq_lock);
        }
    }
    if qp.q_sqhead.is_null() {
        mutex_enter(&sqp.sq_lock);
        if qp.q_sqflags.get() & qsq::SQQUEUED != 0 {
            sqrm(sqp, qp);
        }
        mutex_exit(&sqp.sq_lock);
        qp.q_spri.set(0);
    }
    qp.q_draining.set(0);
    mutex_exit(&qp.q_lock);
}

/// Takes the first parked message off.
fn unpark(qp: &'static Queue, mp: &'static Mblk) {
    qp.q_sqhead.set(mp.b_next.get());
    if qp.q_sqhead.is_null() {
        qp.q_sqtail.set(None);
    }
    mp.b_next.set(None);
}

fn relieve(qp: &'static Queue) {
    mutex_exit(&qp.q_lock);
    clr_qfull(qp);
    mutex_enter(&qp.q_lock);
}

/// Runs the events of a perimeter, in which the caller is alone. SQLOCK is held, and dropped for each event (`sq_run_events`).
pub(super) fn sq_run_events(sqp: &'static Syncq) {
    debug_assert!(sqp.sq_count.get() == 1, "sq_run_events: not alone");
    while let Some(mp) = sqp.sq_evhead.get() {
        // While an event runs others may claim for a moment: they find SQ_EXCL and park.
        debug_assert!(sqp.has(sq::EXCL), "sq_run_events: the perimeter is open");
        let (qp, func) = take_event(sqp, mp);
        mutex_exit(&sqp.sq_lock);
        (func.0)(qp, mp);
        mutex_enter(&sqp.sq_lock);
    }
    wake(sqp);
}

/// Makes the queue full if too much is parked for it. QLOCK is held, and may be dropped for a moment (`set_qfull`).
pub(super) fn set_qfull(qp: &'static Queue) {
    let most = platform::kernel().tunable(tunable::SQ_MAX_SIZE);
    if most == 0 || i64::from(qp.q_syncqmsgs.get()) <= most {
        return;
    }
    let Some(full) = qp.q_nfsrv.get() else { return };
    if core::ptr::eq(full, qp) {
        qp.raise(q::QFULL);
    } else {
        mutex_exit(&qp.q_lock);
        mutex_enter(&full.q_lock);
        full.raise(q::QFULL);
        mutex_exit(&full.q_lock);
        mutex_enter(&qp.q_lock);
    }
}

/// Nothing is parked any more: the queue that was made full for it is not, if its own messages leave room (`clr_qfull`).
pub(super) fn clr_qfull(oq: &'static Queue) {
    let Some(qp) = oq.q_nfsrv.get() else { return };
    if !qp.has(q::QFULL | q::QWANTW) {
        return;
    }
    mutex_enter(&qp.q_lock);
    let (count, blocks) = (qp.q_count.get(), qp.q_mblkcnt.get());
    let is_below = |mark: usize| count < mark && blocks < mark;
    if blocks == 0 || is_below(qp.q_hiwat.get()) {
        qp.lower(q::QFULL);
    }
    let wants = qp.has(q::QWANTW) && (qp.q_lowat.get() == 0 || is_below(qp.q_lowat.get()));
    if wants {
        qp.lower(q::QWANTW);
    }
    mutex_exit(&qp.q_lock);
    if wants {
        backenable(oq, 0);
    }
}
