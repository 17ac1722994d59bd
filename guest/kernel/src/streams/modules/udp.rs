//! `udp`: a transport without connections: data that come up get a header, and a header that comes down is taken off.
//!
//! # Invariants
//! - It keeps nothing: flow control goes through it. Data that come up without memory for a header are lost, and counted.

use super::{close, info, lose, open};
use crate::cell::Cell;
use crate::streams::allocb::freeb;
use crate::streams::message::{Mblk, m};
use crate::streams::putnext::putnext;
use crate::streams::queue::{Fmodsw, ModuleInfo, Qinit, Queue, Streamtab};
use crate::streams::tpi::{T_UNITDATA_IND, T_UNITDATA_REQ, primitive, with_header};
use umpire_shared::sys::conf::{D_MP, D_MTQPAIR};

fn udp_rput(qp: &'static Queue, mp: &'static Mblk) {
    if mp.db_type() != m::DATA {
        return putnext(qp, mp);
    }
    match with_header(T_UNITDATA_IND, mp) {
        Some(ind) => putnext(qp, ind),
        None => lose(qp, mp),
    }
}

fn udp_wput(qp: &'static Queue, mp: &'static Mblk) {
    match mp.b_cont.get().filter(|_| primitive(mp) == Some(T_UNITDATA_REQ)) {
        Some(data) => {
            data.b_band.set(mp.b_band.get());
            mp.b_cont.set(None);
            freeb(mp);
            putnext(qp, data);
        }
        None => putnext(qp, mp),
    }
}

static INFO: ModuleInfo = info(5607, "udp");
static RD: Qinit =
    Qinit { qi_putp: udp_rput, qi_srvp: None, qi_qopen: Some(open), qi_qclose: Some(close), qi_minfo: &INFO };
static WR: Qinit =
    Qinit { qi_putp: udp_wput, qi_srvp: None, qi_qopen: None, qi_qclose: None, qi_minfo: &INFO };
static TAB: Streamtab = Streamtab { st_rdinit: &RD, st_wrinit: &WR, st_muxrinit: None, st_muxwinit: None };

/// The module.
pub(super) static MODULE: Fmodsw = Fmodsw { f_name: "udp", f_str: &TAB, f_flag: D_MP | D_MTQPAIR };
