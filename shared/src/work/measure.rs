//! Workloads for the bench.
//!
//! # Invariants
//! - Its file of the same name in `guest/workloads` has a function for each.

choices! {
    /// Whether the mutex is held while the other is woken.
    Contend { Yes "yes", No "no" }
}

/// Turns that `disp_bench` and `probe_bench` do between two looks at interrupts, and `taskq_bench` and `kmem_bench` before they are
/// counted, or waited for.
pub const BATCH: u64 = 64;

workloads! {
    Measure, measure_workloads;

    /// for the bench: takes a thread that waits on its CPU's run queue off it and puts it back
    disp_bench DispBench
    needs {
        /// the thread, which must be worse and bound to the same CPU
        target: thread,
    }
    {}

    /// for the bench: fires a probe
    probe_bench ProbeBench {}

    /// for the bench: pokes a thread's CPU and waits until that has taken the interrupt
    poke_bench PokeBench
    needs {
        /// the thread, which must be bound to another CPU
        target: thread,
    }
    {}

    /// for the bench: allocates a message of 64 bytes and frees it
    allocb_bench AllocbBench {}

    /// for the bench: sends a message down a stream, whose driver frees it
    putnext_bench PutnextBench
    needs {
        /// the stream
        stream: stream,
    }
    {}

    /// for the bench: writes a message at the head of a stream that brings it back, and reads it
    stream_bench StreamBench
    needs {
        /// the stream
        stream: stream,
    }
    {}

    /// for the bench: dispatches tasks that only count, and waits for the queue, again and again
    taskq_bench TaskqBench
    needs {
        /// the queue
        taskq: taskq,
    }
    {}

    /// for the bench: allocates a buffer of 256 bytes and frees it
    kmem_bench KmemBench {}

    /// for the bench: wakes a better thread while it holds the mutex that this one wants
    lock_pass LockPass
    needs {
        /// the better thread, a lock_take on the same CPU
        peer: thread,
    }
    {
        /// no: lets go of the mutex before it wakes the other
        contend: choice(Contend) = Yes,
    }

    /// for the bench: when woken by a lock_pass, takes its mutex and gives it back
    lock_take LockTake {}
}
