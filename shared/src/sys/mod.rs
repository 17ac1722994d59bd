//! The kernel's vocabulary: values, flag bits and constants that both the kernel and the code that looks at it know.
//!
//! A file is named as the Solaris header that has them. `values!` and `flags!` take a name's number and the name that the number
//! prints as from one and the same line, so that a debugger's `TS_ONPROC` and the dispatcher's cannot differ.
//!
//! # Invariants
//! - A value is written once, here. The kernel re-exports a module where its structure lives; the host names it by its path.
//! - In one table each name and each number stand once, and a flag is one bit: a table that breaks this does not compile.
//! - A value that Solaris has is Solaris's, and prints as there; one that only Umpire has says so.

#[macro_use]
mod names;

pub mod callo;
pub mod class;
pub mod conf;
pub mod cpuvar;
pub mod cyclic;
pub mod disp;
pub mod klwp;
pub mod kmem;
pub mod mac;
pub mod machlock;
pub mod msacct;
pub mod mutex;
pub mod processor;
pub mod rwlock;
pub mod sobject;
pub mod squeue;
pub mod stream;
pub mod stropts;
pub mod strsubr;
pub mod taskq;
pub mod thread;
pub mod zio;

pub use names::{Flags, Name, ShownFlags, ShownValue, Values};

/// First word of a kernel object, so that a reader with a wrong address notices: "KERNEL!!".
pub const KERNEL_MAGIC: u64 = u64::from_le_bytes(*b"KERNEL!!");
