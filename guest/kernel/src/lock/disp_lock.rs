//! The dispatcher's spin lock, whose word is a generation.
//!
//! # Invariants
//! - The word is odd while the lock is held and even while it is free; it never goes back. A reader that finds
//!   the same even word before and after a copy has copied a state that no holder was changing.
//! - It is held only at `DISP_LEVEL` or above, so its holder is never preempted on its own CPU.
//! - Order: `cpu_lock` > sleep queues > kp queue > CPU queue > `cpu_thread_lock` (facts 2.3).

use core::sync::atomic::{AtomicU64, Ordering};

use crate::platform;
use crate::sys::spin::Spin;

/// A dispatcher lock (`disp_lock_t`).
#[repr(C)]
#[derive(Debug, Default)]
pub struct DispLock {
    /// Odd while held.
    pub generation: AtomicU64,
}

impl DispLock {
    /// A free lock.
    pub const fn new() -> Self {
        DispLock { generation: AtomicU64::new(0) }
    }

    /// A lock that is held for ever, such as `transition_lock`: it stands for "belongs to nobody".
    pub const fn new_held() -> Self {
        DispLock { generation: AtomicU64::new(1) }
    }

    /// Takes the lock if it is free. Acquire: what the last holder wrote is visible. An outside reader sees the odd word
    /// before anything written under it because of the machine: on x86-64 a locked exchange is a full barrier.
    #[inline(always)]
    pub fn try_enter(&self) -> bool {
        let g = self.generation.load(Ordering::Relaxed);
        g & 1 == 0 && self.generation.compare_exchange(g, g + 1, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Takes the lock; the caller is at `DISP_LEVEL` or above already (`disp_lock_enter_high`).
    #[inline(always)]
    pub fn enter_high(&self) {
        platform::interleave();
        if !self.try_enter() {
            self.spin_enter();
        }
    }

    #[cold]
    fn spin_enter(&self) {
        let mut spin = Spin::for_lock(self);
        loop {
            while self.is_held() {
                spin.turn();
            }
            if self.try_enter() {
                return;
            }
        }
    }

    /// Releases the lock and nothing else (`disp_lock_exit_high`).
    ///
    /// A store, not a read-modify-write: only the holder changes an odd word. Release: the next holder,
    /// and an outside reader that sees the even word, see what this holder wrote.
    #[inline(always)]
    pub fn exit_high(&self) {
        let g = self.generation.load(Ordering::Relaxed);
        // The mutant that changes `t_lockp` unlocked makes a CPU release a lock that it does not hold.
        debug_assert!(g & 1 == 1 || !platform::kernel().is_honest(), "disp_lock released but not held");
        self.generation.store(g + 1, Ordering::Release);
        platform::interleave();
    }

    /// True while the lock is held.
    #[inline(always)]
    pub fn is_held(&self) -> bool {
        self.generation.load(Ordering::Relaxed) & 1 == 1
    }
}
