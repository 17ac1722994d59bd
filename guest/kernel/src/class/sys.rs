//! SYS: system threads (`sysclass.c`). Priorities 60 to 99, fixed; no quantum.
//!
//! # Invariants
//! - A preempted SYS thread goes to the *head* of its level, so an equal never gets before it.
//! - Nothing ever changes its priority but inheritance.

use super::ClassOps;
use crate::cell::Cell;
use crate::disp::{setbackdq, setfrontdq};
use crate::thread::Kthread;

/// The class's functions.
pub static OPS: ClassOps = ClassOps {
    cl_name: "SYS",
    cl_enterclass: enterclass,
    cl_preempt: setfrontdq,
    cl_setrun: setbackdq,
    cl_sleep: nothing,
    cl_tick: nothing,
    cl_trapret: nothing,
    cl_wakeup: setbackdq,
    // disp.c leaves CL_YIELD of SYS empty; a thread that is in transition must land somewhere, and behind its equals is a yield.
    cl_yield: setbackdq,
};

fn enterclass(t: &'static Kthread, pri: i32) {
    t.t_pri.set(pri as i16);
}

fn nothing(_: &'static Kthread) {}
