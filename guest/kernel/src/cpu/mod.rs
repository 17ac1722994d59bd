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
//!   code that may not be preempted reads it without a lock.

use core::sync::atomic::AtomicU32;

use crate::sync::Mutex;
use pause::PauseInfo;

pub mod bind;
pub mod online;
pub mod partition;
pub mod pause;
pub mod power;

/// What guards the CPUs while they come and go.
#[repr(C)]
#[derive(Debug)]
pub struct CpuState {
    /// Guards which CPUs are online, partitions, and `processor_bind` bindings; taken before any other lock.
    pub cpu_lock: Mutex,
    /// Not 0 while `thread_nomigrate` makes no weak bindings.
    pub weakbindingbarrier: AtomicU32,
    /// `cpu_pause_info`.
    pub pause: PauseInfo,
    /// Called when a CPU has come or gone, by floors above this one (`cpu_setups`).
    pub(crate) setup_funcs: &'static [fn()],
}

impl CpuState {
    /// No CPU is paused.
    pub fn new(setup_funcs: &'static [fn()]) -> CpuState {
        CpuState {
            cpu_lock: Mutex::new(),
            weakbindingbarrier: AtomicU32::new(0),
            pause: PauseInfo::default(),
            setup_funcs,
        }
    }

    /// Tells who wants to know that a CPU has come or gone. The caller holds `cpu_lock` (`cpu_state_change_notify`).
    pub(crate) fn notify(&self) {
        self.setup_funcs.iter().for_each(|func| func());
    }
}
