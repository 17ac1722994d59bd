//! Operations of what a thread sleeps or waits on (`sys/sobject.h`, `SOBJ_OPS`).
//!
//! # Invariants
//! - `t_sobj_ops` is set while the thread is `TS_SLEEP` or `TS_WAIT`, by the code that puts it to sleep or parks it, and is used with
//!   the thread locked.

use super::Kthread;

/// How the dispatcher changes a thread that is on a queue of another floor (`sobj_ops_t`).
#[derive(Debug)]
pub struct SobjOps {
    /// Takes a locked thread off its queue before its time; the queue's lock stays held. False if it must stay asleep.
    pub sobj_unsleep: fn(&'static Kthread) -> bool,
    /// Moves a locked thread to the place that its priority has after the change.
    pub sobj_change_pri: fn(&'static Kthread, &dyn Fn()),
}

/// The operations of what a thread sleeps or waits on.
pub fn sobj_ops(t: &Kthread) -> &'static SobjOps {
    t.t_sobj_ops.get().expect("invariant: a thread that sleeps or waits does so on something")
}
