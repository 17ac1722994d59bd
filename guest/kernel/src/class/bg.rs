//! BG: background. Threads that run when nobody else wants to, and take turns every tick.
//!
//! # Invariants
//! - Every thread is at 0, for ever: there is nothing to remember.
//!
//! The worked example of `docs/write-a-class.md`.

use super::{ClassOps, Parms, always, change_priority, no_focus, nothing, set_runqmatch};
use crate::disp::{cpu_surrender, setbackdq};
use crate::sys::Kthread;
use umpire_shared::errno;

/// The class's functions.
pub static OPS: ClassOps = ClassOps {
    cl_name: "BG",
    cl_maxglobpri: 0,
    cl_parmsin: anything,
    cl_enterclass: enterclass,
    cl_exitclass: nothing,
    cl_canexit: always,
    cl_parmsset: anything,
    cl_exit: nothing,
    cl_trapret: nothing,
    cl_preempt: setbackdq,
    cl_setrun: setbackdq,
    cl_sleep: nothing,
    cl_stop: nothing,
    cl_tick: cpu_surrender,
    cl_wakeup: setbackdq,
    cl_donice: donice,
    cl_set_process_group: no_focus,
    cl_yield: setbackdq,
};

/// There are no parameters, so none is wrong.
fn anything(_: &'static Kthread, _: &Parms) -> u32 {
    0
}

fn enterclass(t: &'static Kthread, _: &Parms) {
    set_runqmatch(t, false);
    change_priority(t, 0, false);
}

fn donice(_: &'static Kthread, _: i32) -> u32 {
    errno::EINVAL
}
