//! Scheduler events; each CPU has a ring of its own.
//!
//! # Invariants
//! - A ring has one writer, its CPU at `DISP_LEVEL`: nothing that interrupts that level records events.
//! - A record is whole before `head` counts it. The oldest record is the first to be lost.
#![allow(unsafe_code)]

use core::ptr;
use core::sync::atomic::Ordering;

use crate::start::boot_block;
use crate::words;
use umpire_kernel::Kthread;
use umpire_shared::event::{EventRing, Kind, RING_RECORDS};

/// The platform's `event`.
pub fn event(now: u64, kind: Kind, t: &Kthread, arg: u64) {
    let Some(ring) = ring(words::cpu_id()) else { return };
    let head = ring.head.load(Ordering::Relaxed);
    let slot = &ring.slots[head as usize % RING_RECORDS];
    slot.time_ns.store(now, Ordering::Relaxed);
    slot.kind_pri.store(u64::from(t.pri() as u32) << 32 | kind as u64, Ordering::Relaxed);
    slot.thread.store(u64::from(t.t_did), Ordering::Relaxed);
    slot.arg.store(arg, Ordering::Relaxed);
    // Release: the record is in place before the host counts it.
    ring.head.store(head + 1, Ordering::Release);
}

fn ring(cpu: u32) -> Option<&'static EventRing> {
    let boot = boot_block();
    let first = boot.events.load(Ordering::Relaxed);
    if first == 0 {
        return None;
    }
    let at = first + u64::from(cpu) * boot.events_stride.load(Ordering::Relaxed);
    // SAFETY: the VMM laid out a ring for each CPU: mapped for good, aligned, and nothing but atomics.
    unsafe { ptr::with_exposed_provenance::<EventRing>(at as usize).as_ref() }
}
