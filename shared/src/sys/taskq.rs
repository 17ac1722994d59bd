//! Task queues' numbers (`sys/taskq.h`, `sys/taskq_impl.h`).
//!
//! # Invariants
//! - Numbers are illumos's.

/// Priority that stands for minclsyspri (`TASKQ_DEFAULTPRI`).
pub const TASKQ_DEFAULTPRI: i32 = -1;
/// Characters of a name (`TASKQ_NAMELEN`).
pub const TASKQ_NAMELEN: usize = 31;

flags! {
    /// How a queue is created, and what has become of it: bits of `tq_flags`.
    tqflag: u32, "TASKQ_" {
        /// Allocates `minalloc` entries at once; a dynamic queue also begins a thread a bucket.
        PREPOPULATE = 0x0001;
        /// Its threads look after suspends of the system themselves; it is never destroyed.
        CPR_SAFE = 0x0002;
        /// A bucket a CPU, and a thread of its own for each task that runs.
        DYNAMIC = 0x0004;
        /// The number of threads is a percentage of the CPUs that are online.
        THREADS_CPU_PCT = 0x0008;
        /// Its duty-cycle threads are batch ones.
        DC_BATCH = 0x0010;
        /// The number of threads is not what it is to be.
        CHANGING = 0x1_0000;
        /// Suspended.
        SUSPENDED = 0x2_0000;
        /// Its instance was chosen for it.
        NOINSTANCE = 0x4_0000;
        /// A thread is being created.
        THREAD_CREATED = 0x8_0000;
        /// Its threads are of class SDC.
        DUTY_CYCLE = 0x10_0000;
    }
}

flags! {
    /// How a task is dispatched.
    tq: u32, "TQ_" {
        /// Fails where it would sleep for memory.
        NOSLEEP = 0x01;
        /// Fails where a dynamic queue has no thread for the task.
        NOQUEUE = 0x02;
        /// Fails where there is no entry on the free list.
        NOALLOC = 0x04;
        /// Before all other tasks.
        FRONT = 0x08;
    }
}

/// A dispatch that may sleep for memory.
pub const TQ_SLEEP: u32 = 0;

flags! {
    /// Bits of `tqbucket_flags`.
    tqbucket: u16, "TQBUCKET_" {
        /// Its threads end.
        CLOSE = 0x01;
        /// It takes no tasks.
        SUSPEND = 0x02;
    }
}

flags! {
    /// Bits of `tqent_flags`.
    tqent: u32, "TQENT_FLAG_" {
        /// The entry is the dispatcher's own.
        PREALLOC = 0x1;
    }
}
