//! `mux`: a multiplexor, as `ip` is one: streams above it, streams linked below it, and what comes down is sent out by its address.
//!
//! The address of a message is the first word of its data, as a packet's is in its header: of `n` lower streams it takes number address
//! modulo `n`. What comes up goes to the stream that has linked it; below a persistent link, to the stream above that was opened first.
//!
//! # Invariants
//! - The table of what is linked changes while nobody else is inside any perimeter of the module (`qwriter` with PERIM_OUTER; opens and
//!   closes are exclusive there). So every procedure may follow it.
//! - Messages of one address go one way, in their order: while something is queued what comes goes behind it.
//! - What comes without anybody to take it is lost, and counted.

use super::solo::watched;
use super::{info, lose, refuse};
use crate::cell::Cell;
use crate::lock::SharedPtr;
use crate::streams::allocb::{freeb, freemsg};
use crate::streams::events::{Perim, qwriter};
use crate::streams::flow::bcanputnext;
use crate::streams::flush::{flush_and_turn, flush_as_told};
use crate::streams::message::{Mblk, QPCTL, m, msg};
use crate::streams::mlink::Linkblk;
use crate::streams::perdm::{SHARED, shared};
use crate::streams::plumb::{qprocsoff, qprocson};
use crate::streams::putnext::{putnext, qreply};
use crate::streams::putq::{getq, putbq, putq};
use crate::streams::queue::{Fmodsw, ModuleInfo, Qinit, Queue, Streamtab, Writer};
use crate::streams::service::qenable;
use crate::streams::strioctl::{Iocblk, Words};
use umpire_shared::errno;
use umpire_shared::sys::conf::{D_MP, D_MTOCEXCL, D_MTOUTPERIM, D_MTQPAIR};
use umpire_shared::sys::stream::flush;
use umpire_shared::sys::stropts::ioc;

/// Streams that are linked below, or open above, at most.
const MOST: usize = SHARED / 3;

type Place = SharedPtr<Queue>;

/// The table: write queues of lower streams; for each the read queue of the stream that has linked it, null if it is persistent; and
/// read queues of the streams above.
fn table() -> (&'static [Place], &'static [Place], &'static [Place]) {
    let all = shared(&TAB);
    (&all[..MOST], &all[MOST..2 * MOST], &all[2 * MOST..])
}

/// The lower write queues that a stream above sends to.
fn lowers(rq: &'static Queue) -> impl Iterator<Item = &'static Queue> + Clone {
    let (below, above, _) = table();
    let is_of = move |top: &Place| top.is_null() || top.is(rq);
    below.iter().zip(above).filter(move |(_, top)| is_of(top)).filter_map(|(low, _)| low.get())
}

/// The read queue above to which a lower stream sends, by its write queue.
fn upper(low: &'static Queue) -> Option<&'static Queue> {
    let (below, above, open) = table();
    let n = below.iter().position(|place| place.is(low))?;
    above[n].get().or_else(|| open.iter().find_map(SharedPtr::get))
}

fn uopen(rq: &'static Queue, _dev: u32, _flag: u32, _sflag: u32) -> u32 {
    let Some(free) = table().2.iter().find(|place| place.is_null()) else { return errno::ENOSR };
    free.set(Some(rq));
    qprocson(rq);
    0
}

fn uclose(rq: &'static Queue) {
    qprocsoff(rq);
    for place in table().2.iter().filter(|place| place.is(rq)) {
        place.set(None);
    }
}

/// I_LINK and its like, alone in the module.
static CHANGE: Writer = Writer(change);

fn change(qp: &'static Queue, mp: &'static Mblk) {
    let Some((ioc, link)) = Iocblk::get(mp).zip(Linkblk::get(mp)) else {
        return refuse(qp, mp, errno::EINVAL);
    };
    let (below, above, _) = table();
    let is_new = matches!(ioc.cmd as u32, ioc::LINK | ioc::PLINK);
    let place = if is_new {
        below.iter().position(SharedPtr::is_null)
    } else {
        below.iter().position(|place| place.is(link.l_qbot))
    };
    let Some(n) = place else {
        return refuse(qp, mp, if is_new { errno::EAGAIN } else { errno::EINVAL });
    };
    below[n].set(is_new.then_some(link.l_qbot));
    above[n].set(link.l_qtop.filter(|_| is_new).map(Queue::rd));
    if let Some(data) = mp.b_cont.get() {
        mp.b_cont.set(None);
        freeb(data);
    }
    mp.set_type(m::IOCACK);
    Iocblk { count: 0, error: 0, rval: u64::from(link.l_index), ..ioc }.put(mp);
    // Somebody may have waited for a way.
    qenable(qp);
    qreply(qp, mp);
}

fn uwput(qp: &'static Queue, mp: &'static Mblk) {
    watched(qp, || match mp.db_type() {
        m::FLUSH => flush_and_turn(qp, mp),
        m::IOCTL => match Iocblk::get(mp).map(|ioc| ioc.cmd as u32) {
            Some(ioc::LINK | ioc::UNLINK | ioc::PLINK | ioc::PUNLINK) => {
                qwriter(qp, mp, &CHANGE, Perim::Outer)
            }
            _ => refuse(qp, mp, errno::EINVAL),
        },
        m::IOCDATA | m::READ => freemsg(mp),
        _ => {
            if let Err(mp) = send(qp, mp, qp.q_first.is_null())
                && !putq(qp, mp)
            {
                lose(qp, mp);
            }
        }
    });
}

/// Sends a message out below, if it may; what is of high priority may always. Gives it back if there is no room.
fn send(qp: &'static Queue, mp: &'static Mblk, may: bool) -> Result<(), &'static Mblk> {
    let address = mp.blocks().find(|bp| bp.db_type() == m::DATA).unwrap_or(mp).u64_at(0).unwrap_or(0);
    let ways = lowers(qp.rd());
    let n = ways.clone().count() as u64;
    let Some(low) = address.checked_rem(n).and_then(|n| ways.clone().nth(n as usize)) else {
        lose(qp, mp);
        return Ok(());
    };
    if mp.queclass() != QPCTL && !(may && bcanputnext(low, mp.b_band.get())) {
        return Err(mp);
    }
    putnext(low, mp);
    Ok(())
}

fn uwsrv(qp: &'static Queue) {
    while let Some(mp) = getq(qp) {
        if let Err(mp) = send(qp, mp, true) {
            putbq(qp, mp);
            return;
        }
    }
}

/// There is room above again: lower streams go on.
fn ursrv(qp: &'static Queue) {
    lowers(qp).for_each(|low| qenable(low.rd()));
}

fn lrput(qp: &'static Queue, mp: &'static Mblk) {
    watched(qp, || match mp.db_type() {
        // As a stream head: it turns round here once.
        m::FLUSH => {
            flush_as_told(qp, mp);
            let told = mp.byte(0).unwrap_or(0);
            if told & flush::W == 0 || mp.b_flag.get() & msg::NOLOOP != 0 {
                return freemsg(mp);
            }
            mp.data()[0].set(told & !flush::R);
            mp.b_flag.set(mp.b_flag.get() | msg::NOLOOP);
            qreply(qp, mp);
        }
        m::IOCTL => {
            mp.set_type(m::IOCNAK);
            qreply(qp, mp);
        }
        m::IOCACK | m::IOCNAK | m::COPYIN | m::COPYOUT | m::ERROR | m::HANGUP | m::UNHANGUP | m::READ => {
            freemsg(mp)
        }
        _ => {
            if let Err(mp) = deliver(qp, mp, qp.q_first.is_null())
                && !putq(qp, mp)
            {
                lose(qp, mp);
            }
        }
    });
}

/// Sends a message up, if it may, as [`send`].
fn deliver(qp: &'static Queue, mp: &'static Mblk, may: bool) -> Result<(), &'static Mblk> {
    let Some(top) = upper(qp.wr()) else {
        lose(qp, mp);
        return Ok(());
    };
    if mp.queclass() != QPCTL && !(may && bcanputnext(top, mp.b_band.get())) {
        return Err(mp);
    }
    putnext(top, mp);
    Ok(())
}

fn lrsrv(qp: &'static Queue) {
    while let Some(mp) = getq(qp) {
        if let Err(mp) = deliver(qp, mp, true) {
            putbq(qp, mp);
            return;
        }
    }
}

/// There is room below again: streams above go on.
fn lwsrv(qp: &'static Queue) {
    let (below, above, open) = table();
    let top = below.iter().position(|place| place.is(qp)).and_then(|n| above[n].get());
    match top {
        Some(rq) => qenable(rq.wr()),
        None => open.iter().filter_map(SharedPtr::get).for_each(|rq| qenable(rq.wr())),
    }
}

static INFO: ModuleInfo = info(12, "mux");
static RD: Qinit = Qinit {
    qi_putp: putnext,
    qi_srvp: Some(ursrv),
    qi_qopen: Some(uopen),
    qi_qclose: Some(uclose),
    qi_minfo: &INFO,
};
static WR: Qinit =
    Qinit { qi_putp: uwput, qi_srvp: Some(uwsrv), qi_qopen: None, qi_qclose: None, qi_minfo: &INFO };
static MUXRD: Qinit =
    Qinit { qi_putp: lrput, qi_srvp: Some(lrsrv), qi_qopen: None, qi_qclose: None, qi_minfo: &INFO };
static MUXWR: Qinit =
    Qinit { qi_putp: putnext, qi_srvp: Some(lwsrv), qi_qopen: None, qi_qclose: None, qi_minfo: &INFO };
static TAB: Streamtab =
    Streamtab { st_rdinit: &RD, st_wrinit: &WR, st_muxrinit: Some(&MUXRD), st_muxwinit: Some(&MUXWR) };

/// The driver.
pub(super) static DRIVER: Fmodsw =
    Fmodsw { f_name: "mux", f_str: &TAB, f_flag: D_MP | D_MTQPAIR | D_MTOUTPERIM | D_MTOCEXCL };
