//! `sys/processor.h`: bindings of threads to CPUs.
//!
//! # Invariants
//! - [`binding`] is Umpire's: with it a scenario program says which of the kernel's ways to bind is meant.

/// `t_bind_cpu` of a thread without a `processor_bind` binding.
pub const PBIND_NONE: i32 = -1;

flags! {
    /// Bits of `t_bindflag`.
    bindflag: u8, "" {
        /// The binding gives way when its CPU does.
        TB_CPU_SOFT = 0x01;
    }
}

words! {
    /// How a thread is bound to its CPU.
    binding {
        /// `thread_affinity_set`: the kernel's own; nothing breaks it.
        AFFINITY = "affinity";
        /// `processor_bind`: keeps the CPU from going offline unless forced.
        HARD = "hard";
        /// `processor_bind` with `PBIND_SOFT`: broken when the CPU goes offline.
        SOFT = "soft";
    }
}
