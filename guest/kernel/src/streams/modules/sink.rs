//! `sink`: a driver that takes what it gets and counts it; its first private word is the number of messages.
//!
//! # Invariants
//! - It is never full.

use super::{close, info, open};
use crate::cell::{Cell, Counter};
use crate::streams::allocb::freemsg;
use crate::streams::counts;
use crate::streams::message::{Mblk, m};
use crate::streams::putnext::{putnext, qreply};
use crate::streams::queue::{Fmodsw, ModuleInfo, Qinit, Queue, Streamtab};
use umpire_shared::sys::conf::{D_MP, D_MTQPAIR};
use umpire_shared::sys::stream::flush;

fn wput(qp: &'static Queue, mp: &'static Mblk) {
    match mp.db_type() {
        m::FLUSH if mp.byte(0).unwrap_or(0) & flush::R != 0 => {
            mp.data()[0].set(flush::R);
            qreply(qp, mp);
        }
        m::IOCTL => {
            mp.set_type(m::IOCNAK);
            qreply(qp, mp);
        }
        m::DATA | m::PROTO => {
            // Its perimeter lets one put in at a time.
            qp.private(0).bump();
            counts::delivered(qp.stream());
            freemsg(mp);
        }
        _ => freemsg(mp),
    }
}

static INFO: ModuleInfo = info(11, "sink");
static RD: Qinit =
    Qinit { qi_putp: putnext, qi_srvp: None, qi_qopen: Some(open), qi_qclose: Some(close), qi_minfo: &INFO };
static WR: Qinit = Qinit { qi_putp: wput, qi_srvp: None, qi_qopen: None, qi_qclose: None, qi_minfo: &INFO };
static TAB: Streamtab = Streamtab { st_rdinit: &RD, st_wrinit: &WR, st_muxrinit: None, st_muxwinit: None };

/// The driver.
pub(super) static DRIVER: Fmodsw = Fmodsw { f_name: "sink", f_str: &TAB, f_flag: D_MP | D_MTQPAIR };
