//! A workload that may not be preempted in the kernel, though interrupts come in.
//!
//! # Invariants
//! - Its file of the same name in `guest/workloads` has a function for each.

use super::HOUR_US;

workloads! {
    Unpreemptible, unpreemptible_workloads;

    /// computes in the kernel for ever with preemption disabled (t_preempt raised), interrupts on
    nopreempt_loop NopreemptLoop {
        /// us of ordinary work first
        after_us: number(0..=HOUR_US) = 0,
        /// us a turn
        chunk_us: number(1..=1_000_000) = 50,
    }
}
