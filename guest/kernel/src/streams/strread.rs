//! Reading and writing at a stream head: `strread`, `strwrite`, `strgetmsg`, `strputmsg`, `strpoll` (`streamio.c`).
//!
//! # Invariants
//! - A service procedure that a writer's message enables runs in the writer, at its priority, before the call returns
//!   (`stream_willservice`).
//! - A reader takes without back-enabling and back-enables when it has put back what it did not want, so that nobody is told of room
//!   that is gone again.

use core::sync::atomic::Ordering;

use super::allocb::{allocb, freeb, freemsg};
use super::flow::{bcanputnext, canputnext, qbackenable};
use super::message::{Mblk, QPCTL, m};
use super::msgops::linkb;
use super::putnext::putnext;
use super::putq::{getq_noenab, putbq};
use super::queue::Queue;
use super::service::{stream_runservice, stream_willservice};
use super::stdata::Stdata;
use super::streams;
use super::strsig::strsignal;
use crate::cell::Cell;
use crate::sync::{cv_wait, mutex_enter, mutex_exit};
use crate::time::callout::delay;
use umpire_shared::sys::stropts::{MORECTL, MOREDATA, MSG_BAND, MSG_HIPRI, poll, readopt, sd};
use umpire_shared::{errno, mutant};

/// Bytes of a message, if the queue below the head does not say (`strmsgsz`).
const STRMSGSZ: usize = 0x1_0000;
/// Bytes of a control part (`strctlsz`).
const STRCTLSZ: usize = 1024;

/// Whether a call may sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// It may.
    Block,
    /// EAGAIN instead (`O_NONBLOCK`).
    Not,
}

/// Reads bytes (`strread`, RNORM). 0 at the end: a message without bytes, or hung up.
///
/// # Errors
/// EAGAIN; EBADMSG if the next message is not data; what an `M_ERROR` has left; EINVAL below a multiplexor.
pub fn strread(stp: &'static Stdata, buf: &mut [u8], wait: Wait) -> Result<usize, u32> {
    let rq = stp.wrq().rd();
    let mut got = 0;
    mutex_enter(&stp.sd_lock);
    let result = loop {
        if got == buf.len() {
            break Ok(got);
        }
        if let Some(error) = read_error(stp) {
            break Err(error);
        }
        let opt = stp.sd_read_opt.get();
        // What is going to be discarded is taken as a whole.
        let most = if opt & readopt::MSGDIS == 0 { buf.len() - got } else { 0 };
        let Some(mp) = getq_noenab(rq, most) else {
            if got != 0 || stp.has(sd::STRHUP | sd::STREOF) {
                break Ok(got);
            }
            match wait {
                Wait::Not => break Err(errno::EAGAIN),
                Wait::Block => sleep_to_read(stp, rq),
            }
            continue;
        };
        let band = mp.b_band.get();
        if mp.db_type() == m::SIG {
            strsignal(stp, mp.byte(0).unwrap_or(0));
            freemsg(mp);
            continue;
        }
        let mp = match as_data(stp, mp, opt) {
            Ok(Some(mp)) => mp,
            Ok(None) => {
                mutex_exit(&stp.sd_lock);
                qbackenable(rq, band);
                mutex_enter(&stp.sd_lock);
                continue;
            }
            Err(mp) => {
                putbq(rq, mp);
                break if got == 0 { Err(errno::EBADMSG) } else { Ok(got) };
            }
        };
        let is_empty = super::msgops::msgdsize(mp) == 0;
        if is_empty && got != 0 {
            putbq(rq, mp);
            break Ok(got);
        }
        let (n, rest) = copy_out(mp, &mut buf[got..], m::DATA);
        got += n;
        match rest {
            Some(rest) if opt & readopt::MSGDIS != 0 => freemsg(rest),
            Some(rest) => _ = putbq(rq, rest),
            None => {}
        }
        mutex_exit(&stp.sd_lock);
        qbackenable(rq, band);
        mutex_enter(&stp.sd_lock);
        if is_empty || opt & (readopt::MSGDIS | readopt::MSGNODIS) != 0 {
            break Ok(got);
        }
    };
    mutex_exit(&stp.sd_lock);
    result
}

/// A message as a read takes it: control parts are data, or are thrown away, or are not to be read. `sd_lock` is held.
fn as_data(
    stp: &'static Stdata,
    mp: &'static Mblk,
    opt: u32,
) -> Result<Option<&'static Mblk>, &'static Mblk> {
    if mp.db_type() == m::DATA {
        return Ok(Some(mp));
    }
    if opt & (readopt::PROTDAT | readopt::PROTDIS) == 0 || !matches!(mp.db_type(), m::PROTO | m::PCPROTO) {
        return Err(mp);
    }
    if mp.db_type() == m::PCPROTO {
        stp.lower(sd::STRPRI);
    }
    let is_control = |bp: &Mblk| matches!(bp.db_type(), m::PROTO | m::PCPROTO);
    if opt & readopt::PROTDAT != 0 {
        mp.blocks().filter(|bp| is_control(bp)).for_each(|bp| bp.set_type(m::DATA));
        return Ok(Some(mp));
    }
    let band = mp.b_band.get();
    let mut rest = Some(mp);
    while let Some(bp) = rest.filter(|bp| is_control(bp)) {
        rest = bp.b_cont.get();
        bp.b_cont.set(None);
        freeb(bp);
    }
    if let Some(data) = rest {
        data.b_band.set(band);
    }
    Ok(rest)
}

/// Sleeps until something arrives; `sd_lock` is held (`strwaitq`).
fn sleep_to_read(stp: &'static Stdata, rq: &'static Queue) {
    if stp.has(sd::SNDMREAD)
        && let Some(mp) = allocb(8)
    {
        mp.set_type(m::READ);
        mutex_exit(&stp.sd_lock);
        send(stp, mp);
        mutex_enter(&stp.sd_lock);
        if !rq.q_first.is_null() {
            return;
        }
    }
    streams().strstat().strwaits.fetch_add(1, Ordering::Relaxed);
    stp.raise(sd::RSLEEP);
    cv_wait(&rq.q_wait, &stp.sd_lock);
}

/// Copies the leading blocks of one type out as far as there is room; returns the bytes, and what is left of the message, if anything.
fn copy_out(mp: &'static Mblk, buf: &mut [u8], db_type: u8) -> (usize, Option<&'static Mblk>) {
    let (mut at, mut n) = (Some(mp), 0);
    while let Some(bp) = at.filter(|bp| bp.db_type() == db_type) {
        let part = bp.len().min(buf.len() - n);
        for (to, from) in buf[n..n + part].iter_mut().zip(bp.data()) {
            *to = from.get();
        }
        n += part;
        if part < bp.len() {
            bp.b_rptr.set(bp.b_rptr.get() + part);
            break;
        }
        at = bp.b_cont.get();
        if let Some(rest) = at {
            rest.b_band.set(bp.b_band.get());
        }
        bp.b_cont.set(None);
        freeb(bp);
    }
    (n, at)
}

fn read_error(stp: &Stdata) -> Option<u32> {
    match stp.sd_flag.get() {
        flags if flags & sd::STPLEX != 0 => Some(errno::EINVAL),
        flags if flags & sd::STRDERR != 0 => Some(stp.sd_rerror.get()),
        _ => None,
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

/// A message block, sleeping a tick at a time until there is memory (`allocb_wait`).
pub fn allocb_wait(size: usize) -> &'static Mblk {
    loop {
        if let Some(mp) = allocb(size) {
            return mp;
        }
        delay(1);
    }
}

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

/// Takes the first message as it is (`kstrgetmsg`). `None` when hung up.
///
/// # Errors
/// As [`strgetmsg`].
pub fn kstrgetmsg(stp: &'static Stdata, wait: Wait) -> Result<Option<&'static Mblk>, u32> {
    let rq = stp.wrq().rd();
    mutex_enter(&stp.sd_lock);
    let result = loop {
        if let Some(error) = read_error(stp) {
            break Err(error);
        }
        if let Some(mp) = getq_noenab(rq, 0) {
            if mp.db_type() == m::SIG {
                strsignal(stp, mp.byte(0).unwrap_or(0));
                freemsg(mp);
                continue;
            }
            if mp.db_type() == m::PCPROTO {
                stp.lower(sd::STRPRI);
            }
            break Ok(Some(mp));
        }
        if stp.has(sd::STRHUP | sd::STREOF) {
            break Ok(None);
        }
        if wait == Wait::Not {
            break Err(errno::EAGAIN);
        }
        sleep_to_read(stp, rq);
    };
    mutex_exit(&stp.sd_lock);
    if let Ok(Some(mp)) = result {
        qbackenable(rq, mp.b_band.get());
    }
    result
}

/// What [`strgetmsg`] got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Got {
    /// Bytes of the control part; `None`: the message has none.
    pub ctl: Option<usize>,
    /// Bytes of data; `None`: the message has none.
    pub data: Option<usize>,
    /// `MSG_HIPRI` or `MSG_BAND`.
    pub flags: u32,
    /// Its band.
    pub band: u8,
    /// `MORECTL` and `MOREDATA`.
    pub more: u32,
}

/// Takes one message, or as much of it as there is room for; the rest stays (`getmsg`, `getpmsg`). `flags`: 0 or `MSG_ANY` for any,
/// `MSG_HIPRI` for one of high priority only, `MSG_BAND` for one of `band` or better. `None` when hung up.
///
/// # Errors
/// As [`strread`], but for EBADMSG.
pub fn strgetmsg(
    stp: &'static Stdata,
    ctl: &mut [u8],
    data: &mut [u8],
    flags: u32,
    band: u8,
    wait: Wait,
) -> Result<Option<Got>, u32> {
    let rq = stp.wrq().rd();
    mutex_enter(&stp.sd_lock);
    let mp = loop {
        if let Some(error) = read_error(stp) {
            mutex_exit(&stp.sd_lock);
            return Err(error);
        }
        let fits = |mp: &&'static Mblk| {
            let is_urgent = mp.db_type() == m::PCPROTO;
            is_urgent || flags & MSG_HIPRI == 0 && (flags & MSG_BAND == 0 || mp.b_band.get() >= band)
        };
        if let Some(first) = rq.q_first.get().filter(fits) {
            let taken = getq_noenab(rq, 0).unwrap_or(first);
            if taken.db_type() != m::SIG {
                break taken;
            }
            strsignal(stp, taken.byte(0).unwrap_or(0));
            freemsg(taken);
            continue;
        }
        if stp.has(sd::STRHUP | sd::STREOF) {
            mutex_exit(&stp.sd_lock);
            return Ok(None);
        }
        if wait == Wait::Not {
            mutex_exit(&stp.sd_lock);
            return Err(errno::EAGAIN);
        }
        sleep_to_read(stp, rq);
    };
    let (band, db_type) = (mp.b_band.get(), mp.db_type());
    let is_urgent = db_type == m::PCPROTO;
    let mut got =
        Got { ctl: None, data: None, flags: if is_urgent { MSG_HIPRI } else { MSG_BAND }, band, more: 0 };
    let mut rest = Some(mp);
    if db_type == m::PROTO || is_urgent {
        let (n, left) = copy_out(mp, ctl, db_type);
        got.ctl = Some(n);
        rest = left;
        if rest.is_some_and(|bp| bp.db_type() == db_type) {
            got.more |= MORECTL;
        }
    }
    if let Some(bp) = rest.filter(|bp| bp.db_type() == m::DATA) {
        let (n, left) = copy_out(bp, data, m::DATA);
        got.data = Some(n);
        rest = left;
    }
    if rest.is_some_and(|bp| bp.blocks().any(|bp| bp.db_type() == m::DATA)) {
        got.more |= MOREDATA;
    }
    if is_urgent && got.more & MORECTL == 0 {
        stp.lower(sd::STRPRI);
    }
    if let Some(rest) = rest {
        putbq(rq, rest);
    }
    mutex_exit(&stp.sd_lock);
    qbackenable(rq, band);
    Ok(Some(got))
}

/// What of `events` is there now (`strpoll`); errors and hang-ups are told unasked.
pub fn strpoll(stp: &'static Stdata, events: u32) -> u32 {
    mutex_enter(&stp.sd_lock);
    let found = poll_locked(stp, events);
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
