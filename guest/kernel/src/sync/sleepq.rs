//! Sleep queues (`sleepq.c`): the threads that sleep, by the address slept on, best priority first.
//!
//! # Invariants
//! - A queue's list changes only under its lock; the lock is the `t_lockp` of every thread on it.
//! - A sleeper wakes from the queue of its address, or, woken early, from the list that its `t_sleepq` names.

use crate::cell::{Cell, Counter};
use crate::lock::{DispLock, thread_lock_high, thread_unlock_high};
use crate::sync::SleepList;
use crate::sys::sobject::SobjOps;
use crate::sys::thread::{sobj, thread_sleep, thread_transition, thread_transition_keeping};
use crate::sys::{Kthread, class};
use crate::{mstate, platform, probe};
use umpire_shared::event::{Kind, asleep_on};

/// Queues in the hash table: a power of two.
pub const NSLEEPQ: usize = 256;

/// `sleepq_head_t`.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct SleepQueue {
    /// Guards the list and its threads.
    pub sq_lock: DispLock,
    /// The sleepers.
    pub sq_queue: SleepList,
}

impl SleepQueue {
    /// An empty queue.
    pub fn new() -> SleepQueue {
        SleepQueue { sq_lock: DispLock::new(), sq_queue: SleepList::new() }
    }
}

impl Default for SleepQueue {
    fn default() -> Self {
        SleepQueue::new()
    }
}

/// The queue for an address (`SQHASH`), by its place in the kernel's memory. Objects may be as close as a cache line, so the hash
/// takes the bits above that.
#[inline(always)]
pub fn hash(wchan: usize) -> &'static SleepQueue {
    let kernel = platform::kernel();
    let place = kernel.place_of(wchan);
    let h = (place >> 2) ^ (place >> 6) ^ (place >> 13);
    &kernel.k_sync.sleepq[h % NSLEEPQ]
}

/// Puts the current thread to sleep on `wchan`. The caller holds the lock of `wchan`'s queue (`disp_lock_enter`). That lock is the
/// thread's afterwards and is still held: the caller unlocks the thread and calls `swtch`.
#[inline]
pub fn sleep_on(t: &'static Kthread, sq: &'static SleepQueue, wchan: usize, kind: u8) {
    thread_lock_high(t);
    t.t_cv.set(None);
    fall_asleep(t, &sq.sq_lock, &sq.sq_queue, wchan, kind, None);
}

/// The current thread, which is locked, sleeps on `list` from now on, locked by the list's lock, which the caller holds as well.
/// `owner` has what it sleeps on, if a thread does.
#[inline]
pub(super) fn fall_asleep(
    t: &'static Kthread,
    lock: &'static DispLock,
    list: &'static SleepList,
    wchan: usize,
    kind: u8,
    owner: Option<&'static Kthread>,
) {
    class::cl_sleep(t);
    t.t_wchan.set(wchan);
    t.t_sobj.set(kind);
    t.t_sobj_ops.set(Some(if matches!(kind, sobj::MUTEX | sobj::RWLOCK) { &LOCK_OPS } else { &SLEEP_OPS }));
    t.t_timedout.set(0);
    mstate::mstate_sleep(t, kind);
    thread_sleep(t, lock);
    list.insert(t);
    t.t_nvcsw.bump();
    if probe::is_wanted() {
        let place = platform::kernel().place_of(wchan);
        probe::fire(Kind::Sleep, t, asleep_on(kind, owner.map(|o| o.t_did), place));
    }
}

/// Wakes the best sleeper on `wchan`. The caller holds the queue's lock at `DISP_LEVEL`; it is released, and the woken
/// thread's new lock, its run queue's, is held instead and returned. `None`: nobody slept, the lock is still held.
#[inline]
pub fn wake_one(sq: &'static SleepQueue, wchan: usize) -> Option<&'static Kthread> {
    let t = find(sq, wchan)?;
    leave(t, &sq.sq_queue);
    thread_transition(t);
    probe::fire(Kind::Wakeup, t, 0);
    class::cl_wakeup(t);
    Some(t)
}

/// Wakes every sleeper on `wchan`; `woken` is called for each. The caller holds the queue's lock, and it stays held: a thread that was
/// woken and sleeps there again is not met a second time, and cannot keep the caller here for ever. The level stays high as well:
/// a thread that preempts the caller must not make the rest wait.
pub fn wake_all(sq: &'static SleepQueue, wchan: usize, mut woken: impl FnMut()) {
    while let Some(t) = find(sq, wchan) {
        leave(t, &sq.sq_queue);
        thread_transition_keeping(t);
        probe::fire(Kind::Wakeup, t, 0);
        class::cl_wakeup(t);
        thread_unlock_high(t);
        woken();
    }
}

/// The operations of what is slept on and is no lock: condition variables, semaphores, plain addresses.
static SLEEP_OPS: SobjOps = SobjOps { sobj_unsleep: unsleep, sobj_change_pri: requeue };

/// The operations of a lock: a thread that sleeps for one is not woken before its time.
static LOCK_OPS: SobjOps = SobjOps { sobj_unsleep: stay_asleep, sobj_change_pri: requeue };

fn unsleep(t: &'static Kthread) -> bool {
    leave(t, list_of(t));
    if let Some(cv) = t.t_cv.get() {
        cv.cv_waiters.drop_one();
    }
    true
}

fn stay_asleep(_: &'static Kthread) -> bool {
    false
}

fn requeue(t: &'static Kthread, change: &dyn Fn()) {
    let list = list_of(t);
    list.remove(t);
    change();
    list.insert(t);
}

/// Takes a sleeper off its list; it sleeps on nothing afterwards.
#[inline]
pub(super) fn leave(t: &'static Kthread, list: &SleepList) {
    list.remove(t);
    t.t_wchan.set(0);
    t.t_sobj.set(sobj::NONE);
}

fn list_of(t: &Kthread) -> &'static SleepList {
    t.t_sleepq.get().expect("invariant: a sleeper is on a list")
}

#[inline]
fn find(sq: &'static SleepQueue, wchan: usize) -> Option<&'static Kthread> {
    let mut at = sq.sq_queue.first();
    while let Some(t) = at {
        if t.t_wchan.get() == wchan {
            return Some(t);
        }
        at = t.t_link.get();
    }
    None
}
