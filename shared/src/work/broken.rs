//! Workloads that break the kernel, so that the referee can be seen to notice and to survive.
//!
//! # Invariants
//! - Its file of the same name in `guest/workloads` has a function for each.

use super::HOUR_US;

choices! {
    /// What is broken.
    Harm { RunQueueCycle "run_queue_cycle", HeldLock "held_lock" }

    /// What is done with a buffer.
    Misuse { FreeTwice "free_twice", UseAfterFree "use_after_free", Overrun "overrun" }
}

workloads! {
    Broken, broken_workloads;

    /// raises its CPU's priority level and spins there for ever
    pil_loop PilLoop {
        /// the level
        pil: number(1..=15) = 14,
        /// us of ordinary work first
        after_us: number(0..=HOUR_US) = 0,
    }

    /// panics the kernel
    panic Panic {
        /// us of ordinary work first
        after_us: number(0..=HOUR_US) = 0,
    }

    /// recurses until its stack runs into the guard page
    overflow Overflow {
        /// us of ordinary work first
        after_us: number(0..=HOUR_US) = 0,
    }

    /// misuses a buffer of kmem_alloc, which kmem_flags = 7 has seen
    kmem_misuse KmemMisuse {
        /// frees it twice; writes to it once it is free; writes behind it
        what: choice(Misuse) = FreeTwice,
        /// us of ordinary work first
        after_us: number(0..=HOUR_US) = 0,
    }

    /// breaks the kernel's own data, for tests of the glass
    corrupt Corrupt {
        /// a t_link that points to itself, or a dispatcher lock that is taken and never released
        what: choice(Harm) = RunQueueCycle,
        /// us of ordinary work first
        after_us: number(0..=HOUR_US) = 100_000,
    }
}
