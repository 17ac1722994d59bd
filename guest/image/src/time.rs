//! The clock: the time-stamp counter, scaled to nanoseconds since boot.
//!
//! # Invariants
//! - Scale and base are set once, by CPU 0, before any other CPU or thread asks for the time. The base is in the boot block: a VMM
//!   that has held every CPU moves it on by that time before any of them goes on, so that no time has passed.
//! - KVM keeps the counters of all vCPUs in step; on one CPU the counter does not go back.
//! - The scale is 32.32 fixed point: its error is below 10^-9 for any counter from 1 GHz to 10 GHz.
#![allow(unsafe_code)]

use core::arch::x86_64::_rdtsc;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::start::boot_block;

static NS_PER_COUNT: AtomicU64 = AtomicU64::new(0);

/// Starts the clock at 0. `tsc_khz` is the counter's frequency.
pub fn start(tsc_khz: u64) {
    NS_PER_COUNT.store((1_000_000 << 32) / tsc_khz.max(1), Ordering::Relaxed);
    boot_block().tsc_base.store(counter(), Ordering::Relaxed);
}

/// Nanoseconds since [`start`].
#[inline(always)]
pub fn now() -> u64 {
    let base = &boot_block().tsc_base;
    // A CPU that is held between two of these steps goes on with another base, which does not fit the count:
    //
    //   base   count   (held; the VMM moves the base)   base again: another -> once more
    let counts = loop {
        let before = base.load(Ordering::Acquire);
        let count = counter();
        if base.load(Ordering::Acquire) == before {
            break count.wrapping_sub(before);
        }
    };
    ((u128::from(counts) * u128::from(NS_PER_COUNT.load(Ordering::Relaxed))) >> 32) as u64
}

/// The time-stamp counter.
#[inline(always)]
pub fn counter() -> u64 {
    // SAFETY: every x86-64 CPU has the counter, and CR4.TSD is clear, so CPL 3 may read it.
    unsafe { _rdtsc() }
}

/// Time that interrupts or other threads take meanwhile counts as well.
pub fn spin(ns: u64) {
    let begin = now();
    while now() - begin < ns {
        core::hint::spin_loop();
    }
}
