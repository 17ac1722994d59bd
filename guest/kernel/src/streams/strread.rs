//! Reading at a stream head: `strread`, `strgetmsg`, `kstrgetmsg` (`streamio.c`).
//!
//! # Invariants
//! - A reader takes without back-enabling and back-enables when it has put back what it did not want, so that nobody is told of room
//!   that is gone again.

use core::sync::atomic::Ordering;

use super::allocb::{allocb, freeb, freemsg};
use super::flow::qbackenable;
use super::message::{Mblk, m};
use super::putq::{getq_noenab, putbq};
use super::queue::Queue;
use super::stdata::Stdata;
use super::streams;
use super::strsig::strsignal;
use super::strwrite::send;
use crate::cell::Cell;
use crate::sync::{cv_wait, mutex_enter, mutex_exit};
use umpire_shared::errno;
use umpire_shared::sys::stropts::{MORECTL, MOREDATA, MSG_BAND, MSG_HIPRI, readopt, sd};

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
