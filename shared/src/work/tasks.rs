//! Workloads that use task queues: who dispatches, who waits for a queue, who suspends one.
//!
//! # Invariants
//! - Its file of the same name in `guest/workloads` has a function for each.

use super::HOUR_US;

choices! {
    /// What a task does.
    What {
        Compute "compute",
        Sleep "sleep",
        Lock "lock",
        Await "await",
        Signal "signal",
        Again "again",
    }

    /// How a task is dispatched.
    How {
        Sleep "sleep",
        NoSleep "nosleep",
        NoQueue "noqueue",
        NoAlloc "noalloc",
        Front "front",
        Ent "ent",
    }

    /// What kind of queue comes and goes.
    Made {
        Static "static",
        Dynamic "dynamic",
        Duty "duty_cycle",
    }
}

workloads! {
    Tasks, tasks_workloads;

    /// dispatches tasks to a task queue, and tries again a tick later where it is refused; a turn is a task that has been done
    task_source TaskSource
    needs {
        /// which queue
        taskq: taskq,
    }
    {
        /// compute, sleep: for `us`; lock: computes with the mutex `on`; await: until signal `on` was sent as often as tasks of this thread were dispatched; signal: computes and sends it; again: computes and dispatches itself
        task: choice(What) = Compute,
        /// us that a task takes
        us: number(0..=HOUR_US) = 100,
        /// which of the 16 workload mutexes, or signals
        on: number(0..=15) = 0,
        /// sleep: TQ_SLEEP; nosleep: TQ_NOSLEEP; noqueue: with TQ_NOQUEUE as well, and does the task itself if it is refused; noalloc: TQ_NOALLOC; front: TQ_FRONT; ent: taskq_dispatch_ent with an entry of its own, once that is free
        how: choice(How) = Sleep,
        /// tasks that it dispatches one after the other
        burst: number(1..=10_000) = 1,
        /// clock ticks of sleep after them; 0 for none
        rest_ticks: number(0..=1_000_000) = 1,
        /// us before the first turn: asleep for the whole ticks of it, at work for the rest
        after_us: number(0..=HOUR_US) = 0,
    }

    /// waits for a task queue to be empty, again and again
    taskq_waiter TaskqWaiter
    needs {
        /// which queue
        taskq: taskq,
    }
    {
        /// clock ticks of sleep a turn; 0 for none
        rest_ticks: number(0..=1_000_000) = 1,
        /// us before the first turn: asleep for the whole ticks of it, at work for the rest
        after_us: number(0..=HOUR_US) = 0,
    }

    /// suspends a task queue for a while, and resumes it
    taskq_suspender TaskqSuspender
    needs {
        /// which queue
        taskq: taskq,
    }
    {
        /// clock ticks for which it is suspended; 0 for ever
        hold_ticks: number(0..=1_000_000) = 10,
        /// clock ticks of sleep a turn; 0 for none
        rest_ticks: number(0..=1_000_000) = 10,
        /// us before the first turn: asleep for the whole ticks of it, at work for the rest
        after_us: number(0..=HOUR_US) = 0,
    }

    /// makes a task queue, dispatches tasks to it, waits until they are done and destroys it, again and again; a turn is a task that has been done
    taskq_maker TaskqMaker {
        /// static, or dynamic, or of class SDC with a duty cycle of 50 %
        kind: choice(Made) = Static,
        /// threads of the queue; the most, of a dynamic one
        threads: number(1..=16) = 2,
        /// tasks for each queue
        burst: number(1..=1_000) = 8,
        /// us that a task takes
        us: number(0..=HOUR_US) = 50,
        /// clock ticks for which the queue has nothing to do before it is destroyed; 0 for none
        idle_ticks: number(0..=1_000_000) = 0,
        /// clock ticks of sleep after it has been destroyed; 0 for none
        rest_ticks: number(0..=1_000_000) = 1,
        /// us before the first turn: asleep for the whole ticks of it, at work for the rest
        after_us: number(0..=HOUR_US) = 0,
    }
}
