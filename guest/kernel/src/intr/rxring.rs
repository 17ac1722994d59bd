//! A device's receive ring: what has arrived and was not taken out yet.
//!
//! # Invariants
//! - One producer at a time, the device's cyclic; one consumer at a time, who holds `rr_lock`. The producer alone moves `rr_head`, the
//!   consumer `rr_tail`; each is released by the one and acquired by the other.
//! - A packet for which there is no room is lost and counted, and has no number.
//! - No arrival stays unseen while the interrupts go on again. At least one of the two sees what the other wrote:
//!
//! ```text
//!   device_assert                            intr_on
//!   rr_head += n             (SeqCst)        rr_off = 0               (SeqCst)
//!   rr_off? -> 1: no interrupt               rr_head == rr_tail? -> no: interrupts
//! ```

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::cell::Cell;
use crate::sync::Mutex;

/// Packets that it has room for.
pub const RX_RING: usize = 512;

/// A receive ring.
#[repr(C)]
#[derive(Debug)]
pub struct RxRing {
    /// Held by who takes packets out.
    pub rr_lock: Mutex,
    /// By place: when the packet arrived. Empty for a device that brings none.
    pub rr_arrived: Box<[AtomicU64]>,
    /// Packets that have arrived.
    pub rr_head: AtomicU64,
    /// Packets that were taken out.
    pub rr_tail: AtomicU64,
    /// Nonzero while the device does not interrupt.
    pub rr_off: AtomicU32,
    /// Packets for which there was no room.
    pub rr_overflow: AtomicU64,
    /// Packets for which there was no memory (`norcvbuf`). Relaxed additions.
    pub rr_norcvbuf: AtomicU64,
}

impl RxRing {
    /// An empty ring; of no use for a device that brings no packets.
    pub(super) fn new(is_nic: bool) -> RxRing {
        let room = if is_nic { RX_RING } else { 0 };
        RxRing {
            rr_lock: Mutex::new(),
            rr_arrived: (0..room).map(|_| AtomicU64::new(0)).collect(),
            rr_head: AtomicU64::new(0),
            rr_tail: AtomicU64::new(0),
            rr_off: AtomicU32::new(0),
            rr_overflow: AtomicU64::new(0),
            rr_norcvbuf: AtomicU64::new(0),
        }
    }

    /// True if its device brings packets.
    pub fn is_there(&self) -> bool {
        !self.rr_arrived.is_empty()
    }

    /// So many packets arrive. Only the device's cyclic calls this.
    pub(super) fn arrive(&self, packets: u32, now: u64) {
        let (head, tail) = (self.rr_head.get(), self.rr_tail.load(Ordering::Acquire));
        let room = self.rr_arrived.len() as u64 - (head - tail);
        let taken = room.min(packets.into());
        for n in head..head + taken {
            self.rr_arrived[n as usize % self.rr_arrived.len()].set(now);
        }
        self.rr_overflow.set(self.rr_overflow.get() + u64::from(packets) - taken);
        // SeqCst: see the picture in the invariants.
        self.rr_head.store(head + taken, Ordering::SeqCst);
    }

    /// How many are there.
    pub fn len(&self) -> u32 {
        // The tail first: it never overtakes a head that is read later.
        let tail = self.rr_tail.load(Ordering::SeqCst);
        (self.rr_head.load(Ordering::SeqCst) - tail) as u32
    }

    /// True if none is there.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes the first out: its number, and when it arrived. `rr_lock` is held.
    pub fn take(&self) -> Option<(u64, u64)> {
        let tail = self.rr_tail.get();
        if tail == self.rr_head.load(Ordering::Acquire) {
            return None;
        }
        let arrived = self.rr_arrived[tail as usize % self.rr_arrived.len()].get();
        self.rr_tail.store(tail + 1, Ordering::Release);
        Some((tail, arrived))
    }
}
