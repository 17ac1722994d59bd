//! `tl`: a transport that leads from one stream of this driver to another, without connections (`ticlts`).
//!
//! A stream binds an address (`T_BIND_REQ`); data that one sends to an address (`T_UNITDATA_REQ`) come up in the stream that has it
//! (`T_UNITDATA_IND`), with the address of who sent them.
//!
//! # Invariants
//! - All instances share one perimeter, which guards the list of those that are open. An address is bound by one at most.
//! - Of one stream's data none overtakes another: while something is queued what comes goes behind it.
//! - Data for an address that nobody has are lost, and counted.

use super::{info, lose, refuse};
use crate::cell::Cell;
use crate::lock::SharedPtr;
use crate::streams::allocb::freemsg;
use crate::streams::flow::bcanputnext;
use crate::streams::flush::flush_and_turn;
use crate::streams::message::{Mblk, m};
use crate::streams::perdm::shared;
use crate::streams::plumb::{qprocsoff, qprocson};
use crate::streams::putnext::{putnext, qreply};
use crate::streams::putq::{getq, putbq, putq};
use crate::streams::queue::{Fmodsw, ModuleInfo, Qinit, Queue, Streamtab};
use crate::streams::service::qenable;
use crate::streams::tpi::{self, prim, terror};
use umpire_shared::errno;
use umpire_shared::sys::conf::{D_MP, D_MTPERMOD};

/// The read queues of the streams that are open.
fn endpoints() -> impl Iterator<Item = &'static Queue> {
    shared(&TAB).iter().filter_map(SharedPtr::get)
}

/// The word of an instance that has its address; 0 while it is not bound.
fn address(rq: &'static Queue) -> u64 {
    rq.private(0).get()
}

fn tl_open(rq: &'static Queue, _dev: u32, _flag: u32, _sflag: u32) -> u32 {
    let Some(free) = shared(&TAB).iter().find(|place| place.is_null()) else { return errno::ENOSR };
    free.set(Some(rq));
    qprocson(rq);
    0
}

fn tl_close(rq: &'static Queue) {
    qprocsoff(rq);
    shared(&TAB).iter().filter(|place| place.is(rq)).for_each(|place| place.set(None));
    // Who waits for room in it waits for nothing.
    endpoints().for_each(|other| qenable(other.wr()));
}

fn tl_wput(qp: &'static Queue, mp: &'static Mblk) {
    match mp.db_type() {
        m::FLUSH => flush_and_turn(qp, mp),
        m::IOCTL => refuse(qp, mp, errno::EINVAL),
        m::PROTO | m::PCPROTO if tpi::primitive(mp) != Some(prim::UNITDATA_REQ) => control(qp, mp),
        m::PROTO => {
            if !qp.q_first.is_null() || !transmit(qp, mp) {
                queue(qp, mp);
            }
        }
        m::DATA => lose(qp, mp),
        _ => freemsg(mp),
    }
}

fn queue(qp: &'static Queue, mp: &'static Mblk) {
    if !putq(qp, mp) {
        lose(qp, mp);
    }
}

/// What is no data: binds, unbinds, or is refused.
fn control(qp: &'static Queue, mp: &'static Mblk) {
    let rq = qp.rd();
    let asked = tpi::primitive(mp);
    let answer = match asked {
        Some(prim::BIND_REQ) => match tpi::bound_address(mp) {
            Some(wanted) if wanted != 0 && endpoints().all(|other| address(other) != wanted) => {
                rq.private(0).set(wanted);
                tpi::bind_ack(wanted)
            }
            Some(0) | None => tpi::error_ack(prim::BIND_REQ, terror::NOADDR),
            Some(_) => tpi::error_ack(prim::BIND_REQ, terror::ADDRBUSY),
        },
        Some(prim::UNBIND_REQ) => {
            rq.private(0).set(0);
            tpi::ok_ack(prim::UNBIND_REQ)
        }
        other => tpi::error_ack(other.unwrap_or(0), terror::NOTSUPPORT),
    };
    freemsg(mp);
    if let Some(answer) = answer {
        qreply(qp, answer);
    }
}

/// Sends data to their address, if there is room; true if that is settled.
fn transmit(qp: &'static Queue, mp: &'static Mblk) -> bool {
    let to = tpi::unitdata_address(mp).filter(|to| *to != 0);
    let Some(rq) = to.and_then(|to| endpoints().find(|other| address(other) == to)) else {
        lose(qp, mp);
        return true;
    };
    if !bcanputnext(rq, mp.b_band.get()) {
        return false;
    }
    tpi::make_ind(mp, address(qp.rd()));
    putnext(rq, mp);
    true
}

fn tl_wsrv(qp: &'static Queue) {
    while let Some(mp) = getq(qp) {
        if !transmit(qp, mp) {
            putbq(qp, mp);
            return;
        }
    }
}

/// There is room above this endpoint again: who has something for it goes on.
fn tl_rsrv(_: &'static Queue) {
    endpoints().map(Queue::wr).filter(|wq| !wq.q_first.is_null()).for_each(qenable);
}

static INFO: ModuleInfo = info(1018, "tl");
static RD: Qinit = Qinit {
    qi_putp: putnext,
    qi_srvp: Some(tl_rsrv),
    qi_qopen: Some(tl_open),
    qi_qclose: Some(tl_close),
    qi_minfo: &INFO,
};
static WR: Qinit =
    Qinit { qi_putp: tl_wput, qi_srvp: Some(tl_wsrv), qi_qopen: None, qi_qclose: None, qi_minfo: &INFO };
static TAB: Streamtab = Streamtab { st_rdinit: &RD, st_wrinit: &WR, st_muxrinit: None, st_muxwinit: None };

/// The driver.
pub(super) static DRIVER: Fmodsw = Fmodsw { f_name: "tl", f_str: &TAB, f_flag: D_MP | D_MTPERMOD };
