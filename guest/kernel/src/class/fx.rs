//! FX: fixed priority (`fx.c`). Priorities 0 to 60; a quantum, and equals take turns.
//!
//! # Invariants
//! - The class never changes a thread's priority by itself; `t_pri` is `fx_pri`, except for a thread that is spared a preemption.
//! - A quantum without end (`FX_TQINF`) is never counted down.
//!
//! # What is not here
//! `fx_uprilim`: every caller that changes something in a scenario has the privilege to raise it. Callbacks of kernel clients.

use core::sync::atomic::{AtomicI16, AtomicI32, AtomicU8, AtomicU16};

use super::fx_table::{FX_DPTBL, ROWS};
use super::{
    ClassOps, Parms, always, enqueue_awake, is_in, is_outranked, is_quantum, nice_of, no_focus, nothing,
    schedctl, set_runqmatch, tables, tell_pri, upri_of,
};
use crate::cell::Cell;
use crate::cpucaps::{cpucaps_charge, cpucaps_charge_enforce, cpucaps_enforce, cpucaps_sc_init};
use crate::disp::{cpu_surrender, setbackdq, setfrontdq, thread_change_pri};
use crate::sys::Kthread;
use umpire_shared::errno;
use umpire_shared::event::cause;
use umpire_shared::program::{QUANTUM_DEFAULT, QUANTUM_INFINITE};

/// The class's functions.
pub static OPS: ClassOps = ClassOps {
    cl_name: "FX",
    cl_maxglobpri: MAXUPRI,
    cl_parmsin: parmsin,
    cl_enterclass: enterclass,
    cl_exitclass: nothing,
    cl_canexit: always,
    cl_parmsset: parmsset,
    cl_exit: cpucaps_charge,
    cl_trapret: nothing,
    cl_preempt: preempt,
    cl_setrun: wakeup,
    cl_sleep: cpucaps_charge,
    cl_stop: nothing,
    cl_tick: tick,
    cl_wakeup: wakeup,
    cl_donice: donice,
    cl_set_process_group: no_focus,
    cl_yield: yield_,
};

/// The greatest priority (`fx_maxupri`).
const MAXUPRI: i32 = ROWS as i32 - 1;

/// Bits of `fx_flags`.
mod flag {
    /// Goes to the back of its level when preempted.
    pub const BACKQ: u16 = 0x02;
    /// `fx_pri` is to be restored to `t_pri`.
    pub const RESTORE: u16 = 0x20;
}

/// `fxproc_t`.
#[repr(C)]
#[derive(Debug, Default)]
pub struct FxProc {
    /// Its priority, 0 to 60.
    pub fx_pri: AtomicI16,
    /// Its quantum in ticks, or `FX_TQINF`.
    pub fx_pquantum: AtomicI32,
    /// Ticks left of it.
    pub fx_timeleft: AtomicI32,
    /// 0 to 39, for display.
    pub fx_nice: AtomicU8,
    /// `fx_flags`.
    pub fx_flags: AtomicU16,
}

fn parmsin(_: &'static Kthread, parms: &Parms) -> u32 {
    if is_in(parms.pri, 0, MAXUPRI) && is_quantum(parms.quantum) { 0 } else { errno::EINVAL }
}

fn enterclass(t: &'static Kthread, parms: &Parms) {
    let d = &t.t_cldata.fx;
    d.fx_flags.set(0);
    set_pri(t, parms.pri.unwrap_or(0));
    set_quantum(t, parms.quantum.unwrap_or(QUANTUM_DEFAULT));
    d.fx_timeleft.set(d.fx_pquantum.get());
    set_runqmatch(t, false);
    cpucaps_sc_init(t);
    change_priority(t);
}

/// A new priority brings its row's quantum unless a quantum is given too (`fx_parmsset`).
fn parmsset(t: &'static Kthread, parms: &Parms) -> u32 {
    let error = parmsin(t, parms);
    if error == 0 {
        if let Some(pri) = parms.pri {
            set_pri(t, pri);
        }
        if let Some(quantum) = parms.quantum.or(parms.pri.map(|_| QUANTUM_DEFAULT)) {
            set_quantum(t, quantum);
        }
        change_priority(t);
    }
    error
}

fn preempt(t: &'static Kthread) {
    if cpucaps_enforce(t) {
        return;
    }
    let d = &t.t_cldata.fx;
    if schedctl::spare(t, d.fx_timeleft.get(), |_| set(t, flag::RESTORE)) {
        return;
    }
    restore(t);
    if d.fx_flags.get() & flag::BACKQ != 0 {
        d.fx_timeleft.set(d.fx_pquantum.get());
        clear(t, flag::BACKQ);
        setbackdq(t);
    } else {
        setfrontdq(t);
    }
}

fn tick(t: &'static Kthread) {
    let d = &t.t_cldata.fx;
    let mut surrender = cpucaps_charge_enforce(t);
    let is_finite = d.fx_pquantum.get() != QUANTUM_INFINITE;
    if is_finite {
        d.fx_timeleft.set(d.fx_timeleft.get().saturating_sub(1));
    }
    if is_finite && d.fx_timeleft.get() <= 0 {
        if schedctl::is_spared(t, d.fx_timeleft.get()) {
            return;
        }
        clear(t, flag::RESTORE);
        if thread_change_pri(t, i32::from(d.fx_pri.get()), false) {
            d.fx_timeleft.set(d.fx_pquantum.get());
        } else {
            surrender = true;
        }
    } else if is_outranked(t) {
        surrender = true;
    }
    if surrender {
        set(t, flag::BACKQ);
        cpu_surrender(t);
    }
}

fn wakeup(t: &'static Kthread) {
    let d = &t.t_cldata.fx;
    d.fx_timeleft.set(d.fx_pquantum.get());
    clear(t, flag::BACKQ);
    enqueue_awake(t);
}

/// The priority follows `nice` (`fx_doprio`), three a step, from 0 for 20 and more up to 60 for 0.
fn donice(t: &'static Kthread, incr: i32) -> u32 {
    let pri = upri_of(t.t_cldata.fx.fx_nice.get(), incr).max(0);
    parmsset(t, &Parms { pri: Some(pri), ..Parms::default() })
}

fn yield_(t: &'static Kthread) {
    let d = &t.t_cldata.fx;
    restore(t);
    if d.fx_timeleft.get() <= 0 {
        d.fx_timeleft.set(d.fx_pquantum.get());
    }
    clear(t, flag::BACKQ);
    setbackdq(t);
}

fn change_priority(t: &'static Kthread) {
    let d = &t.t_cldata.fx;
    clear(t, flag::RESTORE);
    if super::change_priority(t, i32::from(d.fx_pri.get()), false) {
        d.fx_timeleft.set(d.fx_pquantum.get());
    } else {
        set(t, flag::BACKQ);
    }
}

fn set_pri(t: &Kthread, pri: i32) {
    t.t_cldata.fx.fx_pri.set(pri as i16);
    t.t_cldata.fx.fx_nice.set(nice_of(pri));
}

fn set_quantum(t: &Kthread, quantum: i32) {
    let d = &t.t_cldata.fx;
    let row = d.fx_pri.get() as usize;
    let is_default = quantum == QUANTUM_DEFAULT;
    d.fx_pquantum.set(if is_default { tables::quantum(t.t_cid.get(), row, FX_DPTBL[row]) } else { quantum });
}

fn restore(t: &Kthread) {
    let d = &t.t_cldata.fx;
    if d.fx_flags.get() & flag::RESTORE != 0 {
        tell_pri(t, d.fx_pri.get(), cause::SCHEDCTL);
        t.t_pri.set(d.fx_pri.get());
        clear(t, flag::RESTORE);
    }
}

fn set(t: &Kthread, bit: u16) {
    t.t_cldata.fx.fx_flags.set(t.t_cldata.fx.fx_flags.get() | bit);
}

fn clear(t: &Kthread, bit: u16) {
    t.t_cldata.fx.fx_flags.set(t.t_cldata.fx.fx_flags.get() & !bit);
}
