//! `solo`: passes on what it gets, and notices when another thread is inside its perimeter at the same time.
//!
//! # Invariants
//! - `sq_solo` counts threads in its put procedures; at a perimeter that puts do not share a thread that finds another there counts an
//!   overlap in `solo_overlaps`. It is the module that says so: whoever looks from outside sees a thread here and there, not both at once.

use core::sync::atomic::Ordering;

use super::{close, info, open};
use crate::platform;
use crate::streams::message::Mblk;
use crate::streams::putnext::putnext;
use crate::streams::queue::{Fmodsw, ModuleInfo, Qinit, Queue, Streamtab};
use crate::streams::streams;
use umpire_shared::sys::conf::{D_MP, D_MTQPAIR};

fn put(qp: &'static Queue, mp: &'static Mblk) {
    watched(qp, || putnext(qp, mp));
}

/// Does something in a put procedure, and notices who else is in one of the same perimeter.
pub(super) fn watched(qp: &'static Queue, act: impl FnOnce()) {
    let sqp = qp.syncq();
    // Relaxed: read-modify-writes of one word, and if two are inside one of them sees the other.
    let others = sqp.sq_solo.fetch_add(1, Ordering::Relaxed);
    streams().solo_entries.fetch_add(1, Ordering::Relaxed);
    if others != 0 && !sqp.shares_put() {
        streams().solo_overlaps.fetch_add(1, Ordering::Relaxed);
    }
    platform::interleave();
    act();
    sqp.sq_solo.fetch_sub(1, Ordering::Relaxed);
}

static INFO: ModuleInfo = info(6, "solo");
static SIDE: Qinit =
    Qinit { qi_putp: put, qi_srvp: None, qi_qopen: Some(open), qi_qclose: Some(close), qi_minfo: &INFO };
static TAB: Streamtab =
    Streamtab { st_rdinit: &SIDE, st_wrinit: &SIDE, st_muxrinit: None, st_muxwinit: None };

/// The module.
pub(super) static MODULE: Fmodsw = Fmodsw { f_name: "solo", f_str: &TAB, f_flag: D_MP | D_MTQPAIR };
