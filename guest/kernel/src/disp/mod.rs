//! The dispatcher (`disp.c`): run queues, and which thread runs next.
//!
//! | file | what |
//! |---|---|
//! | `queue.rs` | putting a thread on a level, taking it off, keeping map and maxima right |
//! | `enqueue.rs` | `setbackdq`, `setfrontdq`, `setkpdq`: which queue |
//! | `choose.rs` | `cpu_score`, `disp_lowpri_cpu`: which CPU |
//! | `resched.rs` | `cpu_resched`, `cpu_surrender`: asking a CPU to think again |
//! | `preempt.rs` | `preempt`, `kpreempt`, `yield`: giving the CPU up |
//! | `unlock.rs` | the places where a preemption is let through |
//! | `pin.rs` | leaving an interrupt thread that has blocked |
//! | `swtch.rs` | `swtch`, `disp`, `disp_ratify`, `resume` |
//! | `steal.rs` | `disp_getwork`, `disp_getbest` |
//! | `stop.rs` | a thread is stopped from outside |
//! | `cmt.rs` | spreading threads over chips and cores |
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

mod change;
mod choose;
pub mod cmt;
mod enqueue;
mod idle;
mod pin;
mod preempt;
mod queue;
mod resched;
mod setup;
mod steal;
mod stop;
mod swtch;
mod unlock;

pub(crate) use change::note_onproc_pri;
pub use change::{dispdeq, setrun, setrun_locked, thread_change_epri, thread_change_pri};
pub use choose::disp_lowpri_cpu;
pub use enqueue::{disp_adjust_unbound_pri, disp_cpu_inactive, setbackdq, setfrontdq};
pub use idle::idle;
pub(crate) use pin::{set_base_spl, thread_unpin};
pub use preempt::{
    KPREEMPT_SYNC, kpreempt, kpreempt_aggressively, kpreempt_normally, kpreempt_sync, preempt, thread_yield,
};
pub use resched::{cpu_resched, cpu_surrender, must_surrender};
pub(crate) use resched::{poke_cpu, raise_kprunrun, raise_runrun};
pub use setup::{DispState, disp_setup};
pub use stop::{prstop, prun, stop_if_asked};
pub use swtch::{finish_switch, swtch};
pub(crate) use swtch::{jump, swtch_from_intr};
pub use umpire_shared::sys::disp::{MAXCLSYSPRI, MINCLSYSPRI, NPRI};

/// Below this priority, run-queue lengths must match exactly (`disp.c RUNQ_MATCH_PRI`).
pub const RUNQ_MATCH_PRI: i32 = 16;
pub use unlock::{disp_lock_exit, kpreempt_disable, kpreempt_enable, thread_unlock};
