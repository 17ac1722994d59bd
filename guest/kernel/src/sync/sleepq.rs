//! Sleep queues (`sleepq.c`): who sleeps, by the address slept on, best priority first.
//!
//! # Invariants
//! - A queue's list changes only under its lock; the lock is the `t_lockp` of everybody on it.
//! - Equal priorities stay in the order in which they came.

use crate::cell::{Cell, Counter};
use crate::class;
use crate::lock::{DispLock, SharedPtr, thread_lock_high, thread_unlock_high};
use crate::thread::{Kthread, sobj, thread_sleep, thread_transition};
use crate::{platform, probe};
use umpire_shared::event::Kind;

/// Queues in the hash table: a power of two.
pub const NSLEEPQ: usize = 256;

/// `sleepq_head_t`.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct SleepQueue {
    /// Guards the list and its threads.
    pub sq_lock: DispLock,
    /// The best sleeper, linked by `t_link`.
    pub sq_first: SharedPtr<Kthread>,
}

impl SleepQueue {
    /// An empty queue.
    pub fn new() -> SleepQueue {
        SleepQueue { sq_lock: DispLock::new(), sq_first: SharedPtr::null() }
    }
}

impl Default for SleepQueue {
    fn default() -> Self {
        SleepQueue::new()
    }
}

/// The queue for an address (`SQHASH`), by its place in the kernel's memory. Objects may be as close as a cache line, so the hash takes the bits above that.
#[inline(always)]
pub fn hash(wchan: usize) -> &'static SleepQueue {
    let kernel = platform::kernel();
    let place = kernel.place_of(wchan);
    let h = (place >> 2) ^ (place >> 6) ^ (place >> 13);
    &kernel.k_sleepq[h % NSLEEPQ]
}

/// Puts the current thread to sleep on `wchan`. The caller holds the lock of `wchan`'s queue (`disp_lock_enter`); afterwards it
/// is the thread's lock, still held: the caller unlocks the thread and calls `swtch`.
#[inline]
pub fn sleep_on(t: &'static Kthread, sq: &'static SleepQueue, wchan: usize, kind: u8) {
    thread_lock_high(t);
    class::cl_sleep(t);
    t.t_wchan.set(wchan);
    t.t_sobj.set(kind);
    t.t_timedout.set(0);
    thread_sleep(t, &sq.sq_lock);
    insert(sq, t);
    t.t_nvcsw.bump();
    probe::fire(Kind::Sleep, t, 0);
}

/// Wakes the best sleeper on `wchan`. The caller holds the queue's lock at `DISP_LEVEL`; it is released, and the woken
/// thread's new lock, its run queue's, is held instead and returned. `None`: nobody slept, the lock is still held.
#[inline]
pub fn wake_one(sq: &'static SleepQueue, wchan: usize) -> Option<&'static Kthread> {
    let t = find(sq, wchan)?;
    remove(sq, t);
    thread_transition(t);
    probe::fire(Kind::Wakeup, t, 0);
    class::cl_wakeup(t);
    Some(t)
}

/// Wakes every sleeper on `wchan`; `woken` is called for each, under the queue's lock. The caller holds that lock, and holds
/// it again when this returns. The level stays high meanwhile: whoever preempts the caller must not make the rest wait.
pub fn wake_all(sq: &'static SleepQueue, wchan: usize, mut woken: impl FnMut()) {
    while let Some(t) = wake_one(sq, wchan) {
        thread_unlock_high(t);
        sq.sq_lock.enter_high();
        woken();
    }
}

/// Takes a locked sleeper off its queue; the queue's lock stays held.
pub fn unsleep(t: &'static Kthread) {
    remove(hash(t.t_wchan.get()), t);
}

/// Takes a sleeper off the queue that it is on.
fn remove(sq: &'static SleepQueue, t: &'static Kthread) {
    let mut before: Option<&'static Kthread> = None;
    let mut at = sq.sq_first.get();
    while let Some(here) = at {
        let next = here.t_link.get();
        if core::ptr::eq(here, t) {
            match before {
                None => sq.sq_first.set(next),
                Some(b) => b.t_link.set(next),
            }
            t.t_link.set(None);
            t.t_wchan.set(0);
            t.t_sobj.set(sobj::NONE);
            return;
        }
        before = at;
        at = next;
    }
    panic!("unsleep: thread {} not on its sleep queue", t.t_did);
}

/// Moves a locked sleeper to the place that its priority has after `change`.
pub fn requeue(t: &'static Kthread, change: impl FnOnce()) {
    let (wchan, kind) = (t.t_wchan.get(), t.t_sobj.get());
    let sq = hash(wchan);
    remove(sq, t);
    change();
    t.t_wchan.set(wchan);
    t.t_sobj.set(kind);
    insert(sq, t);
}

fn insert(sq: &'static SleepQueue, t: &'static Kthread) {
    let pri = t.pri();
    let mut before: Option<&'static Kthread> = None;
    let mut at = sq.sq_first.get();
    while let Some(here) = at {
        if here.pri() < pri {
            break;
        }
        before = at;
        at = here.t_link.get();
    }
    t.t_link.set(at);
    match before {
        None => sq.sq_first.set(Some(t)),
        Some(b) => b.t_link.set(Some(t)),
    }
}

#[inline]
fn find(sq: &'static SleepQueue, wchan: usize) -> Option<&'static Kthread> {
    let mut at = sq.sq_first.get();
    while let Some(t) = at {
        if t.t_wchan.get() == wchan {
            return Some(t);
        }
        at = t.t_link.get();
    }
    None
}
