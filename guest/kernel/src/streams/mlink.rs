//! Streams are linked below a multiplexor, and unlinked (`streamio.c mlink`, `munlink`, `munlinkall`).
//!
//! The pair of queues of the lower stream's head becomes the multiplexor's: it gets the procedures of `st_muxrinit` and `st_muxwinit`,
//! and the perimeters that the driver of the upper stream declares. While that happens, messages wait at a module that only passes
//! on, right below the head, whose perimeter is closed:
//!
//! ```text
//!   who links                                CPU B: a message comes up in the lower stream
//!   puts in passthru, SQ_BLOCKED
//!                                            putnext: parked at passthru
//!   waits until nobody is at the head
//!   STPLEX; the pair is the multiplexor's
//!   M_IOCTL (I_LINK): the driver takes note
//!   opens and takes out passthru             what was parked goes to the multiplexor's put procedure
//! ```
//!
//! # Invariants
//! - A stream with STPLEX has no reader, no writer, and nobody who pushes or pops: they get EINVAL. From the moment at which it has that
//!   flag no message comes to the head's own put procedure.
//! - What was queued at the head, and nobody has read, is the multiplexor's. What the multiplexor had queued for below goes there when it
//!   is unlinked, and what it had queued from below is the head's again.
//! - `muxifier` guards the table. A link of the table is of two streams that are plumbed or open: an upper stream that closes takes its
//!   links with it, but for persistent ones, which then have none.
//! - Links lead to no circle: drivers are the nodes, so no multiplexor is linked below itself. A FIFO, which has no driver, is none.

use alloc::boxed::Box;
use core::sync::atomic::AtomicU32;

use super::enter::{Entry, entersq, leavesq};
use super::plumb::{
    allocq, disable_svc, enable_svc, freeq, perimeters, qprocsoff, release_perimeters, reset_nfsrv_behind,
    set_nfsrv, setq, setq_finit, wait_q_syncq,
};
use super::putnext::putnext;
use super::putq::getq_noenab;
use super::queue::{Fmodsw, ModuleInfo, Qinit, Queue, Streamtab, q};
use super::service::{qenable, remove_runlist};
use super::stdata::Stdata;
use super::strioctl::{Arg, Errors, ioctl};
use super::strlock::{lock_heads, unlock_heads};
use super::strops::{plumb_anyway, strendplumb, strstartplumb};
use super::syncq::{blocksq, devflg_to_qflag, sq, sqtype, unblocksq};
use super::{head, streams};
use crate::cell::Cell;
use crate::lock::SharedPtr;
use crate::platform;
use crate::sync::{Mutex, cv_wait, mutex_enter, mutex_exit};
use crate::time::callout::delay;
use umpire_shared::sys::conf::D_MP;
use umpire_shared::sys::stream::INFPSZ;
use umpire_shared::sys::stropts::{ioc, sd};
use umpire_shared::{errno, mutant};

/// Links of a system at one time.
const MOST_LINKS: usize = 32;
/// How many words of 8 bytes a `linkblk` has here.
const LINKBLK: usize = 3;

/// The links of a system.
#[repr(C)]
#[derive(Debug)]
pub struct Links {
    /// Guards the rest.
    pub muxifier: Mutex,
    /// One entry a link.
    pub li: Box<[Linkinfo]>,
    /// The id that was given last.
    li_last: AtomicU32,
}

impl Default for Links {
    fn default() -> Links {
        Links {
            muxifier: Mutex::new(),
            li: (0..MOST_LINKS).map(|_| Linkinfo::default()).collect(),
            li_last: AtomicU32::new(0),
        }
    }
}

/// A link (`linkinfo_t`); free while it has no lower stream.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Linkinfo {
    /// The stream that is linked.
    pub li_lower: SharedPtr<Stdata>,
    /// The stream that controls it; null for a persistent one whose stream has been closed.
    pub li_upper: SharedPtr<Stdata>,
    /// The multiplexor.
    pub li_driver: SharedPtr<Fmodsw>,
    /// The driver of the lower stream, by its read side; null for a FIFO.
    pub li_below: SharedPtr<Qinit>,
    /// The multiplexor id (`l_index`).
    pub li_index: AtomicU32,
    /// 1 if it outlives its stream (LINKPERSIST).
    pub li_persist: AtomicU32,
}

/// What a driver is told of a link (`linkblk`).
#[derive(Debug, Clone, Copy)]
pub struct Linkblk {
    /// The upper stream's queue at the driver, its write side; `None` for a persistent link.
    pub l_qtop: Option<&'static Queue>,
    /// The lower stream's, its write side.
    pub l_qbot: &'static Queue,
    /// The multiplexor id.
    pub l_index: u32,
}

impl Linkblk {
    fn bytes(self) -> [u8; 8 * LINKBLK] {
        let addr = |qp: &Queue| core::ptr::from_ref(qp).addr() as u64;
        let words = [self.l_qtop.map_or(0, addr), addr(self.l_qbot), u64::from(self.l_index)];
        core::array::from_fn(|n| words[n / 8].to_le_bytes()[n % 8])
    }

    /// What an `M_IOCTL` of I_LINK, I_UNLINK, I_PLINK or I_PUNLINK brings; `None` if it does not.
    pub fn get(mp: &super::message::Mblk) -> Option<Linkblk> {
        let data = mp.b_cont.get()?;
        let queue = |n: usize| super::queue::queue_at(data.u64_at(8 * n)? as usize);
        Some(Linkblk { l_qtop: queue(0), l_qbot: queue(1)?, l_index: data.u64_at(16)? as u32 })
    }
}

static PASSTHRU_INFO: ModuleInfo = ModuleInfo {
    mi_idnum: 0,
    mi_idname: "passthru",
    mi_minpsz: 0,
    mi_maxpsz: INFPSZ,
    mi_hiwat: 0,
    mi_lowat: 0,
};
static PASSTHRU_SIDE: Qinit =
    Qinit { qi_putp: putnext, qi_srvp: None, qi_qopen: None, qi_qclose: None, qi_minfo: &PASSTHRU_INFO };
static PASSTHRU_TAB: Streamtab =
    Streamtab { st_rdinit: &PASSTHRU_SIDE, st_wrinit: &PASSTHRU_SIDE, st_muxrinit: None, st_muxwinit: None };
/// What stands below the head while a stream is linked or unlinked.
static PASSTHRU: Fmodsw = Fmodsw { f_name: "passthru", f_str: &PASSTHRU_TAB, f_flag: D_MP };

/// Links a stream below the multiplexor that is the driver of another one (`I_LINK`, `I_PLINK`); returns the multiplexor id.
///
/// # Errors
/// EINVAL if the driver is no multiplexor, for a stream that is linked already, is hung up or being closed, and if links would lead in
/// a circle; ENXIO if the upper stream is hung up; EAGAIN without a free id; ENOSR without memory; what the driver says.
pub fn mlink(
    upper: &'static Stdata,
    lower: &'static Stdata,
    driver: &'static Fmodsw,
    persists: bool,
) -> Result<u32, u32> {
    let (Some(rinit), Some(winit)) = (driver.f_str.st_muxrinit, driver.f_str.st_muxwinit) else {
        return Err(errno::EINVAL);
    };
    if core::ptr::eq(upper, lower) {
        return Err(errno::EINVAL);
    }
    if upper.has(sd::STRHUP) {
        return Err(errno::ENXIO);
    }
    // Two that link at once take turns in one order.
    let place = |stp: &Stdata| platform::kernel().place_of(core::ptr::from_ref(stp).addr());
    let (first, second) = if place(upper) < place(lower) { (upper, lower) } else { (lower, upper) };
    strstartplumb(first).map_err(|_| errno::EINVAL)?;
    strstartplumb(second).map_err(|_| {
        strendplumb(first);
        errno::EINVAL
    })?;
    let result = if lower.has(sd::STRHUP) {
        Err(errno::EINVAL)
    } else {
        link(upper, lower, driver, (rinit, winit), persists)
    };
    strendplumb(second);
    strendplumb(first);
    result
}

fn link(
    upper: &'static Stdata,
    lower: &'static Stdata,
    driver: &'static Fmodsw,
    inits: (&'static Qinit, &'static Qinit),
    persists: bool,
) -> Result<u32, u32> {
    let li = reserve(upper, lower, driver, persists)?;
    let take = || {
        mutex_enter(&lower.sd_lock);
        lower.raise(sd::STPLEX);
        lower.lower(sd::STRPRI);
        head::wake_all(lower);
        mutex_exit(&lower.sd_lock);
    };
    if platform::kernel().is_mutant(mutant::LINK_LATE_GUARD) {
        take();
        // As if it were preempted here: the window is otherwise some instructions long.
        delay(2);
    }
    let Some(pass) = add_passthru(lower) else {
        forget(li);
        return Err(errno::ENOSR);
    };
    let changed = change_hands(lower, head_of(lower), driver, inits, take);
    let told = changed.and_then(|()| {
        let cmd = if persists { ioc::PLINK } else { ioc::LINK };
        tell(upper, cmd, lower, li, persists, Errors::Heed)
    });
    if let Err(error) = told {
        back_to_head(lower, driver);
        remove_passthru(pass);
        forget(li);
        return Err(error);
    }
    remove_passthru(pass);
    if !persists {
        mutex_enter(&upper.sd_lock);
        upper.raise(sd::STRHASLINKS);
        mutex_exit(&upper.sd_lock);
    }
    Ok(li.li_index.get())
}

/// Unlinks a stream (`I_UNLINK`; `I_PUNLINK` for a persistent link, from any stream of the driver).
///
/// # Errors
/// EINVAL if it is not linked so; what the driver says.
pub fn munlink(
    upper: &'static Stdata,
    lower: &'static Stdata,
    driver: &'static Fmodsw,
    persists: bool,
) -> Result<(), u32> {
    strstartplumb(upper)?;
    let result = unlink(upper, lower, driver, persists, Errors::Heed);
    strendplumb(upper);
    result
}

/// Takes the links of a stream that is being closed (`munlinkall`): persistent ones stay, and are nobody's.
pub(super) fn munlinkall(upper: &'static Stdata) {
    let links = &streams().links;
    for li in &links.li {
        mutex_enter(&links.muxifier);
        let mine = li.li_lower.get().filter(|_| li.li_upper.is(upper));
        let persists = li.li_persist.get() != 0;
        if mine.is_some() && persists {
            li.li_upper.set(None);
        }
        mutex_exit(&links.muxifier);
        if let (Some(lower), Some(driver)) = (mine.filter(|_| !persists), li.li_driver.get()) {
            // A driver that refuses is not asked twice: the stream goes in any case.
            _ = unlink(upper, lower, driver, false, Errors::Ignore);
        }
    }
}

fn unlink(
    upper: &'static Stdata,
    lower: &'static Stdata,
    driver: &'static Fmodsw,
    persists: bool,
    errors: Errors,
) -> Result<(), u32> {
    plumb_anyway(lower);
    let links = &streams().links;
    mutex_enter(&links.muxifier);
    let is_it = |li: &&Linkinfo| {
        let is_mine = if persists {
            li.li_driver.get().is_some_and(|of| is_same(of, driver))
        } else {
            li.li_upper.is(upper)
        };
        li.li_lower.is(lower) && is_mine && (li.li_persist.get() != 0) == persists
    };
    let found = links.li.iter().find(is_it);
    mutex_exit(&links.muxifier);
    let Some(li) = found else {
        strendplumb(lower);
        return Err(errno::EINVAL);
    };
    let pass = loop {
        // Who closes cannot be refused for want of memory.
        match add_passthru(lower) {
            Some(pass) => break pass,
            None => delay(1),
        }
    };
    let cmd = if persists { ioc::PUNLINK } else { ioc::UNLINK };
    let told = tell(upper, cmd, lower, li, persists, errors);
    let result = match (told, errors) {
        (Err(error), Errors::Heed) => Err(error),
        _ => {
            back_to_head(lower, driver);
            forget(li);
            Ok(())
        }
    };
    remove_passthru(pass);
    if result.is_ok() && !persists {
        mutex_enter(&links.muxifier);
        let has_more = links.li.iter().any(|li| li.li_upper.is(upper) && li.li_persist.get() == 0);
        mutex_exit(&links.muxifier);
        mutex_enter(&upper.sd_lock);
        if !has_more {
            upper.lower(sd::STRHASLINKS);
        }
        mutex_exit(&upper.sd_lock);
    }
    strendplumb(lower);
    result
}

fn is_same(one: &'static Fmodsw, other: &'static Fmodsw) -> bool {
    core::ptr::eq(one.f_str, other.f_str)
}

/// An entry for a link that is not yet there.
fn reserve(
    upper: &'static Stdata,
    lower: &'static Stdata,
    driver: &'static Fmodsw,
    persists: bool,
) -> Result<&'static Linkinfo, u32> {
    let links = &streams().links;
    mutex_enter(&links.muxifier);
    let below = lower.pairs().last().filter(|_| !lower.has(sd::STRMATE)).map(Queue::qinfo);
    let result = if below.is_some_and(|below| leads_to(below, driver.f_str.st_rdinit, MOST_LINKS)) {
        Err(errno::EINVAL)
    } else {
        links.li.iter().find(|li| li.li_lower.is_null()).ok_or(errno::EAGAIN)
    };
    if let Ok(li) = result {
        links.li_last.set(links.li_last.get() + 1);
        li.li_index.set(links.li_last.get());
        li.li_persist.set(u32::from(persists));
        li.li_driver.set(Some(driver));
        li.li_below.set(below);
        li.li_upper.set(Some(upper));
        li.li_lower.set(Some(lower));
    }
    mutex_exit(&links.muxifier);
    result
}

/// True if links lead from one driver down to another, or it is the same (`linkcycle`); `muxifier` is held.
fn leads_to(from: &'static Qinit, to: &'static Qinit, depth: usize) -> bool {
    let is_from =
        |li: &&Linkinfo| li.li_driver.get().is_some_and(|of| core::ptr::eq(of.f_str.st_rdinit, from));
    let mut below = streams().links.li.iter().filter(is_from).filter_map(|li| li.li_below.get());
    core::ptr::eq(from, to) || depth != 0 && below.any(|below| leads_to(below, to, depth - 1))
}

fn forget(li: &'static Linkinfo) {
    let links = &streams().links;
    mutex_enter(&links.muxifier);
    li.li_lower.set(None);
    li.li_upper.set(None);
    li.li_driver.set(None);
    li.li_below.set(None);
    mutex_exit(&links.muxifier);
}

/// Sends the driver word of a link, and waits for its answer.
fn tell(
    upper: &'static Stdata,
    cmd: u32,
    lower: &'static Stdata,
    li: &Linkinfo,
    persists: bool,
    errors: Errors,
) -> Result<(), u32> {
    let l_qtop = upper.pairs().last().map(Queue::wr).filter(|_| !persists);
    let mut data = Linkblk { l_qtop, l_qbot: lower.wrq(), l_index: li.li_index.get() }.bytes();
    let len = data.len();
    ioctl(upper, cmd, Arg::Str { data: &mut data, len }, u64::MAX, errors).map(|_| ())
}

/// Puts `passthru`, with its perimeter closed, below the head (`link_addpassthru`). `None` without memory.
fn add_passthru(stp: &'static Stdata) -> Option<&'static Queue> {
    let rq = allocq()?;
    for qp in [rq, rq.wr()] {
        qp.q_stream.set(Some(stp));
    }
    let is_set = setq(rq, &PASSTHRU, q::QMTSAFE | q::_QINSERTING, sqtype::CI | sqtype::CO);
    debug_assert!(is_set, "passthru shares no perimeter");
    blocksq(rq.syncq(), sq::BLOCKED, 0);
    super::plumb::qprocson(rq);
    Some(rq)
}

/// Opens its perimeter and takes it out (`link_rempassthru`).
fn remove_passthru(rq: &'static Queue) {
    let sqp = rq.syncq();
    unblocksq(sqp, sq::BLOCKED);
    entersq(sqp, Entry::OpenClose);
    qprocsoff(rq);
    leavesq(sqp, Entry::OpenClose);
    freeq(rq, &PASSTHRU);
}

/// Gives the pair of a head, for which messages are kept off, other procedures and perimeters. `now` is called when nobody is at the
/// head any more.
fn change_hands(
    stp: &'static Stdata,
    was: &'static Fmodsw,
    fp: &'static Fmodsw,
    (rinit, winit): (&'static Qinit, &'static Qinit),
    now: impl FnOnce(),
) -> Result<(), u32> {
    let (qflag, sq_type) = devflg_to_qflag(fp.f_flag).map_err(|_| errno::EINVAL)?;
    let rq = stp.wrq().rd();
    let wq = rq.wr();
    leave(rq);
    now();
    release_perimeters(rq, was);
    let own = &rq.pair().qu_syncq;
    own.begin(sq_type);
    let kinds = q::QMTSAFE | q::QPERQ | q::QPAIR | q::QPERMOD | q::QMTOUTPERIM | q::_QDIRECT | q::QSYNCSTR;
    for qp in [rq, wq] {
        mutex_enter(&qp.q_lock);
        qp.lower(kinds);
        mutex_exit(&qp.q_lock);
    }
    let is_set = perimeters(rq, fp, qflag, sq_type);
    lock_heads(stp);
    if is_set {
        setq_finit(rq, rinit);
        setq_finit(wq, winit);
    }
    for qp in [rq, wq] {
        set_nfsrv(qp);
        reset_nfsrv_behind(qp);
    }
    unlock_heads(stp);
    rq.pair().qu_private.iter().for_each(|word| word.set(0));
    enable_svc(rq);
    // What is queued, and who was told of room meanwhile, is looked after by the new procedures.
    qenable(rq);
    qenable(wq);
    if is_set { Ok(()) } else { Err(errno::ENOSR) }
}

/// Waits until no procedure of a head's pair runs, and lets none begin.
fn leave(rq: &'static Queue) {
    let wq = rq.wr();
    disable_svc(rq);
    for qp in [rq, wq] {
        remove_runlist(qp);
        wait_q_syncq(qp);
        mutex_enter(&qp.q_lock);
        while qp.has(q::QENAB | q::QINSERVICE) {
            cv_wait(&qp.q_wait, &qp.q_lock);
        }
        mutex_exit(&qp.q_lock);
    }
    let (mine, other) = (rq.syncq(), wq.syncq());
    blocksq(mine, sq::BLOCKED, 0);
    if !core::ptr::eq(mine, other) {
        blocksq(other, sq::BLOCKED, 0);
    }
    if rq.has(q::QPERMOD) {
        // Others share it, and this pair is at nobody's hands any more.
        unblocksq(mine, sq::BLOCKED);
    }
}

/// What a stream's head is by itself.
fn head_of(stp: &Stdata) -> &'static Fmodsw {
    if stp.has(sd::STRMATE) { &head::FIFOHEAD } else { &head::STRHEAD }
}

/// Makes the pair the head's again.
fn back_to_head(stp: &'static Stdata, driver: &'static Fmodsw) {
    let own = head_of(stp);
    let rq = stp.wrq().rd();
    let done = change_hands(stp, driver, own, (own.f_str.st_rdinit, own.f_str.st_wrinit), || {
        while let Some(mp) = getq_noenab(rq.wr(), 0) {
            putnext(rq.wr(), mp);
        }
        mutex_enter(&stp.sd_lock);
        stp.lower(sd::STPLEX);
        mutex_exit(&stp.sd_lock);
    });
    debug_assert!(done.is_ok(), "a head shares no perimeter");
}
