//! Counting semaphores (`semaphore.c`).
//!
//! # Invariants
//! - `s_count` changes only under the lock of the semaphore's sleep queue, and is never below 0.
//! - A unit is not handed over: `sema_v` adds it and wakes the best sleeper, which takes it if no other thread came first.
//! - A semaphore has no owner: a thread that waits lends its priority to no other.

use core::sync::atomic::AtomicU32;

use super::sleepq;
use crate::cell::{Cell, Counter};
use crate::disp::{disp_lock_exit, swtch, thread_unlock};
use crate::lock::{disp_lock_enter, disp_lock_exit_nopreempt, thread_unlock_nopreempt};
use crate::platform;
use crate::sys::thread::sobj;

/// A counting semaphore (`ksema_t`).
#[repr(C)]
#[derive(Debug)]
pub struct Sema {
    /// Units that are free.
    pub s_count: AtomicU32,
}

impl Sema {
    /// A semaphore with so many free units (`sema_init`).
    pub const fn new(count: u32) -> Sema {
        Sema { s_count: AtomicU32::new(count) }
    }

    #[inline(always)]
    fn wchan(&self) -> usize {
        core::ptr::from_ref(self) as usize
    }
}

/// Takes a unit, sleeping until there is one (`sema_p`).
#[inline(never)]
pub fn sema_p(sp: &'static Sema) {
    let t = platform::curthread();
    let sq = sleepq::hash(sp.wchan());
    disp_lock_enter(&sq.sq_lock);
    while sp.s_count.get() == 0 {
        sleepq::sleep_on(t, sq, sp.wchan(), sobj::SEMA);
        thread_unlock_nopreempt(t);
        swtch();
        disp_lock_enter(&sq.sq_lock);
    }
    sp.s_count.drop_one();
    disp_lock_exit(&sq.sq_lock);
}

/// Takes a unit if there is one (`sema_tryp`).
#[must_use = "says whether a unit was taken"]
pub fn sema_tryp(sp: &'static Sema) -> bool {
    let sq = sleepq::hash(sp.wchan());
    disp_lock_enter(&sq.sq_lock);
    let is_free = sp.s_count.get() != 0;
    if is_free {
        sp.s_count.drop_one();
    }
    disp_lock_exit_nopreempt(&sq.sq_lock);
    is_free
}

/// Gives a unit back and wakes the best sleeper (`sema_v`).
pub fn sema_v(sp: &'static Sema) {
    let sq = sleepq::hash(sp.wchan());
    disp_lock_enter(&sq.sq_lock);
    sp.s_count.bump();
    match sleepq::wake_one(sq, sp.wchan()) {
        Some(t) => thread_unlock(t),
        None => disp_lock_exit(&sq.sq_lock),
    }
}
