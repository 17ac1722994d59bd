//! What a stream head has for who polls: `strpoll` (`streamio.c`).
//!
//! # Invariants
//! - Who polls and finds nothing sleeps under `sd_lock`, under which whatever arrives is told.

use super::flow::canputnext;
use super::message::m;
use super::stdata::Stdata;
use crate::cell::Cell;
use crate::sync::{cv_wait, mutex_enter, mutex_exit};
use umpire_shared::sys::stropts::{poll, sd};

/// What of `events` is there now (`strpoll`); errors and hang-ups are told unasked.
pub fn strpoll(stp: &'static Stdata, events: u32) -> u32 {
    mutex_enter(&stp.sd_lock);
    let found = poll_locked(stp, events);
    mutex_exit(&stp.sd_lock);
    found
}

/// [`strpoll`] that sleeps until something is there.
pub fn strpoll_wait(stp: &'static Stdata, events: u32) -> u32 {
    mutex_enter(&stp.sd_lock);
    let found = loop {
        let found = poll_locked(stp, events);
        if found != 0 {
            break found;
        }
        cv_wait(&stp.sd_pollcv, &stp.sd_lock);
    };
    mutex_exit(&stp.sd_lock);
    found
}

fn poll_locked(stp: &'static Stdata, events: u32) -> u32 {
    let wq = stp.wrq();
    let mut found = 0;
    if stp.has(sd::STPLEX) {
        return poll::NVAL;
    }
    if stp.has(sd::STRDERR | sd::STWRERR) {
        found |= poll::ERR;
    }
    if stp.has(sd::STRHUP) {
        found |= poll::HUP;
    } else if events & poll::OUT != 0 && canputnext(wq) {
        found |= poll::OUT;
    }
    if let Some(first) = wq.rd().q_first.get() {
        let is = match (first.db_type() == m::PCPROTO, first.b_band.get()) {
            (true, _) => poll::PRI,
            (false, 0) => poll::IN | poll::RDNORM,
            (false, _) => poll::IN | poll::RDBAND,
        };
        found |= is & events;
    }
    found
}
