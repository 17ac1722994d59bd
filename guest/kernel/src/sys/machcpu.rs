//! What a CPU of this machine has for itself (`struct machcpu`): its priority level, and the interrupts that wait for it.
//!
//! # Invariants
//! - Only the CPU itself writes these words, by way of the platform. Where they lie is the platform's choice: in `cpu_m`, or, where the
//!   code that takes interrupts must find them without a pointer, somewhere else. `cpu_mach` leads to them either way.
//! - An interrupt that arrives while its level is masked sets its bit; taking it clears the bit before its handler is counted. So a
//!   bit that stays set while no handler of the level begins says that the level has not come down to it.

use core::sync::atomic::AtomicU32;

/// `struct machcpu`.
#[repr(C)]
#[derive(Debug)]
pub struct MachCpu {
    /// Interrupts of the hardware that arrived while masked, bit `n` for level `n`; not acknowledged yet.
    pub mcpu_hw_pending: AtomicU32,
    /// Software interrupts that the kernel posted, likewise (`st_pending`). Next to the other: both are read as one.
    pub mcpu_soft_pending: AtomicU32,
    /// The priority level, 0 to 15 (`mcpu_pri`).
    pub mcpu_pri: AtomicU32,
}

impl MachCpu {
    /// Nothing pending, everything masked.
    pub const fn new() -> MachCpu {
        MachCpu {
            mcpu_hw_pending: AtomicU32::new(0),
            mcpu_soft_pending: AtomicU32::new(0),
            mcpu_pri: AtomicU32::new(15),
        }
    }
}

impl Default for MachCpu {
    fn default() -> Self {
        MachCpu::new()
    }
}
