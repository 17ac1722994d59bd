//! The dispatcher (`disp.c`): run queues, and who runs next.
//!
//! | file | what |
//! |---|---|
//! | `queue.rs` | putting a thread on a level, taking it off, keeping map and maxima right |
//! | `enqueue.rs` | `setbackdq`, `setfrontdq`, `setkpdq`: which queue |
//! | `choose.rs` | `cpu_score`, `disp_lowpri_cpu`: which CPU |
//! | `resched.rs` | `cpu_resched`, `cpu_surrender`: asking a CPU to think again |
//! | `preempt.rs` | `preempt`, `kpreempt`: giving the CPU up |
//! | `swtch.rs` | `swtch`, `disp`, `disp_ratify`, `resume` |
//! | `steal.rs` | `disp_getwork`, `disp_getbest` |
//! | `cpucaps.rs` | CPU caps of projects and zones |
//! | `change.rs` | `thread_change_pri` and its relatives, `setrun` |
//! | `idle.rs` | the idle loop and the halt protocol |
//! | `setup.rs` | the preemption thresholds |
//!
//! # Invariants (facts 2.17; the monitor `runq` checks the first three from outside)
//! 1. Bit `p` of `disp_qactmap` is set iff level `p` is non-empty iff its `dq_sruncnt` is greater than 0.
//! 2. `disp_maxrunpri` is the highest set bit, or -1. `disp_max_unbound_pri` may be stale high, never stale low.
//! 3. The levels' `dq_sruncnt` add up to `disp_nrunnable`.
//! 4. A `TS_RUN` thread is on exactly one queue: `t_disp_queue`, at level `PRI(t)`.
//! 5. All of this changes only under the queue's `disp_lock`.

use core::sync::atomic::{AtomicI16, AtomicU32, AtomicU64};

use crate::cpu::Cpu;
use crate::lock::{DispLock, SharedPtr};
use crate::thread::Kthread;

mod change;
mod choose;
pub mod cpucaps;
mod enqueue;
mod idle;
mod preempt;
mod queue;
mod resched;
mod setup;
mod steal;
mod swtch;

pub(crate) use change::note_onproc_pri;
pub use change::{dispdeq, setrun, setrun_locked, thread_change_epri, thread_change_pri};
pub use choose::disp_lowpri_cpu;
pub use enqueue::{disp_adjust_unbound_pri, disp_cpu_inactive, setbackdq, setfrontdq};
pub use idle::idle;
pub use preempt::{KPREEMPT_SYNC, kpreempt, kpreempt_sync, preempt};
pub(crate) use resched::poke_cpu;
pub use resched::{cpu_resched, cpu_surrender};
pub use setup::disp_setup;
pub use swtch::{finish_switch, swtch};
pub(crate) use swtch::{jump, swtch_from_intr};
pub use umpire_shared::sys::disp::{MAXCLSYSPRI, MINCLSYSPRI, NPRI, QACTMAP_WORDS};

/// Below this priority, run-queue lengths must match exactly (`disp.c RUNQ_MATCH_PRI`).
pub const RUNQ_MATCH_PRI: i32 = 16;

/// `dispq_t`: the threads of one priority, first to run first.
#[repr(C)]
#[derive(Debug)]
pub struct DispQ {
    /// Head.
    pub dq_first: SharedPtr<Kthread>,
    /// Tail.
    pub dq_last: SharedPtr<Kthread>,
    /// How many.
    pub dq_sruncnt: AtomicU32,
}

/// `disp_t`: one run queue.
#[repr(C)]
#[derive(Debug)]
pub struct Disp {
    /// Guards everything here; its word is the generation that outside readers check.
    pub disp_lock: DispLock,
    /// Highest non-empty level, -1 if none.
    pub disp_maxrunpri: AtomicI16,
    /// Highest level that may hold an unbound thread, -1 if none.
    pub disp_max_unbound_pri: AtomicI16,
    /// Threads on the queue.
    pub disp_nrunnable: AtomicU32,
    /// Bit `p % 64` of word `p / 64`: level `p` is not empty.
    pub disp_qactmap: [AtomicU64; QACTMAP_WORDS],
    /// The CPU that runs it; null for a partition's kp queue.
    pub disp_cpu: SharedPtr<Cpu>,
    /// Enqueues ever made here.
    pub disp_enqueues: AtomicU64,
    /// The levels.
    pub disp_q: [DispQ; NPRI],
}

impl Disp {
    /// An empty queue.
    pub fn new() -> Disp {
        Disp {
            disp_lock: DispLock::new(),
            disp_maxrunpri: AtomicI16::new(-1),
            disp_max_unbound_pri: AtomicI16::new(-1),
            disp_nrunnable: AtomicU32::new(0),
            disp_qactmap: [const { AtomicU64::new(0) }; QACTMAP_WORDS],
            disp_cpu: SharedPtr::null(),
            disp_enqueues: AtomicU64::new(0),
            disp_q: [const {
                DispQ {
                    dq_first: SharedPtr::null(),
                    dq_last: SharedPtr::null(),
                    dq_sruncnt: AtomicU32::new(0),
                }
            }; NPRI],
        }
    }
}

impl Default for Disp {
    fn default() -> Self {
        Disp::new()
    }
}
