//! What workloads need in the kernel: their locks and condition variables.
//!
//! # Invariants
//! - The kernel's own work touches nothing here, except for devices: a handler may take one of the mutexes.
//! - What is slept on here, and the mutexes, have places that boot gives them ([`crate::sys::Places`]).

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU32, AtomicU64};

use crate::platform;
use crate::sync::{Condvar, Mutex, Rwlock, Sema, SpinMutex};
use crate::sys::Kthread;
use umpire_shared::sys::machlock::DISP_LEVEL;

/// How many there are of each kind of lock.
const EACH: usize = 16;

/// The kernel's state of all workloads.
#[repr(C)]
#[derive(Debug)]
pub struct WorkState {
    /// What a pair of threads that pass a ball needs, one a scenario thread.
    pub tables: Box<[Table]>,
    /// What wakes a thread at any level up to `DISP_LEVEL`, where no mutex may be taken; one a scenario thread.
    pub bells: Box<[Sema]>,
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

/// What two threads that pass a ball through condition variables share.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Table {
    /// Guards `tb_turn`.
    pub tb_lock: Mutex,
    /// The thread whose turn it is: 0 or 1.
    pub tb_turn: AtomicU32,
    /// What each of the two waits on.
    pub tb_cv: [Condvar; 2],
}

impl WorkState {
    /// Everything free and empty, for so many threads of the scenario.
    pub fn new(nthreads: u32) -> WorkState {
        WorkState {
            tables: (0..nthreads).map(|_| Table::default()).collect(),
            bells: (0..nthreads).map(|_| Sema::new(0)).collect(),
            locks: Default::default(),
            rwlocks: (0..EACH).map(|_| Rwlock::new()).collect(),
            semas: (1..=EACH as u32).map(Sema::new).collect(),
            cvs: (0..EACH).map(|_| WorkCv::default()).collect(),
            spins: (DISP_LEVEL..EACH as u32).map(SpinMutex::new).collect(),
        }
    }

    /// The table of a scenario thread.
    pub fn table_of(&self, t: &Kthread) -> &Table {
        &self.tables[number_of(t)]
    }

    /// The bell of a scenario thread.
    pub fn bell_of(&self, t: &Kthread) -> &Sema {
        &self.bells[number_of(t)]
    }

    /// The spin mutex of a level, `DISP_LEVEL` or above.
    pub fn spin_of(&self, level: u32) -> &SpinMutex {
        &self.spins[(level - DISP_LEVEL) as usize]
    }
}

/// The place of a scenario thread in its scenario.
fn number_of(t: &Kthread) -> usize {
    (t.t_did - platform::kernel().k_ncpus) as usize
}
