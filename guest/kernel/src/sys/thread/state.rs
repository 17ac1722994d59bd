//! The state macros of `sys/thread.h`: each changes `t_state` and `t_lockp` together.
//!
//! # Invariants
//! - The caller holds the thread's lock. Where a new lock is named, the caller holds that one too, and the
//!   thread is locked by it afterwards.
//! - The state is stored before the lock pointer, so that a CPU that follows the pointer to a lock that it can take
//!   sees the state that belongs to it (`SharedPtr::set` releases, `get` acquires).

use crate::cell::Cell;
use crate::lock::DispLock;
use crate::platform;
use crate::sys::thread::ts;
use crate::sys::{Cpu, Kthread};

/// `THREAD_TRANSITION`: the thread belongs to no queue and no CPU; releases the lock it had.
#[inline(always)]
pub fn thread_transition(t: &Kthread) {
    let old = t.lockp();
    t.t_lockp.set(Some(&platform::kernel().transition_lock));
    old.exit_high();
}

/// As [`thread_transition`], but the lock that the thread had stays held: code that wakes several sleepers of one turnstile, or of
/// one address, keeps the chain or the sleep queue locked meanwhile (`turnstile.c turnstile_wakeup`, `condvar.c cv_broadcast`).
pub fn thread_transition_keeping(t: &Kthread) {
    t.t_lockp.set(Some(&platform::kernel().transition_lock));
}

/// `THREAD_RUN`: on a run queue, locked by `queue_lock`, which the caller holds.
#[inline(always)]
pub fn thread_run(t: &Kthread, queue_lock: &'static DispLock) {
    t.t_state.set(ts::RUN);
    t.t_lockp.set(Some(queue_lock));
}

/// `THREAD_ONPROC`: runs or is about to run on `cpu`, locked by its `cpu_thread_lock` from now on.
/// The caller still holds the lock that the thread had, and releases it afterwards.
#[inline(always)]
pub fn thread_onproc(t: &Kthread, cpu: &'static Cpu) {
    t.t_cpu.set(Some(cpu));
    t.t_state.set(ts::ONPROC);
    t.t_lockp.set(Some(&cpu.cpu_thread_lock));
}

/// `THREAD_SLEEP`: on a sleep queue, locked by `lock`, which the caller holds; releases the lock it had.
#[inline(always)]
pub fn thread_sleep(t: &Kthread, lock: &'static DispLock) {
    let old = t.lockp();
    t.t_state.set(ts::SLEEP);
    t.t_lockp.set(Some(lock));
    old.exit_high();
}

/// `THREAD_WAIT`: on the wait queue of a CPU cap, locked by `lock`, which the caller holds. The thread was in transition.
#[inline(always)]
pub fn thread_wait(t: &Kthread, lock: &'static DispLock) {
    t.t_state.set(ts::WAIT);
    t.t_lockp.set(Some(lock));
}

/// `THREAD_STOP` of a thread that no other code knows yet: not to be run, locked by `stop_lock`.
pub fn thread_stop(t: &Kthread) {
    t.t_state.set(ts::STOPPED);
    t.t_lockp.set(Some(&platform::kernel().stop_lock));
}

/// `THREAD_STOP` of the current thread, which switches next; releases the lock it had.
pub fn thread_stop_running(t: &Kthread) {
    let old = t.lockp();
    thread_stop(t);
    old.exit_high();
}

/// `THREAD_ZOMB`: ended. Its lock is one that can be had: `clock()` may be about to take it.
pub fn thread_zomb(t: &Kthread) {
    let old = t.lockp();
    t.t_state.set(ts::ZOMB);
    t.t_lockp.set(Some(&platform::kernel().stop_lock));
    old.exit_high();
}

/// `THREAD_FREEINTR`: an interrupt thread of `cpu` that handles nothing. The caller holds no lock: `t_lockp` stays what it is
/// while the thread handles an interrupt, so that a CPU that has it locked meanwhile unlocks the lock that it took.
#[inline(always)]
pub fn thread_freeintr(t: &Kthread, cpu: &'static Cpu) {
    t.t_state.set(ts::FREE);
    t.t_lockp.set(Some(&cpu.cpu_thread_lock));
}
