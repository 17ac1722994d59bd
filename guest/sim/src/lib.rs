//! The host platform: the watched kernel on a simulated machine, in virtual time; every choice is drawn from one seed.
//!
//! Each kernel thread is a coroutine; each simulated CPU has its own clock. The CPU whose clock is furthest behind runs until
//! it is ahead of the next one, so the CPUs interleave at every place where the kernel calls its platform: before a lock is
//! taken, after it is released, at each memory barrier, and inside every stretch of computing.
//!
//! # Invariants
//! - The same program, CPU count and seed give the same events at the same virtual times, on any host.
//! - A simulation lives on one host thread; several may live side by side on several threads.
//! - A kernel panic ends the simulation, not the process.
//!
//! # What is not here
//! Stack overflows and endless loops without a platform call: they need a machine that can be stopped from outside.

mod coroutine;
mod cpu;
mod glue;
mod host;
mod machine;
mod rng;
mod sim;
mod trace;

pub use host::Absence;
pub use sim::{End, Sim, SimConfig, SimError, SimState};
pub use trace::TraceRecord;
pub use umpire_kernel::Kernel;
