//! RT: real time (`rt.c`). Priorities 0 to 59 within the class, 100 to 159 for the dispatcher: above everything but interrupts.
//!
//! # Invariants
//! - A thread's priority never decays; `t_pri` is `rt_pri` + 100.
//! - The class is loaded only if something uses it; with it the interrupt threads lie at 160 to 169.
//!
//! # What is not here
//! The signal at the end of a quantum (`rt_tqsignal`).

use core::sync::atomic::{AtomicI16, AtomicI32, AtomicU16};

use super::rt_table::{ROWS, RT_DPTBL};
use super::{ClassOps, Parms, always, is_in, is_quantum, no_focus, nothing, set_runqmatch, tables};
use crate::cell::Cell;
use crate::disp::{cpu_surrender, must_surrender, setbackdq, setfrontdq};
use crate::platform;
use crate::sys::Kthread;
use crate::sys::thread::ts;
use umpire_shared::errno;
use umpire_shared::program::{QUANTUM_DEFAULT, QUANTUM_INFINITE};

/// The class's functions.
pub static OPS: ClassOps = ClassOps {
    cl_name: "RT",
    cl_maxglobpri: MAXGLOBPRI,
    cl_parmsin: parmsin,
    cl_enterclass: enterclass,
    cl_exitclass: nothing,
    cl_canexit: always,
    cl_parmsset: parmsset,
    cl_exit: nothing,
    cl_trapret: nothing,
    cl_preempt: preempt,
    cl_setrun: wakeup,
    cl_sleep: nothing,
    cl_stop: nothing,
    cl_tick: tick,
    cl_wakeup: wakeup,
    cl_donice: donice,
    cl_set_process_group: no_focus,
    cl_yield: yield_,
};

/// The dispatcher's priority for the class's 0 (`RTGPPRIO0`).
pub const RTGPPRIO0: i32 = 100;
/// The class's greatest priority (`rt_maxpri`).
const MAXPRI: i32 = ROWS as i32 - 1;
/// The same for the dispatcher.
const MAXGLOBPRI: i32 = RTGPPRIO0 + MAXPRI;

/// `RTBACKQ` of `rt_flags`: goes to the back of its level when preempted.
const BACKQ: u16 = 0x02;

/// `rtproc_t`.
#[repr(C)]
#[derive(Debug, Default)]
pub struct RtProc {
    /// Its priority, 0 to 59.
    pub rt_pri: AtomicI16,
    /// Its quantum in ticks, or `RT_TQINF`.
    pub rt_pquantum: AtomicI32,
    /// Ticks left of it.
    pub rt_timeleft: AtomicI32,
    /// `rt_flags`.
    pub rt_flags: AtomicU16,
}

/// There is no level for the class if it was not loaded at boot.
fn parmsin(_: &'static Kthread, parms: &Parms) -> u32 {
    let is_loaded = platform::kernel().maxglobpri() >= MAXGLOBPRI;
    let is_fine = is_loaded && is_in(parms.pri, 0, MAXPRI) && is_quantum(parms.quantum);
    if is_fine { 0 } else { errno::EINVAL }
}

fn enterclass(t: &'static Kthread, parms: &Parms) {
    let d = &t.t_cldata.rt;
    d.rt_flags.set(0);
    d.rt_pri.set(parms.pri.unwrap_or(0) as i16);
    set_quantum(t, parms.quantum.unwrap_or(QUANTUM_DEFAULT));
    d.rt_timeleft.set(d.rt_pquantum.get());
    set_runqmatch(t, false);
    change_priority(t);
}

/// A new priority brings its row's quantum unless a quantum is given too (`rt_parmsset`).
fn parmsset(t: &'static Kthread, parms: &Parms) -> u32 {
    let error = parmsin(t, parms);
    if error == 0 {
        if let Some(pri) = parms.pri {
            t.t_cldata.rt.rt_pri.set(pri as i16);
        }
        if let Some(quantum) = parms.quantum.or(parms.pri.map(|_| QUANTUM_DEFAULT)) {
            set_quantum(t, quantum);
        }
        change_priority(t);
    }
    error
}

fn preempt(t: &'static Kthread) {
    let d = &t.t_cldata.rt;
    if d.rt_flags.get() & BACKQ != 0 {
        d.rt_timeleft.set(d.rt_pquantum.get());
        clear_backq(t);
        setbackdq(t);
    } else {
        setfrontdq(t);
    }
}

fn tick(t: &'static Kthread) {
    let d = &t.t_cldata.rt;
    let is_finite = d.rt_pquantum.get() != QUANTUM_INFINITE;
    if is_finite {
        d.rt_timeleft.set(d.rt_timeleft.get().saturating_sub(1));
    }
    let is_used_up = is_finite && d.rt_timeleft.get() == 0;
    if is_used_up || t.t_state.get() == ts::ONPROC && must_surrender(t) {
        d.rt_flags.set(d.rt_flags.get() | BACKQ);
        cpu_surrender(t);
    }
}

fn wakeup(t: &'static Kthread) {
    let d = &t.t_cldata.rt;
    d.rt_timeleft.set(d.rt_pquantum.get());
    clear_backq(t);
    setbackdq(t);
}

fn donice(_: &'static Kthread, _: i32) -> u32 {
    errno::EINVAL
}

fn yield_(t: &'static Kthread) {
    clear_backq(t);
    setbackdq(t);
}

fn change_priority(t: &'static Kthread) {
    let d = &t.t_cldata.rt;
    if super::change_priority(t, RTGPPRIO0 + i32::from(d.rt_pri.get()), false) {
        d.rt_timeleft.set(d.rt_pquantum.get());
    } else {
        d.rt_flags.set(d.rt_flags.get() | BACKQ);
    }
}

fn set_quantum(t: &Kthread, quantum: i32) {
    let d = &t.t_cldata.rt;
    let row = d.rt_pri.get() as usize;
    let is_default = quantum == QUANTUM_DEFAULT;
    d.rt_pquantum.set(if is_default { tables::quantum(t.t_cid.get(), row, RT_DPTBL[row]) } else { quantum });
}

fn clear_backq(t: &Kthread) {
    t.t_cldata.rt.rt_flags.set(t.t_cldata.rt.rt_flags.get() & !BACKQ);
}
