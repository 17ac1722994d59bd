//! Tick accounting (`clock_tick.c`): which threads are charged for the tick.
//!
//! # Invariants
//! - A thread is charged only while it runs, has an LWP and is not idle: an in-kernel SYS thread never is, an interrupt
//!   thread never is. On the CPU that charges, the thread charged is the one that the charging interrupt thread pins.
//! - A thread is charged once a tick at most, however many CPUs it is seen on (`t_lbolt`).
//! - The process lock of the thread is held meanwhile. So the clock waits for the thread that holds that lock, and lends it its
//!   priority. After the wait the clock looks again:
//!
//! ```text
//!   the clock, for CPU B                      CPU B
//!   cpu_thread -> t
//!                                             switches from t to u
//!   takes t's process lock, locks t
//!   cpu_dispthread == t? -> no: charges nothing this time, neither to t nor to u
//! ```

use core::sync::atomic::Ordering;

use super::clock_tick_mp;
use crate::cell::Cell;
use crate::lock::{thread_lock, thread_unlock_nopreempt};
use crate::sync::{mutex_enter, mutex_exit};
use crate::sys::cpu::flag;
use crate::sys::thread::{lwp, tflag};
use crate::sys::{Cpu, class};
use crate::{Kthread, platform, probe};
use umpire_shared::event::Kind;
use umpire_shared::mutant;

/// How long the clock of the mutant that changes `t_lockp` unlocked keeps a thread locked: long enough for that to happen meanwhile,
/// and for the thread's next requeue to begin, even if both vCPUs share one CPU of the host.
const MUTANT_HOLD_NS: u64 = 200_000;

/// Charges a tick to what runs on each CPU: this one first, then the others, beginning one further each time
/// (`clock_tick_schedule`).
pub(super) fn clock_tick_schedule(lbolt: u64) {
    let kernel = platform::kernel();
    if kernel.k_clock.clock_tick.is_threaded() {
        return clock_tick_mp::schedule(lbolt);
    }
    clock_tick_own(lbolt, 1);
    let cpus = &kernel.k_cpus;
    let own = platform::cpu();
    let first = kernel.k_clock.clock_ticks.load(Ordering::Relaxed) as usize;
    for k in 0..cpus.len() {
        let cp = &cpus[(first + k) % cpus.len()];
        if !core::ptr::eq(cp, own) {
            clock_tick_other(cp, lbolt, 1);
        }
    }
}

/// Charges `ticks` to the thread that the calling interrupt thread pins. If that is another interrupt thread, none is charged.
pub(super) fn clock_tick_own(lbolt: u64, ticks: u32) {
    let own = platform::cpu();
    if let Some(t) = own.cpu_thread.get().and_then(|clock| clock.t_intr.get()) {
        clock_tick_cpu(own, t, lbolt, ticks);
    }
}

/// Charges `ticks` to the thread that runs on another CPU, unless that CPU is in a high-level interrupt.
pub(super) fn clock_tick_other(cp: &'static Cpu, lbolt: u64, ticks: u32) {
    if cp.on_intr() {
        return;
    }
    if let Some(t) = cp.cpu_thread.get() {
        clock_tick_cpu(cp, t, lbolt, ticks);
    }
}

fn clock_tick_cpu(cp: &'static Cpu, t: &'static Kthread, lbolt: u64, ticks: u32) {
    if t.lwp_state.get() == lwp::NONE
        || t.t_flag.get() & tflag::INTR_THREAD != 0
        || cp.cpu_idle_thread.is(t)
        || cp.cpu_flags.get() & (flag::QUIESCED | flag::OFFLINE) != 0
    {
        return;
    }
    mutex_enter(&t.t_plock);
    thread_lock(t);
    if platform::kernel().is_mutant(mutant::UNLOCKED_LOCKP) {
        platform::spin(MUTANT_HOLD_NS);
    }
    // The thread may have left the CPU before its lock was taken: see the module's picture.
    let may_have_left = platform::kernel().is_mutant(mutant::LATE_TICK);
    if (cp.cpu_dispthread.is(t) || may_have_left) && t.t_lbolt.get() < lbolt {
        // Of the pending ticks the thread owes those since its last one: it may have been charged for some on another CPU.
        let owed = u64::from(ticks).min(lbolt - t.t_lbolt.get());
        t.t_lbolt.set(lbolt);
        probe::fire(Kind::Tick, t, owed);
        for _ in 0..owed {
            class::cl_tick(t);
        }
    }
    thread_unlock_nopreempt(t);
    mutex_exit(&t.t_plock);
}
