//! `loop`: a driver that sends back up what it gets, and acknowledges ioctls with the data that they bring.
//!
//! # Invariants
//! - While something is queued what comes goes behind it, so that order is kept.

use super::{close, info, open};
use crate::cell::Cell;
use crate::streams::allocb::freemsg;
use crate::streams::flow::{bcanputnext, canputnext};
use crate::streams::flush::flush_and_turn;
use crate::streams::message::{Mblk, QPCTL, m};
use crate::streams::putnext::{putnext, qreply};
use crate::streams::putq::{getq, putbq, putq};
use crate::streams::queue::{Fmodsw, ModuleInfo, Qinit, Queue, Streamtab};
use crate::streams::service::qenable;
use crate::streams::strioctl::{Copyreq, Iocblk, TRANSPARENT, Words};
use umpire_shared::sys::conf::{D_MP, D_MTQPAIR};

/// An ioctl of this driver, with any number: what a transparent one points to comes back inverted.
fn ioctl(qp: &'static Queue, mp: &'static Mblk) {
    let Some(ioc) = Iocblk::get(mp) else {
        mp.set_type(m::IOCNAK);
        return qreply(qp, mp);
    };
    if ioc.count != TRANSPARENT {
        mp.set_type(m::IOCACK);
        return qreply(qp, mp);
    }
    let addr = mp.b_cont.get().and_then(|word| word.u64_at(0)).unwrap_or(0);
    let rest = mp.b_cont.get();
    mp.b_cont.set(None);
    rest.into_iter().for_each(freemsg);
    qp.private(0).set(addr);
    mp.set_type(m::COPYIN);
    Copyreq { cmd: ioc.cmd, id: ioc.id, addr, size: 8 }.put(mp);
    qreply(qp, mp);
}

/// A copy of a transparent ioctl has been done: the bytes that came in go out inverted, and then it is over.
fn iocdata(qp: &'static Queue, mp: &'static Mblk) {
    let Some(response) = Copyreq::get(mp) else { return freemsg(mp) };
    let value = mp.b_cont.get().and_then(|data| data.u64_at(0));
    match value {
        _ if response.addr != 0 => {
            mp.set_type(m::IOCNAK);
            Iocblk { cmd: response.cmd, id: response.id, count: 0, error: 14, rval: 0 }.put(mp);
        }
        Some(value) => {
            if let Some(data) = mp.b_cont.get() {
                data.b_wptr.set(data.b_rptr.get());
                data.append_u64(!value);
            }
            mp.set_type(m::COPYOUT);
            Copyreq { addr: qp.private(0).get(), size: 8, ..response }.put(mp);
        }
        None => {
            mp.set_type(m::IOCACK);
            Iocblk { cmd: response.cmd, id: response.id, count: 0, error: 0, rval: 1 }.put(mp);
        }
    }
    qreply(qp, mp);
}

fn wput(qp: &'static Queue, mp: &'static Mblk) {
    match mp.db_type() {
        m::FLUSH => flush_and_turn(qp, mp),
        m::IOCTL => ioctl(qp, mp),
        m::IOCDATA => iocdata(qp, mp),
        m::READ => freemsg(mp),
        db_type if db_type & QPCTL != 0 => qreply(qp, mp),
        _ if qp.q_first.is_null() && canputnext(qp.rd()) => qreply(qp, mp),
        _ => _ = putq(qp, mp),
    }
}

fn wsrv(qp: &'static Queue) {
    while let Some(mp) = getq(qp) {
        if mp.queclass() != QPCTL && !bcanputnext(qp.rd(), mp.b_band.get()) {
            putbq(qp, mp);
            return;
        }
        qreply(qp, mp);
    }
}

/// There is room above again: the write side goes on.
fn rsrv(qp: &'static Queue) {
    qenable(qp.wr());
}

static INFO: ModuleInfo = info(10, "loop");
static RD: Qinit = Qinit {
    qi_putp: putnext,
    qi_srvp: Some(rsrv),
    qi_qopen: Some(open),
    qi_qclose: Some(close),
    qi_minfo: &INFO,
};
static WR: Qinit =
    Qinit { qi_putp: wput, qi_srvp: Some(wsrv), qi_qopen: None, qi_qclose: None, qi_minfo: &INFO };
static TAB: Streamtab = Streamtab { st_rdinit: &RD, st_wrinit: &WR, st_muxrinit: None, st_muxwinit: None };

/// The driver.
pub(super) static DRIVER: Fmodsw = Fmodsw { f_name: "loop", f_str: &TAB, f_flag: D_MP | D_MTQPAIR };
