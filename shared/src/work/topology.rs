//! Workloads that look where they are put.
//!
//! # Invariants
//! - Its file of the same name in `guest/workloads` has a function for each.

use super::HOUR_US;

choices! {
    /// Where a thread wants its peer.
    Wants { Apart "apart", Together "together" }
}

workloads! {
    Topology, topology_workloads;

    /// computes in user mode; a turn is a while in most of whose looks its peer ran where it should
    core_pair CorePair
    needs {
        /// the other of the pair
        peer: thread,
    }
    {
        /// to be on another core than its peer, or on the same
        wants: choice(Wants) = Apart,
        /// us of work between two looks
        busy_us: number(1..=HOUR_US) = 1000,
        /// looks at the peer of which a while consists
        looks: number(1..=1_000_000) = 100,
    }

    /// computes in user mode and sleeps; panics if it ran outside its locality group in most of the looks of a while
    at_home AtHome {
        /// us of work between two looks
        busy_us: number(1..=HOUR_US) = 300,
        /// clock ticks of sleep after each look
        sleep_ticks: number(1..=1_000_000) = 1,
        /// looks of which a while consists
        looks: number(1..=1_000_000) = 50,
    }
}
