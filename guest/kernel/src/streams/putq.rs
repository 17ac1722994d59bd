//! Messages go onto a queue, and come off it (`stream.c`).
//!
//! # Invariants
//! - The list has high priority first, then bands from high to low, band 0 last; of one kind in the order of arrival. High priority
//!   has band 0.
//! - `q_count` and `q_mblkcnt` are those of band 0 and of high priority, a band's counts its own messages'; a band's first and last are
//!   the ends of its run in the list. Everything under QLOCK.
//! - QFULL is set when either count reaches the high-water mark, and cleared when both are below it or there are no blocks.

use super::flow::{backenable, qbackenable};
use super::message::{Mblk, QNORM, QPCTL, m};
use super::msgops::copyb;
use super::queue::{Qband, Queue, q, qb, qlock, qunlock};
use super::service::qenable_locked;
use super::{allocb, streams};
use crate::cell::Cell;
use crate::platform;
use umpire_shared::mutant;

/// Where a message's weight is counted: in its band, or in the queue.
#[derive(Clone, Copy)]
enum Account {
    Queue,
    Band(&'static Qband),
}

/// Puts a message in its place on the queue and enables the queue if it is to be (`putq`). False if a band cannot be made.
#[inline]
pub fn putq(qp: &'static Queue, bp: &'static Mblk) -> bool {
    let lock = qlock(qp);
    let class = bp.queclass();
    if class == QPCTL {
        bp.b_band.set(0);
    }
    let band = bp.b_band.get();
    let Some(account) = account_for(qp, band) else {
        qunlock(qp, lock);
        return false;
    };
    let before = match qp.q_last.get() {
        None => None,
        Some(last) if band == 0 => match class <= last.queclass() || is_disordered() {
            true => None,
            false => qp.messages().find(|at| at.queclass() < class),
        },
        Some(last) => match account {
            Account::Band(qbp) if !qbp.qb_last.is_null() => {
                qbp.qb_last.get().and_then(|own| own.b_next.get())
            }
            _ if class < last.queclass() || band <= last.b_band.get() => None,
            _ => qp.messages().find(|at| at.queclass() == QNORM && at.b_band.get() < band),
        },
    };
    insert(qp, bp, before, account);
    if class > QNORM || can_enable(qp) && (band != 0 || qp.has(q::QWANTR)) {
        qenable_locked(qp);
    }
    qunlock(qp, lock);
    true
}

/// Puts a message back at the head of its kind (`putbq`). A service procedure that does so with one of high priority enables itself for
/// ever. False if a band cannot be made.
pub fn putbq(qp: &'static Queue, bp: &'static Mblk) -> bool {
    let lock = qlock(qp);
    let class = bp.queclass();
    if class == QPCTL {
        bp.b_band.set(0);
    }
    let band = bp.b_band.get();
    let Some(account) = account_for(qp, band) else {
        qunlock(qp, lock);
        return false;
    };
    let before = match class {
        QPCTL => qp.q_first.get(),
        // A band's first, or what follows all higher ones: both are the first message of this band or of a lower one.
        _ => qp.messages().find(|at| at.queclass() == QNORM && at.b_band.get() <= band),
    };
    insert(qp, bp, before, account);
    if class > QNORM || can_enable(qp) && qp.has(q::QWANTR) {
        qenable_locked(qp);
    }
    qunlock(qp, lock);
    true
}

/// Puts a message before another one of the queue, or at its end. False, with a warning, if the order would not be kept, or if a band
/// cannot be made (`insq`).
pub fn insq(qp: &'static Queue, before: Option<&'static Mblk>, mp: &'static Mblk) -> bool {
    let lock = qlock(qp);
    let class = mp.queclass();
    if class == QPCTL {
        mp.b_band.set(0);
    }
    let rank = |bp: &Mblk| (bp.queclass(), bp.b_band.get());
    let ahead = before.map_or(qp.q_last.get(), |at| at.b_prev.get());
    let in_order =
        before.is_none_or(|at| rank(mp) >= rank(at)) && ahead.is_none_or(|at| rank(mp) <= rank(at));
    if !in_order {
        qunlock(qp, lock);
        platform::console(format_args!("WARNING: insq: attempt to insert message out of order on q\n"));
        return false;
    }
    let Some(account) = account_for(qp, mp.b_band.get()) else {
        qunlock(qp, lock);
        return false;
    };
    insert(qp, mp, before, account);
    if can_enable(qp) && qp.has(q::QWANTR) {
        qenable_locked(qp);
    }
    qunlock(qp, lock);
    true
}

/// Takes the first message and back-enables if there is room again (`getq`).
#[inline]
pub fn getq(qp: &'static Queue) -> Option<&'static Mblk> {
    let bp = getq_noenab(qp, 0)?;
    qbackenable(qp, bp.b_band.get());
    Some(bp)
}

/// Takes the first message and back-enables nobody. If `rbytes` is not 0 and the message is longer data, takes just so many bytes of it,
/// if there is memory for that (`getq_noenab`). An empty queue wants to be enabled by the next message.
pub fn getq_noenab(qp: &'static Queue, rbytes: usize) -> Option<&'static Mblk> {
    let lock = qlock(qp);
    let Some(bp) = qp.q_first.get() else {
        qp.raise(q::QWANTR);
        qunlock(qp, lock);
        return None;
    };
    let is_long = rbytes != 0 && bp.db_type() == m::DATA && qp.q_count.get() > rbytes;
    let account = account_of(qp, bp);
    let next = bp.b_next.get();
    unlink(qp, bp, account);
    if let Some(rest) = is_long.then(|| split(bp, rbytes)).flatten() {
        insert(qp, rest, next, account);
    }
    qp.lower(q::QWANTR);
    qunlock(qp, lock);
    Some(bp)
}

/// Takes one message off the queue, wherever it is, and back-enables if there is room again (`rmvq`).
pub fn rmvq(qp: &'static Queue, mp: &'static Mblk) {
    rmvq_noenab(qp, mp);
    qbackenable(qp, mp.b_band.get());
}

/// Takes one message off the queue and back-enables nobody (`rmvq_noenab`).
pub fn rmvq_noenab(qp: &'static Queue, mp: &'static Mblk) {
    let lock = qlock(qp);
    unlink(qp, mp, account_of(qp, mp));
    qunlock(qp, lock);
}

/// Messages on the queue (`qsize`).
pub fn qsize(qp: &'static Queue) -> usize {
    let lock = qlock(qp);
    let n = qp.messages().count();
    qunlock(qp, lock);
    n
}

/// `putq` shall not enable it for messages of band 0 (`noenable`).
pub fn noenable(qp: &'static Queue) {
    let lock = qlock(qp);
    qp.raise(q::QNOENB);
    qunlock(qp, lock);
}

/// Takes [`noenable`] back (`enableok`).
pub fn enableok(qp: &'static Queue) {
    let lock = qlock(qp);
    qp.lower(q::QNOENB);
    qunlock(qp, lock);
}

#[inline(always)]
fn can_enable(qp: &Queue) -> bool {
    !qp.has(q::QNOENB)
}

fn is_disordered() -> bool {
    platform::kernel().is_mutant(mutant::PUTQ_APPENDS)
}

/// Makes what of `mp` is behind its first `rbytes` bytes a message of its own; `None` if it is no longer, or there is no memory.
fn split(mp: &'static Mblk, rbytes: usize) -> Option<&'static Mblk> {
    let mut ahead = 0;
    for bp in mp.blocks() {
        let end = ahead + bp.len();
        if end < rbytes {
            ahead = end;
            continue;
        }
        let rest = if end == rbytes {
            bp.b_cont.get()?
        } else {
            let rest = allocb::dupb(bp).or_else(|| copyb(bp))?;
            rest.b_rptr.set(rest.b_rptr.get() + (rbytes - ahead));
            bp.b_wptr.set(bp.b_rptr.get() + (rbytes - ahead));
            rest.b_cont.set(bp.b_cont.get());
            rest
        };
        rest.b_band.set(mp.b_band.get());
        bp.b_cont.set(None);
        return Some(rest);
    }
    None
}

/// The account of a message with this band, which is made if it is not there; `None` if there is no memory for it. QLOCK is held.
fn account_for(qp: &'static Queue, band: u8) -> Option<Account> {
    if band == 0 { Some(Account::Queue) } else { make_band(qp, band).map(Account::Band) }
}

/// The account of a message that is on the queue.
fn account_of(qp: &'static Queue, bp: &Mblk) -> Account {
    match qp.band(bp.b_band.get()) {
        Some(qbp) => Account::Band(qbp),
        None => Account::Queue,
    }
}

/// Band `n`, from 1 on; it and those below it are made with the queue's marks if they are not there. QLOCK is held.
pub(super) fn make_band(qp: &'static Queue, n: u8) -> Option<&'static Qband> {
    while qp.q_nband.get() < n {
        let state = streams();
        let qbp = state.qband_cache.alloc(0, || state.qbands.take())?;
        qbp.qb_next.set(None);
        qbp.qb_first.set(None);
        qbp.qb_last.set(None);
        qbp.qb_count.set(0);
        qbp.qb_mblkcnt.set(0);
        qbp.qb_flag.set(0);
        qbp.qb_hiwat.set(qp.q_hiwat.get());
        qbp.qb_lowat.set(qp.q_lowat.get());
        match qp.band(qp.q_nband.get()) {
            Some(last) => last.qb_next.set(Some(qbp)),
            None => qp.q_bandp.set(Some(qbp)),
        }
        qp.q_nband.set(qp.q_nband.get() + 1);
    }
    qp.band(n)
}

/// Puts a message before another, or at the end, and counts it.
fn insert(qp: &'static Queue, bp: &'static Mblk, before: Option<&'static Mblk>, account: Account) {
    let ahead = before.map_or(qp.q_last.get(), |at| at.b_prev.get());
    bp.b_next.set(before);
    bp.b_prev.set(ahead);
    match ahead {
        Some(at) => at.b_next.set(Some(bp)),
        None => qp.q_first.set(Some(bp)),
    }
    match before {
        Some(at) => at.b_prev.set(Some(bp)),
        None => qp.q_last.set(Some(bp)),
    }
    qp.q_msgs.set(qp.q_msgs.get() + 1);
    let (bytes, blocks) = bp.weight();
    match account {
        Account::Queue => {
            qp.q_count.set(qp.q_count.get() + bytes);
            qp.q_mblkcnt.set(qp.q_mblkcnt.get() + blocks);
            if qp.q_count.get() >= qp.q_hiwat.get() || qp.q_mblkcnt.get() >= qp.q_hiwat.get() {
                qp.raise(q::QFULL);
            }
        }
        Account::Band(qbp) => {
            let band = bp.b_band.get();
            let is_own = |at: Option<&'static Mblk>| at.is_some_and(|at| at.b_band.get() == band);
            if !is_own(ahead) {
                qbp.qb_first.set(Some(bp));
            }
            if !is_own(before) {
                qbp.qb_last.set(Some(bp));
            }
            qbp.qb_count.set(qbp.qb_count.get() + bytes);
            qbp.qb_mblkcnt.set(qbp.qb_mblkcnt.get() + blocks);
            if qbp.qb_count.get() >= qbp.qb_hiwat.get() || qbp.qb_mblkcnt.get() >= qbp.qb_hiwat.get() {
                qbp.qb_flag.set(qbp.qb_flag.get() | qb::FULL);
            }
        }
    }
}

/// Takes a message off and no longer counts it.
fn unlink(qp: &'static Queue, bp: &'static Mblk, account: Account) {
    let (ahead, behind) = (bp.b_prev.get(), bp.b_next.get());
    match ahead {
        Some(at) => at.b_next.set(behind),
        None => qp.q_first.set(behind),
    }
    match behind {
        Some(at) => at.b_prev.set(ahead),
        None => qp.q_last.set(ahead),
    }
    bp.b_next.set(None);
    bp.b_prev.set(None);
    qp.q_msgs.set(qp.q_msgs.get() - 1);
    let (bytes, blocks) = bp.weight();
    match account {
        Account::Queue => {
            qp.q_count.set(qp.q_count.get() - bytes);
            qp.q_mblkcnt.set(qp.q_mblkcnt.get() - blocks);
            clear_full(qp);
        }
        Account::Band(qbp) => {
            let band = bp.b_band.get();
            let own = |at: Option<&'static Mblk>| at.filter(|at| at.b_band.get() == band);
            if qbp.qb_first.is(bp) {
                qbp.qb_first.set(own(behind));
            }
            if qbp.qb_last.is(bp) {
                qbp.qb_last.set(own(ahead));
            }
            qbp.qb_count.set(qbp.qb_count.get() - bytes);
            qbp.qb_mblkcnt.set(qbp.qb_mblkcnt.get() - blocks);
            let (count, blocks, mark) = (qbp.qb_count.get(), qbp.qb_mblkcnt.get(), qbp.qb_hiwat.get());
            if blocks == 0 || count < mark && blocks < mark {
                qbp.qb_flag.set(qbp.qb_flag.get() & !qb::FULL);
            }
        }
    }
}

/// Clears QFULL if there is room; QLOCK is held.
pub(super) fn clear_full(qp: &Queue) {
    let (count, blocks, mark) = (qp.q_count.get(), qp.q_mblkcnt.get(), qp.q_hiwat.get());
    if blocks == 0 || count < mark && blocks < mark {
        qp.lower(q::QFULL);
    }
}

/// Takes every message off; the list, linked by `b_next`, is the caller's. QLOCK is held.
pub(super) fn detach_all(qp: &'static Queue) -> Option<&'static Mblk> {
    let head = qp.q_first.get();
    for qbp in core::iter::successors(qp.q_bandp.get(), |qb| qb.qb_next.get()) {
        qbp.qb_first.set(None);
        qbp.qb_last.set(None);
        qbp.qb_count.set(0);
        qbp.qb_mblkcnt.set(0);
        qbp.qb_flag.set(qbp.qb_flag.get() & !qb::FULL);
    }
    qp.q_first.set(None);
    qp.q_last.set(None);
    qp.q_count.set(0);
    qp.q_mblkcnt.set(0);
    qp.q_msgs.set(0);
    qp.lower(q::QFULL);
    head
}

/// Gives back-enables for all bands of a queue that has been flushed, from the highest down.
pub(super) fn backenable_all(qp: &'static Queue) {
    let lock = qlock(qp);
    let nband = qp.q_nband.get();
    qunlock(qp, lock);
    for band in (0..=nband).rev() {
        if super::flow::wants_room(qp, band) {
            backenable(qp, band);
        }
    }
}
