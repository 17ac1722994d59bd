//! Condition variables (`condvar.c`).
//!
//! # Invariants
//! - `cv_waiters` counts the sleepers on this address; it changes under the sleep queue's lock.
//! - `cv_wait` puts its caller on the sleep queue before it drops the mutex, so a signal sent with the mutex held
//!   afterwards finds it.
//! - A condition variable has no owner: a thread that waits lends its priority to no other.

use core::sync::atomic::AtomicU32;

use super::mutex::{Mutex, mutex_enter, mutex_exit};
use super::sleepq;
use crate::cell::{Cell, Counter};
use crate::disp::{disp_lock_exit, swtch, thread_unlock};
use crate::lock::{disp_lock_enter, disp_lock_exit_nopreempt, thread_unlock_nopreempt};
use crate::platform;
use crate::sys::Kthread;
use crate::sys::thread::sobj;

/// A condition variable (`kcondvar_t`).
#[repr(C)]
#[derive(Debug, Default)]
pub struct Condvar {
    /// Threads that sleep on it.
    pub cv_waiters: AtomicU32,
}

impl Condvar {
    /// Nobody waits.
    pub const fn new() -> Condvar {
        Condvar { cv_waiters: AtomicU32::new(0) }
    }

    #[inline(always)]
    fn wchan(&self) -> usize {
        core::ptr::from_ref(self) as usize
    }
}

/// Sleeps until the condition variable is signalled; drops `mp` meanwhile and has it again on return.
#[inline(never)]
pub fn cv_wait(cv: &'static Condvar, mp: &'static Mutex) {
    let t = platform::curthread();
    cv_sleep(t, cv);
    thread_unlock_nopreempt(t);
    mutex_exit(mp);
    swtch();
    mutex_enter(mp);
}

/// Puts the current thread on the condition variable's sleep queue, locked by its lock.
#[inline(always)]
pub(crate) fn cv_sleep(t: &'static Kthread, cv: &'static Condvar) {
    let sq = sleepq::hash(cv.wchan());
    disp_lock_enter(&sq.sq_lock);
    cv.cv_waiters.bump();
    sleepq::sleep_on(t, sq, cv.wchan(), sobj::CV);
    t.t_cv.set(Some(cv));
}

/// Wakes the best waiter. Preempts the caller if the waiter is to run here at once.
#[inline]
pub fn cv_signal(cv: &'static Condvar) {
    if cv.cv_waiters.get() == 0 {
        return;
    }
    let sq = sleepq::hash(cv.wchan());
    disp_lock_enter(&sq.sq_lock);
    if cv.cv_waiters.get() == 0 {
        disp_lock_exit_nopreempt(&sq.sq_lock);
        return;
    }
    // The count changes before wake_one, which releases the lock.
    cv.cv_waiters.drop_one();
    match sleepq::wake_one(sq, cv.wchan()) {
        Some(t) => thread_unlock(t),
        None => {
            cv.cv_waiters.bump();
            disp_lock_exit(&sq.sq_lock);
        }
    }
}

/// Wakes every waiter, and only then lets the best of them preempt the caller.
pub fn cv_broadcast(cv: &'static Condvar) {
    if cv.cv_waiters.get() == 0 {
        return;
    }
    let sq = sleepq::hash(cv.wchan());
    disp_lock_enter(&sq.sq_lock);
    sleepq::wake_all(sq, cv.wchan(), || cv.cv_waiters.drop_one());
    disp_lock_exit(&sq.sq_lock);
}
