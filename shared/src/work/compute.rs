//! Workloads that compute: spinners, periodic threads, users of a mutex.
//!
//! # Invariants
//! - Its file of the same name in `guest/workloads` has a function for each.

use super::HOUR_US;

choices! {
    /// Where the CPU time is spent.
    Mode { Kernel "kernel", User "user" }

    /// What a spinner does between two chunks.
    Between { Nothing "nothing", Yield "yield" }
}

workloads! {
    Compute, compute_workloads;

    /// computes for ever
    spin Spin {
        /// where the CPU time is spent
        mode: choice(Mode) = Kernel,
        /// us between two system calls of a user-mode spinner
        chunk_us: number(1..=1_000_000) = 50,
        /// what it does between two chunks
        between: choice(Between) = Nothing,
    }

    /// computes, sleeps some ticks, and so on
    periodic Periodic {
        /// us of work a turn
        busy_us: number(0..=10_000_000) = 100,
        /// clock ticks of sleep a turn: a normal callout, run by a thread at 99
        sleep_ticks: number(1..=1_000_000) = 1,
        /// where the CPU time is spent
        mode: choice(Mode) = Kernel,
        /// us of sleep a turn instead: a realtime callout, run by an interrupt; 0 for ticks
        sleep_us: number(0..=HOUR_US) = 0,
        /// us by which each sleep may be longer, drawn anew each turn
        jitter_us: number(0..=HOUR_US) = 0,
    }

    /// takes an adaptive mutex, holds it, lets go, thinks
    lock_mix LockMix {
        /// which of the 16 workload mutexes
        lock: number(0..=15) = 0,
        /// us of work inside
        hold_us: number(0..=1_000_000) = 5,
        /// us of work outside
        think_us: number(0..=1_000_000) = 20,
        /// clock ticks of sleep a turn; 0 for none
        rest_ticks: number(0..=1_000_000) = 0,
    }
}
