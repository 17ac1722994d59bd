//! Writing at a stream head: `strwrite`, `strputmsg`, `kstrputmsg` (`streamio.c`).
//!
//! # Invariants
//! - A service procedure that a writer's message enables runs in the writer, at its priority, before the call returns
//!   (`stream_willservice`).
//! - A writer that sleeps for room has looked once more under `sd_lock` before, so that it is not missed (see `head.rs`).

use core::sync::atomic::Ordering;

use super::allocb::allocb;
use super::flow::{bcanputnext, canputnext};
use super::message::{Mblk, QPCTL, m};
use super::msgops::linkb;
use super::putnext::putnext;
use super::service::{stream_runservice, stream_willservice};
use super::stdata::Stdata;
use super::streams;
use super::strread::Wait;
use crate::cell::Cell;
use crate::sync::{cv_wait, mutex_enter, mutex_exit};
use crate::time::callout::delay;
use umpire_shared::sys::stropts::{MSG_HIPRI, sd};
use umpire_shared::{errno, mutant};

/// Bytes of a message, if the queue below the head does not say (`strmsgsz`).
const STRMSGSZ: usize = 0x1_0000;
/// Bytes of a control part (`strctlsz`).
const STRCTLSZ: usize = 1024;

/// Writes bytes, in messages of as many as the queue below takes (`strwrite`). Without bytes nothing is sent.
///
/// # Errors
/// EAGAIN, if nothing has been written; what an `M_ERROR` has left; ENXIO when hung up, EPIPE for a pipe; EINVAL below a multiplexor.
pub fn strwrite(stp: &'static Stdata, bytes: &[u8], wait: Wait) -> Result<usize, u32> {
    let most =
        usize::try_from(stp.sd_qn_maxpsz.get()).ok().filter(|&n| n != 0).unwrap_or(STRMSGSZ).min(STRMSGSZ);
    let mut done = 0;
    for piece in bytes.chunks(most) {
        if let Err(error) = await_room(stp, 0, wait) {
            return if done != 0 && error == errno::EAGAIN { Ok(done) } else { Err(error) };
        }
        let mp = allocb_wait(piece.len());
        mp.append(piece);
        send(stp, mp);
        done += piece.len();
    }
    Ok(done)
}

/// Sends a message with a control part, data, or both (`putmsg`, `putpmsg`). `flags` of `MSG_HIPRI`, `MSG_BAND`.
///
/// # Errors
/// EINVAL for high priority without a control part or with a band; ERANGE for a part that is too long; otherwise as [`strwrite`].
pub fn strputmsg(
    stp: &'static Stdata,
    ctl: Option<&[u8]>,
    data: Option<&[u8]>,
    flags: u32,
    band: u8,
    wait: Wait,
) -> Result<(), u32> {
    let is_urgent = flags & MSG_HIPRI != 0;
    if is_urgent && (ctl.is_none() || band != 0) {
        return Err(errno::EINVAL);
    }
    if ctl.is_some_and(|part| part.len() > STRCTLSZ) || data.is_some_and(|part| part.len() > STRMSGSZ) {
        return Err(errno::ERANGE);
    }
    if ctl.is_none() && data.is_none() {
        return Ok(());
    }
    if !is_urgent {
        await_room(stp, band, wait)?;
    } else if let Some(error) = write_error(stp) {
        return Err(error);
    }
    let block = |bytes: &[u8], db_type: u8| {
        let mp = allocb_wait(bytes.len());
        mp.append(bytes);
        mp.set_type(db_type);
        mp.b_band.set(band);
        mp
    };
    let head = ctl.map(|part| block(part, if is_urgent { m::PCPROTO } else { m::PROTO }));
    let tail = data.map(|part| block(part, m::DATA));
    match (head, tail) {
        (Some(head), Some(tail)) => {
            linkb(head, tail);
            send(stp, head);
        }
        (Some(one), None) | (None, Some(one)) => send(stp, one),
        (None, None) => {}
    }
    Ok(())
}

/// Sends a message that the caller has made (`kstrputmsg`); it goes past flow control if it is of high priority.
///
/// # Errors
/// As [`strwrite`]; the message is the caller's then.
pub fn kstrputmsg(stp: &'static Stdata, mp: &'static Mblk, wait: Wait) -> Result<(), u32> {
    if mp.queclass() == QPCTL {
        if let Some(error) = write_error(stp) {
            return Err(error);
        }
    } else {
        await_room(stp, mp.b_band.get(), wait)?;
    }
    send(stp, mp);
    Ok(())
}

/// A message block, sleeping a tick at a time until there is memory (`allocb_wait`).
pub fn allocb_wait(size: usize) -> &'static Mblk {
    loop {
        if let Some(mp) = allocb(size) {
            return mp;
        }
        delay(1);
    }
}

/// Sends a message down from the head, and runs what that enables.
pub(super) fn send(stp: &'static Stdata, mp: &'static Mblk) {
    stream_willservice(stp);
    putnext(stp.wrq(), mp);
    stream_runservice(stp);
}

/// Waits for room in a band (`strwrite`, `strput`).
fn await_room(stp: &'static Stdata, band: u8, wait: Wait) -> Result<(), u32> {
    let wq = stp.wrq();
    let has_room = || if band == 0 { canputnext(wq) } else { bcanputnext(wq, band) };
    loop {
        if let Some(error) = write_error(stp) {
            return Err(error);
        }
        if has_room() {
            return Ok(());
        }
        if wait == Wait::Not {
            return Err(errno::EAGAIN);
        }
        crate::platform::interleave();
        let looks = !crate::platform::kernel().is_mutant(mutant::NO_LAST_LOOK);
        if !looks {
            // As if it were preempted here: the window is otherwise a few instructions long.
            crate::platform::spin(50_000);
        }
        mutex_enter(&stp.sd_lock);
        // The last look: see the picture in `head.rs`.
        if write_error(stp).is_none() && !(looks && has_room()) {
            streams().strstat().strwaits.fetch_add(1, Ordering::Relaxed);
            stp.raise(sd::WSLEEP);
            cv_wait(&wq.q_wait, &stp.sd_lock);
        }
        mutex_exit(&stp.sd_lock);
    }
}

fn write_error(stp: &Stdata) -> Option<u32> {
    match stp.sd_flag.get() {
        flags if flags & sd::STPLEX != 0 => Some(errno::EINVAL),
        flags if flags & sd::STRHUP != 0 && flags & sd::STRMATE != 0 => Some(errno::EPIPE),
        flags if flags & (sd::STWRERR | sd::STRHUP) != 0 => Some(stp.sd_werror.get()),
        _ => None,
    }
}
