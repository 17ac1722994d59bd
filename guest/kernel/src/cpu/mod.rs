//! What may be done with CPUs while the system runs.
//!
//! | file | what |
//! |---|---|
//! | `partition.rs` | moving CPUs and threads between partitions |
//! | `bind.rs` | affinity, `processor_bind`, weak bindings |
//! | `pause.rs` | `pause_cpus`, `start_cpus` |
//! | `online.rs` | `p_online`: offline and online |
//! | `power.rs` | `cpu_poweroff`: waits until an offline CPU takes no interrupts any more |
//!
//! # Invariants
//! - Which CPUs are online and which partition each is in changes only under `cpu_lock` with every other CPU paused; so
//!   whoever may not be preempted reads it without a lock.

pub mod bind;
pub mod online;
pub mod partition;
pub mod pause;
pub mod power;
