//! What the tunable `kmem_flags` has checked: a buffer freed twice, used after it was freed, written past its end (`kmem.c kmem_error`).
//!
//! # Invariants
//! - A check panics, and says cache, buffer, the thread that had the buffer last, and the stack that it had then. The panic's own stack is
//!   that of the thread that noticed.
//! - Patterns are for words of memory alone: an object of an arena has meanings in its words, and locks that others may look at.

use core::fmt;

use super::cache::KmemCache;
use super::raw::{redzone, words};
use super::{NIL, kmf};
use crate::cell::Cell;
use crate::platform;
use umpire_shared::NAME_LEN;
use umpire_shared::sys::kmem::{FREE_PATTERN, REDZONE_PATTERN, UNINITIALIZED_PATTERN};

/// A buffer has been allocated.
#[cold]
pub(super) fn allocated(cp: &'static KmemCache, buf: u32) {
    if cp.has(kmf::DEADBEEF) {
        for (n, word) in words(cp, buf).iter().enumerate() {
            if word.get() != FREE_PATTERN {
                let (at, found) = (8 * n, word.get());
                error(
                    cp,
                    buf,
                    format_args!("buffer modified after being freed: at offset {at:#x} is {found:#x}"),
                );
            }
            word.set(UNINITIALIZED_PATTERN);
        }
    }
    if cp.has(kmf::REDZONE) {
        redzone(cp, buf).set(REDZONE_PATTERN);
    }
    note(cp, buf, 1);
}

/// A buffer is about to be freed.
#[cold]
pub(super) fn freed(cp: &'static KmemCache, buf: u32) {
    if cp.has(kmf::AUDIT) && cp.table().bufctl(buf).bc_is_out.get() == 0 {
        error(cp, buf, format_args!("duplicate free: buffer freed twice"));
    }
    if cp.has(kmf::REDZONE) && redzone(cp, buf).get() != REDZONE_PATTERN {
        let found = redzone(cp, buf).get();
        error(cp, buf, format_args!("redzone violation: write past end of buffer: {found:#x}"));
    }
    if !cp.keeps_constructed() {
        (cp.ops().destructor)(cp, buf);
    }
    put_away(cp, buf);
}

/// A buffer is nobody's from now on: one that was freed, or one that could not be constructed.
pub(super) fn put_away(cp: &'static KmemCache, buf: u32) {
    fill_new(cp, buf);
    note(cp, buf, 0);
}

/// A buffer of a new slab is as one that has been freed.
pub(super) fn fill_new(cp: &KmemCache, buf: u32) {
    if cp.has(kmf::DEADBEEF) {
        words(cp, buf).iter().for_each(|word| word.set(FREE_PATTERN));
    }
}

fn note(cp: &KmemCache, buf: u32, is_out: u32) {
    if cp.has(kmf::AUDIT) {
        let bufctl = cp.table().bufctl(buf);
        bufctl.bc_is_out.set(is_out);
        bufctl.bc_thread.set(platform::curthread().t_did);
        bufctl.bc_timestamp.set(platform::now());
        bufctl.bc_lastlog.set(platform::kernel().k_kmem.kmem_log.enter());
    }
}

fn error(cp: &'static KmemCache, buf: u32, what: fmt::Arguments<'_>) -> ! {
    let kernel = platform::kernel();
    let (mut name, mut last) = ([0; NAME_LEN], [0; NAME_LEN]);
    let bufctl = cp.table().bufctl(buf);
    let slab = bufctl.bc_slab.get();
    let at = if cp.table().bt_per_slab == 0 { words(cp, buf).as_ptr().addr() } else { buf as usize };
    let thread = if cp.has(kmf::AUDIT) { bufctl.bc_thread.get() } else { NIL };
    let thread = kernel.k_threads.get(thread as usize);
    panic!(
        "kernel memory allocator: {what}; buffer={at:#x} cache: {} slab={slab}; previous transaction: thread={} \"{}\" time={} stack={}",
        cp.name(&mut name),
        thread.map_or(NIL, |t| t.t_did),
        thread.map_or("unknown", |t| t.name(&mut last)),
        bufctl.bc_timestamp.get(),
        kernel.k_kmem.kmem_log.stack(bufctl.bc_lastlog.get())
    )
}
