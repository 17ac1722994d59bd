//! Throwing messages away (`stream.c flushq`, `flushband`), and what `M_FLUSH` asks for.
//!
//! # Invariants
//! - Messages are freed without QLOCK: a free routine may do anything.
//! - What stays keeps its order.

use super::allocb::freemsg;
use super::counts;
use super::flow::{backenable, wants_room};
use super::message::{Mblk, m};
use super::putnext::qreply;
use super::putq::{backenable_all, detach_all, putq, rmvq_noenab};
use super::queue::{Queue, qlock, qunlock};
use crate::cell::Cell;
use umpire_shared::sys::stream::{FLUSHALL, FLUSHDATA, flush, is_datalike};

/// Frees the messages of a queue: all with `FLUSHALL`, data-like ones with `FLUSHDATA` (`flushq`).
pub fn flushq(qp: &'static Queue, flag: i32) {
    flushq_common(qp, flag, false);
}

/// [`flushq`] that may spare an `M_PCPROTO` (`flushq_common`).
pub fn flushq_common(qp: &'static Queue, flag: i32, keep_pcproto: bool) {
    let stays = |mp: &Mblk| {
        keep_pcproto && mp.db_type() == m::PCPROTO || flag == FLUSHDATA && !is_datalike(mp.db_type())
    };
    take_and_sift(qp, stays);
    backenable_all(qp);
}

/// Frees the messages of one band; with `FLUSHDATA` only data-like ones of it (`flushband`).
pub fn flushband(qp: &'static Queue, band: u8, flag: i32) {
    let goes = move |mp: &Mblk| flag == FLUSHALL || is_datalike(mp.db_type());
    if band == 0 {
        take_and_sift(qp, |mp| mp.b_band.get() != 0 || !goes(mp));
    } else {
        loop {
            let lock = qlock(qp);
            let found = qp.messages().find(|mp| mp.b_band.get() == band && goes(mp));
            qunlock(qp, lock);
            let Some(mp) = found else { break };
            rmvq_noenab(qp, mp);
            counts::freed(qp.q_stream.get(), mp);
            freemsg(mp);
        }
    }
    if wants_room(qp, band) {
        backenable(qp, band);
    }
}

/// What a module's side does with `M_FLUSH`: flushes `qp` if the message says so for its side.
pub fn flush_as_told(qp: &'static Queue, mp: &'static Mblk) {
    let told = mp.byte(0).unwrap_or(0);
    let side = if qp.is_read() { flush::R } else { flush::W };
    if told & side == 0 {
        return;
    }
    match mp.byte(1) {
        Some(band) if told & flush::BAND != 0 => flushband(qp, band, FLUSHDATA),
        _ => flushq(qp, FLUSHDATA),
    }
}

/// What a driver that keeps messages on both sides does with an `M_FLUSH` that came down: flushes as it says, and sends it back up if
/// the sides that lead there are to be flushed as well.
pub fn flush_and_turn(wq: &'static Queue, mp: &'static Mblk) {
    flush_as_told(wq, mp);
    let told = mp.byte(0).unwrap_or(0);
    if told & flush::R == 0 {
        return freemsg(mp);
    }
    flush_as_told(wq.rd(), mp);
    mp.data()[0].set(told & !flush::W);
    qreply(wq, mp);
}

/// Takes all messages, puts those back that stay, frees the others.
fn take_and_sift(qp: &'static Queue, stays: impl Fn(&Mblk) -> bool) {
    let lock = qlock(qp);
    let mut at = detach_all(qp);
    qunlock(qp, lock);
    while let Some(mp) = at {
        at = mp.b_next.get();
        mp.b_next.set(None);
        mp.b_prev.set(None);
        if stays(mp) {
            putq(qp, mp);
        } else {
            counts::freed(qp.q_stream.get(), mp);
            freemsg(mp);
        }
    }
}
