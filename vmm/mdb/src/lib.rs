//! The debugger: what a person or a script may ask of a target, and the answers.
//!
//! - [`lang`]: what may be typed.
//! - [`types`]: the types of the guest.
//!
//! # Invariants
//! - Nothing here writes to a target or links its kernel: what is known of it comes from the guest's own debug information.

pub mod lang;
pub mod types;
