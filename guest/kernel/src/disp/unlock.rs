//! Letting a preemption through: where a lock is released, or preemption is allowed again.
//!
//! # Invariants
//! - `cpu_kprunrun` is looked at before a lock is released, and nowhere after that on the way: a CPU that sets it later
//!   pokes.

use core::sync::atomic::{Ordering, compiler_fence};

use super::kpreempt_sync;
use crate::cell::Cell;
use crate::lock::{DispLock, disp_lock_exit_nopreempt};
use crate::platform;
use crate::sys::Kthread;

/// Releases the lock, lowers the level, and preempts if `cpu_kprunrun` was set before the release
/// (`disp_lock.c disp_lock_exit`).
#[inline]
pub fn disp_lock_exit(lock: &DispLock) {
    let preempt = platform::cpu().cpu_kprunrun.get() != 0;
    disp_lock_exit_nopreempt(lock);
    if preempt {
        kpreempt_sync();
    }
}

/// Unlocks `t`, lowers the level, and preempts if `cpu_kprunrun` is set.
#[inline]
pub fn thread_unlock(t: &Kthread) {
    disp_lock_exit(t.lockp());
}

/// `kpreempt_disable`: the caller stays on its CPU's queue until [`kpreempt_enable`].
#[inline(always)]
pub fn kpreempt_disable() {
    let t = platform::curthread();
    t.t_preempt.set(t.t_preempt.get() + 1);
}

/// `kpreempt_enable`: preempts at once if `cpu_kprunrun` was set meanwhile (`sys/disp.h`).
#[inline(always)]
pub fn kpreempt_enable() {
    let t = platform::curthread();
    let depth = t.t_preempt.get() - 1;
    t.t_preempt.set(depth);
    // An interrupt on this CPU that came before the store has left the flag to this thread, so the flag is read after it.
    compiler_fence(Ordering::SeqCst);
    if depth == 0 && platform::cpu().cpu_kprunrun.get() != 0 {
        kpreempt_sync();
    }
}
