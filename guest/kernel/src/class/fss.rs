//! FSS: fair share (`fss.c`). Priorities 0 to 59; a project whose threads use more than its shares entitle it to sinks.
//!
//! # Invariants
//! - `t_pri` is `fss_umdpri`, except for a thread that is spared a preemption (`FSSRESTORE`); 0 is for a thread without shares.
//! - A thread counts as runnable in one account at a time, `fss_proj`, exactly while `ACTIVE` is set in `fss_flags`.
//! - There is no boost for threads in the kernel (illumos #11909).

use core::sync::atomic::{AtomicI16, AtomicI32, AtomicU8, AtomicU16, AtomicU32, AtomicU64};

use super::fss_proj::{MAXUMDPRI, Nice};
use super::{
    ClassOps, Parms, always, enqueue_awake, fss_proj, is_in, is_outranked, nice_of, no_focus, schedctl,
    set_runqmatch, tables, tell_pri, upri_of,
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
use umpire_shared::{errno, tunable};

/// The class's functions.
pub static OPS: ClassOps = ClassOps {
    cl_name: "FSS",
    cl_maxglobpri: MINCLSYSPRI,
    cl_parmsin: parmsin,
    cl_enterclass: enterclass,
    cl_exitclass: exitclass,
    cl_canexit: always,
    cl_parmsset: parmsset,
    cl_exit: sleep,
    cl_trapret: trapret,
    cl_preempt: preempt,
    cl_setrun: setrun,
    cl_sleep: sleep,
    cl_stop: inactive,
    cl_tick: tick,
    cl_wakeup: wakeup,
    cl_donice: donice,
    cl_set_process_group: no_focus,
    cl_yield: yield_,
};

/// The priority of a thread whose parameters name none.
const MEDIUM: i32 = MAXUMDPRI as i32 / 2;
/// Lists that `fss_update` walks one after the other (`FSS_LISTS`).
const LISTS: usize = 16;

/// Bits of `fss_flags`.
mod flag {
    /// Goes to the back of its level when preempted.
    pub const BACKQ: u16 = 0x02;
    /// Counted as runnable in the account `fss_proj`.
    pub const ACTIVE: u16 = 0x04;
    /// `fss_scpri` is to be restored.
    pub const RESTORE: u16 = 0x20;
}

/// `fssproc_t`.
#[repr(C)]
#[derive(Debug, Default)]
pub struct FssProc {
    /// What it has used beyond its share: the lower, the better.
    pub fss_fsspri: AtomicU64,
    /// Its account; see [`fss_proj`].
    pub fss_proj: AtomicU32,
    /// Ticks since `fss_fsspri` was last computed.
    pub fss_ticks: AtomicU32,
    /// Ticks left of its quantum.
    pub fss_timeleft: AtomicI32,
    /// The user-mode priority that `fss_fsspri` amounts to.
    pub fss_umdpri: AtomicI16,
    /// The user's offset, -60 to 60.
    pub fss_upri: AtomicI16,
    /// `t_pri` before it was raised because preemption is unwelcome.
    pub fss_scpri: AtomicI16,
    /// 0 to 39: what a tick costs it, and how fast that is forgotten.
    pub fss_nice: AtomicU8,
    /// `fss_flags`.
    pub fss_flags: AtomicU16,
}

/// Once a second: usage decays, and a thread that waits gets the priority that it now deserves (`fss_update`). The order of
/// the lists changes as in `ts_update`.
pub fn fss_update() {
    let fss = &platform::kernel().k_class.fss;
    for part in 0..fss.fss_psets.len() {
        let level = crate::spl::splhigh();
        fss_proj::decay_usage(part);
        crate::spl::splx(level);
    }
    let marker = fss.fss_update_marker.get() as usize;
    let mut next = None;
    for k in 0..LISTS {
        let list = (marker + k) % LISTS;
        if update_list(list) && k > 0 && next.is_none() {
            next = Some(list);
        }
    }
    fss.fss_update_marker.set(next.unwrap_or(marker) as u32);
}

fn update_list(list: usize) -> bool {
    let mut has_changed = false;
    for t in platform::kernel().scenario_threads().iter().skip(list).step_by(LISTS) {
        let is_ours = || u32::from(t.t_cid.get()) == class::FSS;
        if is_ours() && t.t_state.get() != ts::ZOMB {
            thread_lock(t);
            // It may have changed its class meanwhile.
            has_changed |= is_ours() && update_thread(t);
            thread_unlock_nopreempt(t);
        }
    }
    has_changed
}

fn update_thread(t: &'static Kthread) -> bool {
    let d = &t.t_cldata.fss;
    follow(t);
    if !fss_proj::has_shares(d.fss_proj.get() as usize) {
        return false;
    }
    d.fss_fsspri.set(Nice::decayed(d.fss_fsspri.get(), d.fss_nice.get()));
    if !matches!(t.t_state.get(), ts::RUN | ts::WAIT) || schedctl::nopreempt(t) {
        t.t_trapret.set(1);
        t.aston();
        return false;
    }
    newpri(t, false);
    let has_changed = t.t_pri.get() != d.fss_umdpri.get();
    if has_changed {
        tell_pri(t, d.fss_umdpri.get(), cause::UPDATE);
        change_priority(t);
    }
    has_changed
}

fn parmsin(t: &'static Kthread, parms: &Parms) -> u32 {
    let has_project = (t.t_project.get() as usize) < platform::kernel().k_class.fss.fss_kprojects.len();
    let is_fine =
        has_project && is_in(parms.pri, 0, MAXUMDPRI as i32) && is_in(parms.upri, -MAXUPRI, MAXUPRI);
    if is_fine { 0 } else { errno::EINVAL }
}

fn enterclass(t: &'static Kthread, parms: &Parms) {
    let d = &t.t_cldata.fss;
    d.fss_flags.set(0);
    d.fss_fsspri.set(0);
    d.fss_ticks.set(0);
    d.fss_proj.set(fss_proj::place(t) as u32);
    set_upri(t, parms.upri.unwrap_or(0));
    d.fss_umdpri.set(parms.pri.unwrap_or(MEDIUM) as i16);
    d.fss_timeleft.set(quantum());
    set_runqmatch(t, true);
    cpucaps_sc_init(t);
    if matches!(t.t_state.get(), ts::RUN | ts::ONPROC | ts::WAIT) {
        active(t);
    }
    change_priority(t);
}

fn exitclass(t: &'static Kthread) {
    inactive(t);
    set_runqmatch(t, false);
}

fn parmsset(t: &'static Kthread, parms: &Parms) -> u32 {
    let error = parmsin(t, parms);
    if error == 0 {
        let d = &t.t_cldata.fss;
        set_upri(t, parms.upri.unwrap_or(i32::from(d.fss_upri.get())));
        match parms.pri {
            Some(pri) => d.fss_umdpri.set(pri as i16),
            None => newpri(t, false),
        }
        change_priority(t);
    }
    error
}

fn trapret(t: &'static Kthread) {
    note_onproc_pri(t);
    if must_surrender(t) {
        cpu_surrender(t);
    }
}

fn preempt(t: &'static Kthread) {
    if cpucaps_enforce(t) {
        return;
    }
    let d = &t.t_cldata.fss;
    let is_spared = schedctl::spare(t, d.fss_timeleft.get(), |pri| {
        if d.fss_flags.get() & flag::RESTORE == 0 {
            d.fss_scpri.set(pri);
            set(t, flag::RESTORE);
        }
    });
    if is_spared {
        return;
    }
    restore(t);
    if d.fss_flags.get() & flag::BACKQ != 0 {
        d.fss_timeleft.set(quantum());
        clear(t, flag::BACKQ);
        setbackdq(t);
    } else {
        setfrontdq(t);
    }
}

fn setrun(t: &'static Kthread) {
    t.t_cldata.fss.fss_timeleft.set(quantum());
    ready(t);
}

fn tick(t: &'static Kthread) {
    let d = &t.t_cldata.fss;
    follow(t);
    let is_capped = cpucaps_charge_enforce(t);
    fss_proj::with_account(d.fss_proj.get() as usize, |proj, _| {
        proj.fssp_ticks.set(proj.fssp_ticks.get() + Nice::tick(d.fss_nice.get()));
    });
    d.fss_ticks.set(d.fss_ticks.get() + 1);
    let mut surrender = false;
    d.fss_timeleft.set(d.fss_timeleft.get().saturating_sub(1));
    if d.fss_timeleft.get() <= 0 {
        if schedctl::is_spared(t, d.fss_timeleft.get()) {
            return;
        }
        clear(t, flag::RESTORE);
        newpri(t, platform::kernel().tunable(tunable::FSS_QUANTA_UP) != 0);
        tell_pri(t, d.fss_umdpri.get(), cause::TICK);
        if thread_change_pri(t, i32::from(d.fss_umdpri.get()), false) {
            d.fss_timeleft.set(quantum());
        } else {
            surrender = true;
        }
    } else if is_outranked(t) {
        surrender = true;
    }
    // The quirk of fss.c: this is meant for a thread that has used more than half of its quantum, and applies to one that has
    // more than half left.
    if is_capped && 2 * d.fss_timeleft.get() > quantum() {
        newpri(t, false);
        tell_pri(t, d.fss_umdpri.get(), cause::TICK);
        if thread_change_pri(t, i32::from(d.fss_umdpri.get()), false) {
            d.fss_timeleft.set(quantum());
        } else {
            surrender = true;
        }
    }
    if surrender {
        set(t, flag::BACKQ);
        cpu_surrender(t);
    }
}

/// The thread sleeps or ends: it is charged for what it ran, and is not runnable any more.
fn sleep(t: &'static Kthread) {
    cpucaps_charge(t);
    inactive(t);
}

/// Keeps what is left of the quantum if it slept for less than a tick.
fn wakeup(t: &'static Kthread) {
    if t.t_disp_time.get() != platform::kernel().lbolt.get() {
        t.t_cldata.fss.fss_timeleft.set(quantum());
    }
    ready(t);
}

fn donice(t: &'static Kthread, incr: i32) -> u32 {
    let upri = upri_of(t.t_cldata.fss.fss_nice.get(), incr);
    parmsset(t, &Parms { upri: Some(upri), ..Parms::default() })
}

fn yield_(t: &'static Kthread) {
    restore(t);
    clear(t, flag::BACKQ);
    setbackdq(t);
}

/// Turns the ticks since the last time into `fsspri`, and that into a priority (`fss_newpri`).
///
/// At the end of a quantum (`is_quanta_up`) a thread with competitors in its own project goes behind all of them: if its
/// usage were only added up, it might stay below theirs for many quanta (illumos #5029, OS-1051).
fn newpri(t: &'static Kthread, is_quanta_up: bool) {
    let d = &t.t_cldata.fss;
    let place = d.fss_proj.get() as usize;
    let ticks = u64::from(d.fss_ticks.get());
    d.fss_ticks.set(0);
    if !fss_proj::has_shares(place) {
        d.fss_umdpri.set(0);
        return;
    }
    fss_proj::with_account(place, |proj, pset| {
        let max = pset.fssps_maxfsspri.get();
        let runnable = u64::from(proj.fssp_runnable.get());
        let used = proj.fssp_shusage.get().saturating_mul(runnable).saturating_mul(ticks);
        let turned_over = is_quanta_up && runnable > 1;
        let fsspri = if turned_over { max } else { d.fss_fsspri.get().saturating_add(used) };
        let fsspri = fsspri.max(MAXUMDPRI);
        d.fss_fsspri.set(fsspri);
        if fsspri >= max {
            pset.fssps_maxfsspri.set(fsspri);
            d.fss_umdpri.set(1);
        } else {
            let sunk = u128::from(fsspri) * u128::from(MAXUMDPRI - 1) / u128::from(max);
            d.fss_umdpri.set((MAXUMDPRI as u128 - sunk) as i16);
        }
    });
}

fn ready(t: &'static Kthread) {
    active(t);
    clear(t, flag::BACKQ);
    tell_pri(t, t.t_cldata.fss.fss_umdpri.get(), cause::SLEEP);
    t.t_pri.set(t.t_cldata.fss.fss_umdpri.get());
    enqueue_awake(t);
}

/// Counts `t` as runnable (`fss_active`).
fn active(t: &'static Kthread) {
    let d = &t.t_cldata.fss;
    if d.fss_flags.get() & flag::ACTIVE == 0 {
        d.fss_proj.set(fss_proj::place(t) as u32);
        fss_proj::add_runnable(d.fss_proj.get() as usize);
        set(t, flag::ACTIVE);
    }
}

/// Stops counting `t` as runnable (`fss_inactive`).
fn inactive(t: &'static Kthread) {
    let d = &t.t_cldata.fss;
    if d.fss_flags.get() & flag::ACTIVE != 0 {
        fss_proj::drop_runnable(d.fss_proj.get() as usize);
        clear(t, flag::ACTIVE);
    }
}

/// Moves `t` to its partition's account, if it was moved to another processor set meanwhile.
fn follow(t: &'static Kthread) {
    let d = &t.t_cldata.fss;
    let place = fss_proj::place(t);
    if d.fss_proj.get() as usize != place {
        let was_active = d.fss_flags.get() & flag::ACTIVE != 0;
        inactive(t);
        d.fss_proj.set(place as u32);
        if was_active {
            active(t);
        }
    }
}

fn change_priority(t: &'static Kthread) {
    let d = &t.t_cldata.fss;
    clear(t, flag::RESTORE);
    if super::change_priority(t, i32::from(d.fss_umdpri.get()), false) {
        d.fss_timeleft.set(quantum());
    } else {
        set(t, flag::BACKQ);
    }
}

/// The class's quantum in ticks: the scenario's table, else the tunable.
fn quantum() -> i32 {
    tables::quantum(class::FSS as u8, 0, platform::kernel().tunable(tunable::FSS_QUANTUM) as i32)
}

fn set_upri(t: &Kthread, upri: i32) {
    t.t_cldata.fss.fss_upri.set(upri as i16);
    t.t_cldata.fss.fss_nice.set(nice_of(upri));
}

fn restore(t: &Kthread) {
    let d = &t.t_cldata.fss;
    if d.fss_flags.get() & flag::RESTORE != 0 {
        tell_pri(t, d.fss_scpri.get(), cause::SCHEDCTL);
        t.t_pri.set(d.fss_scpri.get());
        clear(t, flag::RESTORE);
    }
}

fn set(t: &Kthread, bit: u16) {
    t.t_cldata.fss.fss_flags.set(t.t_cldata.fss.fss_flags.get() | bit);
}

fn clear(t: &Kthread, bit: u16) {
    t.t_cldata.fss.fss_flags.set(t.t_cldata.fss.fss_flags.get() & !bit);
}
