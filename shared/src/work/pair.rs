//! Two threads that wait for each other.
//!
//! # Invariants
//! - Its file of the same name in `guest/workloads` has a function for each.

workloads! {
    Pair, pair_workloads;

    /// waits on a condition variable for its peer's signal and signals back
    pingpong Pingpong
    needs {
        /// the other player, a pingpong too
        peer: thread,
    }
    {}
}
