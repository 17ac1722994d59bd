//! What happened, in order.
//!
//! # Invariants
//! - Records are in the order in which the simulator ran them; times on one CPU never go back.

use umpire_shared::event::Kind;

/// One scheduler event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceRecord {
    /// Virtual ns on that CPU.
    pub time_ns: u64,
    /// The CPU.
    pub cpu: u32,
    /// What happened.
    pub kind: Kind,
    /// To which thread (`t_did`).
    pub thread: u32,
    /// Its priority then.
    pub pri: i32,
    /// See [`Kind`].
    pub arg: u64,
}
