//! `sys/machlock.h`: interrupt priority levels.
//!
//! # Invariants
//! - Levels are 0 to 15, those of i86pc.

/// Level of soft calls.
pub const SOFT_PIL: u32 = 1;
/// The clock, and the highest level whose handler is a thread.
pub const LOCK_LEVEL: u32 = 10;
/// At or above this level the dispatcher does not run, and a handler is no thread: it uses the stack of whatever was there.
pub const DISP_LEVEL: u32 = 11;
/// The poke (`XC_CPUPOKE_PIL`).
pub const POKE_PIL: u32 = 11;
/// High-level cyclics, and the timer that drives all of them (`CBE_HIGH_PIL`).
pub const HIGH_PIL: u32 = 14;
/// Cross calls (`XC_SYS_PIL`).
pub const XC_SYS_PIL: u32 = 13;
/// One more than the highest level.
pub const LEVELS: u32 = 16;
