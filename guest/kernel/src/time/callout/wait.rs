//! Timed waits: a thread that goes to sleep asks to be woken at a time (`cv_timedwait`'s callouts, `delay`).
//!
//! # Invariants
//! - A thread arms its callout while it is on its sleep queue and locked, and disarms it before it sleeps again.
//! - `t_callout_wait` numbers the waits, and a callout carries the number of its wait. If the thread is woken otherwise just
//!   after its callout was taken off the table, the runner of the callout sees another number and leaves the next sleep alone:
//!
//! ```text
//!   the thread                                CPU B: callout_execute
//!   arm: t_callout_wait = 1, sleeps
//!                                             ct_lock: takes the callout of wait 1
//!   is woken otherwise
//!   disarm: t_callout_wait = 2
//!   arm: t_callout_wait = 3, sleeps
//!                                             locks the thread: t_callout_wait == 1? -> no: does not wake it
//! ```

use super::execute::withdraw;
use super::expire::insert;
use super::{CALLOUT_NORMAL, CALLOUT_REALTIME, table_of, timeout};
use crate::cell::{Cell, Counter};
use crate::disp::swtch;
use crate::lock::{disp_lock_enter, thread_unlock_nopreempt};
use crate::platform;
use crate::sync::{Condvar, Mutex, cv_sleep, mutex_enter, mutex_exit, sleepq};
use crate::sys::thread::sobj;
use crate::sys::{Kthread, NANOSEC};

/// Has the current thread woken at `at_ns` of `gethrtime`, with `t_timedout` set, by a realtime callout. Called with the thread on
/// its sleep queue and locked.
pub fn arm(t: &'static Kthread, at_ns: u64) {
    arm_on(t, CALLOUT_REALTIME, at_ns);
}

/// Takes back what [`arm`] asked for. The thread itself calls this after its sleep, before it sleeps again.
pub fn disarm(t: &Kthread) {
    t.t_callout_wait.bump();
    withdraw(t.t_did);
}

/// Sleeps for so many ticks, the first of which may be short (`delay`): by a normal callout, so that the thread goes on only
/// once the threads of `callout_taskq` have run.
#[inline(never)]
pub fn delay(ticks: u64) {
    let t = platform::curthread();
    let wchan = core::ptr::from_ref(t) as usize;
    let sq = sleepq::hash(wchan);
    disp_lock_enter(&sq.sq_lock);
    sleepq::sleep_on(t, sq, wchan, sobj::CV);
    arm_on(t, CALLOUT_NORMAL, ticks_after(ticks.max(1)));
    thread_unlock_nopreempt(t);
    swtch();
    disarm(t);
}

/// Sleeps until `at_ns` of `gethrtime`, by a realtime callout: an interrupt wakes the thread, as with `nanosleep`.
#[inline(never)]
pub fn sleep_until(at_ns: u64) {
    let t = platform::curthread();
    let wchan = core::ptr::from_ref(t) as usize;
    let sq = sleepq::hash(wchan);
    disp_lock_enter(&sq.sq_lock);
    sleepq::sleep_on(t, sq, wchan, sobj::CV);
    arm(t, at_ns);
    thread_unlock_nopreempt(t);
    swtch();
    disarm(t);
}

/// As [`crate::sync::cv_wait`], but no longer than until `at_ns` of [`platform::now`], rounded up as callouts are. True if that
/// time ended the wait. If the time is past already, returns true at once, without sleeping (`cv_timedwait_hires`).
#[must_use = "says whether the wait was ended by a signal or by the time"]
#[inline(never)]
pub fn cv_timedwait(cv: &'static Condvar, mp: &'static Mutex, at_ns: u64) -> bool {
    if at_ns <= platform::now() {
        return true;
    }
    let t = platform::curthread();
    cv_sleep(t, cv);
    // Before the thread is unlocked: so it cannot wake before its timeout is armed, and never disarms what is not armed yet.
    arm(t, at_ns);
    thread_unlock_nopreempt(t);
    mutex_exit(mp);
    swtch();
    disarm(t);
    let is_timed_out = t.t_timedout.get() != 0;
    mutex_enter(mp);
    is_timed_out
}

/// As [`cv_timedwait`], for `ns` from now (`cv_reltimedwait`).
#[must_use = "says whether the wait was ended by a signal or by the time"]
pub fn cv_reltimedwait(cv: &'static Condvar, mp: &'static Mutex, ns: u64) -> bool {
    cv_timedwait(cv, mp, platform::now().saturating_add(ns))
}

/// The time that is so many ticks from now, at the phase of the tick that is this CPU's own. At the clock's phase each CPU
/// would be in its callout interrupt just when `clock()` looks which threads to charge, and a thread that shares its CPU with
/// sleepers would never be charged.
fn ticks_after(ticks: u64) -> u64 {
    let kernel = platform::kernel();
    let tick = NANOSEC / u64::from(kernel.hz.get());
    let phase = tick * u64::from(platform::cpu().cpu_id + 1) / u64::from(kernel.k_ncpus + 1);
    let origin = kernel.k_clock.tick_origin.get() + phase;
    let since = (platform::now() + tick).saturating_sub(origin);
    origin + (since / tick + ticks - 1) * tick
}

fn arm_on(t: &'static Kthread, kind: u32, at_ns: u64) {
    let kernel = platform::kernel();
    let c = &kernel.k_callout.callouts[t.t_did as usize];
    let ct = table_of(platform::cpu(), kind);
    t.t_callout_wait.bump();
    ct.ct_lock.enter_high();
    c.c_expiration.set(at_ns);
    c.c_func.set(timeout::WAKE);
    c.c_arg.set(t.t_callout_wait.get());
    insert(ct, t.t_did);
    ct.ct_lock.exit_high();
}
