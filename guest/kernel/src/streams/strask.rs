//! What a program asks of a stream's head, and the head answers itself: the small ioctls (`streamio.c strioctl`).
//!
//! # Invariants
//! - None of them sends a message or sleeps.
//! - Below a multiplexor each gives EINVAL, as every ioctl there.

use super::flow::bcanputnext;
use super::message::{m, msg};
use super::stdata::Stdata;
use super::strread::Got;
use crate::cell::Cell;
use crate::sync::{mutex_enter, mutex_exit};
use umpire_shared::errno;
use umpire_shared::sys::stropts::{ANYMARK, LASTMARK, MSG_BAND, MSG_HIPRI, rdopt, readopt, sd};

/// Does something with the stream under `sd_lock`, unless it is linked.
fn locked<T>(stp: &'static Stdata, act: impl FnOnce() -> Result<T, u32>) -> Result<T, u32> {
    mutex_enter(&stp.sd_lock);
    let result = if stp.has(sd::STPLEX) { Err(errno::EINVAL) } else { act() };
    mutex_exit(&stp.sd_lock);
    result
}

/// How `strread` treats the ends of messages and control parts, bits of [`rdopt`] (`I_SRDOPT`).
///
/// # Errors
/// EINVAL for two that exclude each other.
pub fn strsrdopt(stp: &'static Stdata, opt: u32) -> Result<(), u32> {
    use rdopt::{MSGD, MSGN, PROTDAT, PROTDIS, PROTNORM};
    let mode = match opt & (MSGD | MSGN) {
        0 => 0,
        MSGD => readopt::MSGDIS,
        MSGN => readopt::MSGNODIS,
        _ => return Err(errno::EINVAL),
    };
    let prot = match opt & (PROTDAT | PROTDIS | PROTNORM) {
        // Without a word about control parts they are treated as before.
        0 => stp.sd_read_opt.get() & (readopt::PROTDAT | readopt::PROTDIS),
        PROTNORM => 0,
        PROTDAT => readopt::PROTDAT,
        PROTDIS => readopt::PROTDIS,
        _ => return Err(errno::EINVAL),
    };
    locked(stp, || {
        stp.sd_read_opt.set(mode | prot);
        Ok(())
    })
}

/// The same as it is now (`I_GRDOPT`).
///
/// # Errors
/// EINVAL below a multiplexor.
pub fn strgrdopt(stp: &'static Stdata) -> Result<u32, u32> {
    locked(stp, || {
        let is = stp.sd_read_opt.get();
        let mode = match is & (readopt::MSGDIS | readopt::MSGNODIS) {
            readopt::MSGDIS => rdopt::MSGD,
            readopt::MSGNODIS => rdopt::MSGN,
            _ => 0,
        };
        let prot = match is & (readopt::PROTDAT | readopt::PROTDIS) {
            readopt::PROTDAT => rdopt::PROTDAT,
            readopt::PROTDIS => rdopt::PROTDIS,
            _ => rdopt::PROTNORM,
        };
        Ok(mode | prot)
    })
}

/// Copies of the first message as much as there is room for, and leaves it where it is; with `MSG_HIPRI` only one of high priority
/// (`I_PEEK`). `None` if there is none.
///
/// # Errors
/// EINVAL for other flags.
pub fn strpeek(
    stp: &'static Stdata,
    ctl: &mut [u8],
    data: &mut [u8],
    flags: u32,
) -> Result<Option<Got>, u32> {
    if flags & !MSG_HIPRI != 0 {
        return Err(errno::EINVAL);
    }
    locked(stp, || {
        let rq = stp.wrq().rd();
        mutex_enter(&rq.q_lock);
        let is_wanted =
            |mp: &&super::message::Mblk| mp.db_type() != m::SIG && (flags == 0 || mp.db_type() == m::PCPROTO);
        let found = rq.q_first.get().filter(|mp| is_wanted(&&**mp)).map(|mp| {
            let is_urgent = mp.db_type() == m::PCPROTO;
            let flags = if is_urgent { MSG_HIPRI } else { MSG_BAND };
            let mut got = Got { ctl: None, data: None, flags, band: mp.b_band.get(), more: 0 };
            for bp in mp.blocks() {
                let (to, n) = match bp.db_type() {
                    m::DATA => (&mut *data, &mut got.data),
                    _ => (&mut *ctl, &mut got.ctl),
                };
                let had = n.unwrap_or(0);
                let part = bp.len().min(to.len() - had);
                for (to, from) in to[had..had + part].iter_mut().zip(bp.data()) {
                    *to = from.get();
                }
                *n = Some(had + part);
            }
            got
        });
        mutex_exit(&rq.q_lock);
        Ok(found)
    })
}

/// The names of all modules from the head down, and the driver's (`I_LIST`): calls `each` with them; returns how many there are.
///
/// # Errors
/// EINVAL below a multiplexor.
pub fn strlist(stp: &'static Stdata, mut each: impl FnMut(&str)) -> Result<usize, u32> {
    if stp.has(sd::STPLEX) {
        return Err(errno::EINVAL);
    }
    super::stdata::claimstr(stp);
    let mut n = 0;
    for rq in stp.pairs().skip(1) {
        each(rq.qinfo().qi_minfo.mi_idname);
        n += 1;
    }
    super::stdata::releasestr(stp);
    Ok(n)
}

/// True if a message of this band can be read (`I_CKBAND`).
///
/// # Errors
/// EINVAL below a multiplexor.
pub fn strckband(stp: &'static Stdata, band: u8) -> Result<bool, u32> {
    locked(stp, || {
        let rq = stp.wrq().rd();
        mutex_enter(&rq.q_lock);
        let found = rq.messages().any(|mp| mp.b_band.get() == band);
        mutex_exit(&rq.q_lock);
        Ok(found)
    })
}

/// The band of the first message (`I_GETBAND`).
///
/// # Errors
/// ENODATA if there is none.
pub fn strgetband(stp: &'static Stdata) -> Result<u8, u32> {
    locked(stp, || {
        let rq = stp.wrq().rd();
        mutex_enter(&rq.q_lock);
        let band = rq.q_first.get().map(|mp| mp.b_band.get());
        mutex_exit(&rq.q_lock);
        band.ok_or(errno::ENODATA)
    })
}

/// True if the first message is marked: by whoever (`ANYMARK`), or as the last of those marked (`LASTMARK`) (`I_ATMARK`).
///
/// # Errors
/// EINVAL for another word.
pub fn stratmark(stp: &'static Stdata, which: u32) -> Result<bool, u32> {
    if which & !(ANYMARK | LASTMARK) != 0 || which == 0 {
        return Err(errno::EINVAL);
    }
    let is_marked = |mp: &super::message::Mblk| mp.b_flag.get() & msg::MARK != 0;
    locked(stp, || {
        let rq = stp.wrq().rd();
        mutex_enter(&rq.q_lock);
        let first = rq.q_first.get().filter(|mp| is_marked(mp));
        let is_last = rq.messages().filter(|mp| is_marked(mp)).count() == 1;
        mutex_exit(&rq.q_lock);
        Ok(first.is_some() && (which & ANYMARK != 0 || is_last))
    })
}

/// True if a message of this band can be written (`I_CANPUT`). If not, who makes room tells who polls.
///
/// # Errors
/// EINVAL below a multiplexor.
pub fn strcanput(stp: &'static Stdata, band: u8) -> Result<bool, u32> {
    if stp.has(sd::STPLEX) { Err(errno::EINVAL) } else { Ok(bcanputnext(stp.wrq(), band)) }
}

/// For how many ns a close waits for each queue (`I_GETCLTIME`).
pub fn strgetcltime(stp: &'static Stdata) -> u64 {
    stp.sd_closetime.get()
}
