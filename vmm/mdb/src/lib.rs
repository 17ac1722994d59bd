//! The debugger: what a person or a script may ask of a target, and the answers.
//!
//! - [`lang`]: what may be typed.
//! - [`types`], [`image`]: the types and symbols of the guest.
//! - [`view`], [`object`]: what a command sees of a target.
//!
//! # Invariants
//! - Nothing here writes to a target or links its kernel: what is known of it comes from the guest's own debug information.

pub mod image;
pub mod lang;
pub mod object;
pub mod types;
mod variables;
pub mod view;
