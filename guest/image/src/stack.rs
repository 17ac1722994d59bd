//! Stack slots: a guard page, then a stack, for each idle thread and then for each thread of the scenario.
//!
//! # Invariants
//! - A slot's first page has no memory behind it: an overflow faults before it reaches a neighbour.

use core::ops::Range;
use core::sync::atomic::Ordering;

use crate::start::boot_block;

/// Bytes of a guard page.
const GUARD: u64 = 4096;

/// The addresses of slot `n`'s stack, its guard page left out.
pub fn stack(slot: u32) -> Range<u64> {
    let boot = boot_block();
    let stride = boot.stack_stride.load(Ordering::Relaxed);
    let guard = boot.stacks.load(Ordering::Relaxed) + u64::from(slot) * stride;
    guard + GUARD..guard + stride
}

/// The slot whose guard page `addr` lies in, if it lies in one.
pub fn slot_guarded_at(addr: u64) -> Option<u32> {
    let boot = boot_block();
    let stride = boot.stack_stride.load(Ordering::Relaxed);
    let offset = addr.checked_sub(boot.stacks.load(Ordering::Relaxed))?;
    let slot = offset.checked_div(stride)?;
    (slot < boot.nstacks.load(Ordering::Relaxed) && offset % stride < GUARD).then_some(slot as u32)
}
