//! TS: time sharing (`ts.c`). Priorities 0 to 59; a thread that uses up its quantum sinks, one that waits too long rises.
//!
//! # Invariants
//! - `ts_umdpri` = `ts_cpupri` + `ts_upri` + `ts_boost`, kept within the table; `t_pri` is `ts_umdpri`, except for a
//!   thread that is spared a preemption (`TSRESTORE`).
//! - `ts_timeleft` is filled up only when the thread is put on a run queue or its priority changes: a thread that never
//!   leaves its CPU counts on below zero (the `-6618541` of illumos #1532) while its priority decays to 0.
//! - IA shares all of this; what only IA does is in `ia.rs`.
//!
//! # What is not here
//! `ts_uprilim`: every caller that changes something in a scenario has the privilege to raise it.

use core::sync::atomic::{AtomicU32, AtomicU64};

use super::tables::replaced;
use super::ts_table::{ROWS, TS_DPTBL, TS_DPTBL_EXTENDED, TsRow};
use super::{
    ClassOps, Parms, always, enqueue_awake, is_in, is_outranked, nice_of, no_focus, nothing, schedctl,
    set_runqmatch, tell_pri, upri_of,
};
use crate::cell::Cell;
use crate::cpucaps::{cpucaps_charge, cpucaps_charge_enforce, cpucaps_enforce, cpucaps_sc_init};
use crate::disp::{
    MINCLSYSPRI, cpu_surrender, must_surrender, note_onproc_pri, setbackdq, setfrontdq, thread_change_pri,
};
use crate::lock::{thread_lock, thread_unlock_nopreempt};
use crate::platform;
use crate::sys::Kthread;
use crate::sys::thread::ts;
use umpire_shared::event::cause;
use umpire_shared::sys::class;
use umpire_shared::sys::class::MAXUPRI;
use umpire_shared::{errno, mutant, tunable};

/// The class's functions.
pub static OPS: ClassOps = ClassOps {
    cl_name: "TS",
    // The first of ts_kmdpris, which matters for nothing else any more.
    cl_maxglobpri: MINCLSYSPRI,
    cl_parmsin: parmsin,
    cl_enterclass: enterclass,
    cl_exitclass: nothing,
    cl_canexit: always,
    cl_parmsset: parmsset,
    cl_exit: cpucaps_charge,
    cl_trapret: trapret,
    cl_preempt: preempt,
    cl_setrun: setrun,
    cl_sleep: sleep,
    cl_stop: nothing,
    cl_tick: tick,
    cl_wakeup: setrun,
    cl_donice: donice,
    cl_set_process_group: no_focus,
    cl_yield: yield_,
};

/// Bits of `ts_flags`.
pub mod flag {
    /// Goes to the back of its level when preempted.
    pub const BACKQ: u16 = 0x02;
    /// Has the focus.
    pub const IASET: u16 = 0x08;
    /// `ts_scpri` is to be restored.
    pub const RESTORE: u16 = 0x20;
}

/// The row of a thread whose parameters name none (`tsmedumdpri`).
const MEDIUM: i32 = 29;
/// Lists that `ts_update` walks one after the other (`TS_LISTS`).
pub const LISTS: usize = 16;

/// What `ts_update` keeps between two passes.
#[repr(C)]
#[derive(Debug, Default)]
pub struct TsQueue {
    /// Passes made.
    pub ts_updates: AtomicU64,
    /// The list to begin with (`ts_update_marker`).
    pub ts_update_marker: AtomicU32,
}

/// Row `p` of the table in force for a thread.
pub fn row(t: &Kthread, p: i16) -> TsRow {
    if let Some(&[quantum, tqexp, slpret, maxwait, lwait]) = replaced(t.t_cid.get(), p as usize) {
        return TsRow {
            ts_quantum: quantum as i32,
            ts_tqexp: tqexp as i16,
            ts_slpret: slpret as i16,
            ts_maxwait: maxwait as i32,
            ts_lwait: lwait as i16,
        };
    }
    let is_extended = platform::kernel().tunable(tunable::TS_DISPATCH_EXTENDED) != 0;
    let table = if is_extended { &TS_DPTBL_EXTENDED } else { &TS_DPTBL };
    table[p as usize]
}

/// Once a second: a thread that has waited longer than its row allows rises to `ts_lwait` (`ts.c ts_update`).
///
/// The threads of all lists are served. But the first to rise runs first, so next time another list is first: the
/// next one, after the one that began this time, in which a thread rose.
pub fn ts_update() {
    let kernel = platform::kernel();
    let sleep_promote = kernel.tunable(tunable::TS_SLEEP_PROMOTE) != 0;
    let queue = &kernel.k_class.ts;
    let marker = queue.ts_update_marker.get() as usize;
    let mut next = None;
    for k in 0..LISTS {
        let list = (marker + k) % LISTS;
        if update_list(list, sleep_promote) && k > 0 && next.is_none() {
            next = Some(list);
        }
    }
    queue.ts_update_marker.set(next.unwrap_or(marker) as u32);
    queue.ts_updates.set(queue.ts_updates.get() + 1);
}

/// Every sixteenth thread, beginning with number `list`; true if one rose.
fn update_list(list: usize, sleep_promote: bool) -> bool {
    let mut has_risen = false;
    for t in platform::kernel().scenario_threads().iter().skip(list).step_by(LISTS) {
        let is_ours = || matches!(u32::from(t.t_cid.get()), class::TS | class::IA);
        if is_ours() && t.t_state.get() != ts::ZOMB {
            thread_lock(t);
            // It may have changed its class meanwhile.
            has_risen |= is_ours() && update_thread(t, sleep_promote);
            thread_unlock_nopreempt(t);
        }
    }
    has_risen
}

fn update_thread(t: &'static Kthread, sleep_promote: bool) -> bool {
    let d = &t.t_cldata;
    d.ts_dispwait.set(d.ts_dispwait.get().saturating_add(1));
    let is_patient = d.ts_dispwait.get() <= row(t, d.ts_umdpri.get()).ts_maxwait;
    if is_patient || schedctl::nopreempt(t) || platform::kernel().is_mutant(mutant::TS_NO_LWAIT) {
        return false;
    }
    let is_kept_waiting = match t.t_state.get() {
        ts::RUN | ts::WAIT => true,
        ts::SLEEP => sleep_promote,
        _ => false,
    };
    if !is_kept_waiting {
        t.t_trapret.set(1);
        t.aston();
        return false;
    }
    let old = d.ts_umdpri.get();
    set_cpupri(t, row(t, d.ts_cpupri.get()).ts_lwait);
    d.ts_dispwait.set(0);
    let has_risen = d.ts_umdpri.get() != old;
    if has_risen {
        tell_pri(t, d.ts_umdpri.get(), cause::UPDATE);
        change_priority(t);
    }
    has_risen
}

pub(super) fn parmsin(_: &'static Kthread, parms: &Parms) -> u32 {
    let is_fine = is_in(parms.pri, 0, ROWS as i32 - 1) && is_in(parms.upri, -MAXUPRI, MAXUPRI);
    if is_fine { 0 } else { errno::EINVAL }
}

fn enterclass(t: &'static Kthread, parms: &Parms) {
    enter(t, parms, 0, 0);
}

/// Enters TS or IA with these flags and this boost.
pub(super) fn enter(t: &'static Kthread, parms: &Parms, flags: u16, boost: i16) {
    let d = &t.t_cldata;
    set_upri(t, parms.upri.unwrap_or(0));
    d.ts_boost.set(boost);
    d.ts_flags.set(flags);
    d.ts_dispwait.set(0);
    set_cpupri(t, parms.pri.unwrap_or(MEDIUM) as i16);
    d.ts_timeleft.set(row(t, d.ts_cpupri.get()).ts_quantum);
    set_runqmatch(t, false);
    cpucaps_sc_init(t);
    change_priority(t);
}

pub(super) fn parmsset(t: &'static Kthread, parms: &Parms) -> u32 {
    let error = parmsin(t, parms);
    if error == 0 {
        let d = &t.t_cldata;
        set_upri(t, parms.upri.unwrap_or(i32::from(d.ts_upri.get())));
        set_cpupri(t, parms.pri.map_or(d.ts_cpupri.get(), |pri| pri as i16));
        d.ts_dispwait.set(0);
        change_priority(t);
    }
    error
}

pub(super) fn trapret(t: &'static Kthread) {
    relieve(t);
    note_onproc_pri(t);
    if must_surrender(t) {
        cpu_surrender(t);
    }
}

pub(super) fn preempt(t: &'static Kthread) {
    if cpucaps_enforce(t) {
        return;
    }
    let d = &t.t_cldata;
    let is_spared = schedctl::spare(t, d.ts_timeleft.get(), |pri| {
        if d.ts_flags.get() & flag::RESTORE == 0 {
            d.ts_scpri.set(pri);
            set(t, flag::RESTORE);
        }
    });
    if is_spared {
        return;
    }
    restore(t);
    if d.ts_flags.get() & flag::BACKQ != 0 {
        d.ts_timeleft.set(row(t, d.ts_cpupri.get()).ts_quantum);
        d.ts_dispwait.set(0);
        clear(t, flag::BACKQ);
        setbackdq(t);
    } else {
        setfrontdq(t);
    }
}

fn setrun(t: &'static Kthread) {
    ready(t);
    enqueue_awake(t);
}

/// What waking does to a thread before it is put on a queue.
pub(super) fn ready(t: &'static Kthread) {
    relieve(t);
    clear(t, flag::BACKQ);
}

pub(super) fn sleep(t: &'static Kthread) {
    cpucaps_charge(t);
    relieve(t);
    if must_surrender(t) {
        cpu_surrender(t);
    }
}

pub(super) fn tick(t: &'static Kthread) {
    let d = &t.t_cldata;
    let mut surrender = cpucaps_charge_enforce(t);
    d.ts_timeleft.set(d.ts_timeleft.get().saturating_sub(1));
    if d.ts_timeleft.get() <= 0 {
        if schedctl::is_spared(t, d.ts_timeleft.get()) {
            return;
        }
        clear(t, flag::RESTORE);
        set_cpupri(t, row(t, d.ts_cpupri.get()).ts_tqexp);
        d.ts_dispwait.set(0);
        tell_pri(t, d.ts_umdpri.get(), cause::TICK);
        if thread_change_pri(t, i32::from(d.ts_umdpri.get()), false) {
            d.ts_timeleft.set(row(t, d.ts_cpupri.get()).ts_quantum);
        } else {
            // On a CPU, or asleep: the quantum is *not* filled up here.
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

pub(super) fn donice(t: &'static Kthread, incr: i32) -> u32 {
    let upri = upri_of(t.t_cldata.ts_nice.get(), incr);
    parmsset(t, &Parms { upri: Some(upri), ..Parms::default() })
}

pub(super) fn yield_(t: &'static Kthread) {
    let d = &t.t_cldata;
    restore(t);
    if d.ts_timeleft.get() <= 0 {
        set_cpupri(t, row(t, d.ts_cpupri.get()).ts_tqexp);
        d.ts_timeleft.set(row(t, d.ts_cpupri.get()).ts_quantum);
        d.ts_dispwait.set(0);
        tell_pri(t, d.ts_umdpri.get(), cause::YIELD);
        t.t_pri.set(d.ts_umdpri.get());
    }
    clear(t, flag::BACKQ);
    setbackdq(t);
}

/// The rule of `ts_slpret`: a thread that waited longer than `ts_maxwait` comes back higher.
fn relieve(t: &'static Kthread) {
    let d = &t.t_cldata;
    if d.ts_dispwait.get() > row(t, d.ts_umdpri.get()).ts_maxwait {
        set_cpupri(t, row(t, d.ts_cpupri.get()).ts_slpret);
        d.ts_timeleft.set(row(t, d.ts_cpupri.get()).ts_quantum);
        d.ts_dispwait.set(0);
        tell_pri(t, d.ts_umdpri.get(), cause::SLEEP);
        t.t_pri.set(d.ts_umdpri.get());
    }
}

/// `ts_change_priority`: applies `ts_umdpri` to a locked thread, wherever it is.
pub(super) fn change_priority(t: &'static Kthread) {
    let d = &t.t_cldata;
    clear(t, flag::RESTORE);
    let is_front = d.ts_flags.get() & flag::IASET != 0;
    if super::change_priority(t, i32::from(d.ts_umdpri.get()), is_front) {
        d.ts_timeleft.set(row(t, d.ts_cpupri.get()).ts_quantum);
    } else {
        set(t, flag::BACKQ);
    }
}

/// Sets `ts_cpupri`, and `ts_umdpri` from it.
pub(super) fn set_cpupri(t: &Kthread, cpupri: i16) {
    let d = &t.t_cldata;
    d.ts_cpupri.set(cpupri);
    d.ts_umdpri.set((cpupri + d.ts_upri.get() + d.ts_boost.get()).clamp(0, ROWS as i16 - 1));
}

fn set_upri(t: &Kthread, upri: i32) {
    t.t_cldata.ts_upri.set(upri as i16);
    t.t_cldata.ts_nice.set(nice_of(upri));
}

/// Gives a thread that was spared a preemption its own priority back.
fn restore(t: &Kthread) {
    let d = &t.t_cldata;
    if d.ts_flags.get() & flag::RESTORE != 0 {
        tell_pri(t, d.ts_scpri.get(), cause::SCHEDCTL);
        t.t_pri.set(d.ts_scpri.get());
        clear(t, flag::RESTORE);
    }
}

pub(super) fn set(t: &Kthread, bit: u16) {
    t.t_cldata.ts_flags.set(t.t_cldata.ts_flags.get() | bit);
}

pub(super) fn clear(t: &Kthread, bit: u16) {
    t.t_cldata.ts_flags.set(t.t_cldata.ts_flags.get() & !bit);
}
