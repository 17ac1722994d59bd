//! Wait queues of CPU caps (`waitq.c`): runnable threads that may not run yet, best priority first.
//!
//! # Invariants
//! - A thread on one is `TS_WAIT`, locked by `wq_lock`, and names the queue in `t_waitq`; among equals the first to come is the
//!   first to go. `wq_count` is their number.
//! - `wq_queue`, `wq_count` and `wq_blocked` change under `wq_lock` alone. The lock is a leaf: a thread is in transition when
//!   it comes, and is in transition again, with the lock released, before its class puts it on a run queue.
//! - No thread comes onto a blocked queue: when a caller has blocked a queue and then emptied it, no thread is left behind.
//! - A wait is a wait for a CPU: `LMS_WAIT_CPU`, from the moment of parking to that of running.

use core::sync::atomic::AtomicU32;

use crate::cell::{Cell, Counter};
use crate::disp::thread_unlock;
use crate::lock::{DispLock, disp_lock_enter, disp_lock_exit_nopreempt};
use crate::sync::SleepList;
use crate::sys::sobject::SobjOps;
use crate::sys::thread::{thread_transition, thread_wait};
use crate::sys::{Kthread, class};
use crate::{mstate, probe};
use umpire_shared::event::Kind;

/// `waitq_t`.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct WaitQueue {
    /// Guards the queue and its threads.
    pub wq_lock: DispLock,
    /// The threads, in the order in which they leave.
    pub wq_queue: SleepList,
    /// How many there are.
    pub wq_count: AtomicU32,
    /// Not 0 while no thread may come.
    pub wq_blocked: AtomicU32,
}

impl WaitQueue {
    /// An empty queue to which no thread may come yet.
    pub fn new() -> WaitQueue {
        WaitQueue { wq_blocked: AtomicU32::new(1), ..WaitQueue::default() }
    }
}

/// Parks the current thread, which is locked and in transition (`waitq_enqueue`). True: it is locked by the queue's lock, and
/// the caller unlocks it and calls `swtch`. False: the queue is blocked, nothing happened.
pub fn waitq_enqueue(wq: &'static WaitQueue, t: &'static Kthread) -> bool {
    wq.wq_lock.enter_high();
    if wq.wq_blocked.get() != 0 {
        wq.wq_lock.exit_high();
        return false;
    }
    mstate::mstate_enqueue(t);
    thread_wait(t, &wq.wq_lock);
    t.t_waitq.set(Some(wq));
    t.t_sobj_ops.set(Some(&WAITQ_OPS));
    wq.wq_queue.insert(t);
    wq.wq_count.bump();
    probe::fire(Kind::CpucapsSleep, t, 0);
    true
}

/// Takes a locked thread off its wait queue and has its class put it on a run queue (`waitq_setrun`). It is locked by the run
/// queue's lock afterwards.
pub fn waitq_setrun(t: &'static Kthread) {
    leave(t);
    thread_transition(t);
    class::cl_setrun(t);
}

/// Sets the best thread of a queue running and returns it, locked; `None` if no thread waits (`waitq_runone`).
pub fn waitq_runone(wq: &'static WaitQueue) -> Option<&'static Kthread> {
    disp_lock_enter(&wq.wq_lock);
    let Some(t) = wq.wq_queue.first() else {
        disp_lock_exit_nopreempt(&wq.wq_lock);
        return None;
    };
    waitq_setrun(t);
    Some(t)
}

/// Lets no thread come from now on, and sets every thread running that is there (`waitq_block`, `waitq_runall`). Called at level 0.
pub fn waitq_clear(wq: &'static WaitQueue) {
    set_blocked(wq, 1);
    while let Some(t) = waitq_runone(wq) {
        thread_unlock(t);
    }
}

/// Threads may come again (`waitq_unblock`).
pub fn waitq_unblock(wq: &'static WaitQueue) {
    set_blocked(wq, 0);
}

/// How the dispatcher changes a thread that is on a wait queue.
static WAITQ_OPS: SobjOps = SobjOps { sobj_unsleep: leave, sobj_change_pri: change_pri };

fn leave(t: &'static Kthread) -> bool {
    let wq = queue_of(t);
    wq.wq_queue.remove(t);
    wq.wq_count.drop_one();
    t.t_waitq.set(None);
    probe::fire(Kind::CpucapsWakeup, t, 0);
    true
}

/// Moves a thread behind those that have the priority that it has after `change`, or a better one, even if its priority is what it
/// was (`waitq_change_pri`).
fn change_pri(t: &'static Kthread, change: &dyn Fn()) {
    let wq = queue_of(t);
    wq.wq_queue.remove(t);
    change();
    wq.wq_queue.insert(t);
}

fn queue_of(t: &Kthread) -> &'static WaitQueue {
    t.t_waitq.get().expect("invariant: a waiting thread is on a wait queue")
}

fn set_blocked(wq: &'static WaitQueue, to: u32) {
    disp_lock_enter(&wq.wq_lock);
    wq.wq_blocked.set(to);
    disp_lock_exit_nopreempt(&wq.wq_lock);
}
