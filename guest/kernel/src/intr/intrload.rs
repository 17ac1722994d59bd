//! How busy a CPU is with interrupts (`cpu_intrload`), for the search for a CPU that can take a soft call.
//!
//! # Invariants
//! - The words have one writer, their CPU, at level 15; what another CPU reads is a guess.
//! - Only the outermost interrupt is timed: what nests in it is part of it.

use crate::cell::Cell;
use crate::platform;
use crate::sys::Cpu;

/// ns over which the load is averaged.
const WINDOW_NS: u64 = 100_000_000;
/// The greatest load.
const MAX: u64 = 99;

/// An interrupt that began at `begin` (ns) is over at `now`, or its thread has blocked.
pub(super) fn account(cp: &Cpu, begin: u64, now: u64) {
    let busy = cp.cpu_intracct.get() + (now - begin);
    let past = now - cp.cpu_intrload_since.get();
    if past < WINDOW_NS {
        cp.cpu_intracct.set(busy);
        return;
    }
    let load = (busy * 100 / past).min(MAX);
    cp.cpu_intrload.set(((u64::from(cp.cpu_intrload.get()) + load) / 2) as u8);
    cp.cpu_intracct.set(0);
    cp.cpu_intrload_since.set(now);
}

/// The load of any CPU as seen now: the greatest while the CPU runs an interrupt thread, or while an interrupt thread that is
/// blocked keeps its level up; 0 if the load was last averaged more than two windows ago. The next look may give another load.
pub(super) fn of(cp: &Cpu) -> u8 {
    if cp.cpu_base_spl.get() != 0 || cp.cpu_thread.get().is_some_and(|t| t.is_intr()) {
        return MAX as u8;
    }
    platform::interleave();
    // Another CPU's clock may be a little ahead of ours.
    let past = platform::now().saturating_sub(cp.cpu_intrload_since.get());
    if past > 2 * WINDOW_NS { 0 } else { cp.cpu_intrload.get() }
}
