//! Run queues (`sys/disp.h`): what a run queue is. The dispatcher's own files change it.
//!
//! # Invariants
//! - Those of `disp/mod.rs`: a queue changes only under its `disp_lock`.

use core::sync::atomic::{AtomicI16, AtomicU32, AtomicU64};

use super::{Cpu, Kthread};
use crate::lock::{DispLock, SharedPtr};
use umpire_shared::sys::disp::{NPRI, QACTMAP_WORDS};

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
