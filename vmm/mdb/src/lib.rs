//! The debugger: what a person or a script may ask of a target, and the answers.
//!
//! - [`lang`]: what may be typed.
//! - [`types`], [`image`]: the types and symbols of the guest.
//! - [`view`], [`object`]: what a command sees of a target.
//! - [`recorded`]: what it sees of a recording; [`source`]: which of the two a session looks at.
//! - [`dcmd`], [`walker`], [`memory`]: the commands, one file each; what is walked; memory formats.
//! - [`answer`], [`call`]: what a command comes back with, and what it is given.
//! - [`session`]: statements carried out one after the other.
//!
//! # Invariants
//! - Nothing here writes to a target but through its own machine, and nothing links its kernel: what is known of it comes from the guest's own debug information.

pub mod answer;
pub mod call;
mod callouts;
mod caps;
mod classes;
mod cyclics;
mod cyctrace;
pub mod dcmd;
mod disassembler;
mod frames;
pub mod image;
mod kernel;
mod known;
pub mod kstats;
pub mod lang;
pub mod memory;
mod named;
mod network;
pub mod object;
mod printer;
pub mod procs;
pub mod recorded;
pub mod session;
pub mod source;
mod streams;
pub mod tool;
pub mod types;
mod variables;
mod verdicts;
pub mod view;
pub mod walker;
