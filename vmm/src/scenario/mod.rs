//! Scenarios: what a file asks for, checked and ready to run, and what a run of it came to.
//!
//! # Invariants
//! - A [`Scenario`] exists only if all of its file was understood: no key is ignored, every name resolves,
//!   every number is in range. What runs it checks nothing again.
//! - Bad input of any kind, on any bytes, ends in a [`ScenarioError`], never in a panic.
//! - Nothing here prints; what a run came to is data, which [`crate::show`] renders.

mod bound;
pub mod builtin;
pub mod duration;
mod encode;
mod error;
mod field;
mod file;
pub mod outcome;
mod overrides;
mod parse;
mod suggest;
mod thread;
mod variant;
mod work;

pub use error::{Fault, ScenarioError};
pub use file::{Scenario, load};
pub use overrides::{OverrideError, Overrides, Setting};
pub(crate) use parse::{RUN_NS, SAMPLE_HZ};
pub use thread::THREAD_NAME_MAX;
pub use variant::{Expect, GuestDeadman, Tracing, Variant};
