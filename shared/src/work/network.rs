//! Workers that wait for packets: soft rings and squeues.
//!
//! # Invariants
//! - Its file of the same name in `guest/workloads` has a function for each.

workloads! {
    Network, network_workloads;

    /// a MAC soft ring's worker: waits for packets, passes each on to its sink
    soft_ring SoftRing by mac_soft_ring_worker
    needs {
        /// the interrupt that brings packets
        source: interrupt,
    }
    {
        /// who gets them next
        sink: maybe(thread),
        /// us of work a packet
        cost_us: number(0..=1_000_000) = 5,
    }

    /// an IP squeue's worker: waits for packets, consumes them
    squeue Squeue by squeue_worker {
        /// us of work a packet
        cost_us: number(0..=1_000_000) = 5,
        /// an interrupt whose packets come here directly, beside what a soft ring passes on
        source: maybe(interrupt),
    }
}
