//! The referee: builds a machine, boots it, watches it through guest memory, and judges it.
//!
//! Modules, lowest first; nothing lower names anything higher.
//!
//! - [`machine`]: KVM, memory, vCPU threads, kick, boot. The only place that writes guest memory.
//! - [`glass`]: how host code sees the guest: types from DWARF, verified reads, walks, the sampler.
//! - [`monitor`]: one file a named invariant.
//! - [`scenario`]: files, variants, runs, verdicts.
//! - [`show`]: tables as text and JSON, the pictures that mdb would draw.
//! - [`referee`]: wires all of the above into a run and its report.
//! - [`cli`]: the command line.
//!
//! # Invariants
//! - Nothing here links the kernel: what this crate knows of it comes from the guest's DWARF.

pub mod cli;
pub mod glass;
pub mod machine;
pub mod monitor;
pub mod referee;
pub mod scenario;
pub mod show;
