//! Adaptive mutexes (`mutex.c`): spin while the owner runs, sleep while it does not.
//!
//! # Invariants
//! - The waiters bit is set under the sleep queue's lock, after which the owner is looked at once more; an owner that finds
//!   the bit at exit takes the same lock, so it sees every waiter that saw it as owner.
//! - Exit wakes every waiter, and they race for the mutex: the thundering herd is by design.
//!
//! # What is not here
//! Priority inheritance: needs turnstiles. Spin mutexes.

use core::sync::atomic::AtomicU64;

use super::sleepq;
use crate::cell::Counter;
use crate::disp::swtch;
use crate::intr::LOCK_LEVEL;
use crate::lock::{
    OwnerWord, disp_lock_enter, disp_lock_exit, disp_lock_exit_nopreempt, thread_unlock_nopreempt,
};
use crate::platform;
use crate::thread::{Kthread, sobj};

/// An adaptive mutex (`kmutex_t`).
#[repr(C)]
#[derive(Debug, Default)]
pub struct Mutex {
    /// Owner and waiters bit.
    pub m_owner: OwnerWord,
    /// Times that somebody slept for it.
    pub m_blocks: AtomicU64,
}

impl Mutex {
    /// A free mutex.
    pub const fn new() -> Mutex {
        Mutex { m_owner: OwnerWord::new(), m_blocks: AtomicU64::new(0) }
    }

    #[inline(always)]
    fn wchan(&self) -> usize {
        core::ptr::from_ref(self) as usize
    }
}

/// Takes the mutex.
///
/// # Panics
/// If the caller owns it already, or is above `LOCK_LEVEL`, where nobody may sleep.
#[inline]
pub fn mutex_enter(mp: &'static Mutex) {
    platform::interleave();
    if !mp.m_owner.try_take(platform::curthread()) {
        mutex_vector_enter(mp);
    }
}

/// Gives the mutex up and wakes whoever waits for it.
///
/// # Panics
/// If the caller does not own it.
#[inline]
pub fn mutex_exit(mp: &'static Mutex) {
    if !mp.m_owner.try_drop(platform::curthread()) {
        mutex_vector_exit(mp);
    }
}

#[cold]
fn mutex_vector_enter(mp: &'static Mutex) {
    let me = platform::curthread();
    assert!(platform::pil() <= LOCK_LEVEL, "mutex_enter: adaptive at high PIL");
    platform::cpu().cpu_stats.mutex_adenters.bump();
    loop {
        let Some(owner) = mp.m_owner.owner() else {
            if mp.m_owner.try_take(me) {
                return;
            }
            continue;
        };
        assert!(!core::ptr::eq(owner, me), "recursive mutex_enter by thread {}", me.t_did);
        if is_running(owner) {
            platform::relax();
        } else {
            block(mp, me);
        }
    }
}

/// Sleeps until the mutex is given up, unless its owner has changed or begun to run meanwhile.
fn block(mp: &'static Mutex, me: &'static Kthread) {
    let sq = sleepq::hash(mp.wchan());
    disp_lock_enter(&sq.sq_lock);
    let must_wait = mp.m_owner.owner().is_some_and(|o| mp.m_owner.set_waiters(o) && !is_running(o));
    if !must_wait {
        disp_lock_exit_nopreempt(&sq.sq_lock);
        return;
    }
    sleepq::sleep_on(me, sq, mp.wchan(), sobj::MUTEX);
    mp.m_blocks.bump();
    thread_unlock_nopreempt(me);
    swtch();
}

#[cold]
fn mutex_vector_exit(mp: &'static Mutex) {
    let me = platform::curthread();
    assert!(mp.m_owner.owner().is_some_and(|o| core::ptr::eq(o, me)), "mutex_exit: not owner");
    let sq = sleepq::hash(mp.wchan());
    disp_lock_enter(&sq.sq_lock);
    mp.m_owner.drop_with_waiters();
    // Each wake-up gives the queue's lock back; whoever came meanwhile waits for the next owner, not for us. A
    // thread that found us gone takes the mutex instead of sleeping.
    sleepq::wake_all(sq, mp.wchan(), || {});
    disp_lock_exit(&sq.sq_lock);
}

/// True if the owner is on a CPU, so that spinning is worth while (`mutex_owner_running`).
#[inline]
fn is_running(owner: &'static Kthread) -> bool {
    owner.t_cpu.get().is_some_and(|cp| cp.cpu_thread.is(owner))
}
