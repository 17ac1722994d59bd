//! Workloads about where threads run.
//!
//! # Invariants
//! - Its file of the same name in `guest/workloads` has a function for each.

use super::HOUR_US;

choices! {
    /// What keeps a thread on its CPU.
    How { Nomigrate "nomigrate", Nopreempt "nopreempt" }
}

workloads! {
    Placement, placement_workloads;

    /// computes while it may not leave its CPU, then rests, and so on; panics if it was moved
    pinned Pinned {
        /// thread_nomigrate: it may be preempted; kpreempt_disable: it may not
        how: choice(How) = Nomigrate,
        /// us of work while it is pinned
        hold_us: number(1..=HOUR_US) = 500,
        /// us of work while it is not
        think_us: number(0..=HOUR_US) = 100,
        /// clock ticks of sleep a turn; 0 for none
        rest_ticks: number(0..=1_000_000) = 0,
    }
}
