//! TS: time sharing (`ts.c`). Priorities 0 to 59; who uses his quantum sinks, who waits too long rises.
//!
//! # Invariants
//! - `ts_umdpri` = `ts_cpupri` + `ts_upri`, kept within the table; `t_pri` is `ts_umdpri`.
//! - `ts_timeleft` is filled up only when the thread is put on a run queue or its priority changes: a thread that never
//!   leaves its CPU counts on below zero (the `-6618541` of illumos #1532) while its priority decays to 0.

use super::ts_table::{ROWS, TS_DPTBL, TS_DPTBL_EXTENDED, TsRow};
use super::{ClassOps, must_surrender};
use crate::cell::Cell;
use crate::disp::{cpu_surrender, setbackdq, setfrontdq, thread_change_pri};
use crate::lock::{thread_lock, thread_unlock_nopreempt};
use crate::platform;
use crate::thread::{Kthread, schedflag, ts};
use core::sync::atomic::AtomicU64;
use umpire_shared::program::class;
use umpire_shared::tunable;

/// The class's functions.
pub static OPS: ClassOps = ClassOps {
    cl_name: "TS",
    cl_enterclass: enterclass,
    cl_preempt: preempt,
    cl_setrun: setrun,
    cl_sleep: sleep,
    cl_tick: tick,
    cl_trapret: trapret,
    cl_wakeup: setrun,
    cl_yield: yield_,
};

/// Bits of `ts_flags`.
pub mod flag {
    /// Goes to the back of its level when preempted.
    pub const BACKQ: u16 = 0x02;
}

/// What `ts_update` keeps between two passes.
#[repr(C)]
#[derive(Debug, Default)]
pub struct TsQueue {
    /// Passes made.
    pub ts_updates: AtomicU64,
}

/// The row of the table in force.
pub fn row(p: i16) -> &'static TsRow {
    let is_extended = platform::kernel().tunable(tunable::TS_DISPATCH_EXTENDED) != 0;
    let table = if is_extended { &TS_DPTBL_EXTENDED } else { &TS_DPTBL };
    &table[p as usize]
}

/// Once a second: who has waited longer than its row allows rises to `ts_lwait` (`ts.c ts_update`).
pub fn ts_update() {
    let kernel = platform::kernel();
    let sleep_promote = kernel.tunable(tunable::TS_SLEEP_PROMOTE) != 0;
    for t in kernel.k_threads[kernel.k_ncpus as usize..].iter() {
        if u32::from(t.t_cid.get()) == class::TS && t.t_state.get() != ts::ZOMB {
            thread_lock(t);
            update_thread(t, sleep_promote);
            thread_unlock_nopreempt(t);
        }
    }
    kernel.k_ts.ts_updates.set(kernel.k_ts.ts_updates.get() + 1);
}

fn update_thread(t: &'static Kthread, sleep_promote: bool) {
    let d = &t.t_cldata;
    d.ts_dispwait.set(d.ts_dispwait.get().saturating_add(1));
    if d.ts_dispwait.get() <= row(d.ts_umdpri.get()).ts_maxwait {
        return;
    }
    let state = t.t_state.get();
    if state != ts::RUN && !(state == ts::SLEEP && sleep_promote) {
        t.t_trapret.set(1);
        t.aston();
        return;
    }
    let old = d.ts_umdpri.get();
    set_cpupri(t, row(d.ts_cpupri.get()).ts_lwait);
    d.ts_dispwait.set(0);
    if d.ts_umdpri.get() != old {
        change_priority(t);
    }
}

fn enterclass(t: &'static Kthread, pri: i32) {
    let d = &t.t_cldata;
    set_cpupri(t, pri as i16);
    d.ts_timeleft.set(row(d.ts_cpupri.get()).ts_quantum);
    d.ts_dispwait.set(0);
    t.t_schedflag.set(t.t_schedflag.get() & !schedflag::RUNQMATCH);
    t.t_pri.set(d.ts_umdpri.get());
}

fn preempt(t: &'static Kthread) {
    let d = &t.t_cldata;
    if d.ts_flags.get() & flag::BACKQ != 0 {
        d.ts_timeleft.set(row(d.ts_cpupri.get()).ts_quantum);
        d.ts_dispwait.set(0);
        clear_backq(t);
        setbackdq(t);
    } else {
        setfrontdq(t);
    }
}

fn setrun(t: &'static Kthread) {
    relieve(t);
    clear_backq(t);
    if t.t_disp_time.get() != platform::kernel().lbolt.get() {
        setbackdq(t);
    } else {
        setfrontdq(t);
    }
}

fn sleep(t: &'static Kthread) {
    relieve(t);
    if must_surrender(t) {
        cpu_surrender(t);
    }
}

fn tick(t: &'static Kthread) {
    let d = &t.t_cldata;
    let mut surrender = false;
    d.ts_timeleft.set(d.ts_timeleft.get().saturating_sub(1));
    if d.ts_timeleft.get() <= 0 {
        set_cpupri(t, row(d.ts_cpupri.get()).ts_tqexp);
        d.ts_dispwait.set(0);
        if thread_change_pri(t, i32::from(d.ts_umdpri.get()), false) {
            d.ts_timeleft.set(row(d.ts_cpupri.get()).ts_quantum);
        } else {
            // On a CPU, or asleep: the quantum is *not* filled up here.
            surrender = true;
        }
    } else if t.t_state.get() == ts::ONPROC && t.t_pri.get() < t.disp_queue().disp_maxrunpri.get() {
        surrender = true;
    }
    if surrender {
        d.ts_flags.set(d.ts_flags.get() | flag::BACKQ);
        cpu_surrender(t);
    }
}

fn trapret(t: &'static Kthread) {
    relieve(t);
    t.cpu().cpu_dispatch_pri.set(t.pri() as i16);
    if must_surrender(t) {
        cpu_surrender(t);
    }
}

fn yield_(t: &'static Kthread) {
    let d = &t.t_cldata;
    if d.ts_timeleft.get() <= 0 {
        set_cpupri(t, row(d.ts_cpupri.get()).ts_tqexp);
        d.ts_timeleft.set(row(d.ts_cpupri.get()).ts_quantum);
        d.ts_dispwait.set(0);
        t.t_pri.set(d.ts_umdpri.get());
    }
    clear_backq(t);
    setbackdq(t);
}

/// The rule of `ts_slpret`: a thread that waited longer than `ts_maxwait` comes back higher.
fn relieve(t: &'static Kthread) {
    let d = &t.t_cldata;
    if d.ts_dispwait.get() > row(d.ts_umdpri.get()).ts_maxwait {
        set_cpupri(t, row(d.ts_cpupri.get()).ts_slpret);
        d.ts_timeleft.set(row(d.ts_cpupri.get()).ts_quantum);
        d.ts_dispwait.set(0);
        t.t_pri.set(d.ts_umdpri.get());
    }
}

/// `ts_change_priority`: applies `ts_umdpri` to a locked thread, wherever it is.
fn change_priority(t: &'static Kthread) {
    let d = &t.t_cldata;
    let pri = i32::from(d.ts_umdpri.get());
    let quantum = row(d.ts_cpupri.get()).ts_quantum;
    if t.t_state.get() == ts::ONPROC {
        t.t_pri.set(pri as i16);
        if t.cpu().cpu_dispthread.is(t) {
            t.cpu().cpu_dispatch_pri.set(t.pri() as i16);
        }
        if must_surrender(t) {
            d.ts_flags.set(d.ts_flags.get() | flag::BACKQ);
            cpu_surrender(t);
        } else {
            d.ts_timeleft.set(quantum);
        }
    } else if thread_change_pri(t, pri, false) {
        d.ts_timeleft.set(quantum);
    } else {
        d.ts_flags.set(d.ts_flags.get() | flag::BACKQ);
    }
}

fn set_cpupri(t: &Kthread, cpupri: i16) {
    let d = &t.t_cldata;
    d.ts_cpupri.set(cpupri);
    d.ts_umdpri.set((cpupri + d.ts_upri.get()).clamp(0, ROWS as i16 - 1));
}

fn clear_backq(t: &Kthread) {
    t.t_cldata.ts_flags.set(t.t_cldata.ts_flags.get() & !flag::BACKQ);
}
