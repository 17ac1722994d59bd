//! Scheduling classes: one file a class, the same functions in the same order.
//!
//! A class decides what happens to a thread's priority and quantum; the dispatcher never asks which class a thread has,
//! except for SDC in `cpu_surrender`.
//!
//! | file | what |
//! |---|---|
//! | `sys.rs`, `ts.rs`, `ia.rs`, `fx.rs`, `fss.rs`, `rt.rs`, `sdc.rs` | the classes |
//! | `ts_table.rs`, `fx_table.rs`, `rt_table.rs` | their built-in tables |
//! | `fss_proj.rs` | projects: shares, usage, which are runnable |
//! | `sdc_pset.rs` | the breaks that SDC owes its processor set |
//! | `schedctl.rs` | "do not preempt me for a moment" |
//! | `tables.rs` | tables that the scenario brings |
//! | `priocntl.rs` | changes while the system runs |
//!
//! # Invariants
//! - `preempt`, `setrun`, `wakeup` and `yield` are called with the thread locked and in transition, and leave it on a run queue;
//!   `preempt` may leave it on the wait queue of its project's CPU cap instead.
//! - Every other function is called with the thread locked; `enterclass` also for a thread that no other
//!   code knows yet, in state `FREE`.
//! - `tick` is called by `clock()`.
//! - The place of a class in `CLASSES` is its `t_cid`: [`umpire_shared::program::class`].

use alloc::boxed::Box;
use core::sync::atomic::{AtomicI16, AtomicI32, AtomicU8, AtomicU16};

use crate::cell::Cell;
use crate::cpucaps::CapsSc;
use crate::disp::{MAXCLSYSPRI, cpu_surrender, must_surrender, note_onproc_pri, thread_change_pri};
use crate::probe;
use crate::sys::Kthread;
use crate::sys::class::ops;
use crate::sys::thread::{schedflag, ts as state};
use umpire_shared::event::{Kind, set_to};
use umpire_shared::program;
use umpire_shared::program::{Program, class};

#[cfg(feature = "example_class")]
pub mod bg;
pub mod fss;
pub mod fss_proj;
pub mod fx;
pub mod fx_table;
pub mod ia;
mod priocntl;
pub mod rt;
pub mod rt_table;
pub mod schedctl;
pub mod sdc;
mod sdc_pset;
pub mod sys;
mod tables;
pub mod ts;
pub mod ts_table;

pub use crate::sys::class::{ClassOps, Parms};
pub use priocntl::{donice, priocntl, set_focus, set_shares};
pub use tables::{ClassTable, class_tables};

/// What the classes keep beside their threads.
#[repr(C)]
#[derive(Debug)]
pub struct ClassState {
    /// Threads of class TS, for `ts_update`.
    pub ts: ts::TsQueue,
    /// Dispatcher tables of the scenario, by class.
    pub class_tables: Box<[ClassTable]>,
    /// Projects, zones and partitions of class FSS.
    pub fss: fss_proj::Fss,
    /// A project's account in each partition; the default partition's come first, in the order of the projects.
    pub projects: Box<[fss_proj::FssProj]>,
    /// Lists and breaks of class SDC.
    pub sdc: sdc::Sdc,
}

impl ClassState {
    /// The program's tables, projects and processor sets.
    pub fn new(program: &Program<'_>) -> ClassState {
        let (fss, projects) = fss_proj::Fss::new(program);
        ClassState {
            ts: Default::default(),
            class_tables: tables::class_tables(program),
            fss,
            projects,
            sdc: sdc::Sdc::new(program.psets().len()),
        }
    }
}

/// Every class by its number.
pub static CLASSES: &[&ClassOps] = &[
    &sys::OPS,
    &ts::OPS,
    &ia::OPS,
    &fx::OPS,
    &fss::OPS,
    &rt::OPS,
    &sdc::OPS,
    #[cfg(feature = "example_class")]
    &bg::OPS,
];

/// A thread's class state. One struct for all classes: a class uses the fields with its prefix.
#[repr(C)]
#[derive(Debug, Default)]
pub struct ClassData {
    /// `ts_timeleft`: ticks left of the quantum; goes on below zero for a thread that never leaves the kernel.
    pub ts_timeleft: AtomicI32,
    /// `ts_cpupri`: row of the table.
    pub ts_cpupri: AtomicI16,
    /// `ts_umdpri`: row that is really used, with the user's offset.
    pub ts_umdpri: AtomicI16,
    /// `ts_upri`: the user's offset, -60 to 60.
    pub ts_upri: AtomicI16,
    /// `ts_boost`: IA's offset, 10 for a thread that has the focus and -10 for one that has not; 0 for TS.
    pub ts_boost: AtomicI16,
    /// `ts_scpri`: `t_pri` before it was raised because preemption is unwelcome.
    pub ts_scpri: AtomicI16,
    /// `ts_nice`: 0 to 39, for display.
    pub ts_nice: AtomicU8,
    /// `ts_dispwait`: `ts_update`s since the last change of priority.
    pub ts_dispwait: AtomicI32,
    /// `ts_flags`.
    pub ts_flags: AtomicU16,
    /// What CPU caps have charged it.
    pub caps: CapsSc,
    /// Class FX.
    pub fx: fx::FxProc,
    /// Class FSS.
    pub fss: fss::FssProc,
    /// Class RT.
    pub rt: rt::RtProc,
    /// Class SDC.
    pub sdc: sdc::SdcProc,
}

/// The highest priority of the classes that are loaded; RT is loaded only if something uses it (`disp.c disp_setup`).
pub fn maxglobpri(is_rt_loaded: bool) -> i32 {
    let loaded = CLASSES.iter().enumerate().filter(|&(n, _)| is_rt_loaded || n != class::RT as usize);
    loaded.map(|(_, ops)| ops.cl_maxglobpri).fold(MAXCLSYSPRI, i32::max)
}

/// `CL_ENTERCLASS`.
pub fn cl_enterclass(t: &'static Kthread, cid: u8, parms: &Parms) {
    t.t_cid.set(cid);
    t.t_clfuncs.set(Some(CLASSES[usize::from(cid)]));
    (ops(t).cl_enterclass)(t, parms);
}

/// True if `t` runs and a better thread waits on its own CPU's queue: the look that `tick` takes.
fn is_outranked(t: &'static Kthread) -> bool {
    t.t_state.get() == state::ONPROC && t.t_pri.get() < t.disp_queue().disp_maxrunpri.get()
}

/// Tells that a locked thread is about to get this priority, and which of [`cause`](umpire_shared::event::cause) it has. It is told of
/// nobody who has it already.
#[inline]
fn tell_pri(t: &Kthread, pri: i16, cause: u8) {
    if t.t_pri.get() != pri {
        probe::fire(Kind::SetPri, t, set_to(pri.into(), cause));
    }
}

/// Applies a new global priority to a locked thread, wherever it is (`ts_change_priority` and its like). True: its
/// quantum begins anew. False: it is to go to the back of its level when it is next put on a queue.
fn change_priority(t: &'static Kthread, pri: i32, front: bool) -> bool {
    match t.t_state.get() {
        state::FREE => {
            t.t_pri.set(pri as i16);
            true
        }
        state::ONPROC => {
            t.t_pri.set(pri as i16);
            note_onproc_pri(t);
            let must = must_surrender(t);
            if must {
                cpu_surrender(t);
            }
            !must
        }
        _ => thread_change_pri(t, pri, front),
    }
}

/// Puts a thread that becomes runnable at the back of its level, or at the front if it ran in this very tick.
fn enqueue_awake(t: &'static Kthread) {
    if t.t_disp_time.get() != crate::platform::kernel().lbolt.get() {
        crate::disp::setbackdq(t);
    } else {
        crate::disp::setfrontdq(t);
    }
}

/// Balances `t` by queue length at every priority, or only below `RUNQ_MATCH_PRI`.
fn set_runqmatch(t: &Kthread, on: bool) {
    let bit = schedflag::RUNQMATCH;
    let flags = t.t_schedflag.get();
    t.t_schedflag.set(if on { flags | bit } else { flags & !bit });
}

/// True if nothing was said or it lies in the range.
fn is_in(value: Option<i32>, min: i32, max: i32) -> bool {
    value.is_none_or(|v| (min..=max).contains(&v))
}

/// True if nothing was said or it is a quantum.
fn is_quantum(value: Option<i32>) -> bool {
    value.is_none_or(|q| q > 0 || q == program::QUANTUM_DEFAULT || q == program::QUANTUM_INFINITE)
}

/// A thread's `nice` for a user's offset, 0 to 39 (`NZERO - NZERO * upri / maxupri`).
fn nice_of(upri: i32) -> u8 {
    (20 - upri * 20 / 60).clamp(0, 39) as u8
}

/// The user's offset that `nice` increased by `incr` amounts to: three a step.
fn upri_of(nice: u8, incr: i32) -> i32 {
    let nice = (i32::from(nice) + incr).clamp(0, 39);
    -((nice - 20) * 60) / 20
}

fn nothing(_: &'static Kthread) {}

/// For a class that every thread may leave.
fn always(_: &'static Kthread) -> u32 {
    0
}

/// For a class without the focus.
fn no_focus(_: &'static Kthread, _: bool) -> u32 {
    umpire_shared::errno::EINVAL
}
