//! Workloads about time: users of cyclics, callouts and timed waits, and of what the clock needs.
//!
//! # Invariants
//! - Its file of the same name in `guest/workloads` has a function for each.

use super::HOUR_US;

choices! {
    /// A cyclic's level.
    Level { Low "low", Lock "lock", High "high" }

    /// Where a cyclic shall be.
    Place { Anywhere "anywhere", Here "here", BoundHere "bound_here", EmptySet "empty_set" }

    /// The callout table, and so what runs a callout.
    Table { Realtime "realtime", Normal "normal" }

    /// What a callout does.
    Call { Send "send", CancelItself "cancel_itself" }
}

workloads! {
    Timing, timing_workloads;

    /// adds a cyclic that sends a signal, and gives it other times or removes it
    cyclic_user CyclicUser {
        /// the cyclic's level
        level: choice(Level) = Low,
        /// us between two times; 0 for a one-shot
        interval_us: number(0..=HOUR_US) = 1000,
        /// the signal that it sends
        signal: number(0..=15) = 0,
        /// us from now on to which the thread sets it again and again; 0 for never
        rearm_us: number(0..=HOUR_US) = 0,
        /// us after which it is removed; 0 for never
        remove_us: number(0..=HOUR_US) = 0,
        /// us of work between two things that the thread does
        work_us: number(1..=HOUR_US) = 100,
        /// where the cyclic shall be: the kernel's choice, the thread's CPU, bound to that, or first processor set, which must have no CPU
        place: choice(Place) = Anywhere,
    }

    /// sends a CPU's cyclics and callouts to other CPUs, as if it went offline, and takes them back
    cyclic_juggler CyclicJuggler {
        /// the CPU
        target_cpu: number(0..=15) = 0,
        /// us until they may come back; 0 for never
        away_us: number(0..=HOUR_US) = 0,
        /// us of work before, each time
        home_us: number(0..=HOUR_US) = 0,
    }

    /// asks for callouts and takes them back; panics if one runs after that
    timeout_user TimeoutUser {
        /// who runs them: an interrupt, or a thread of callout_taskq
        table: choice(Table) = Realtime,
        /// us from the request to the callout
        delay_us: number(0..=HOUR_US) = 1000,
        /// us that a callout takes
        run_us: number(0..=1_000_000) = 0,
        /// the signal that a callout sends; nobody else may
        signal: number(0..=15) = 0,
        /// us after which it is taken back; 0: it is waited for
        untimeout_us: number(0..=HOUR_US) = 0,
        /// what the callout does
        call: choice(Call) = Send,
    }

    /// has a normal callout wait for another one that is due at the same time or later
    callout_chain CalloutChain {
        /// the first of two signals that nobody else may send
        signal: number(0..=14) = 0,
        /// ticks by which the second is due later
        later_ticks: number(0..=1000) = 0,
    }

    /// waits on a condition variable for the next round, but not for ever
    timed_wait TimedWait {
        /// which of the 16 workload condition variables
        cv: number(0..=15) = 0,
        /// us that it waits at most
        timeout_us: number(1..=HOUR_US) = 100_000,
        /// us before the first turn: asleep for the whole ticks of it, at work for the rest
        after_us: number(0..=HOUR_US) = 0,
    }

    /// waits for a signal for a limited time, then sleeps for a longer one; panics if it is woken early
    signal_wait SignalWait {
        /// the signal
        signal: number(0..=15) = 0,
        /// us to wait for it
        limit_us: number(1..=HOUR_US) = 1000,
        /// us of sleep after that
        long_us: number(1..=HOUR_US) = 5000,
    }

    /// sends a signal, works, and so on
    sender Sender {
        /// the signal
        signal: number(0..=15) = 0,
        /// us of work between two
        work_us: number(1..=HOUR_US) = 1000,
    }

    /// takes the process lock of another thread, as /proc does; the clock needs it to charge that thread
    proc_look ProcLook
    needs {
        /// whose process lock
        at: thread,
    }
    {
        /// us of work inside
        hold_us: number(0..=HOUR_US) = 100,
        /// us of work outside
        think_us: number(0..=HOUR_US) = 20,
        /// clock ticks of sleep a turn; 0 for none
        rest_ticks: number(0..=1_000_000) = 0,
        /// us before the first turn: asleep for the whole ticks of it, at work for the rest
        after_us: number(0..=HOUR_US) = 0,
    }
}
