//! The budget of a pass: whatever a guest writes into its links and counts, looking at it takes so many reads and so many bytes.
//!
//! # Invariants
//! - Once the budget is spent every read fails, as outside guest memory, until it is given anew: every walk ends there, and what was
//!   being read is told as not consistent.
//! - A kernel as large as a machine can have spends less than an eighth of it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use umpire_machine::memory::GuestMemory;

/// Reads of a pass.
pub(super) const READS: u64 = 1 << 20;
/// Bytes of a pass.
pub(super) const BYTES: u64 = 64 << 20;

/// What is left of a pass. One thread spends it, so plain loads and stores of each number will do: relaxed.
#[derive(Debug, Default)]
pub(super) struct Budget {
    reads: AtomicU64,
    bytes: AtomicU64,
    is_cut: AtomicBool,
}

impl Budget {
    /// Begins a pass; true if the one before was cut.
    pub(super) fn begin(&self) -> bool {
        self.reads.store(READS, Ordering::Relaxed);
        self.bytes.store(BYTES, Ordering::Relaxed);
        self.is_cut.swap(false, Ordering::Relaxed)
    }

    /// True if it was not enough.
    pub(super) fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::Relaxed)
    }

    /// How many reads and bytes were spent.
    #[cfg(test)]
    pub(super) fn spent(&self) -> (u64, u64) {
        (READS - self.reads.load(Ordering::Relaxed), BYTES - self.bytes.load(Ordering::Relaxed))
    }

    #[inline]
    fn take(&self, reads: u64, bytes: usize) -> bool {
        let (has_reads, has_bytes) = (self.reads.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed));
        let (Some(reads), Some(bytes)) = (has_reads.checked_sub(reads), has_bytes.checked_sub(bytes as u64))
        else {
            self.is_cut.store(true, Ordering::Relaxed);
            return false;
        };
        self.reads.store(reads, Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
        true
    }
}

/// Guest memory that is read on a budget.
pub(super) struct Metered<'a> {
    pub(super) memory: &'a dyn GuestMemory,
    pub(super) budget: &'a Budget,
}

impl GuestMemory for Metered<'_> {
    #[inline]
    fn read(&self, addr: u64, out: &mut [u8]) -> bool {
        self.budget.take(1, out.len()) && self.memory.read(addr, out)
    }

    #[inline]
    fn copy(&self, addr: u64, out: &mut [u8]) -> bool {
        self.budget.take(1, out.len()) && self.memory.copy(addr, out)
    }

    fn nonzero(&self, addr: u64, len: usize, blocks: &mut [u64]) -> bool {
        self.budget.take(1, len) && self.memory.nonzero(addr, len, blocks)
    }

    fn prefetch(&self, addrs: &[u64]) {
        self.memory.prefetch(addrs);
    }

    fn ranges(&self) -> Vec<(u64, u64)> {
        self.memory.ranges()
    }

    fn populated(&self) -> Vec<(u64, u64)> {
        self.memory.populated()
    }

    fn read_u64(&self, addr: u64) -> Option<u64> {
        if self.budget.take(1, 8) { self.memory.read_u64(addr) } else { None }
    }

    fn read_u32(&self, addr: u64) -> Option<u32> {
        if self.budget.take(1, 4) { self.memory.read_u32(addr) } else { None }
    }

    fn read_u16(&self, addr: u64) -> Option<u16> {
        if self.budget.take(1, 2) { self.memory.read_u16(addr) } else { None }
    }

    fn read_u8(&self, addr: u64) -> Option<u8> {
        if self.budget.take(1, 1) { self.memory.read_u8(addr) } else { None }
    }
}
