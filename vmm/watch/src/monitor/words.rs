//! Words for the sentences of verdicts: threads, times.
//!
//! # Invariants
//! - A thread is described as it was read at the moment of the verdict.

use super::blame::{described, ms};
use crate::glass::{CpuSample, Glass, Snapshot};

/// What a sentence is made of.
#[derive(Debug)]
pub struct Words<'a> {
    glass: &'a Glass,
    /// What the pass saw that found the breach.
    pub seen: &'a Snapshot,
}

impl<'a> Words<'a> {
    pub(super) fn new(glass: &'a Glass, seen: &'a Snapshot) -> Words<'a> {
        Words { glass, seen }
    }

    /// `mac_soft_ring_worker (SYS 99, bound to cpu 1)`.
    pub fn thread(&self, thread: Option<u32>) -> String {
        let addr = thread.and_then(|index| self.seen.arena.map(|arena| arena.address_of(index)));
        self.card(addr.unwrap_or(0))
    }

    /// What runs on a CPU.
    pub fn runner(&self, cpu: &CpuSample) -> String {
        if cpu.dispatch_pri < 0 { "its idle thread".to_owned() } else { self.card(cpu.dispthread) }
    }

    /// Milliseconds with one decimal.
    pub fn ms(&self, ns: u64) -> String {
        ms(ns)
    }

    fn card(&self, addr: u64) -> String {
        described(&self.glass.thread_card(self.seen, addr).unwrap_or_default())
    }
}
