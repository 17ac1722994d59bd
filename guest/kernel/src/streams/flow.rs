//! Flow control: who may send, and who is told that it may again (`stream.c`, `strsubr.c`).
//!
//! # Invariants
//! - QWANTW is set under QLOCK by who has found the queue full under the same lock, so the removal that makes room sees it:
//!
//! ```text
//!   writer: canput                       reader: getq
//!   QFULL? -> yes (without the lock)
//!                                        QLOCK: takes a message, QFULL cleared; QWANTW? -> no
//!   QLOCK: QFULL? -> no: may send
//! ```
//! - Room again is: QWANTW set, and the low-water mark is 0 or both counts are below it. Who clears QWANTW back-enables.
//! - `backenable` follows `q_next` backwards, so it claims the stream.

use super::message::Mblk;
use super::putq::make_band;
use super::queue::{Queue, backq, q, qb, qlock, qunlock};
use super::service::qenable_locked;
use super::stdata::{claimstr, releasestr};
use crate::cell::Cell;
use crate::platform;
use crate::sync::{mutex_enter, mutex_exit};
use umpire_shared::mutant;
use umpire_shared::sys::stream::qfield;

/// True if the nearest queue from here on that has a service procedure can take a message. If not, who makes room there
/// back-enables (`canput`). The stream is claimed, or the caller is inside a perimeter of it.
#[inline]
pub fn canput(qp: &'static Queue) -> bool {
    let Some(target) = qp.q_nfsrv.get() else { return false };
    !target.has(q::QFULL) || !is_full(target)
}

/// [`canput`] of the next queue (`canputnext`).
#[inline]
pub fn canputnext(qp: &'static Queue) -> bool {
    let stp = qp.stream();
    mutex_enter(&stp.sd_reflock);
    let target = qp.q_next.get().and_then(|next| next.q_nfsrv.get());
    let Some(target) = target else {
        mutex_exit(&stp.sd_reflock);
        return false;
    };
    if !target.has(q::QFULL) {
        mutex_exit(&stp.sd_reflock);
        return true;
    }
    stp.sd_refcnt.set(stp.sd_refcnt.get() + 1);
    mutex_exit(&stp.sd_reflock);
    let full = is_full(target);
    releasestr(stp);
    !full
}

/// The look under QLOCK; sets QWANTW if it is full.
#[cold]
fn is_full(target: &'static Queue) -> bool {
    platform::interleave();
    let lock = qlock(target);
    let full = target.has(q::QFULL);
    if full && !platform::kernel().is_mutant(mutant::UNWANTED_ROOM) {
        target.raise(q::QWANTW);
    }
    qunlock(target, lock);
    full
}

/// [`canput`] for a band (`bcanput`). A band that is not there is not full.
pub fn bcanput(qp: &'static Queue, band: u8) -> bool {
    let Some(target) = qp.q_nfsrv.get() else { return false };
    if band == 0 {
        return !is_full(target);
    }
    let lock = qlock(target);
    let full = target.band(band).filter(|qbp| qbp.qb_flag.get() & qb::FULL != 0);
    if let Some(qbp) = full {
        qbp.qb_flag.set(qbp.qb_flag.get() | qb::WANTW);
    }
    qunlock(target, lock);
    full.is_none()
}

/// [`bcanput`] of the next queue (`bcanputnext`).
pub fn bcanputnext(qp: &'static Queue, band: u8) -> bool {
    let stp = qp.stream();
    claimstr(stp);
    let can = qp.q_next.get().is_some_and(|next| bcanput(next, band));
    releasestr(stp);
    can
}

/// Back-enables if somebody wants to write to this band and there is room again (`qbackenable`).
#[inline]
pub fn qbackenable(qp: &'static Queue, band: u8) {
    // Without the lock: who sets QWANTW from now on has seen the queue as it is after the removal.
    if band == 0 && !qp.has(q::QWANTW | q::QWANTWSYNC) {
        return;
    }
    if wants_room(qp, band) {
        backenable(qp, band);
    }
}

/// True, once, if somebody wants to write to this band and there is room.
pub(super) fn wants_room(qp: &'static Queue, band: u8) -> bool {
    let has_room = |mark: usize, count: usize, blocks: usize| mark == 0 || count < mark && blocks < mark;
    let lock = qlock(qp);
    let wants = if band == 0 {
        let wants = qp.has(q::QWANTW | q::QWANTWSYNC)
            && has_room(qp.q_lowat.get(), qp.q_count.get(), qp.q_mblkcnt.get());
        if wants {
            qp.lower(q::QWANTW | q::QWANTWSYNC);
        }
        wants
    } else {
        let is_wanted = |qbp: &&super::queue::Qband| {
            qbp.qb_flag.get() & qb::WANTW != 0
                && has_room(qbp.qb_lowat.get(), qbp.qb_count.get(), qbp.qb_mblkcnt.get())
        };
        let qbp = qp.band(band).filter(is_wanted);
        if let Some(qbp) = qbp {
            qbp.qb_flag.set(qbp.qb_flag.get() & !qb::WANTW);
        }
        qbp.is_some()
    };
    qunlock(qp, lock);
    wants
}

/// Enables the nearest queue backwards that has a service procedure, which is marked as back-enabled (`backenable`).
pub fn backenable(qp: &'static Queue, band: u8) {
    let stp = qp.stream();
    let is_frozen = stp.sd_freezer.is(platform::curthread());
    if !is_frozen {
        claimstr(stp);
    }
    let has_service = |at: &&'static Queue| at.qinfo().qi_srvp.is_some();
    if let Some(behind) = core::iter::successors(backq(qp), |at| backq(at)).find(has_service) {
        let lock = qlock(behind);
        if band == 0 {
            behind.raise(q::QBACK);
        } else if let Some(qbp) = make_band(behind, band) {
            qbp.qb_flag.set(qbp.qb_flag.get() | qb::BACK);
        }
        qenable_locked(behind);
        qunlock(behind, lock);
    }
    if !is_frozen {
        releasestr(stp);
    }
}

/// What [`strqget`] finds.
#[derive(Debug, Clone, Copy)]
pub enum Field {
    /// A number.
    Number(i64),
    /// A message, if there is one.
    Message(Option<&'static Mblk>),
}

/// Why [`strqset`] and [`strqget`] refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QfieldError {
    /// `EINVAL`: no such field, or no such band.
    Invalid,
    /// `EPERM`: the field is not to be set.
    NotPermitted,
}

/// Sets a mark or a packet size of the queue, or of one of its bands (`strqset`). The caller has frozen the stream, or is its module.
///
/// # Errors
/// See [`QfieldError`].
pub fn strqset(qp: &'static Queue, what: u32, band: u8, value: i64) -> Result<(), QfieldError> {
    let lock = qlock(qp);
    let result = set_locked(qp, what, band, value);
    qunlock(qp, lock);
    result
}

fn set_locked(qp: &'static Queue, what: u32, band: u8, value: i64) -> Result<(), QfieldError> {
    let qbp = match band {
        0 => None,
        _ => Some(make_band(qp, band).ok_or(QfieldError::Invalid)?),
    };
    match (what, qbp) {
        (qfield::QHIWAT, None) => qp.q_hiwat.set(value.max(0) as usize),
        (qfield::QLOWAT, None) => qp.q_lowat.set(value.max(0) as usize),
        (qfield::QHIWAT, Some(qbp)) => qbp.qb_hiwat.set(value.max(0) as usize),
        (qfield::QLOWAT, Some(qbp)) => qbp.qb_lowat.set(value.max(0) as usize),
        (qfield::QMAXPSZ, None) => qp.q_maxpsz.set(value),
        (qfield::QMINPSZ, None) => qp.q_minpsz.set(value),
        (qfield::QMAXPSZ | qfield::QMINPSZ, Some(_)) => return Err(QfieldError::Invalid),
        (qfield::QCOUNT | qfield::QFIRST | qfield::QLAST | qfield::QFLAG, _) => {
            return Err(QfieldError::NotPermitted);
        }
        _ => return Err(QfieldError::Invalid),
    }
    Ok(())
}

/// Reads a field of the queue, or of one of its bands (`strqget`).
///
/// # Errors
/// See [`QfieldError`].
pub fn strqget(qp: &'static Queue, what: u32, band: u8) -> Result<Field, QfieldError> {
    use Field::{Message, Number};
    let lock = qlock(qp);
    let qbp = qp.band(band);
    let found = match (what, band, qbp) {
        (qfield::QHIWAT, 0, _) => Ok(Number(qp.q_hiwat.get() as i64)),
        (qfield::QLOWAT, 0, _) => Ok(Number(qp.q_lowat.get() as i64)),
        (qfield::QMAXPSZ, 0, _) => Ok(Number(qp.q_maxpsz.get())),
        (qfield::QMINPSZ, 0, _) => Ok(Number(qp.q_minpsz.get())),
        (qfield::QCOUNT, 0, _) => Ok(Number(qp.q_count.get() as i64)),
        (qfield::QFIRST, 0, _) => Ok(Message(qp.q_first.get())),
        (qfield::QLAST, 0, _) => Ok(Message(qp.q_last.get())),
        (qfield::QFLAG, 0, _) => Ok(Number(i64::from(qp.q_flag.get()))),
        (qfield::QHIWAT, _, Some(qbp)) => Ok(Number(qbp.qb_hiwat.get() as i64)),
        (qfield::QLOWAT, _, Some(qbp)) => Ok(Number(qbp.qb_lowat.get() as i64)),
        (qfield::QCOUNT, _, Some(qbp)) => Ok(Number(qbp.qb_count.get() as i64)),
        (qfield::QFIRST, _, Some(qbp)) => Ok(Message(qbp.qb_first.get())),
        (qfield::QLAST, _, Some(qbp)) => Ok(Message(qbp.qb_last.get())),
        (qfield::QFLAG, _, Some(qbp)) => Ok(Number(i64::from(qbp.qb_flag.get()))),
        _ => Err(QfieldError::Invalid),
    };
    qunlock(qp, lock);
    found
}
