//! Load averages over 1, 5 and 15 minutes (`clock.c calcloadavg`).
//!
//! # Invariants
//! - Fixed point with 16 fraction bits. Each second the average goes a small part of the way to the present load: 135, 27
//!   and 9 of 8192, which is 1/60, 1/300 and 1/900 of it as closely as 13 bits can tell.

use core::sync::atomic::AtomicI64;

use crate::cell::Cell;

/// Bits after the point.
pub const FRACTION_BITS: u32 = 16;
/// How far each of the three goes in a second, in 8192nds of the way.
const STEPS: [i64; 3] = [135, 27, 9];

/// Takes in one second in which `load` threads ran or waited to run.
pub fn calcloadavg(averages: &[AtomicI64; 3], load: u64) {
    let load = (load << FRACTION_BITS) as i64;
    for (average, step) in averages.iter().zip(STEPS) {
        let old = average.get();
        average.set(old + (((load - old) * step) >> 13));
    }
}
