//! Interrupts: levels, what runs at each, and what happens on the way back.
//!
//! # Invariants
//! - Masking is the CPU's priority level, a number; interrupts are never disabled otherwise.
//! - A handler runs at its own level, on the stack of whatever it interrupted, and never blocks.
//!
//! # What is not here
//! Interrupt threads (levels 1 to 10 in Solaris), pinning and passivation: the next thing to build. Until then
//! handlers of those levels run on the interrupted stack, and `cpu_base_spl` stays 0.

pub mod device;
mod dispatch;
pub mod spl;
mod user;

pub use dispatch::{interrupt, siron};
pub use user::{user_enter, user_exit};

/// Level of soft calls.
pub const SOFT_PIL: u32 = 1;
/// The clock, and the highest level at which a handler could be a thread.
pub const LOCK_LEVEL: u32 = 10;
/// At or above this level the dispatcher does not run.
pub const DISP_LEVEL: u32 = 11;
/// The poke (`XC_CPUPOKE_PIL`).
pub const POKE_PIL: u32 = 11;
/// High-level cyclics, and the timer that drives all of them (`CBE_HIGH_PIL`).
pub const HIGH_PIL: u32 = 14;
