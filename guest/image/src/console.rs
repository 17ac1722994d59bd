//! The console: text appended to a ring; the host reads it some way behind the writer.
//!
//! # Invariants
//! - Writing never waits for the host, and only briefly for another CPU: a writer that died holding the lock
//!   garbles text but makes no CPU hang.
//! - The lock is held at level 15, so its holder is never interrupted or moved.
#![allow(unsafe_code)]

use core::fmt::{self, Write};
use core::ptr;
use core::sync::atomic::Ordering;

use crate::level::Masked;
use crate::start::boot_block;
use umpire_shared::boot::{CONSOLE_LEN, ConsoleRing};

/// Turns that a writer waits for the lock before it writes without it.
const LOCK_TURNS: u32 = 100_000;

/// The platform's `console`.
pub fn console(text: fmt::Arguments<'_>) {
    let Some(ring) = ring() else { return };
    let _masked = Masked::new();
    let locked = (0..LOCK_TURNS).any(|_| {
        core::hint::spin_loop();
        ring.lock.load(Ordering::Relaxed) == 0 && ring.lock.swap(1, Ordering::Acquire) == 0
    });
    let mut writer = Writer { ring, head: ring.head.load(Ordering::Relaxed) };
    // The only possible error is one of a `Display`; the text ends there then.
    let _ = writer.write_fmt(text);
    // Release: the bytes are in place before the host counts them.
    ring.head.store(writer.head, Ordering::Release);
    if locked {
        ring.lock.store(0, Ordering::Release);
    }
}

struct Writer {
    ring: &'static ConsoleRing,
    head: u64,
}

impl Write for Writer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for &byte in text.as_bytes() {
            self.ring.text[self.head as usize % CONSOLE_LEN].store(byte, Ordering::Relaxed);
            self.head += 1;
        }
        Ok(())
    }
}

fn ring() -> Option<&'static ConsoleRing> {
    let at = boot_block().console.load(Ordering::Relaxed) as usize;
    // SAFETY: null or the ring that the VMM laid out: mapped for good, aligned, and nothing but atomics.
    unsafe { ptr::with_exposed_provenance::<ConsoleRing>(at).as_ref() }
}
