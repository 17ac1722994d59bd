//! The kernel's vocabulary: values, flag bits and constants that the kernel and whoever looks at it both know.
//!
//! A file is named as the Solaris header that has them. `values!` and `flags!` give each name its number and print the number
//! by its name from one and the same line, so that a debugger's `TS_ONPROC` and the dispatcher's cannot differ.
//!
//! # Invariants
//! - A value is written once, here. The kernel re-exports a module where its structure lives; the host names it by its path.
//! - In one table each name and each number stand once, and a flag is one bit: what breaks that does not compile.
//! - Where Solaris has the value it is Solaris's, and prints as there; what only Umpire has says so.

#[macro_use]
mod names;

pub mod class;
pub mod cpuvar;
pub mod cyclic;
pub mod disp;
pub mod klwp;
pub mod machlock;
pub mod msacct;
pub mod mutex;
pub mod processor;
pub mod rwlock;
pub mod sobject;
pub mod thread;

pub use names::{Flags, Name, ShownFlags, ShownValue, Values};

/// First word of a kernel object, so that a reader that was led astray notices: "KERNEL!!".
pub const KERNEL_MAGIC: u64 = u64::from_le_bytes(*b"KERNEL!!");
