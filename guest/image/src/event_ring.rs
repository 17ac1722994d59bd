//! Scheduler events; each CPU has a ring of its own.
//!
//! # Invariants
//! - A ring has one writer, its CPU at level 15. Interrupts above `DISP_LEVEL` fire probes too, and would find a record half written:
//!
//! ```text
//!   a probe at DISP_LEVEL                 an interrupt of level 14 on top of it
//!   head is 7: begins to write record 7
//!                                         writes record 7 as well, head = 8
//!   head = 8: one of the two is gone
//! ```
//! - A record is whole before `head` counts it. The oldest record is the first to be lost.
#![allow(unsafe_code)]

use core::ptr;
use core::sync::atomic::Ordering;

use crate::start::boot_block;
use crate::words;
use umpire_kernel::{Kthread, spl};
use umpire_shared::event::{EventRing, EventSlot, Kind};

/// The platform's `event`.
pub fn event(now: u64, kind: Kind, t: &Kthread, arg: u64) {
    let Some((ring, records)) = ring(words::cpu_id()) else { return };
    let level = words::pil();
    words::set_pil(15);
    let head = ring.head.load(Ordering::Relaxed);
    let slot = slot(ring, head & (records - 1));
    slot.time_ns.store(now, Ordering::Relaxed);
    slot.kind_pri.store(u64::from(t.pri() as u32) << 32 | kind as u64, Ordering::Relaxed);
    slot.thread.store(u64::from(t.t_did), Ordering::Relaxed);
    slot.arg.store(arg, Ordering::Relaxed);
    // Release: the record is in place before the host counts it.
    ring.head.store(head + 1, Ordering::Release);
    spl::splx(level);
}

/// A CPU's ring, and how many records it has.
#[inline(always)]
fn ring(cpu: u32) -> Option<(&'static EventRing, u64)> {
    let boot = boot_block();
    let first = boot.events.load(Ordering::Relaxed);
    if first == 0 {
        return None;
    }
    let at = first + u64::from(cpu) * boot.events_stride.load(Ordering::Relaxed);
    // SAFETY: the VMM laid out a ring for each CPU: mapped for good, aligned, and nothing but atomics.
    let ring = unsafe { ptr::with_exposed_provenance::<EventRing>(at as usize).as_ref() }?;
    Some((ring, boot.events_records.load(Ordering::Relaxed)))
}

/// Slot `n` of a ring, which is below the number of its records.
#[inline(always)]
fn slot(ring: &'static EventRing, n: u64) -> &'static EventSlot {
    let first = ptr::from_ref(ring).addr() + size_of::<EventRing>();
    let at = first + n as usize * size_of::<EventSlot>();
    // SAFETY: the VMM laid out so many slots behind the ring's head: mapped for good, aligned, and nothing but atomics.
    unsafe { &*ptr::with_exposed_provenance::<EventSlot>(at) }
}
