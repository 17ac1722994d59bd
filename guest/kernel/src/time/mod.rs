//! Time: the cyclics of each CPU, the clock they drive, timeouts in ticks, and the deadman that watches the clock.
//!
//! # Invariants
//! - One timer a CPU, always armed for its earliest cyclic.
//! - `clock()` runs on one CPU, at level 10.

pub mod callout;
pub mod clock;
pub mod cyclic;
pub mod deadman;

/// Nanoseconds in a second.
pub const NANOSEC: u64 = 1_000_000_000;
