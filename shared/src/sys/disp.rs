//! `sys/disp.h`: the dispatcher's levels.
//!
//! # Invariants
//! - Levels are global priorities, the greatest runs first: 60 user, 40 system, 60 real-time, 10 interrupt.

/// Dispatcher levels.
pub const NPRI: usize = 170;
/// Words of `disp_qactmap`.
pub const QACTMAP_WORDS: usize = NPRI.div_ceil(64);
/// Least priority of the system class.
pub const MINCLSYSPRI: i32 = 60;
/// Greatest priority of the system class.
pub const MAXCLSYSPRI: i32 = 99;
