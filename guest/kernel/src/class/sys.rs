//! SYS: system threads (`sysclass.c`). Priorities 60 to 99, fixed; no quantum.
//!
//! # Invariants
//! - A preempted SYS thread goes to the *head* of its level, so an equal never gets before it.
//! - Nothing but inheritance ever changes its priority.

use super::{ClassOps, Parms, always, change_priority, no_focus, nothing};
use crate::disp::{MAXCLSYSPRI, MINCLSYSPRI, setbackdq, setfrontdq};
use crate::sys::Kthread;
use umpire_shared::errno;

/// The class's functions.
pub static OPS: ClassOps = ClassOps {
    cl_name: "SYS",
    cl_maxglobpri: MAXCLSYSPRI,
    // No thread is moved here, and no thread's priority is changed here: only a thread's creation decides.
    cl_parmsin: refuse,
    cl_enterclass: enterclass,
    cl_exitclass: nothing,
    cl_canexit: always,
    cl_parmsset: refuse,
    cl_exit: nothing,
    cl_trapret: nothing,
    cl_preempt: setfrontdq,
    cl_setrun: setbackdq,
    cl_sleep: nothing,
    cl_stop: nothing,
    cl_tick: nothing,
    cl_wakeup: setbackdq,
    cl_donice: donice,
    cl_set_process_group: no_focus,
    // disp.c leaves CL_YIELD of SYS empty; a thread in transition must land somewhere, and to go behind its equals is a yield.
    cl_yield: setbackdq,
};

fn enterclass(t: &'static Kthread, parms: &Parms) {
    change_priority(t, parms.pri.unwrap_or(MINCLSYSPRI), false);
}

fn refuse(_: &'static Kthread, _: &Parms) -> u32 {
    errno::EINVAL
}

fn donice(_: &'static Kthread, _: i32) -> u32 {
    errno::EINVAL
}
