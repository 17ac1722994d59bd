//! Sleeping and waking: locks over turnstiles, condition variables and semaphores over hashed sleep queues.
//!
//! | file | what |
//! |---|---|
//! | `list.rs` | a list of sleepers, best first |
//! | `sleepq.rs` | sleepers by the address they sleep on, for objects that have no owner |
//! | `turnstile.rs` | sleepers by the lock they are blocked on |
//! | `inherit.rs` | priority inheritance along blocking chains |
//! | `deadlock.rs` | a blocking chain that closes, in words |
//! | `mutex.rs`, `spin.rs` | adaptive and spin mutexes |
//! | `rwlock.rs` | readers/writer locks |
//! | `condvar.rs`, `sema.rs` | condition variables and semaphores |
//! | `waitq.rs` | runnable threads that their project's or zone's CPU cap holds |
//!
//! # Invariants
//! - A thread that sleeps is `TS_SLEEP`, on the list that its `t_sleepq` names, and locked by that list's lock.
//! - Inheritance needs an owner, so only mutexes and write-held rwlocks have it.

use alloc::boxed::Box;

use crate::lock::DispLock;
use sleepq::NSLEEPQ;

mod condvar;
mod deadlock;
mod inherit;
mod list;
mod mutex;
mod rwlock;
mod sema;
pub mod sleepq;
mod spin;
mod turnstile;
pub mod waitq;

pub(crate) use condvar::cv_sleep;
pub use condvar::{Condvar, cv_broadcast, cv_signal, cv_wait};
pub use list::SleepList;
pub use mutex::{Mutex, mutex_enter, mutex_exit, mutex_tryenter};
pub use rwlock::{RwMode, Rwlock, rw_downgrade, rw_enter, rw_exit, rw_owner, rw_tryenter, rw_tryupgrade};
pub use sema::{Sema, sema_p, sema_tryp, sema_v};
pub use sleepq::SleepQueue;
pub use spin::{SpinMutex, spin_enter, spin_exit};
pub use turnstile::{TS_READER_Q, TS_WRITER_Q, TURNSTILE_HASH_SIZE, Turnstile, TurnstileChain};
pub use waitq::WaitQueue;

/// The threads that sleep, and on what.
#[repr(C)]
#[derive(Debug)]
pub struct SyncState {
    /// Sleep queues, hashed by the address slept on.
    pub sleepq: Box<[SleepQueue]>,
    /// Chains of turnstiles in use, hashed by the address of the lock.
    pub turnstile_table: Box<[TurnstileChain]>,
    /// Turnstiles: thread `n` brings number `n`.
    pub turnstiles: Box<[Turnstile]>,
    /// Lets the losers of races for two thread locks try again one at a time (`turnstile.c`).
    pub turnstile_loser_lock: DispLock,
}

impl SyncState {
    /// Nobody sleeps; a turnstile for each of so many threads.
    pub fn new(nthreads: u32) -> SyncState {
        SyncState {
            sleepq: (0..NSLEEPQ).map(|_| SleepQueue::new()).collect(),
            turnstile_table: (0..TURNSTILE_HASH_SIZE).map(|_| TurnstileChain::default()).collect(),
            turnstiles: (0..nthreads).map(|_| Turnstile::new()).collect(),
            turnstile_loser_lock: DispLock::new(),
        }
    }
}
