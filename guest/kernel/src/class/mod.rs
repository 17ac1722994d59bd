//! Scheduling classes: one file a class, the same functions in the same order.
//!
//! A class decides what happens to a thread's priority and quantum; the dispatcher never asks which class it is.
//!
//! # Invariants
//! - `preempt`, `setrun`, `wakeup` and `yield` are called with the thread locked and in transition, and leave it on a run queue.
//! - `tick` is called by `clock()` with the thread locked.
//! - The place of a class in `CLASSES` is its `t_cid`: [`umpire_shared::program::class`].

use core::sync::atomic::{AtomicI16, AtomicI32, AtomicU16};

use crate::cell::Cell;
use crate::thread::Kthread;

pub mod sys;
pub mod ts;
pub mod ts_table;

/// What the dispatcher asks of a class (`sys/class.h`), in the order in which class files define it.
#[derive(Debug)]
pub struct ClassOps {
    /// Its name: `SYS`, `TS`.
    pub cl_name: &'static str,
    /// A thread joins at a priority.
    pub cl_enterclass: fn(&'static Kthread, i32),
    /// It is put back after it was preempted.
    pub cl_preempt: fn(&'static Kthread),
    /// It becomes runnable otherwise than by waking.
    pub cl_setrun: fn(&'static Kthread),
    /// It is about to sleep.
    pub cl_sleep: fn(&'static Kthread),
    /// It is charged a clock tick.
    pub cl_tick: fn(&'static Kthread),
    /// It is on its way to user mode and has `t_trapret` set.
    pub cl_trapret: fn(&'static Kthread),
    /// It wakes.
    pub cl_wakeup: fn(&'static Kthread),
    /// It yields.
    pub cl_yield: fn(&'static Kthread),
}

/// Every class by its number.
pub static CLASSES: [&ClassOps; 2] = [&sys::OPS, &ts::OPS];

/// A thread's class state. One struct for all classes: a class uses the fields with its prefix.
#[repr(C)]
#[derive(Debug)]
pub struct ClassData {
    /// `ts_timeleft`: ticks left of the quantum; goes on below zero for a thread that never leaves the kernel.
    pub ts_timeleft: AtomicI32,
    /// `ts_cpupri`: row of the table.
    pub ts_cpupri: AtomicI16,
    /// `ts_umdpri`: row that is really used, with the user's offset.
    pub ts_umdpri: AtomicI16,
    /// `ts_upri`: the user's offset, -60 to 60.
    pub ts_upri: AtomicI16,
    /// `ts_dispwait`: `ts_update`s since the last change of priority.
    pub ts_dispwait: AtomicI32,
    /// `ts_flags`.
    pub ts_flags: AtomicU16,
}

impl ClassData {
    /// The state of a thread in no class.
    pub const fn new() -> ClassData {
        ClassData {
            ts_timeleft: AtomicI32::new(0),
            ts_cpupri: AtomicI16::new(0),
            ts_umdpri: AtomicI16::new(0),
            ts_upri: AtomicI16::new(0),
            ts_dispwait: AtomicI32::new(0),
            ts_flags: AtomicU16::new(0),
        }
    }
}

impl Default for ClassData {
    fn default() -> Self {
        ClassData::new()
    }
}

#[inline(always)]
fn ops(t: &Kthread) -> &'static ClassOps {
    CLASSES[t.t_cid.get() as usize]
}

/// `CL_ENTERCLASS`.
pub fn cl_enterclass(t: &'static Kthread, cid: u8, pri: i32) {
    t.t_cid.set(cid);
    (ops(t).cl_enterclass)(t, pri);
}

/// `CL_PREEMPT`.
#[inline]
pub fn cl_preempt(t: &'static Kthread) {
    (ops(t).cl_preempt)(t);
}

/// `CL_SETRUN`.
#[inline]
pub fn cl_setrun(t: &'static Kthread) {
    (ops(t).cl_setrun)(t);
}

/// `CL_SLEEP`.
#[inline]
pub fn cl_sleep(t: &'static Kthread) {
    (ops(t).cl_sleep)(t);
}

/// `CL_TICK`.
#[inline]
pub fn cl_tick(t: &'static Kthread) {
    (ops(t).cl_tick)(t);
}

/// `CL_TRAPRET`.
#[inline]
pub fn cl_trapret(t: &'static Kthread) {
    (ops(t).cl_trapret)(t);
}

/// `CL_WAKEUP`.
#[inline]
pub fn cl_wakeup(t: &'static Kthread) {
    (ops(t).cl_wakeup)(t);
}

/// `CL_YIELD`.
#[inline]
pub fn cl_yield(t: &'static Kthread) {
    (ops(t).cl_yield)(t);
}

/// True if somebody better waits on the queue of `t`'s CPU or on the kp queue (`DISP_MUST_SURRENDER`).
pub fn must_surrender(t: &'static Kthread) -> bool {
    let pri = t.pri();
    let kpq = &crate::platform::kernel().k_cpupart.cp_kp_queue;
    i32::from(t.disp_queue().disp_maxrunpri.get()) > pri || i32::from(kpq.disp_maxrunpri.get()) > pri
}
