//! The watched kernel: a dispatcher in the manner of Solaris, with the classes, locks, clock and
//! interrupt levels that it needs, for any machine that binds [`platform`].
//!
//! # Invariants
//! - No assembly, no MSR, no clock of its own: it asks [`platform`] for what it wants of a machine.
//! - All state hangs off one [`Kernel`]; nothing here is a mutable static.
//! - Every field that two CPUs may touch is an atomic. What a lock guards is read and written with
//!   [`cell::Cell`]'s relaxed `get` and `set`, and the lock orders it; anything else says why its ordering suffices.
//! - `unsafe` is in [`lock`] (pointers and lock words) and [`platform`] (what is bound at link time), and nowhere else.
//! - Nothing on the paths from wake-up to switch allocates or formats.
//!
//! Names, numbers and queue discipline are illumos's; each function names its source.
#![no_std]

extern crate alloc;

pub mod boot;
pub mod cell;
pub mod class;
pub mod cpu;
pub mod cpucaps;
pub mod disp;
pub mod intr;
mod kernel;
pub mod kmem;
pub mod kstat;
pub mod lgrp;
pub mod lock;
pub mod mstate;
pub mod net;
pub mod panic;
pub mod platform;
pub mod probe;
pub mod script;
pub mod spl;
pub mod streams;
pub mod sync;
pub mod sys;
pub mod taskq;
pub mod thread;
pub mod time;
pub mod vm;
pub mod work;
pub mod zfs;

pub use kernel::Kernel;
pub use sys::{Cpu, Kthread};
