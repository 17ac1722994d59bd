//! `thread_lock`: the lock that follows the thread.
//!
//! A thread's lock is whatever `t_lockp` points to: its run queue's while it waits to run, its CPU's
//! `cpu_thread_lock` while it runs, its sleep queue's while it sleeps.
//!
//! # Invariants
//! - Only the holder of `*t_lockp` may change `t_lockp` (facts 11.B10).
//! - A lock that turns out not to be the thread's any more is given back before anything is looked at:
//!
//! ```text
//!   CPU A: thread_lock(t)               CPU B: holds lock 1, moves t
//!   lp = t_lockp -> lock 1
//!                                       t_lockp = lock 2
//!                                       release lock 1
//!   take lock 1
//!   t_lockp == lock 1? -> no: release lock 1, begin again
//! ```

use super::DispLock;
use crate::cell::Cell;
use crate::sys::Kthread;
use crate::sys::spin::Spin;
use crate::{lock, platform, spl};

/// Locks `t`, raising the priority level and saving the old one in `curthread.t_oldspl`
/// (`disp_lock.c thread_lock`). While the lock is busy the level goes back down, so that
/// interrupts are not held off by another CPU's critical section.
pub fn thread_lock(t: &Kthread) {
    loop {
        let old = spl::splhigh();
        if try_lock(t) {
            platform::curthread().t_oldspl.set(old);
            return;
        }
        spl::splx(old);
        spin_while_busy(t);
    }
}

/// Locks `t`; the caller is at `DISP_LEVEL` or above already (`disp_lock.c thread_lock_high`).
pub fn thread_lock_high(t: &Kthread) {
    while !try_lock(t) {
        spin_while_busy(t);
    }
}

/// Unlocks `t` and lowers the level without looking at `cpu_kprunrun`.
#[inline]
pub fn thread_unlock_nopreempt(t: &Kthread) {
    lock::disp_lock_exit_nopreempt(t.lockp());
}

/// Unlocks `t` and nothing else.
#[inline]
pub fn thread_unlock_high(t: &Kthread) {
    t.lockp().exit_high();
}

#[inline(always)]
fn try_lock(t: &Kthread) -> bool {
    platform::interleave();
    let lp = t.lockp();
    if !lp.try_enter() {
        return false;
    }
    if t.t_lockp.is(lp) {
        return true;
    }
    lp.exit_high();
    false
}

#[cold]
fn spin_while_busy(t: &Kthread) {
    let lp: &DispLock = t.lockp();
    let mut spin = Spin::for_lock(lp);
    while lp.is_held() && t.t_lockp.is(lp) {
        spin.turn();
    }
}
