//! Time: the cyclics of each CPU, the clock they drive, callouts, and the deadman that watches the clock.
//!
//! | file | what |
//! |---|---|
//! | `cyclic/` | what a CPU does again and again, at three levels |
//! | `callout/` | calls that are to be made once, later; timed waits and `delay` |
//! | `clock.rs`, `clock_tick.rs`, `loadavg.rs` | the tick, which threads it charges, and what it counts |
//! | `clock_tick_mp.rs` | charging with several CPUs |
//! | `device.rs` | the cyclics of the scenario's devices |
//! | `deadman.rs` | watches the clock from every CPU |
//! | `heap.rs` | the heap that finds what is due first |
//! | `signal.rs` | counters that callouts and cyclics count up and threads wait for |
//!
//! # Invariants
//! - One timer a CPU, always armed for its earliest cyclic or earlier.
//! - `clock()` runs on one CPU at a time, at level 10.
//! - Lock order: sleep queue > callout table > cyclics of a CPU.

pub mod callout;
pub mod clock;
mod clock_tick;
pub mod clock_tick_mp;
pub mod cyclic;
pub mod deadman;
mod device;
pub mod heap;
pub mod loadavg;
pub mod signal;
