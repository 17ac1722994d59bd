//! The stream head's procedures (`streamio.c`): what arrives there, and who is woken.
//!
//! # Invariants
//! - `sd_lock` guards `sd_flag` and the errors. Who sleeps for something to read, or for room, sets RSLEEP or WSLEEP and sleeps on its
//!   queue's `q_wait` with this lock; who wakes clears the flag.
//! - A writer looks once more under `sd_lock` before it sleeps, and the service procedure that wakes it needs that lock:
//!
//! ```text
//!   writer: strwrite                       strwsrv
//!   canputnext? -> no, QWANTW set
//!                                          sd_lock: WSLEEP? -> no: nobody to wake
//!   sd_lock: canputnext? -> yes: writes
//! ```
//! - One message of type `M_PCPROTO` at most is queued here: STRPRI says whether.
//! - An `M_FLUSH` turns round here once (`MSGNOLOOP`).

use super::allocb::{allocb, freemsg};
use super::counts;
use super::flow::{bcanputnext, canputnext};
use super::flush::{flushband, flushq};
use super::message::{Mblk, m, msg};
use super::putnext::{putnext, qreply};
use super::putq::putq;
use super::queue::{Fmodsw, ModuleInfo, Qinit, Queue, Streamtab, q, qb};
use super::stdata::Stdata;
use super::strsig::{strsendsig, strsignal};
use crate::cell::Cell;
use crate::sync::{cv_broadcast, mutex_enter, mutex_exit};
use umpire_shared::errno;
use umpire_shared::sys::conf::D_MP;
use umpire_shared::sys::stream::{FLUSHDATA, INFPSZ, NOERROR, STRHIGH, STRLOW, flush};
use umpire_shared::sys::stropts::{sd, sig};

const fn info(mi_idname: &'static str, mi_hiwat: usize, mi_lowat: usize) -> ModuleInfo {
    ModuleInfo { mi_idnum: 0, mi_idname, mi_minpsz: 0, mi_maxpsz: INFPSZ, mi_hiwat, mi_lowat }
}

const fn read_side(qi_minfo: &'static ModuleInfo) -> Qinit {
    Qinit { qi_putp: strrput, qi_srvp: None, qi_qopen: None, qi_qclose: None, qi_minfo }
}

const fn write_side(qi_minfo: &'static ModuleInfo) -> Qinit {
    Qinit { qi_putp: strwput, qi_srvp: Some(strwsrv), qi_qopen: None, qi_qclose: None, qi_minfo }
}

static STRRHEAD: Qinit = read_side(&info("strrhead", STRHIGH, STRLOW));
static STRWHEAD: Qinit = write_side(&info("strwhead", STRHIGH, STRLOW));
static FIFOSTRRHEAD: Qinit = read_side(&info("fifostrrhead", 16_384, 0));
static FIFOSTRWHEAD: Qinit = write_side(&info("fifostrwhead", 16_384, 0));
static STRTAB: Streamtab =
    Streamtab { st_rdinit: &STRRHEAD, st_wrinit: &STRWHEAD, st_muxrinit: None, st_muxwinit: None };
static FIFOTAB: Streamtab =
    Streamtab { st_rdinit: &FIFOSTRRHEAD, st_wrinit: &FIFOSTRWHEAD, st_muxrinit: None, st_muxwinit: None };

/// The head of a stream with a driver.
pub static STRHEAD: Fmodsw = Fmodsw { f_name: "strhead", f_str: &STRTAB, f_flag: D_MP };
/// The head of a pipe's end, or of a FIFO.
pub static FIFOHEAD: Fmodsw = Fmodsw { f_name: "fifohead", f_str: &FIFOTAB, f_flag: D_MP };

static DEADREND: Qinit = Qinit {
    qi_putp: deadput,
    qi_srvp: None,
    qi_qopen: None,
    qi_qclose: None,
    qi_minfo: &info("deadrend", 0, 0),
};
static DEADWEND: Qinit = Qinit {
    qi_putp: deadput,
    qi_srvp: None,
    qi_qopen: None,
    qi_qclose: None,
    qi_minfo: &info("deadwend", 0, 0),
};

/// Makes a pair of queues the dead end of a pipe: what comes is freed.
pub(super) fn make_dead(rq: &'static Queue) {
    for (qp, init) in [(rq, &DEADREND), (rq.wr(), &DEADWEND)] {
        mutex_enter(&qp.q_lock);
        super::plumb::setq_finit(qp, init);
        mutex_exit(&qp.q_lock);
    }
}

fn deadput(_: &'static Queue, mp: &'static Mblk) {
    freemsg(mp);
}

/// Nothing is put to a head's write side but what turns round there.
fn strwput(qp: &'static Queue, mp: &'static Mblk) {
    putnext(qp, mp);
}

/// What comes up to the head (`strrput`).
fn strrput(qp: &'static Queue, mp: &'static Mblk) {
    let stp = qp.stream();
    let db_type = mp.db_type();
    match db_type {
        m::DATA | m::PROTO | m::PCPROTO | m::PASSFP => {
            mutex_enter(&stp.sd_lock);
            let flags = stp.sd_flag.get();
            // The flag word as a whole, as in Solaris: a stream that is at its end and anything else still takes data.
            let is_refused =
                db_type == m::DATA && flags == sd::STREOF || db_type == m::PCPROTO && flags & sd::STRPRI != 0;
            if is_refused {
                mutex_exit(&stp.sd_lock);
                counts::freed(Some(stp), mp);
                freemsg(mp);
                return;
            }
            if flags & sd::STPLEX != 0 {
                counts::strayed(stp);
            }
            if db_type == m::PCPROTO {
                stp.raise(sd::STRPRI);
            }
            putq(qp, mp);
            // Of what is not the first the thread has been told.
            if stp.sd_sigflags.get() != 0 && qp.q_first.is(mp) {
                strsendsig(stp, input_of(db_type, mp.b_band.get()));
            }
            wake_readers(stp, qp);
            mutex_exit(&stp.sd_lock);
        }
        _ => strrput_nondata(stp, qp, mp, db_type),
    }
}

/// The events that a message is.
fn input_of(db_type: u8, band: u8) -> u32 {
    match (db_type, band) {
        (m::PCPROTO, _) => sig::HIPRI,
        (_, 0) => sig::INPUT | sig::RDNORM,
        _ => sig::INPUT | sig::RDBAND | sig::BANDURG,
    }
}

/// Wakes who sleeps for something to read; `sd_lock` is held.
fn wake_readers(stp: &'static Stdata, qp: &'static Queue) {
    if stp.sd_flag.get() & sd::RSLEEP != 0 {
        stp.lower(sd::RSLEEP);
        cv_broadcast(&qp.q_wait);
    }
    cv_broadcast(&stp.sd_pollcv);
}

/// Wakes everybody who sleeps at the head; `sd_lock` is held.
pub(super) fn wake_all(stp: &'static Stdata) {
    stp.lower(sd::RSLEEP | sd::WSLEEP);
    let wq = stp.wrq();
    cv_broadcast(&wq.rd().q_wait);
    cv_broadcast(&wq.q_wait);
    cv_broadcast(&stp.sd_monitor);
    cv_broadcast(&stp.sd_pollcv);
    cv_broadcast(&stp.sd_siglist.sl_cv);
}

fn strrput_nondata(stp: &'static Stdata, qp: &'static Queue, mp: &'static Mblk, db_type: u8) {
    match db_type {
        m::ERROR => error(stp, qp, mp),
        m::HANGUP => {
            mutex_enter(&stp.sd_lock);
            stp.sd_werror.set(errno::ENXIO);
            stp.raise(sd::STRHUP);
            strsendsig(stp, sig::HANGUP);
            wake_all(stp);
            mutex_exit(&stp.sd_lock);
            freemsg(mp);
        }
        m::UNHANGUP => {
            mutex_enter(&stp.sd_lock);
            stp.sd_rerror.set(0);
            stp.sd_werror.set(0);
            stp.lower(sd::STRHUP | sd::STRDERR | sd::STWRERR);
            mutex_exit(&stp.sd_lock);
            freemsg(mp);
        }
        m::FLUSH => flushed(stp, qp, mp),
        m::IOCACK | m::IOCNAK | m::COPYIN | m::COPYOUT => {
            mutex_enter(&stp.sd_lock);
            let id = mp.u64_at(super::strioctl::IOC_ID).unwrap_or(0);
            let is_awaited = stp.has(sd::IOCWAIT | sd::IOCWAITNE)
                && stp.sd_iocblk.is_null()
                && id == u64::from(stp.sd_iocid.get());
            if is_awaited {
                stp.sd_iocblk.set(Some(mp));
                cv_broadcast(&stp.sd_monitor);
            }
            mutex_exit(&stp.sd_lock);
            if !is_awaited {
                freemsg(mp);
            }
        }
        // In its place among the data, if there is any.
        m::SIG if !qp.q_first.is_null() => _ = putq(qp, mp),
        m::SIG | m::PCSIG => {
            mutex_enter(&stp.sd_lock);
            strsignal(stp, mp.byte(0).unwrap_or(0));
            mutex_exit(&stp.sd_lock);
            freemsg(mp);
        }
        m::IOCTL => {
            mp.set_type(m::IOCNAK);
            qreply(qp, mp);
        }
        _ => freemsg(mp),
    }
}

/// `M_ERROR`: one byte for both sides, or one for readers and one for writers.
fn error(stp: &'static Stdata, qp: &'static Queue, mp: &'static Mblk) {
    let first = mp.byte(0).unwrap_or(0);
    let (rerr, werr) = match mp.byte(1) {
        Some(second) => (first, second),
        None if first == 0 => (NOERROR, NOERROR),
        None => (first, first),
    };
    let mut sides = 0;
    mutex_enter(&stp.sd_lock);
    for (err, errno, bit, side) in
        [(rerr, &stp.sd_rerror, sd::STRDERR, flush::R), (werr, &stp.sd_werror, sd::STWRERR, flush::W)]
    {
        match err {
            NOERROR => {}
            0 => {
                errno.set(0);
                stp.lower(bit);
            }
            _ => {
                if stp.sd_flag.get() & bit == 0 {
                    sides |= side;
                }
                errno.set(u32::from(err));
                stp.raise(bit);
            }
        }
    }
    if stp.sd_flag.get() & (sd::STRDERR | sd::STWRERR) != 0 {
        strsendsig(stp, sig::ERROR);
        wake_all(stp);
    }
    mutex_exit(&stp.sd_lock);
    freemsg(mp);
    // The first error of a side throws away what is under way there.
    if let Some(down) = (sides != 0).then(|| allocb(1)).flatten() {
        down.set_type(m::FLUSH);
        down.append(&[sides]);
        qreply(qp, down);
    }
}

fn flushed(stp: &'static Stdata, qp: &'static Queue, mp: &'static Mblk) {
    let told = mp.byte(0).unwrap_or(0);
    let band = mp.byte(1).filter(|_| told & flush::BAND != 0);
    if told & flush::R != 0 {
        flush_head(stp, qp, band);
    }
    if told & flush::W != 0 && mp.b_flag.get() & msg::NOLOOP == 0 {
        mp.data()[0].set(told & !flush::R);
        mp.b_flag.set(mp.b_flag.get() | msg::NOLOOP);
        qreply(qp, mp);
    } else {
        freemsg(mp);
    }
}

/// Throws away what is queued at the head.
pub(super) fn flush_head(stp: &'static Stdata, qp: &'static Queue, band: Option<u8>) {
    mutex_enter(&stp.sd_lock);
    match band {
        Some(band) => flushband(qp, band, FLUSHDATA),
        None => {
            flushq(qp, FLUSHDATA);
            stp.lower(sd::STRPRI);
        }
    }
    mutex_exit(&stp.sd_lock);
}

/// The head's write service: there is room again (`strwsrv`).
fn strwsrv(qp: &'static Queue) {
    let stp = qp.stream();
    mutex_enter(&stp.sd_lock);
    if stp.sd_flag.get() & sd::WSLEEP != 0 {
        stp.lower(sd::WSLEEP);
        cv_broadcast(&qp.q_wait);
    }
    // A look that finds it full again sets QWANTW again, so that this is not the last time.
    let mut has_room = qp.has(q::QBACK) && canputnext(qp);
    if has_room {
        strsendsig(stp, sig::OUTPUT);
    }
    for band in 1..=qp.q_nband.get() {
        let is_back = qp.band(band).is_some_and(|qbp| qbp.qb_flag.get() & qb::BACK != 0);
        if is_back && bcanputnext(qp, band) {
            has_room = true;
            strsendsig(stp, sig::WRBAND);
        }
    }
    if has_room {
        cv_broadcast(&stp.sd_pollcv);
    }
    mutex_exit(&stp.sd_lock);
}
