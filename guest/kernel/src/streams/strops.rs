//! Streams are opened and closed, modules pushed and popped; pipes and FIFOs (`streamio.c`, `fifovnops.c`).
//!
//! # Invariants
//! - Opens, closes, pushes and pops of one stream exclude each other (STWOPEN, STRCLOSE, STRPLUMB): links change by one thread at a time.
//! - A close waits for each queue on the way down to send what it has, `sd_closetime` at most.
//! - A pipe's end that has been closed is a dead one that frees what comes, until the other is closed as well.

use core::sync::atomic::AtomicU32;

use super::allocb::allocb;
use super::flush::{flushband, flushq};
use super::head::{FIFOHEAD, STRHEAD, flush_head, make_dead, wake_all};
use super::message::m;
use super::mlink::munlinkall;
use super::module::{qattach, qdetach, stralloc, strfree};
use super::modules::FMODSW;
use super::plumb::{connect, set_nfsrv};
use super::putnext::putnext;
use super::queue::{Fmodsw, Queue, q};
use super::stdata::Stdata;
use super::streams;
use super::strwrite::send;
use crate::cell::Cell;
use crate::lock::SharedPtr;
use crate::platform;
use crate::sync::{Mutex, cv_broadcast, cv_wait, mutex_enter, mutex_exit};
use crate::time::callout::cv_timedwait;
use umpire_shared::errno;
use umpire_shared::sys::stream::{FLUSHALL, FLUSHDATA, flush};
use umpire_shared::sys::stropts::sd;
use umpire_shared::sys::strsubr::NSTRPUSH;

/// Modules that a device's open may push (`MAXAPUSH`).
pub const MAXAPUSH: usize = 8;
/// Devices that are configured at most.
const MOST_DEVICES: usize = 8;
/// What is pushed when a device is opened (`sad`).
#[repr(C)]
#[derive(Debug, Default)]
pub struct Autopush {
    /// Guards the rest.
    pub ap_lock: Mutex,
    /// One entry a device.
    pub ap: [ApEntry; MOST_DEVICES],
}

/// The modules of one device (`autopush`).
#[repr(C)]
#[derive(Debug, Default)]
pub struct ApEntry {
    /// The driver.
    pub ap_driver: SharedPtr<Fmodsw>,
    /// The modules, the one above the driver first.
    pub ap_list: [SharedPtr<Fmodsw>; MAXAPUSH],
    /// How many.
    pub ap_npush: AtomicU32,
}

/// Has these modules pushed whenever this driver is opened (`SAD_SAP`).
///
/// # Errors
/// EINVAL for too many modules, ENOSR for too many devices.
pub fn autopush(driver: &'static Fmodsw, modules: &[&'static Fmodsw]) -> Result<(), u32> {
    if modules.len() > MAXAPUSH {
        return Err(errno::EINVAL);
    }
    let table = &streams().autopush;
    mutex_enter(&table.ap_lock);
    let of_driver = |e: &&'static ApEntry| e.ap_driver.is(driver);
    let entry = table.ap.iter().find(of_driver).or_else(|| table.ap.iter().find(|e| e.ap_driver.is_null()));
    if let Some(entry) = entry {
        entry.ap_driver.set(Some(driver));
        entry.ap_npush.set(modules.len() as u32);
        for (to, module) in entry.ap_list.iter().zip(modules) {
            to.set(Some(module));
        }
    }
    mutex_exit(&table.ap_lock);
    entry.map(|_| ()).ok_or(errno::ENOSR)
}

/// The module of this name (`fmodsw_find`).
pub fn find_module(name: &str) -> Option<&'static Fmodsw> {
    FMODSW.iter().copied().find(|fp| fp.f_name == name)
}

/// Opens a driver: a stream with its head, the driver, and the modules that are pushed with it (`stropen`).
///
/// # Errors
/// That of the open procedure; ENOSR without memory.
pub fn stropen(driver: &'static Fmodsw, dev: u32) -> Result<&'static Stdata, u32> {
    let stp = stralloc(&STRHEAD)?;
    stp.raise(sd::STWOPEN);
    if let Err(error) = qattach(stp, driver, dev, true) {
        strfree(stp, &STRHEAD);
        return Err(error);
    }
    set_qn_sizes(stp);
    let table = &streams().autopush;
    mutex_enter(&table.ap_lock);
    let entry = table.ap.iter().find(|e| e.ap_driver.is(driver));
    let n = entry.map_or(0, |e| e.ap_npush.get() as usize);
    mutex_exit(&table.ap_lock);
    let mut failed = None;
    for module in entry.into_iter().flat_map(|e| &e.ap_list[..n]).filter_map(SharedPtr::get) {
        if let Err(error) = qattach(stp, module, dev, false) {
            failed = Some(error);
            break;
        }
        set_qn_sizes(stp);
    }
    mutex_enter(&stp.sd_lock);
    stp.lower(sd::STWOPEN);
    cv_broadcast(&stp.sd_monitor);
    mutex_exit(&stp.sd_lock);
    match failed {
        Some(error) => {
            strclose(stp, driver);
            Err(error)
        }
        None => Ok(stp),
    }
}

/// Notes what packets the queue below the head takes.
fn set_qn_sizes(stp: &'static Stdata) {
    if let Some(below) = stp.wrq().q_next.get() {
        stp.sd_qn_minpsz.set(below.q_minpsz.get());
        stp.sd_qn_maxpsz.set(below.q_maxpsz.get());
    }
}

/// Keeps others from changing the stream's modules (`strstartplumb`).
///
/// # Errors
/// ENXIO if it is being closed; EINVAL below a multiplexor.
pub(super) fn strstartplumb(stp: &'static Stdata) -> Result<(), u32> {
    mutex_enter(&stp.sd_lock);
    let result = loop {
        if stp.has(sd::STRCLOSE) {
            break Err(errno::ENXIO);
        }
        if stp.has(sd::STPLEX) {
            break Err(errno::EINVAL);
        }
        if !stp.has(sd::STWOPEN | sd::STRPLUMB) {
            stp.raise(sd::STRPLUMB);
            break Ok(());
        }
        cv_wait(&stp.sd_monitor, &stp.sd_lock);
    };
    mutex_exit(&stp.sd_lock);
    result
}

/// [`strstartplumb`] by who takes a stream from below a multiplexor.
pub(super) fn plumb_anyway(stp: &'static Stdata) {
    mutex_enter(&stp.sd_lock);
    while stp.has(sd::STWOPEN | sd::STRPLUMB) {
        cv_wait(&stp.sd_monitor, &stp.sd_lock);
    }
    stp.raise(sd::STRPLUMB);
    mutex_exit(&stp.sd_lock);
}

/// Lets others change them again (`strendplumb`).
pub(super) fn strendplumb(stp: &'static Stdata) {
    mutex_enter(&stp.sd_lock);
    stp.lower(sd::STRPLUMB);
    cv_broadcast(&stp.sd_monitor);
    mutex_exit(&stp.sd_lock);
}

/// Pushes a module below the head (`I_PUSH`).
///
/// # Errors
/// ENXIO when hung up; EINVAL if there are as many as may be, or its perimeter is none; that of its open procedure.
pub fn strpush(stp: &'static Stdata, module: &'static Fmodsw) -> Result<(), u32> {
    if stp.has(sd::STRHUP) {
        return Err(errno::ENXIO);
    }
    strstartplumb(stp)?;
    let is_there = stp.pairs().any(|rq| rq.q_fp.is(module) && rq.has(q::_QSINGLE_INSTANCE));
    let result = if is_there {
        Ok(())
    } else if i64::from(stp.sd_pushcnt.get()) >= NSTRPUSH {
        Err(errno::EINVAL)
    } else {
        qattach(stp, module, 0, false).map(|_| set_qn_sizes(stp))
    };
    strendplumb(stp);
    result
}

/// Pops the module below the head (`I_POP`).
///
/// # Errors
/// EINVAL if there is none.
pub fn strpop(stp: &'static Stdata) -> Result<(), u32> {
    strstartplumb(stp)?;
    let top = stp.wrq().q_next.get().filter(|below| !below.is_read()).map(Queue::rd);
    let result = match top.and_then(|rq| Some((rq, rq.q_fp.get()?))) {
        Some((rq, module)) => {
            qdetach(rq, module);
            set_qn_sizes(stp);
            Ok(())
        }
        None => Err(errno::EINVAL),
    };
    strendplumb(stp);
    result
}

/// The name of the module below the head (`I_LOOK`).
///
/// # Errors
/// EINVAL if there is none.
pub fn strlook(stp: &'static Stdata) -> Result<&'static str, u32> {
    let below = stp.wrq().q_next.get().and_then(|below| below.q_fp.get());
    below.map(|fp| fp.f_name).ok_or(errno::EINVAL)
}

/// True if a module of this name is in the stream (`I_FIND`).
pub fn strfind(stp: &'static Stdata, name: &str) -> bool {
    super::stdata::claimstr(stp);
    let found = stp.pairs().any(|rq| rq.q_fp.get().is_some_and(|fp| fp.f_name == name));
    super::stdata::releasestr(stp);
    found
}

/// Throws away what is queued, sides of [`flush`]; in one band, if it is given (`I_FLUSH`, `I_FLUSHBAND`).
///
/// # Errors
/// ENOSR without memory; EINVAL below a multiplexor.
pub fn strflush(stp: &'static Stdata, sides: u8, band: Option<u8>) -> Result<(), u32> {
    if stp.has(sd::STPLEX) {
        return Err(errno::EINVAL);
    }
    let mp = allocb(2).ok_or(errno::ENOSR)?;
    mp.set_type(m::FLUSH);
    match band {
        Some(band) => mp.append(&[sides | flush::BAND, band]),
        None => mp.append(&[sides]),
    };
    send(stp, mp);
    Ok(())
}

/// Bytes of data in the first message, and how many messages there are (`I_NREAD`).
pub fn strnread(stp: &'static Stdata) -> (usize, usize) {
    let rq = stp.wrq().rd();
    mutex_enter(&stp.sd_lock);
    mutex_enter(&rq.q_lock);
    let found = (rq.q_first.get().map_or(0, super::msgops::msgdsize), rq.messages().count());
    mutex_exit(&rq.q_lock);
    mutex_exit(&stp.sd_lock);
    found
}

/// Sets for how many ns a close waits for each queue (`I_SETCLTIME`).
pub fn strsetcltime(stp: &'static Stdata, ns: u64) {
    stp.sd_closetime.set(ns);
}

/// Closes a stream: unlinks what is linked below it, waits for what is under way, pops every module, closes the driver, frees everything (`strclose`).
pub fn strclose(stp: &'static Stdata, driver: &'static Fmodsw) {
    begin_close(stp);
    munlinkall(stp);
    while let Some(below) = stp.wrq().q_next.get() {
        drain_to(stp, stp.wrq(), below);
        qdetach(below.rd(), below.q_fp.get().unwrap_or(driver));
    }
    flushq(stp.wrq().rd(), FLUSHALL);
    flushq(stp.wrq(), FLUSHALL);
    strfree(stp, &STRHEAD);
}

/// Tells who sleeps at the head that the stream is about to be closed: readers get nothing, writers `ENXIO`.
pub fn strhangup(stp: &'static Stdata) {
    begin_close(stp);
}

fn begin_close(stp: &'static Stdata) {
    mutex_enter(&stp.sd_lock);
    while stp.has(sd::STWOPEN | sd::STRPLUMB) {
        cv_wait(&stp.sd_monitor, &stp.sd_lock);
    }
    stp.raise(sd::STRHUP | sd::STRCLOSE);
    if stp.sd_werror.get() == 0 {
        stp.sd_werror.set(errno::ENXIO);
    }
    wake_all(stp);
    mutex_exit(&stp.sd_lock);
}

/// Waits until the queue below has sent what it has, `sd_closetime` at most.
fn drain_to(stp: &'static Stdata, wq: &'static Queue, below: &'static Queue) {
    let deadline = platform::now().saturating_add(stp.sd_closetime.get());
    mutex_enter(&stp.sd_lock);
    loop {
        mutex_enter(&below.q_lock);
        let is_empty = below.q_mblkcnt.get() == 0;
        if !is_empty {
            below.raise(q::QWANTW);
        }
        mutex_exit(&below.q_lock);
        if is_empty || platform::now() >= deadline {
            break;
        }
        stp.raise(sd::WSLEEP);
        _ = cv_timedwait(&wq.q_wait, &stp.sd_lock, deadline);
    }
    stp.lower(sd::WSLEEP);
    mutex_exit(&stp.sd_lock);
}

/// Two streams that are each other's other end (`fifo pipe`): what is written to one is read from the other.
///
/// # Errors
/// ENOSR without memory.
pub fn strpipe() -> Result<(&'static Stdata, &'static Stdata), u32> {
    let a = stralloc(&FIFOHEAD)?;
    let b = stralloc(&FIFOHEAD).inspect_err(|_| strfree(a, &FIFOHEAD))?;
    for (one, other) in [(a, b), (b, a)] {
        one.raise(sd::STRMATE);
        one.sd_mate.set(Some(other));
    }
    connect(a.wrq(), b.wrq().rd());
    connect(b.wrq(), a.wrq().rd());
    Ok((a, b))
}

/// A FIFO: what is written to it is read from it.
///
/// # Errors
/// ENOSR without memory.
pub fn strfifo() -> Result<&'static Stdata, u32> {
    let stp = stralloc(&FIFOHEAD)?;
    stp.raise(sd::STRMATE);
    connect(stp.wrq(), stp.wrq().rd());
    Ok(stp)
}

/// Closes a FIFO, or one end of a pipe: the other end is hung up, and becomes free when it is closed as well.
pub fn strclose_pipe(stp: &'static Stdata) {
    begin_close(stp);
    while let Some(rq) = stp.wrq().q_next.get().filter(|below| !below.is_read()).map(Queue::rd) {
        let Some(module) = rq.q_fp.get() else { break };
        qdetach(rq, module);
    }
    let rq = stp.wrq().rd();
    flush_head(stp, rq, None);
    flushband(rq, 0, FLUSHDATA);
    let Some(mate) = stp.sd_mate.get() else {
        disconnect(stp.wrq());
        strfree(stp, &FIFOHEAD);
        return;
    };
    mutex_enter(&streams().autopush.ap_lock);
    let is_last = mate.has(sd::STRCLOSE) && mate.sd_pushcnt.get() == u16::MAX;
    stp.sd_pushcnt.set(u16::MAX);
    mutex_exit(&streams().autopush.ap_lock);
    if !is_last {
        if let Some(mp) = allocb(0) {
            mp.set_type(m::HANGUP);
            putnext(stp.wrq(), mp);
        }
        make_dead(rq);
        return;
    }
    for end in [stp, mate] {
        disconnect(end.wrq());
        end.sd_mate.set(None);
    }
    for end in [stp, mate] {
        strfree(end, &FIFOHEAD);
    }
}

fn disconnect(wq: &'static Queue) {
    mutex_enter(&wq.stream().sd_lock);
    wq.q_next.set(None);
    set_nfsrv(wq);
    mutex_exit(&wq.stream().sd_lock);
}
