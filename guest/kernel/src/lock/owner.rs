//! The word of an adaptive mutex: owner and waiters bit in one.
//!
//! # Invariants
//! - It holds 0, an owner's address, or an owner's address with the waiters bit.
//! - The waiters bit is set only by somebody who holds the lock of the mutex's sleep queue, and the word is cleared
//!   while the bit is set only by the owner under that same lock: a waiter cannot be forgotten.
#![allow(unsafe_code)]

use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::thread::Kthread;

const WAITERS: usize = 1;

/// Owner and waiters bit of an adaptive mutex (`mutex.c`).
#[repr(transparent)]
#[derive(Debug, Default)]
pub struct OwnerWord(AtomicUsize);

impl OwnerWord {
    /// Nobody owns it.
    pub const fn new() -> OwnerWord {
        OwnerWord(AtomicUsize::new(0))
    }

    /// Makes `t` the owner if there is none. Acquire: what the last owner wrote is visible.
    #[inline(always)]
    pub fn try_take(&self, t: &'static Kthread) -> bool {
        self.0.compare_exchange(0, addr(t), Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Gives it up if nobody waits. Release: the next owner sees what this one wrote.
    #[inline(always)]
    pub fn try_drop(&self, t: &'static Kthread) -> bool {
        self.0.compare_exchange(addr(t), 0, Ordering::Release, Ordering::Relaxed).is_ok()
    }

    /// Gives it up although somebody waits; the caller holds the sleep queue's lock and wakes the waiters.
    pub fn drop_with_waiters(&self) {
        self.0.store(0, Ordering::Release);
    }

    /// The owner, if there is one.
    #[inline]
    pub fn owner(&self) -> Option<&'static Kthread> {
        let p = ptr::with_exposed_provenance::<Kthread>(self.0.load(Ordering::Acquire) & !WAITERS);
        // SAFETY: the word without its bit is 0 or the exposed address of a `&'static Kthread` (`addr`), so a non-null `p`
        // is valid and shared for 'static; `Kthread` is `Sync`, all its mutable fields being atomics.
        unsafe { p.as_ref() }
    }

    /// Sets the waiters bit if `owner` still owns it; the caller holds the sleep queue's lock.
    pub fn set_waiters(&self, owner: &'static Kthread) -> bool {
        let word = self.0.load(Ordering::Relaxed);
        word & !WAITERS == addr(owner)
            && self.0.compare_exchange(word, word | WAITERS, Ordering::SeqCst, Ordering::Relaxed).is_ok()
    }
}

#[inline(always)]
fn addr(t: &'static Kthread) -> usize {
    ptr::from_ref(t).expose_provenance()
}
