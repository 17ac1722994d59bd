//! The sched provider's probes: one function a probe, named after it.
//!
//! # Invariants
//! - With tracing off a probe is one load and one branch.
//! - A probe takes no lock and touches no queue, so it may fire anywhere in the dispatcher.

use crate::cell::Cell;
use crate::platform;
use crate::thread::Kthread;
use umpire_shared::event::Kind;

/// Records `kind` for thread `t` if somebody wants events; `arg` is what [`Kind`] says.
#[inline(always)]
pub fn fire(kind: Kind, t: &Kthread, arg: u64) {
    if platform::kernel().k_trace.get() != 0 {
        platform::event(kind, t, arg);
    }
}
