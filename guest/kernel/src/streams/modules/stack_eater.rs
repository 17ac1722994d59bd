//! `stack_eater`: passes on what it gets, from a frame of some KiB: what the check of `put_stack_needed` is there for.
//!
//! # Invariants
//! - The frame is really used, so that the compiler does not leave it out.

use core::hint::black_box;

use super::{close, info, open};
use crate::streams::message::Mblk;
use crate::streams::putnext::putnext;
use crate::streams::queue::{Fmodsw, ModuleInfo, Qinit, Queue, Streamtab};
use umpire_shared::sys::conf::{D_MP, D_MTQPAIR};

/// Bytes that a put procedure takes of the stack.
pub const APPETITE: usize = 1536;

#[inline(never)]
fn put(qp: &'static Queue, mp: &'static Mblk) {
    let mut frame = [0_u8; APPETITE];
    black_box(&mut frame);
    putnext(qp, mp);
    black_box(&frame);
}

static INFO: ModuleInfo = info(2, "stack_eater");
static SIDE: Qinit =
    Qinit { qi_putp: put, qi_srvp: None, qi_qopen: Some(open), qi_qclose: Some(close), qi_minfo: &INFO };
static TAB: Streamtab =
    Streamtab { st_rdinit: &SIDE, st_wrinit: &SIDE, st_muxrinit: None, st_muxwinit: None };

/// The module.
pub(super) static MODULE: Fmodsw = Fmodsw { f_name: "stack_eater", f_str: &TAB, f_flag: D_MP | D_MTQPAIR };
