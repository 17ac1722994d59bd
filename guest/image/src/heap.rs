//! The heap: memory handed out once, at boot, and never taken back.
//!
//! # Invariants
//! - Memory that is handed out was never used before, and the memory of a new guest reads as zeros.
//! - The kernel allocates while CPU 0 boots and not after; freeing does nothing.
#![allow(unsafe_code)]

use core::alloc::{GlobalAlloc, Layout};
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};

struct Heap {
    next: AtomicUsize,
    end: AtomicUsize,
}

#[global_allocator]
static HEAP: Heap = Heap { next: AtomicUsize::new(0), end: AtomicUsize::new(0) };

/// Gives the heap its memory. Called once, before the first allocation.
pub fn init(start: u64, len: u64) {
    HEAP.next.store(start as usize, Ordering::Relaxed);
    HEAP.end.store((start + len) as usize, Ordering::Relaxed);
}

// SAFETY: `alloc` gives out disjoint, aligned pieces of the boot block's heap, which nothing else uses, or null.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let end = self.end.load(Ordering::Relaxed);
        let place = |next: usize| {
            let at = next.checked_next_multiple_of(layout.align())?;
            let after = at.checked_add(layout.size())?;
            (after <= end).then_some((at, after))
        };
        // Relaxed: the pieces are disjoint, and code that passes one to another CPU orders that itself.
        let old = self
            .next
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| place(next).map(|(_, after)| after));
        match old.ok().and_then(place) {
            Some((at, _)) => ptr::with_exposed_provenance_mut(at),
            None => ptr::null_mut(),
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are those of `alloc`; fresh memory is zero, and stays untouched until used.
        unsafe { self.alloc(layout) }
    }

    unsafe fn dealloc(&self, _at: *mut u8, _layout: Layout) {}
}
