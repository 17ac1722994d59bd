//! Queues come and go: `allocq`, `setq`, `insertq`, `removeq`, `qprocson`, `qprocsoff` (`strsubr.c`).
//!
//! # Invariants
//! - `removeq` changes links only while no thread is in any perimeter of the stream, but for those that are in `removeq` themselves
//!   (`sq_rmqcount`), and while nobody claims the stream. So after `qprocsoff` no put or service procedure of the instance runs, and
//!   none begins (ORD-4).
//! - What is parked for a queue that goes moves on to the next queue, behind what is parked there, or is freed if there is none.

use super::allocb::freemsg;
use super::counts;
use super::drain::clr_qfull;
use super::events::{emptysq, flush_events};
use super::flush::flushq;
use super::message::Mblk;
use super::putnext::{sqput, sqrm};
use super::queue::{Fmodsw, Qinit, Queue, backq, q};
use super::service::remove_runlist;
use super::stdata::Stdata;
use super::strlock::{strlock, strunlock};
use super::syncq::{qsq, sq, sqsvc, sqtype};
use super::{perdm, streams, syncq};
use crate::cell::Cell;
use crate::platform;
use crate::sync::{cv_wait, mutex_enter, mutex_exit};
use umpire_shared::mutant;
use umpire_shared::sys::stream::FLUSHALL;

/// A pair of queues that belongs to nobody (`allocq`): its read side.
pub fn allocq() -> Option<&'static Queue> {
    let state = streams();
    let pair = state.queue_cache.alloc(0, || state.queues.take())?;
    Queue::link_pair(pair);
    pair.qu_syncq.begin(0);
    for (qp, flag) in
        [(&pair.qu_rqueue, q::QUSE | q::QREADR | q::QWANTR), (&pair.qu_wqueue, q::QUSE | q::QWANTR)]
    {
        qp.q_flag.set(flag);
        for link in [&qp.q_next, &qp.q_link, &qp.q_nfsrv, &qp.q_sqnext, &qp.q_sqprev] {
            link.set(None);
        }
        qp.q_ptr.set(0);
        qp.q_sqflags.set(0);
        qp.q_spri.set(0);
        qp.q_fp.set(None);
        qp.q_syncq.set(None);
        qp.q_stream.set(None);
    }
    pair.qu_private.iter().for_each(|word| word.set(0));
    Some(&pair.qu_rqueue)
}

/// Makes a pair a module's, with its perimeters (`setq`). False if there is no memory for them.
pub fn setq(rq: &'static Queue, fp: &'static Fmodsw, qflag: u32, sq_type: u16) -> bool {
    rq.pair().qu_syncq.begin(sq_type);
    setq_finit(rq, fp.f_str.st_rdinit);
    setq_finit(rq.wr(), fp.f_str.st_wrinit);
    perimeters(rq, fp, qflag, sq_type)
}

/// Gives a pair, whose own syncq is nobody's, the perimeters that a module declares. False, and none, if there is no memory for them.
pub(super) fn perimeters(rq: &'static Queue, fp: &'static Fmodsw, qflag: u32, sq_type: u16) -> bool {
    let is_there = join(rq, fp, qflag, sq_type);
    if !is_there {
        for qp in [rq, rq.wr()] {
            qp.q_flag.set(qp.q_flag.get() & !qflag | q::QMTSAFE);
        }
    }
    is_there
}

fn join(rq: &'static Queue, fp: &'static Fmodsw, qflag: u32, sq_type: u16) -> bool {
    let (own, wq) = (&rq.pair().qu_syncq, rq.wr());
    for qp in [rq, wq] {
        qp.q_flag.set(qp.q_flag.get() | qflag);
    }
    rq.q_syncq.set(Some(own));
    wq.q_syncq.set(Some(own));
    let is_module_wide = qflag & q::QPERMOD != 0;
    if is_module_wide || qflag & q::QMTOUTPERIM != 0 {
        // The outer perimeter of the module, or its only inner one.
        let of = if is_module_wide { sq_type } else { 0 };
        let Some(shared) = perdm::hold_dm(fp.f_str, of) else { return false };
        if is_module_wide {
            rq.q_syncq.set(Some(shared));
            wq.q_syncq.set(Some(shared));
        } else {
            super::events::outer_insert(shared, own);
        }
    }
    if qflag & q::QPERQ != 0 {
        let Some(more) = syncq::new_syncq(sq_type) else {
            release_perimeters(rq, fp);
            return false;
        };
        wq.q_syncq.set(Some(more));
        if let Some(outer) = own.sq_outer.get() {
            super::events::outer_insert(outer, more);
        }
    }
    true
}

/// Gives one queue its procedures and numbers (`setq_finit`).
pub(super) fn setq_finit(qp: &'static Queue, init: &'static Qinit) {
    let info = init.qi_minfo;
    qp.q_qinfo.set(Some(init));
    qp.q_hiwat.set(info.mi_hiwat);
    qp.q_lowat.set(info.mi_lowat);
    qp.q_minpsz.set(info.mi_minpsz);
    qp.q_maxpsz.set(info.mi_maxpsz);
    let name = info.mi_idname.as_bytes();
    for (n, to) in qp.q_idname.iter().enumerate() {
        to.set(name.get(n).copied().unwrap_or(0));
    }
}

/// Takes a pair out of the perimeters that it has from [`perimeters`].
pub(super) fn release_perimeters(rq: &'static Queue, fp: &'static Fmodsw) {
    let (own, wq) = (&rq.pair().qu_syncq, rq.wr());
    let outer = own.sq_outer.get();
    if rq.has(q::QPERQ)
        && let Some(more) = wq.q_syncq.get().filter(|sqp| !core::ptr::eq(*sqp, own))
    {
        if let Some(outer) = outer {
            super::events::outer_remove(outer, more);
        }
        syncq::free_syncq(more);
    }
    if let Some(outer) = outer {
        super::events::outer_remove(outer, own);
    }
    if rq.has(q::QPERMOD | q::QMTOUTPERIM) {
        perdm::rele_dm(fp.f_str);
    }
}

/// Gives a pair back, when nothing of it is used or going to be any more (`freeq`).
pub fn freeq(rq: &'static Queue, fp: &'static Fmodsw) {
    wait_svc(rq);
    for qp in [rq, rq.wr()] {
        flushq(qp, FLUSHALL);
        free_parked(qp);
        free_bands(qp);
    }
    release_perimeters(rq, fp);
    streams().queue_cache.free(0, rq.pair());
}

/// Waits until no background thread has the pair (`wait_svc`).
fn wait_svc(rq: &'static Queue) {
    let wq = rq.wr();
    remove_runlist(rq);
    remove_runlist(wq);
    for qp in [rq, wq] {
        let sqp = qp.syncq();
        if sqp.is(sqtype::PERMOD) {
            continue;
        }
        mutex_enter(&sqp.sq_lock);
        sqp.sq_svcflags.set(sqp.sq_svcflags.get() | sqsvc::DISABLED);
        if sqp.sq_svcflags.get() & sqsvc::BGTHREAD != 0 && super::background::forget_syncq(sqp) {
            sqp.sq_svcflags.set(sqp.sq_svcflags.get() & !sqsvc::BGTHREAD);
            sqp.sq_servcount.set(0);
        }
        while sqp.sq_servcount.get() != 0 {
            sqp.raise(sq::WANTWAKEUP);
            cv_wait(&sqp.sq_wait, &sqp.sq_lock);
        }
        mutex_exit(&sqp.sq_lock);
    }
    for qp in [rq, wq] {
        mutex_enter(&qp.q_lock);
        while qp.has(q::QENAB | q::QINSERVICE) {
            cv_wait(&qp.q_wait, &qp.q_lock);
        }
        mutex_exit(&qp.q_lock);
    }
}

fn free_bands(qp: &'static Queue) {
    while let Some(qbp) = qp.q_bandp.get() {
        qp.q_bandp.set(qbp.qb_next.get());
        streams().qband_cache.free(0, qbp);
    }
    qp.q_nband.set(0);
}

fn free_parked(qp: &'static Queue) {
    let sqp = qp.syncq();
    mutex_enter(&qp.q_lock);
    mutex_enter(&sqp.sq_lock);
    if qp.q_sqflags.get() & qsq::SQQUEUED != 0 {
        sqrm(sqp, qp);
    }
    let events = flush_events(sqp, qp);
    mutex_exit(&sqp.sq_lock);
    let parked = qp.q_sqhead.get();
    qp.q_sqhead.set(None);
    qp.q_sqtail.set(None);
    qp.q_syncqmsgs.set(0);
    mutex_exit(&qp.q_lock);
    free_list(qp, events);
    free_list(qp, parked);
}

/// Its procedures may be called from now on: the pair is linked below the stream head (`qprocson`).
pub fn qprocson(rq: &'static Queue) {
    let stp = rq.stream();
    let head = stp.wrq();
    if !rq.has(q::_QINSERTING) {
        return;
    }
    for qp in [rq, rq.wr()] {
        qp.q_flag.set(qp.q_flag.get() & !(q::_QINSERTING | q::QWCLOSE));
    }
    insertq(stp, head, rq);
}

/// Links a pair between `above`, a write queue, and what is below that (`insertq`).
fn insertq(stp: &'static Stdata, above: &'static Queue, rq: &'static Queue) {
    let wq = rq.wr();
    mutex_enter(&stp.sd_lock);
    mutex_enter(&stp.sd_reflock);
    let below = above.q_next.get();
    wq.q_next.set(below);
    rq.q_next.set(Some(above.rd()));
    if below.is_none() {
        wq.q_flag.set(wq.q_flag.get() | q::QEND);
    }
    set_nfsrv(wq);
    set_nfsrv(rq);
    above.q_flag.set(above.q_flag.get() & !q::QEND);
    above.q_next.set(Some(wq));
    reset_nfsrv_behind(wq);
    // What comes the other way: from the queue below, or from the other end of a pipe. A FIFO has none.
    if let Some(behind) = below.map(Queue::other).filter(|behind| !core::ptr::eq(*behind, above)) {
        behind.q_next.set(Some(rq));
        reset_nfsrv_behind(rq);
    }
    if !wq.has(q::QISDRV) {
        stp.sd_pushcnt.set(stp.sd_pushcnt.get() + 1);
    }
    mutex_exit(&stp.sd_reflock);
    mutex_exit(&stp.sd_lock);
}

/// The nearest queue forward with a service procedure: itself, or that of the next; the last one points to itself.
pub(super) fn set_nfsrv(qp: &'static Queue) {
    let next = qp.q_next.get();
    let of = match next {
        Some(next) if qp.qinfo().qi_srvp.is_none() => next.q_nfsrv.get(),
        _ => Some(qp),
    };
    qp.q_nfsrv.set(of);
}

/// Makes `next` what comes after a write queue: the two ends of a pipe, or of a FIFO, before anybody knows them.
pub(super) fn connect(wq: &'static Queue, next: &'static Queue) {
    wq.q_flag.set(wq.q_flag.get() & !q::QEND);
    wq.q_next.set(Some(next));
    set_nfsrv(wq);
}

/// Does the same for the queues behind this one, up to one with a service procedure.
pub(super) fn reset_nfsrv_behind(qp: &'static Queue) {
    let mut at = backq(qp);
    while let Some(behind) = at.filter(|behind| behind.qinfo().qi_srvp.is_none()) {
        set_nfsrv(behind);
        at = backq(behind);
    }
}

/// None of its procedures is called any more when this returns: messages go round it (`qprocsoff`). From a close procedure.
pub fn qprocsoff(rq: &'static Queue) {
    if rq.has(q::QWCLOSE) {
        return;
    }
    disable_svc(rq);
    removeq(rq);
}

/// No service procedure of the pair is run any more (`disable_svc`).
pub(super) fn disable_svc(rq: &'static Queue) {
    for qp in [rq, rq.wr()] {
        mutex_enter(&qp.q_lock);
        qp.raise(q::QWCLOSE);
        mutex_exit(&qp.q_lock);
    }
}

/// They are run again, after [`disable_svc`].
pub(super) fn enable_svc(rq: &'static Queue) {
    for qp in [rq, rq.wr()] {
        mutex_enter(&qp.q_lock);
        qp.lower(q::QWCLOSE);
        mutex_exit(&qp.q_lock);
    }
}

fn removeq(rq: &'static Queue) {
    let (stp, wq) = (rq.stream(), rq.wr());
    let own = rq.syncq();
    let is_blind = platform::kernel().is_mutant(mutant::REMOVE_BLIND);
    mutex_enter(&own.sq_lock);
    own.sq_rmqcount.set(own.sq_rmqcount.get() + 1);
    super::syncq::wake(own);
    mutex_exit(&own.sq_lock);
    let list = strlock(stp, !is_blind);

    let (above, below) = (backq(wq), wq.q_next.get());
    let above_rd = rq.q_next.get();
    if let Some(above) = above {
        above.q_next.set(below);
        if below.is_none() {
            above.q_flag.set(above.q_flag.get() | q::QEND);
        }
        set_nfsrv_and_behind(above);
    }
    if let Some(below_rd) = below.map(Queue::other) {
        below_rd.q_next.set(above_rd);
        set_nfsrv_and_behind(below_rd);
    }
    if !wq.has(q::QISDRV) {
        stp.sd_pushcnt.set(stp.sd_pushcnt.get().saturating_sub(1));
    }
    own.sq_rmqcount.set(own.sq_rmqcount.get() - 1);
    let sides = [(rq, above_rd), (wq, below)].map(|(qp, next)| (qp, next, propagate_syncq(qp, next)));
    strunlock(stp, &list);
    for (qp, next, rest) in sides {
        free_list(qp, rest);
        clr_qfull(qp);
        if let Some(next) = next {
            emptysq(next.syncq());
        }
    }
    rq.q_next.set(None);
    wq.q_next.set(None);
    set_nfsrv(rq);
    set_nfsrv(wq);
}

fn set_nfsrv_and_behind(qp: &'static Queue) {
    if qp.qinfo().qi_srvp.is_none() {
        set_nfsrv(qp);
        reset_nfsrv_behind(qp);
    }
}

/// What is parked for a queue that is taken out goes to the next one; what has nowhere to go is returned (`propagate_syncq`). The
/// stream is locked: nobody has a claim, so nobody parks and nobody drains, and no QLOCK is needed for what is parked. It has to
/// happen before anybody can come in: a later message would overtake.
fn propagate_syncq(qp: &'static Queue, next: Option<&'static Queue>) -> Option<&'static Mblk> {
    let sqp = qp.syncq();
    let events = flush_events(sqp, qp);
    if qp.q_sqflags.get() & qsq::SQQUEUED != 0 {
        sqrm(sqp, qp);
    }
    let (head, tail, n, pri) = (qp.q_sqhead.get(), qp.q_sqtail.get(), qp.q_syncqmsgs.get(), qp.q_spri.get());
    qp.q_sqhead.set(None);
    qp.q_sqtail.set(None);
    qp.q_syncqmsgs.set(0);
    let is_forgetful = platform::kernel().is_mutant(mutant::FORGETS_PARKED);
    let (Some(first), Some(last)) = (head, tail) else { return events };
    if is_forgetful {
        return events;
    }
    let Some(next) = next else {
        last.b_next.set(events);
        return head;
    };
    match next.q_sqtail.get() {
        Some(at) => at.b_next.set(Some(first)),
        None => next.q_sqhead.set(Some(first)),
    }
    next.q_sqtail.set(Some(last));
    next.q_syncqmsgs.set(next.q_syncqmsgs.get() + n);
    if next.q_sqflags.get() & qsq::SQQUEUED == 0 {
        next.q_spri.set(next.q_spri.get().max(pri));
        sqput(next.syncq(), next);
    }
    events
}

/// Frees messages of a queue that are linked by `b_next`.
fn free_list(qp: &'static Queue, head: Option<&'static Mblk>) {
    let mut at = head;
    while let Some(mp) = at {
        at = mp.b_next.get();
        mp.b_next.set(None);
        counts::freed(qp.q_stream.get(), mp);
        freemsg(mp);
    }
}

/// Waits until nothing is parked for a queue (`wait_q_syncq`).
pub(super) fn wait_q_syncq(qp: &'static Queue) {
    let sqp = qp.syncq();
    mutex_enter(&sqp.sq_lock);
    while !qp.q_sqhead.is_null() {
        sqp.raise(sq::WANTEXWAKEUP);
        cv_wait(&sqp.sq_exitwait, &sqp.sq_lock);
    }
    mutex_exit(&sqp.sq_lock);
}
