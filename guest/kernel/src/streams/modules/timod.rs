//! `timod`: what an application of the transport interface has below its stream head; here it only keeps what the head has no room for.
//!
//! # Invariants
//! - While something is queued what comes goes behind it, so that order is kept.

use super::{close, open, pass_on};
use crate::cell::Cell;
use crate::streams::flow::bcanputnext;
use crate::streams::flush::flush_as_told;
use crate::streams::message::{Mblk, QPCTL, m};
use crate::streams::putnext::putnext;
use crate::streams::putq::putq;
use crate::streams::queue::{Fmodsw, ModuleInfo, Qinit, Queue, Streamtab};
use umpire_shared::sys::conf::{D_MP, D_MTQPAIR};
use umpire_shared::sys::stream::INFPSZ;

fn put(qp: &'static Queue, mp: &'static Mblk) {
    if mp.db_type() == m::FLUSH {
        flush_as_told(qp, mp);
    }
    let is_free = qp.q_first.is_null() && bcanputnext(qp, mp.b_band.get());
    if mp.queclass() == QPCTL || is_free || !putq(qp, mp) {
        putnext(qp, mp);
    }
}

static INFO: ModuleInfo = ModuleInfo {
    mi_idnum: 5006,
    mi_idname: "timod",
    mi_minpsz: 0,
    mi_maxpsz: INFPSZ,
    mi_hiwat: 512,
    mi_lowat: 128,
};
static SIDE: Qinit = Qinit {
    qi_putp: put,
    qi_srvp: Some(pass_on),
    qi_qopen: Some(open),
    qi_qclose: Some(close),
    qi_minfo: &INFO,
};
static TAB: Streamtab =
    Streamtab { st_rdinit: &SIDE, st_wrinit: &SIDE, st_muxrinit: None, st_muxwinit: None };

/// The module.
pub(super) static MODULE: Fmodsw = Fmodsw { f_name: "timod", f_str: &TAB, f_flag: D_MP | D_MTQPAIR };
