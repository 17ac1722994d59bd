//! Service procedures: who is enabled, and by whom it is run (`strsubr.c`).
//!
//! # Invariants
//! - On a list means QENAB set and QINSERVICE clear (INV-1). The way back has one moment: a queue that has been taken off the list keeps
//!   QENAB until its service begins.
//! - A queue that is enabled while its service procedure runs is not listed: QENAB makes the run go round once more.
//! - A stream with STRS_WILLSERVICE has a thread that will run the list: nobody else is called. If that thread does not get to run, what
//!   others enable waits for it; nothing here inherits.
//! - `services` (the service lock) comes after `sd_qlock`.

use core::sync::atomic::Ordering;

use super::background;
use super::enter::{Entry, entersq, leavesq};
use super::putnext::note;
use super::queue::{Queue, q, qb};
use super::stdata::{Stdata, strs};
use super::{lbolt, streams};
use crate::cell::Cell;
use crate::platform;
use crate::sync::{cv_broadcast, cv_wait, mutex_enter, mutex_exit};
use umpire_shared::event::Kind;
use umpire_shared::mutant;

/// Has the queue's service procedure run (`qenable`).
pub fn qenable(qp: &'static Queue) {
    let lock = super::queue::qlock(qp);
    qenable_locked(qp);
    super::queue::qunlock(qp, lock);
}

/// [`qenable`] with QLOCK held (`qenable_locked`).
#[inline]
pub(super) fn qenable_locked(qp: &'static Queue) {
    if qp.qinfo().qi_srvp.is_none() || qp.has(q::QWCLOSE | q::QENAB) {
        return;
    }
    qp.raise(q::QENAB);
    if qp.has(q::QINSERVICE) {
        return;
    }
    qp.q_qtstamp.set(lbolt());
    let stp = qp.stream();
    mutex_enter(&stp.sd_qlock);
    append(stp, qp);
    if stp.sd_svcflags.get() & (strs::WILLSERVICE | strs::SCHEDULED) == 0 {
        let stat = streams().strstat();
        stat.stenables.fetch_add(1, Ordering::Relaxed);
        stp.sd_svcflags.set(stp.sd_svcflags.get() | strs::SCHEDULED);
        if !background::dispatch_stream(stp) {
            stat.taskqfails.fetch_add(1, Ordering::Relaxed);
            stp.sd_svcflags.set(stp.sd_svcflags.get() & !strs::SCHEDULED);
            remove(stp, qp);
            background::qenable_later(qp);
        }
    }
    mutex_exit(&stp.sd_qlock);
}

fn append(stp: &'static Stdata, qp: &'static Queue) {
    qp.q_link.set(None);
    match stp.sd_qtail.get() {
        Some(last) => last.q_link.set(Some(qp)),
        None => stp.sd_qhead.set(Some(qp)),
    }
    stp.sd_qtail.set(Some(qp));
    stp.sd_nqueues.set(stp.sd_nqueues.get() + 1);
}

/// Takes a queue off the stream's list; false if it is not there. `sd_qlock` is held.
fn remove(stp: &'static Stdata, qp: &'static Queue) -> bool {
    let listed = || core::iter::successors(stp.sd_qhead.get(), |at| at.q_link.get());
    let next = qp.q_link.get();
    if stp.sd_qhead.is(qp) {
        stp.sd_qhead.set(next);
        if next.is_none() {
            stp.sd_qtail.set(None);
        }
    } else if let Some(before) = listed().find(|at| at.q_link.is(qp)) {
        before.q_link.set(next);
        if next.is_none() {
            stp.sd_qtail.set(Some(before));
        }
    } else {
        return false;
    }
    qp.q_link.set(None);
    stp.sd_nqueues.set(stp.sd_nqueues.get() - 1);
    true
}

/// Takes a queue that is closing off the list; QENAB goes only if it was really there (`remove_runlist`).
pub(super) fn remove_runlist(qp: &'static Queue) {
    let stp = qp.stream();
    mutex_enter(&qp.q_lock);
    if qp.has(q::QENAB) {
        mutex_enter(&stp.sd_qlock);
        let was_there = remove(stp, qp) || background::forget_queue(qp);
        mutex_exit(&stp.sd_qlock);
        if was_there {
            qp.lower(q::QENAB);
        }
    }
    mutex_exit(&qp.q_lock);
}

/// Runs a queue that has been taken off a list (`queue_service`).
pub(super) fn queue_service(qp: &'static Queue) {
    mutex_enter(&qp.q_lock);
    qp.lower(q::QENAB);
    qp.raise(q::QINSERVICE);
    mutex_exit(&qp.q_lock);
    runservice(qp);
}

fn runservice(qp: &'static Queue) {
    loop {
        let sqp = qp.syncq();
        entersq(sqp, Entry::Service);
        if !qp.has(q::QWCLOSE)
            && let Some(service) = qp.qinfo().qi_srvp
        {
            note(Kind::StrService, qp);
            service(qp);
            note(Kind::StrServiceEnd, qp);
        }
        leavesq(sqp, Entry::Service);
        mutex_enter(&qp.q_lock);
        let again = qp.has(q::QENAB) && !platform::kernel().is_mutant(mutant::SERVICE_ONCE);
        qp.lower(q::QENAB);
        if !again {
            break;
        }
        mutex_exit(&qp.q_lock);
    }
    qp.lower(q::QINSERVICE | q::QBACK);
    for qbp in core::iter::successors(qp.q_bandp.get(), |qbp| qbp.qb_next.get()) {
        qbp.qb_flag.set(qbp.qb_flag.get() & !qb::BACK);
    }
    cv_broadcast(&qp.q_wait);
    mutex_exit(&qp.q_lock);
}

/// Runs every queue of the list; `sd_qlock` is held, and dropped for each.
fn run_list(stp: &'static Stdata) {
    while let Some(qp) = stp.sd_qhead.get() {
        remove(stp, qp);
        mutex_exit(&stp.sd_qlock);
        queue_service(qp);
        mutex_enter(&stp.sd_qlock);
    }
}

/// What a task does that was dispatched for a stream (`stream_service`).
pub(super) fn stream_service(stp: &'static Stdata) {
    mutex_enter(&stp.sd_qlock);
    run_list(stp);
    stp.sd_svcflags.set(stp.sd_svcflags.get() & !strs::SCHEDULED);
    cv_broadcast(&stp.sd_qcv);
    mutex_exit(&stp.sd_qlock);
}

/// Waits until no task is under way for a stream that is going.
pub(super) fn wait_service(stp: &'static Stdata) {
    mutex_enter(&stp.sd_qlock);
    while stp.sd_svcflags.get() & strs::SCHEDULED != 0 {
        cv_wait(&stp.sd_qcv, &stp.sd_qlock);
    }
    mutex_exit(&stp.sd_qlock);
}

/// Promises to run what is enabled from now on (`stream_willservice`).
pub fn stream_willservice(stp: &'static Stdata) {
    mutex_enter(&stp.sd_qlock);
    stp.sd_svcflags.set(stp.sd_svcflags.get() | strs::WILLSERVICE);
    mutex_exit(&stp.sd_qlock);
}

/// Keeps that promise, in the caller's thread at its priority, and then helps with what the background has not done
/// (`stream_runservice`).
pub fn stream_runservice(stp: &'static Stdata) {
    streams().strstat().rservice.fetch_add(1, Ordering::Relaxed);
    mutex_enter(&stp.sd_qlock);
    stp.sd_svcflags.set(stp.sd_svcflags.get() | strs::WILLSERVICE);
    run_list(stp);
    stp.sd_svcflags.set(stp.sd_svcflags.get() & !strs::WILLSERVICE);
    mutex_exit(&stp.sd_qlock);
    background::help();
}

/// `runqueues`, `queuerun`: there has been no global list to run since Solaris 10; these do nothing, and programs call them.
pub fn queuerun() {}
