//! Scenarios: what a file asks for, checked and ready to run.
//!
//! # Invariants
//! - A [`Scenario`] exists only if all of its file was understood: no key is ignored, every name resolves,
//!   every number is in range. The code that runs it checks nothing again.
//! - Bad input of any kind, on any bytes, ends in a [`ScenarioError`], never in a panic.
//! - Nothing here prints or runs anything; what came of a run is in the referee's reports.

mod bound;
pub mod builtin;
mod dispadmin;
pub mod duration;
mod encode;
mod error;
mod event;
mod field;
mod file;
mod interrupt;
mod layers;
mod namespace;
mod network;
mod overrides;
mod params;
mod parse;
mod plain;
mod probe_bound;
mod settings;
mod standing;
mod stream;
mod suggest;
mod table;
mod taskq;
mod thread;
mod ticks;
mod topology;
mod variant;
mod work;

pub use error::{Fault, ScenarioError};
pub use event::{NEVER, ScriptedEvent};
pub use file::{STDIN, Scenario, load};
pub use overrides::{OverrideError, Overrides, Setting};
pub use parse::{RUN_NS, SAMPLE_HZ};
pub use settings::Script;
pub use thread::THREAD_NAME_MAX;
pub use topology::Topology;
pub use variant::{Expect, GuestDeadman, Tracing, Variant};
