//! SDC: system duty cycle (`sysdc.c`). System threads that alternate between 98 and 0, so that they run a given part of
//! the time that they want to run.
//!
//! # Invariants
//! - `sdc_epri` is `sysdc_maxpri` or `sysdc_minpri`, and so is `t_pri`; once a thread has entered, only `compute` changes it.
//! - A thread leaves the class only by ending; then it is SYS at 99.
//! - An SDC thread on a CPU gives way to its equals, and in the kernel too: see `cpu_surrender`.
//!
//! # What is not here
//! Nothing keeps an SDC thread from being moved to another processor set.

use core::sync::atomic::{AtomicI16, AtomicU8, AtomicU32, AtomicU64, Ordering};

use super::sdc_pset::activate;
use super::{ClassOps, Parms, is_in, is_outranked, no_focus, nothing, sdc_pset, set_runqmatch, tell_pri};
use crate::cell::Cell;
use crate::disp::{MAXCLSYSPRI, cpu_surrender, setbackdq, thread_change_pri};
use crate::lock::{SharedPtr, thread_lock, thread_unlock_nopreempt};
use crate::platform;
use crate::sys::Kthread;
use crate::sys::thread::{lms, lwp, ts};
use umpire_shared::event::cause;
use umpire_shared::sys::class;
use umpire_shared::{errno, mutant, tunable};

pub use super::sdc_pset::{Sdc, SdcPset};

/// The class's functions.
pub static OPS: ClassOps = ClassOps {
    cl_name: "SDC",
    cl_maxglobpri: MAXCLSYSPRI,
    cl_parmsin: parmsin,
    cl_enterclass: enterclass,
    cl_exitclass: nothing,
    cl_canexit: canexit,
    cl_parmsset: parmsset,
    cl_exit: exit,
    cl_trapret: nothing,
    cl_preempt: setbackdq,
    cl_setrun: wakeup,
    cl_sleep: sleep,
    cl_stop: nothing,
    cl_tick: tick,
    cl_wakeup: wakeup,
    cl_donice: donice,
    cl_set_process_group: no_focus,
    cl_yield: setbackdq,
};

/// Target duty cycle of a thread whose parameters name none, in per cent (`zio_taskq_basedc`).
const BASEDC: i32 = 80;

/// `sysdc_t`.
#[repr(C)]
#[derive(Debug, Default)]
pub struct SdcProc {
    /// Next of its list.
    pub sdc_next: SharedPtr<Kthread>,
    /// 1 while it is on its list.
    pub sdc_is_active: AtomicU8,
    /// What it aims at, in per cent.
    pub sdc_target_dc: AtomicU8,
    /// What it has reached since the base was taken, in per cent.
    pub sdc_cur_dc: AtomicU8,
    /// The priority that its duty cycle amounts to.
    pub sdc_pri: AtomicI16,
    /// The priority that it has: a break forces it down.
    pub sdc_epri: AtomicI16,
    /// Ticks charged.
    pub sdc_ticks: AtomicU32,
    /// The tick at which it updates itself because the update is late.
    pub sdc_update_ticks: AtomicU32,
    /// Updates so far.
    pub sdc_nupdates: AtomicU32,
    /// `sdc_nupdates` at which the base is taken anew.
    pub sdc_reset: AtomicU32,
    /// `sdc_nupdates` when it went to sleep, 0 if it is awake.
    pub sdc_sleep_updates: AtomicU32,
    /// ns on a CPU when the base was taken.
    pub sdc_base_o: AtomicU64,
    /// ns runnable when the base was taken.
    pub sdc_base_r: AtomicU64,
    /// ns on a CPU at the last update.
    pub sdc_last_o: AtomicU64,
}

/// Why a thread's priority is computed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// The update came round to it.
    Update,
    /// The update is late, and a tick does its work.
    Late,
    /// It wakes after it was off its list.
    Wakeup,
}

/// Every `sysdc_update_interval_msec` (`sysdc_update`): breaks first, then each thread that is awake.
pub fn sysdc_update() {
    let kernel = platform::kernel();
    // Relaxed: a thread that has just entered is seen an update later.
    if kernel.k_class.sdc.sdc_nthreads.get() == 0 {
        return;
    }
    sdc_pset::update_psets(platform::now());
    sdc_pset::take_each(|t| {
        thread_lock(t);
        t.t_cldata.sdc.sdc_is_active.set(0);
        if u32::from(t.t_cid.get()) == class::SDC && !is_to_be_pruned(t) {
            activate(t);
            compute(t, Reason::Update);
        }
        thread_unlock_nopreempt(t);
    });
}

/// How many updates a tunable in ms amounts to, at least one.
pub(super) fn updates(tunable: usize) -> u32 {
    let kernel = platform::kernel();
    let interval = kernel.tunable(tunable::SYSDC_UPDATE_INTERVAL_MSEC);
    (kernel.tunable(tunable) / interval).max(1) as u32
}

/// Ticks between two updates.
pub fn update_ticks() -> u32 {
    let kernel = platform::kernel();
    let msec = kernel.tunable(tunable::SYSDC_UPDATE_INTERVAL_MSEC) as u64;
    (msec * u64::from(kernel.hz.get()) / 1000).max(1) as u32
}

/// `sysdc_thread_enter` takes SYS threads that have an LWP, and so a clock for their microstates.
fn parmsin(t: &'static Kthread, parms: &Parms) -> u32 {
    let is_sys = u32::from(t.t_cid.get()) == class::SYS && t.lwp_state.get() != lwp::NONE;
    if is_sys && is_in(parms.duty_cycle, 1, 100) { 0 } else { errno::EINVAL }
}

fn enterclass(t: &'static Kthread, parms: &Parms) {
    let kernel = platform::kernel();
    let d = &t.t_cldata.sdc;
    d.sdc_target_dc.set(parms.duty_cycle.unwrap_or(BASEDC).clamp(1, 100) as u8);
    let (onproc, runnable) = times(t);
    d.sdc_base_o.set(onproc);
    d.sdc_base_r.set(runnable);
    d.sdc_last_o.set(onproc);
    // Threads that enter together are not to begin anew together.
    d.sdc_reset.set((platform::now() % 4999) as u32 % updates(tunable::SYSDC_RESET_INTERVAL_MSEC));
    d.sdc_update_ticks.set(update_ticks() + 1);
    let maxpri = kernel.tunable(tunable::SYSDC_MAXPRI) as i16;
    d.sdc_pri.set(maxpri);
    d.sdc_epri.set(maxpri);
    set_runqmatch(t, true);
    kernel.k_class.sdc.sdc_nthreads.fetch_add(1, Ordering::Relaxed);
    if matches!(t.t_state.get(), ts::RUN | ts::ONPROC) {
        activate(t);
    }
    super::change_priority(t, i32::from(maxpri), false);
}

fn canexit(_: &'static Kthread) -> u32 {
    errno::EPERM
}

fn parmsset(_: &'static Kthread, _: &Parms) -> u32 {
    errno::ENOSYS
}

fn exit(t: &'static Kthread) {
    platform::kernel().k_class.sdc.sdc_nthreads.fetch_sub(1, Ordering::Relaxed);
    // The list forgets it at the next update.
    set_runqmatch(t, false);
    t.t_cid.set(class::SYS as u8);
    t.t_pri.set(MAXCLSYSPRI as i16);
}

fn sleep(t: &'static Kthread) {
    t.t_cldata.sdc.sdc_sleep_updates.set(t.t_cldata.sdc.sdc_nupdates.get());
}

fn tick(t: &'static Kthread) {
    let d = &t.t_cldata.sdc;
    if is_outranked(t) {
        cpu_surrender(t);
    }
    d.sdc_ticks.set(d.sdc_ticks.get().wrapping_add(1));
    if d.sdc_ticks.get() == d.sdc_update_ticks.get() {
        compute(t, Reason::Late);
    }
}

fn wakeup(t: &'static Kthread) {
    let d = &t.t_cldata.sdc;
    d.sdc_sleep_updates.set(0);
    let is_lost = platform::kernel().is_mutant(mutant::SDC_LOST_SLEEPER);
    if d.sdc_is_active.get() == 0 && !is_lost {
        compute(t, Reason::Wakeup);
        activate(t);
    }
    setbackdq(t);
}

fn donice(_: &'static Kthread, _: i32) -> u32 {
    errno::EINVAL
}

/// True for a thread that has slept too long to be looked at every time.
///
/// sysdc.c subtracts the wrong way round, and unsigned: as soon as there was one update during the sleep the difference
/// is enormous. So a sleeper leaves its list on the second update, whatever `sysdc_prune_interval_msec` says.
fn is_to_be_pruned(t: &Kthread) -> bool {
    let d = &t.t_cldata.sdc;
    let is_awake = matches!(t.t_state.get(), ts::RUN | ts::ONPROC);
    let since = d.sdc_sleep_updates.get();
    !is_awake
        && since != 0
        && since.wrapping_sub(d.sdc_nupdates.get()) > updates(tunable::SYSDC_PRUNE_INTERVAL_MSEC)
}

/// Gives a locked thread the one of its two priorities that it deserves (`sysdc_update_pri`).
fn compute(t: &'static Kthread, reason: Reason) {
    let kernel = platform::kernel();
    let d = &t.t_cldata.sdc;
    let (maxpri, minpri) = (kernel.tunable(tunable::SYSDC_MAXPRI), kernel.tunable(tunable::SYSDC_MINPRI));
    let (onproc, runnable) = times(t);
    // The times of a thread that runs elsewhere are read while they change, and may seem to go back.
    let has_gone_back = onproc < d.sdc_base_o.get() || runnable < d.sdc_base_r.get();
    let used = onproc.saturating_sub(d.sdc_base_o.get());
    let wanted = used + runnable.saturating_sub(d.sdc_base_r.get());
    if has_gone_back || d.sdc_nupdates.get() >= d.sdc_reset.get() {
        d.sdc_base_o.set(onproc);
        d.sdc_base_r.set(runnable);
        d.sdc_reset.set(d.sdc_nupdates.get() + updates(tunable::SYSDC_RESET_INTERVAL_MSEC));
    }
    if !has_gone_back && wanted != 0 {
        d.sdc_cur_dc.set((100 * u128::from(used) / u128::from(wanted)) as u8);
    }
    let is_below = d.sdc_cur_dc.get() < d.sdc_target_dc.get() || kernel.is_mutant(mutant::SDC_NEVER_SINKS);
    d.sdc_pri.set(if is_below { maxpri } else { minpri } as i16);
    let epri = if sdc_pset::is_on_break(t) { minpri as i16 } else { d.sdc_pri.get() };
    let was_at_max = i64::from(d.sdc_epri.get()) == maxpri;
    let has_changed = epri != d.sdc_epri.swap(epri, Ordering::Relaxed);
    match reason {
        Reason::Wakeup => {
            if has_changed {
                tell_pri(t, epri, cause::SLEEP);
                t.t_pri.set(epri);
            }
            return;
        }
        Reason::Update => {
            if was_at_max {
                sdc_pset::add_onproc(t, onproc.saturating_sub(d.sdc_last_o.get()));
            }
            d.sdc_last_o.set(onproc);
            d.sdc_nupdates.set(d.sdc_nupdates.get() + 1);
            d.sdc_update_ticks.set(d.sdc_ticks.get().wrapping_add(update_ticks() + 1));
        }
        Reason::Late => d.sdc_update_ticks.set(d.sdc_ticks.get().wrapping_add(update_ticks())),
    }
    tell_pri(t, epri, cause::UPDATE);
    if !thread_change_pri(t, i32::from(epri), false) {
        cpu_surrender(t);
    }
}

/// ns that a thread has been on a CPU, and ns that it was runnable without one.
fn times(t: &Kthread) -> (u64, u64) {
    let (state, since) = (t.t_mstate.get(), t.t_mstart.get());
    let stay = platform::now().saturating_sub(since);
    let spent = |of: u8| t.t_acct[usize::from(of)].get() + if state == of { stay } else { 0 };
    (spent(lms::USER) + spent(lms::SYSTEM) + spent(lms::TRAP), spent(lms::WAIT_CPU))
}
