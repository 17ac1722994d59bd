//! `ip`: a network that leads back to its sender: what comes down goes up again, or is lost if there is no room, as in a network.
//!
//! # Invariants
//! - It keeps nothing and has no perimeter. What it loses is counted.

use super::{close, info, lose, open};
use crate::cell::Cell;
use crate::streams::allocb::freemsg;
use crate::streams::flow::bcanputnext;
use crate::streams::message::{Mblk, QPCTL, m};
use crate::streams::putnext::{putnext, qreply};
use crate::streams::queue::{Fmodsw, ModuleInfo, Qinit, Queue, Streamtab};
use umpire_shared::sys::conf::D_MP;
use umpire_shared::sys::stream::flush;

fn ip_wput(qp: &'static Queue, mp: &'static Mblk) {
    match mp.db_type() {
        m::FLUSH if mp.byte(0).unwrap_or(0) & flush::R == 0 => freemsg(mp),
        m::FLUSH => {
            mp.data()[0].set(flush::R | mp.byte(0).unwrap_or(0) & flush::BAND);
            qreply(qp, mp);
        }
        m::IOCTL => {
            mp.set_type(m::IOCNAK);
            qreply(qp, mp);
        }
        m::IOCDATA | m::READ => freemsg(mp),
        _ if mp.queclass() == QPCTL || bcanputnext(qp.rd(), mp.b_band.get()) => qreply(qp, mp),
        _ => lose(qp, mp),
    }
}

static INFO: ModuleInfo = info(5701, "ip");
static RD: Qinit =
    Qinit { qi_putp: putnext, qi_srvp: None, qi_qopen: Some(open), qi_qclose: Some(close), qi_minfo: &INFO };
static WR: Qinit =
    Qinit { qi_putp: ip_wput, qi_srvp: None, qi_qopen: None, qi_qclose: None, qi_minfo: &INFO };
static TAB: Streamtab = Streamtab { st_rdinit: &RD, st_wrinit: &WR, st_muxrinit: None, st_muxwinit: None };

/// The driver.
pub(super) static DRIVER: Fmodsw = Fmodsw { f_name: "ip", f_str: &TAB, f_flag: D_MP };
