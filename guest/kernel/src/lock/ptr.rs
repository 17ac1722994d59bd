//! A pointer to a kernel object that several CPUs may read and one may change.
//!
//! # Invariants
//! - It only ever holds null or an address that came from a `&'static T`; objects live in arenas that
//!   are never freed while their kernel runs.
#![allow(unsafe_code)]

use core::fmt;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

/// A shared, possibly null pointer to an arena object.
#[repr(transparent)]
pub struct SharedPtr<T: 'static>(AtomicPtr<T>);

impl<T: Sync> SharedPtr<T> {
    /// The null pointer.
    pub const fn null() -> Self {
        SharedPtr(AtomicPtr::new(ptr::null_mut()))
    }

    /// The object, if there is one. Acquire: what was written before the pointer was stored is visible.
    #[inline(always)]
    pub fn get(&self) -> Option<&'static T> {
        let p = self.0.load(Ordering::Acquire);
        // SAFETY: only null or an address taken from a `&'static T` is ever stored (`set`, `swap`), so a
        // non-null `p` is valid and shared for 'static; `T: Sync` makes sharing it across CPUs sound.
        unsafe { p.as_ref() }
    }

    /// Stores a pointer. Release: what was written before is visible to every CPU that reads it.
    #[inline(always)]
    pub fn set(&self, value: Option<&'static T>) {
        self.0.store(raw(value), Ordering::Release);
    }

    /// Stores a pointer by an exchange, which is a full barrier: no later load comes before it.
    #[inline(always)]
    pub fn set_with_barrier(&self, value: Option<&'static T>) {
        self.0.swap(raw(value), Ordering::SeqCst);
    }

    /// True if it points to `value`.
    #[inline(always)]
    pub fn is(&self, value: &T) -> bool {
        ptr::eq(self.0.load(Ordering::Relaxed), value)
    }

    /// True if it points to nothing.
    #[inline(always)]
    pub fn is_null(&self) -> bool {
        self.0.load(Ordering::Relaxed).is_null()
    }
}

impl<T: Sync> Default for SharedPtr<T> {
    fn default() -> Self {
        SharedPtr::null()
    }
}

#[inline(always)]
fn raw<T>(value: Option<&'static T>) -> *mut T {
    value.map_or(ptr::null_mut(), |r| ptr::from_ref(r).cast_mut())
}

impl<T> fmt::Debug for SharedPtr<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:p}", self.0.load(Ordering::Relaxed))
    }
}
