//! A condition variable with what belongs to it, for workloads that wait in a herd.
//!
//! # Invariants
//! - `wc_round` changes under `wc_lock`.

use core::sync::atomic::AtomicU64;

use super::{Condvar, Mutex};

/// One of the workloads' condition variables.
#[repr(C)]
#[derive(Debug, Default)]
pub struct WorkCv {
    /// Guards `wc_round`.
    pub wc_lock: Mutex,
    /// What is waited on.
    pub wc_cv: Condvar,
    /// Times that somebody has called everybody.
    pub wc_round: AtomicU64,
}
