//! Lock words that name their owner: that of an adaptive mutex and that of an rwlock.
//!
//! # Invariants
//! - A mutex's word holds 0, an owner's address, or an owner's address with the waiters bit.
//! - An rwlock's word names an owner only while its write-locked bit is set; otherwise it counts readers, and is
//!   not taken for a thread's address.
//! - Waiters bits are set only by a CPU that holds the turnstile chain's lock. A word that has one is given up only under that same
//!   lock, with one exception: a mutex's owner gives it up by a plain store and may wipe out a bit that was set since it looked. So
//!   who sets a mutex's bit must see that the owner does not run, and then the bit once more, before it relies on it (`sync/mutex.rs`).
#![allow(unsafe_code)]

use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::platform;
use crate::sys::Kthread;
use umpire_shared::sys::mutex::WAITERS;
pub use umpire_shared::sys::rwlock::rw;

/// Owner and waiters bit of an adaptive mutex (`mutex.c`).
#[repr(transparent)]
#[derive(Debug, Default)]
pub struct OwnerWord(AtomicUsize);

impl OwnerWord {
    /// A mutex without an owner.
    pub const fn new() -> OwnerWord {
        OwnerWord(AtomicUsize::new(0))
    }

    /// Makes `t` the owner if there is none. Acquire: what the last owner wrote is visible.
    #[inline(always)]
    pub fn try_take(&self, t: &'static Kthread) -> bool {
        self.0.compare_exchange(0, addr(t), Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Gives it up if no thread is seen to wait (see the invariants). Release: the next owner sees what this one wrote.
    #[inline(always)]
    pub fn try_drop(&self, t: &'static Kthread) -> bool {
        platform::drop_owner(&self.0, addr(t))
    }

    /// Gives it up although threads wait; the caller holds the turnstile chain's lock and wakes the waiters.
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

    /// Sets the waiters bit if `owner` still owns it; the caller holds the turnstile chain's lock.
    pub fn set_waiters(&self, owner: &'static Kthread) -> bool {
        let word = self.0.load(Ordering::Relaxed);
        word & !WAITERS == addr(owner)
            && self.0.compare_exchange(word, word | WAITERS, Ordering::SeqCst, Ordering::Relaxed).is_ok()
    }

    /// True if `owner` owns it and the waiters bit is set. Acquire: it is read after what the caller looked at before.
    pub fn has_waiters(&self, owner: &'static Kthread) -> bool {
        self.0.load(Ordering::Acquire) == addr(owner) | WAITERS
    }
}

/// The word of an rwlock: bits of [`rw`], and the writer's address or the number of readers.
#[repr(transparent)]
#[derive(Debug, Default)]
pub struct RwWord(AtomicUsize);

impl RwWord {
    /// A free lock.
    pub const fn new() -> RwWord {
        RwWord(AtomicUsize::new(0))
    }

    /// The word. Acquire: what a holder wrote before it changed the word is visible.
    #[inline(always)]
    pub fn load(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }

    /// Changes the word from `old` to readers or free; `new` names no writer. Acquire and release: a thread that
    /// gets the lock sees what its last holder wrote, whether this call takes the lock or gives it up.
    #[inline(always)]
    pub fn try_set(&self, old: usize, new: usize) -> bool {
        debug_assert!(new & rw::WRITE_LOCKED == 0, "an rwlock's writer is named by try_set_writer");
        self.replace(old, new)
    }

    /// Changes the word from `old` to "held by writer `t`", with the waiter bits `bits`.
    #[inline(always)]
    pub fn try_set_writer(&self, old: usize, t: &'static Kthread, bits: usize) -> bool {
        debug_assert!(bits & rw::LOCKED == 0, "only waiter bits");
        self.replace(old, addr(t) | rw::WRITE_LOCKED | bits)
    }

    /// Adds waiter bits to a word that is still `old`; the caller holds the turnstile chain's lock.
    pub fn try_add_waiters(&self, old: usize, bits: usize) -> bool {
        debug_assert!(bits & rw::LOCKED == 0, "only waiter bits");
        self.replace(old, old | bits)
    }

    /// The writer that holds it, if one does. Readers have no owner of record.
    pub fn owner(&self) -> Option<&'static Kthread> {
        let word = self.load();
        if word & rw::WRITE_LOCKED == 0 {
            return None;
        }
        let p = ptr::with_exposed_provenance::<Kthread>(word & rw::OWNER);
        // SAFETY: a word with the write-locked bit was stored by `try_set_writer`, whose address is that of a `&'static
        // Kthread` with its low bits free (it is aligned to 64), or is such a word with waiter bits changed by
        // `try_add_waiters`; so `p` is that address, valid and shared for 'static.
        unsafe { p.as_ref() }
    }

    /// True if `t` is the writer that holds it.
    pub fn is_owned_by(&self, t: &'static Kthread) -> bool {
        self.load() & rw::LOCKED == addr(t) | rw::WRITE_LOCKED
    }

    #[inline(always)]
    fn replace(&self, old: usize, new: usize) -> bool {
        self.0.compare_exchange(old, new, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}

#[inline(always)]
fn addr(t: &'static Kthread) -> usize {
    ptr::from_ref(t).expose_provenance()
}
