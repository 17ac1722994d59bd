//! `pass`: passes on what it gets, both ways.
//!
//! # Invariants
//! - It has no state, and a perimeter all the same, so that a stream of these is one of perimeters.

use super::{close, info, open};
use crate::streams::putnext::putnext;
use crate::streams::queue::{Fmodsw, ModuleInfo, Qinit, Streamtab};
use umpire_shared::sys::conf::{D_MP, D_MTQPAIR};

static INFO: ModuleInfo = info(1, "pass");
static SIDE: Qinit =
    Qinit { qi_putp: putnext, qi_srvp: None, qi_qopen: Some(open), qi_qclose: Some(close), qi_minfo: &INFO };
static TAB: Streamtab =
    Streamtab { st_rdinit: &SIDE, st_wrinit: &SIDE, st_muxrinit: None, st_muxwinit: None };

/// The module.
pub(super) static MODULE: Fmodsw = Fmodsw { f_name: "pass", f_str: &TAB, f_flag: D_MP | D_MTQPAIR };
