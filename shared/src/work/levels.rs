//! Workloads at a raised priority level: they hold interrupts off, take spin mutexes, make cross calls.
//!
//! # Invariants
//! - Its file of the same name in `guest/workloads` has a function for each.

use super::HOUR_US;

choices! {
    /// How a cross call waits.
    How { Call "call", Sync "sync" }
}

workloads! {
    Levels, levels_workloads;

    /// raises its CPU's priority level for a time, lowers it again, works on
    pil_hold PilHold {
        /// the level
        pil: number(1..=15) = 10,
        /// us at that level
        hold_us: number(0..=HOUR_US) = 1000,
        /// us of ordinary work first
        after_us: number(0..=HOUR_US) = 0,
        /// how often; it ends then
        times: number(1..=1_000_000) = 1,
        /// who is woken at the end of each turn, at that level if it is `DISP_LEVEL` or less: a `woken`
        sink: maybe(thread),
    }

    /// waits until a `pil_hold` wakes it, or a `lock_pass`: a turn is a wake-up
    woken Woken {}

    /// takes a spin mutex, holds it at the mutex's level, lets go, thinks
    spin_mix SpinMix {
        /// the mutex's level: there is one for each
        pil: number(11..=15) = 11,
        /// us of work inside
        hold_us: number(0..=HOUR_US) = 5,
        /// us of work outside
        think_us: number(0..=HOUR_US) = 20,
        /// clock ticks of sleep a turn; 0 for none
        rest_ticks: number(0..=1_000_000) = 0,
    }

    /// takes a spin mutex, works, makes a cross call to every CPU and waits for the answers, lets go, thinks; as an unmap does
    xcall_mix XcallMix {
        /// the mutex's level, 11 to 15; 10 for none
        pil: maybe(11..=15, none 10),
        /// sync: nobody answers before everybody has stopped
        how: choice(How) = Call,
        /// us of work with the mutex, before the call
        hold_us: number(0..=HOUR_US) = 20,
        /// us of work outside
        think_us: number(0..=HOUR_US) = 100,
        /// clock ticks of sleep a turn; 0 for none
        rest_ticks: number(0..=1_000_000) = 0,
        /// us before the first turn: asleep for the whole ticks of it, at work for the rest
        after_us: number(0..=HOUR_US) = 0,
    }
}
