//! Workloads that wait for each other: nested mutexes, rwlocks, semaphores, herds on a condition variable.
//!
//! # Invariants
//! - Its file of the same name in `guest/workloads` has a function for each.

use super::HOUR_US;

choices! {
    /// How an rwlock is taken.
    RwHow { Reader "reader", Writer "writer", StarveWriter "starvewriter" }

    /// What is taken beside an rwlock.
    Nested { Nothing "nothing", Again "again", MutexInside "mutex_inside", MutexAround "mutex_around" }

    /// Which part of a herd a thread plays.
    Part { Waiter "waiter", Caller "caller" }
}

workloads! {
    Locks, locks_workloads;

    /// takes a mutex, holds it, takes a second inside it and a third inside that, lets go of all, thinks
    lock_chain LockChain {
        /// which of the 16 workload mutexes it takes first
        first: number(0..=15) = 0,
        /// which it takes inside the first; 16 for none
        second: maybe(0..=15, none 16),
        /// which it takes inside the second; 16 for none
        third: maybe(0..=15, none 16),
        /// us of work with each mutex before the next is taken
        hold_us: number(0..=HOUR_US) = 1000,
        /// us of work with the first mutex when the others have been let go of
        keep_us: number(0..=HOUR_US) = 0,
        /// us of work outside
        think_us: number(0..=HOUR_US) = 0,
        /// clock ticks of sleep a turn; 0 for none
        rest_ticks: number(0..=1_000_000) = 1,
        /// us before the first turn: asleep for the whole ticks of it, at work for the rest
        after_us: number(0..=HOUR_US) = 0,
    }

    /// takes an rwlock, holds it, lets go, thinks
    rw_mix RwMix {
        /// which of the 16 workload rwlocks
        lock: number(0..=15) = 0,
        /// how it takes it; starvewriter: as a reader that passes by writers who wait
        mode: choice(RwHow) = Reader,
        /// us of work inside
        hold_us: number(0..=HOUR_US) = 1000,
        /// us of work outside
        think_us: number(0..=HOUR_US) = 0,
        /// clock ticks of sleep a turn; 0 for none
        rest_ticks: number(0..=1_000_000) = 1,
        /// us before the first turn: asleep for the whole ticks of it, at work for the rest
        after_us: number(0..=HOUR_US) = 0,
        /// again, mutex_inside: takes the lock once more, or the mutex, after hold_us, and works for hold_us with both
        nested: choice(Nested) = Nothing,
        /// which of the 16 workload mutexes
        mutex: number(0..=15) = 0,
    }

    /// takes a unit of a semaphore, keeps it, gives it back, thinks
    sema_mix SemaMix {
        /// which of the 16 workload semaphores; number n begins with n + 1 units
        sema: number(0..=15) = 0,
        /// us of work with the unit
        hold_us: number(0..=HOUR_US) = 1000,
        /// us of work without
        think_us: number(0..=HOUR_US) = 0,
        /// clock ticks of sleep a turn; 0 for none
        rest_ticks: number(0..=1_000_000) = 1,
        /// us before the first turn: asleep for the whole ticks of it, at work for the rest
        after_us: number(0..=HOUR_US) = 0,
    }

    /// waits on a condition variable for the next round, or calls it
    cv_herd CvHerd {
        /// which of the 16 workload condition variables
        cv: number(0..=15) = 0,
        /// waits for a round, or broadcasts one and rests
        part: choice(Part) = Waiter,
        /// us of work with the mutex each time
        hold_us: number(0..=HOUR_US) = 10,
        /// caller: clock ticks of sleep a round
        rest_ticks: number(1..=1_000_000) = 1,
        /// us before the first turn: asleep for the whole ticks of it, at work for the rest
        after_us: number(0..=HOUR_US) = 0,
    }
}
