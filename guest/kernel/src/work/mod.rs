//! What workloads need in the kernel: their locks, condition variables and mailboxes.
//!
//! | file | what |
//! |---|---|
//! | `mailbox.rs` | packets for worker threads |
//!
//! # Invariants
//! - The kernel's own work touches nothing here, except for devices: a handler may take one of the mutexes, and brings packets.
//! - What is slept on here, and the mutexes, have places that boot gives them ([`crate::sys::Places`]).

use alloc::boxed::Box;
use core::sync::atomic::AtomicU64;

use crate::sync::{Condvar, Mutex, Rwlock, Sema, SpinMutex};
use umpire_shared::sys::machlock::DISP_LEVEL;

pub mod mailbox;

use mailbox::Mailbox;

/// How many there are of each kind of lock.
const EACH: usize = 16;

/// The kernel's state of all workloads.
#[repr(C)]
#[derive(Debug)]
pub struct WorkState {
    /// Packet queues, one a scenario thread.
    pub mailboxes: Box<[Mailbox]>,
    /// Mutexes, for workloads and devices.
    pub locks: [Mutex; EACH],
    /// Rwlocks.
    pub rwlocks: Box<[Rwlock]>,
    /// Semaphores; number `n` begins with `n + 1` units.
    pub semas: Box<[Sema]>,
    /// Condition variables.
    pub cvs: Box<[WorkCv]>,
    /// Spin mutexes, one for each level from `DISP_LEVEL` on.
    pub spins: Box<[SpinMutex]>,
}

/// A condition variable with what belongs to it, for workloads that wait in a herd.
#[repr(C)]
#[derive(Debug, Default)]
pub struct WorkCv {
    /// Guards `wc_round`.
    pub wc_lock: Mutex,
    /// What is waited on.
    pub wc_cv: Condvar,
    /// Times that a thread has called all the others. Changes under `wc_lock`.
    pub wc_round: AtomicU64,
}

impl WorkState {
    /// Everything free and empty, for so many threads of the scenario.
    pub fn new(nthreads: u32) -> WorkState {
        WorkState {
            mailboxes: (0..nthreads).map(|_| Mailbox::new()).collect(),
            locks: Default::default(),
            rwlocks: (0..EACH).map(|_| Rwlock::new()).collect(),
            semas: (1..=EACH as u32).map(Sema::new).collect(),
            cvs: (0..EACH).map(|_| WorkCv::default()).collect(),
            spins: (DISP_LEVEL..EACH as u32).map(SpinMutex::new).collect(),
        }
    }

    /// The spin mutex of a level, `DISP_LEVEL` or above.
    pub fn spin_of(&self, level: u32) -> &SpinMutex {
        &self.spins[(level - DISP_LEVEL) as usize]
    }
}
