//! What a guest looks like from outside, and what is wrong with it.
//!
//! - [`glass`]: how host code sees the guest: types from DWARF, verified reads, walks, the sampler.
//! - [`blame`]: which of the dispatcher's rules keeps a CPU from serving a thread that waits, and what would end it.
//! - [`why`]: why a thread does not run: what it waits for, who has that, and so on.
//! - [`monitor`]: one file a named invariant, each a function of what the glass saw.
//! - [`probes`]: bounds on what the guest's probes recorded, judged when the run is over.
//! - [`cpuinfo`], [`findstack`]: the pictures that mdb would draw.
//!
//! # Invariants
//! - Nothing here writes to a guest or links its kernel: what is known of it comes from the guest's DWARF.
//! - The glass names no monitor.
//! - What a guest wrote is stripped of control characters before it becomes text.

pub mod blame;
pub mod cpuinfo;
pub mod findstack;
pub mod glass;
pub mod monitor;
pub mod probes;
pub mod why;
