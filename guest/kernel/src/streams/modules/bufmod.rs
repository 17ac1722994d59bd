//! `bufmod`: queues what it gets on both sides, and passes on from its service procedures, as flow control allows.
//!
//! # Invariants
//! - High priority is passed on at once, `M_FLUSH` after it has been obeyed.

use super::{close, info, open, pass_on};
use crate::streams::flush::flush_as_told;
use crate::streams::message::{Mblk, QPCTL, m};
use crate::streams::putnext::putnext;
use crate::streams::putq::putq;
use crate::streams::queue::{Fmodsw, ModuleInfo, Qinit, Queue, Streamtab};
use umpire_shared::sys::conf::{D_MP, D_MTQPAIR};

/// Queues what is not urgent.
pub(super) fn put(qp: &'static Queue, mp: &'static Mblk) {
    if mp.db_type() == m::FLUSH {
        flush_as_told(qp, mp);
    }
    if mp.queclass() == QPCTL || !putq(qp, mp) {
        putnext(qp, mp);
    }
}

static INFO: ModuleInfo = info(3, "bufmod");
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
pub(super) static MODULE: Fmodsw = Fmodsw { f_name: "bufmod", f_str: &TAB, f_flag: D_MP | D_MTQPAIR };
