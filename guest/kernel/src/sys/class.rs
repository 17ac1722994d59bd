//! Class operations (`sys/class.h`): the vector that every class fills in, and the calls through a thread's `t_clfuncs`.
//!
//! # Invariants
//! - `t_clfuncs` is the vector of the class that `t_cid` names; both change together, with the thread locked or not known to any
//!   other code yet.
//! - `preempt`, `setrun`, `wakeup` and `yield` are called with the thread locked and in transition, and leave it on a run queue;
//!   `preempt` may leave it on the wait queue of its project's or zone's CPU cap instead. Every other one is called with it locked.

use super::Kthread;
use crate::cell::Cell;
use umpire_shared::program::{self, class};

/// What the kernel asks of a class (`sys/class.h`), in the order in which class files define it.
#[derive(Debug)]
pub struct ClassOps {
    /// Its name: `SYS`, `TS`.
    pub cl_name: &'static str,
    /// The highest global priority it gives: what its init function returns in Solaris.
    pub cl_maxglobpri: i32,
    /// Says whether a thread may join with these parameters: 0 or an errno. Changes nothing.
    pub cl_parmsin: fn(&'static Kthread, &Parms) -> u32,
    /// A thread joins; what the parameters leave open gets the class's default. In what follows "it" is the thread.
    pub cl_enterclass: fn(&'static Kthread, &Parms),
    /// It leaves for another class.
    pub cl_exitclass: fn(&'static Kthread),
    /// Says whether it may leave: 0 or an errno.
    pub cl_canexit: fn(&'static Kthread) -> u32,
    /// Its parameters change; what they leave open stays. Returns 0, or an errno if nothing has changed.
    pub cl_parmsset: fn(&'static Kthread, &Parms) -> u32,
    /// It ends.
    pub cl_exit: fn(&'static Kthread),
    /// It is on its way to user mode and has `t_trapret` set.
    pub cl_trapret: fn(&'static Kthread),
    /// It is put back on a queue after it was preempted.
    pub cl_preempt: fn(&'static Kthread),
    /// It becomes runnable otherwise than by waking.
    pub cl_setrun: fn(&'static Kthread),
    /// It is about to sleep.
    pub cl_sleep: fn(&'static Kthread),
    /// It is about to stop.
    pub cl_stop: fn(&'static Kthread),
    /// It is charged a clock tick.
    pub cl_tick: fn(&'static Kthread),
    /// It wakes.
    pub cl_wakeup: fn(&'static Kthread),
    /// It is made nicer by so much, -39 to 39. 0 or an errno.
    pub cl_donice: fn(&'static Kthread, i32) -> u32,
    /// It gains or loses the focus. 0 or an errno.
    pub cl_set_process_group: fn(&'static Kthread, bool) -> u32,
    /// It yields.
    pub cl_yield: fn(&'static Kthread),
}

/// What a caller wants of a class for one thread (`pcparms_t`). `None`: the caller leaves it open.
#[derive(Debug, Clone, Copy, Default)]
pub struct Parms {
    /// Priority as the class counts it; see [`program::Thread::pri`].
    pub pri: Option<i32>,
    /// User's offset, -60 to 60.
    pub upri: Option<i32>,
    /// Quantum in ticks, [`program::QUANTUM_DEFAULT`] or [`program::QUANTUM_INFINITE`].
    pub quantum: Option<i32>,
    /// Target duty cycle in per cent.
    pub duty_cycle: Option<i32>,
}

impl Parms {
    /// What a scenario's thread is to begin with.
    pub fn of(spec: &program::Thread) -> Parms {
        Parms {
            pri: Some(spec.pri),
            upri: Some(spec.upri),
            quantum: Some(spec.quantum),
            duty_cycle: Some(spec.duty_cycle as i32),
        }
    }
}

/// The operations of a thread's class.
#[inline(always)]
pub fn ops(t: &Kthread) -> &'static ClassOps {
    t.t_clfuncs.get().expect("invariant: a thread that runs has a class")
}

/// `CL_EXIT`.
pub fn cl_exit(t: &'static Kthread) {
    (ops(t).cl_exit)(t);
}

/// `CL_TRAPRET`.
#[inline]
pub fn cl_trapret(t: &'static Kthread) {
    (ops(t).cl_trapret)(t);
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

/// `CL_STOP`.
pub fn cl_stop(t: &'static Kthread) {
    (ops(t).cl_stop)(t);
}

/// `CL_TICK`.
#[inline]
pub fn cl_tick(t: &'static Kthread) {
    (ops(t).cl_tick)(t);
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

/// True for a thread of class SDC, the only one that gives way in the kernel to its equals (`cpu_surrender`).
#[inline(always)]
pub fn is_sysdc(t: &Kthread) -> bool {
    u32::from(t.t_cid.get()) == class::SDC
}
