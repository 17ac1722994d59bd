//! Sleeping and waking: adaptive mutexes and condition variables over hashed sleep queues.
//!
//! # Invariants
//! - Who sleeps is `TS_SLEEP`, on the sleep queue of the address it sleeps on, and locked by that queue's lock.
//!
//! # What is not here
//! Turnstiles with priority inheritance, rwlocks, semaphores, timed waits: the next thing to build. A blocked
//! `mutex_enter` sleeps on a plain sleep queue until then, so an owner inherits nothing.

mod condvar;
mod mutex;
pub mod sleepq;

pub use condvar::{Condvar, cv_broadcast, cv_signal, cv_wait};
pub use mutex::{Mutex, mutex_enter, mutex_exit};
pub use sleepq::SleepQueue;
