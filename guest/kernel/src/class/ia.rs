//! IA: interactive (`ts.c ia_init`): time sharing, with a boost for the threads of the window that has the focus.
//!
//! # Invariants
//! - A thread with the focus has `ts_boost` 10 and goes to the *front* of its level when it wakes; one that lost it has -10.
//! - Everything else is TS's, the 60-row table included unless the scenario brings one for IA.

use super::ts::flag;
use super::{ClassOps, Parms, always, nothing, ts};
use crate::cell::Cell;
use crate::cpucaps::cpucaps_charge;
use crate::disp::{MINCLSYSPRI, setbackdq, setfrontdq};
use crate::sys::Kthread;

/// The class's functions.
pub static OPS: ClassOps = ClassOps {
    cl_name: "IA",
    cl_maxglobpri: MINCLSYSPRI,
    cl_parmsin: ts::parmsin,
    cl_enterclass: enterclass,
    cl_exitclass: nothing,
    cl_canexit: always,
    cl_parmsset: ts::parmsset,
    cl_exit: cpucaps_charge,
    cl_trapret: ts::trapret,
    cl_preempt: ts::preempt,
    cl_setrun: setrun,
    cl_sleep: ts::sleep,
    cl_stop: nothing,
    cl_tick: ts::tick,
    cl_wakeup: setrun,
    cl_donice: ts::donice,
    cl_set_process_group: set_process_group,
    cl_yield: ts::yield_,
};

/// What the focus is worth (`IA_BOOST`), and what not having it costs.
pub const IA_BOOST: i16 = 10;

fn enterclass(t: &'static Kthread, parms: &Parms) {
    ts::enter(t, parms, flag::IASET, IA_BOOST);
}

fn setrun(t: &'static Kthread) {
    ts::ready(t);
    if t.t_cldata.ts_flags.get() & flag::IASET != 0 { setfrontdq(t) } else { setbackdq(t) }
}

fn set_process_group(t: &'static Kthread, has_focus: bool) -> u32 {
    let d = &t.t_cldata;
    if has_focus {
        ts::set(t, flag::IASET);
    } else {
        ts::clear(t, flag::IASET);
    }
    d.ts_boost.set(if has_focus { IA_BOOST } else { -IA_BOOST });
    ts::set_cpupri(t, d.ts_cpupri.get());
    d.ts_dispwait.set(0);
    ts::change_priority(t);
    0
}
