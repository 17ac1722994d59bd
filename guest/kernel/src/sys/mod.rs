//! The types that are mutual by nature, with what they tell of themselves; the code that changes them is on the floors above.
//!
//! | file | what |
//! |---|---|
//! | `thread.rs`, `thread/state.rs` | `kthread_t`, and its states with their locks |
//! | `cpu.rs`, `machcpu.rs` | `cpu_t`, and its words that belong to the machine |
//! | `spin.rs` | what a CPU waits for without giving itself up |
//! | `disp.rs` | `disp_t`: a run queue |
//! | `part.rs`, `lgrp.rs`, `pg.rs` | which CPUs belong together: partitions, locality groups, chips and cores |
//! | `class.rs`, `sobject.rs` | vectors: a class's operations, and those of what a thread sleeps on |
//! | `proc.rs` | what a debugger calls a process |
//! | `places.rs` | numbers for what is hashed or ordered by address |
//!
//! # Invariants
//! - Nothing here calls a function of a floor above. `Kthread`, `Cpu` and `Kernel` hold structures of every floor; they make
//!   them and know nothing of their inside.

pub mod class;
pub mod cpu;
pub mod disp;
pub mod lgrp;
pub mod machcpu;
pub mod part;
pub mod pg;
pub mod places;
pub mod proc;
pub mod sobject;
pub mod spin;
pub mod thread;

pub use cpu::Cpu;
pub use disp::Disp;
pub use lgrp::Lpl;
pub use machcpu::MachCpu;
pub use part::Cpupart;
pub use pg::Pg;
pub use places::Places;
pub use proc::Proc;
pub use thread::Kthread;

/// Nanoseconds in a second.
pub const NANOSEC: u64 = 1_000_000_000;
