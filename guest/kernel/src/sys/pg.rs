//! Processor groups (`sys/pghw.h`): CPUs that share a chip or a core. How threads are spread over them is in `disp/cmt.rs`.
//!
//! # Invariants
//! - Groups of one kind stand side by side in `pgs`: chips first, then cores; the siblings of a group are neighbours.
//! - `cmt_utilization` is the number of the group's CPUs that are not idle. Each CPU counts itself in and out.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU32, AtomicU64};

use crate::cell::Cell;

/// Kinds of groups in a CPU's lineage.
pub const LEVELS: usize = 2;

/// Values of `pg_hw` (`sys/pghw.h`).
pub mod pghw {
    /// CPUs that share an instruction pipeline: a core's strands.
    pub const IPIPE: u32 = 1;
    /// CPUs of one chip, which share a cache.
    pub const CHIP: u32 = 5;
}

/// The processor groups.
#[repr(C)]
#[derive(Debug)]
pub struct CmtState {
    /// Processor groups: chips, then cores.
    pub pgs: Box<[Pg]>,
}

impl CmtState {
    /// These groups.
    pub fn new(pgs: Box<[Pg]>) -> CmtState {
        CmtState { pgs }
    }
}

/// `pg_cmt_t`: CPUs that share a piece of hardware.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Pg {
    /// Number of the chip, or of the core counted over the whole machine.
    pub pg_id: u32,
    /// One of [`pghw`].
    pub pg_hw: u32,
    /// Its CPUs, a bit each.
    pub pg_cpus: AtomicU64,
    /// How many of them are not idle.
    pub cmt_utilization: AtomicU32,
    /// Place of its first sibling in `pgs`.
    pub cmt_siblings: u32,
    /// Siblings, itself included.
    pub cmt_nsiblings: u32,
}

impl Pg {
    /// Its CPUs that are online in `onln`.
    pub(crate) fn capacity(&self, onln: u64) -> u32 {
        (self.pg_cpus.get() & onln).count_ones()
    }
}
