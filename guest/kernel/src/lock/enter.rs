//! Dispatcher locks with the priority level that belongs to them.
//!
//! # Invariants
//! - A thread that takes one is at `DISP_LEVEL` or above as long as it has it; the level to go back to is in its `t_oldspl`.
//! - Giving one back here lets no thread preempt: `disp_lock_exit`, which does, is the dispatcher's (`disp/unlock.rs`).

use super::DispLock;
use crate::cell::Cell;
use crate::{platform, spl};

/// Raises the priority level and takes the lock (`disp_lock.c disp_lock_enter`).
#[inline]
pub fn disp_lock_enter(lock: &DispLock) {
    let old = spl::splhigh();
    lock.enter_high();
    platform::curthread().t_oldspl.set(old);
}

/// Releases the lock and lowers the level (`disp_lock.c disp_lock_exit_nopreempt`).
///
/// # Panics
/// In a high-level interrupt handler: it may have interrupted the dispatcher on this very CPU, and lowering the level would
/// let in what the interrupted code masked.
#[inline]
pub fn disp_lock_exit_nopreempt(lock: &DispLock) {
    if platform::cpu().on_intr() {
        high_level_panic();
    }
    let old = platform::curthread().t_oldspl.get();
    lock.exit_high();
    spl::splx(old);
}

#[cold]
fn high_level_panic() -> ! {
    panic!("dispatcher invoked from high-level interrupt handler");
}
