//! Timeouts in clock ticks (`callout.c`), as far as `delay()` needs them.
//!
//! # Invariants
//! - A thread waits for at most one timeout, linked through itself: nothing is allocated.
//! - Lock order: a thread's sleep queue, then the table. The clock takes due threads off the table first and locks
//!   them afterwards, one by one.
//!
//! # What is not here
//! Callout threads, cancellation, realtime callouts.

use core::sync::atomic::AtomicU64;

use crate::cell::{Cell, Counter};
use crate::disp::setrun_locked;
use crate::intr::spl;
use crate::lock::{
    DispLock, SharedPtr, disp_lock_enter, thread_lock, thread_unlock, thread_unlock_nopreempt,
};
use crate::platform;
use crate::sync::sleepq;
use crate::thread::{Kthread, sobj, ts};

/// Buckets: a timeout is in bucket `expiry % BUCKETS`.
pub const BUCKETS: usize = 64;

/// Timeouts by the tick at which they fire.
#[repr(C)]
#[derive(Debug)]
pub struct CalloutTable {
    /// Guards the lists.
    pub ct_lock: DispLock,
    /// Threads whose timeout falls into the bucket, linked by `t_callout_next`.
    pub ct_bucket: [SharedPtr<Kthread>; BUCKETS],
    /// Timeouts that fired.
    pub ct_expired: AtomicU64,
}

impl CalloutTable {
    /// No timeout.
    pub fn new() -> CalloutTable {
        CalloutTable {
            ct_lock: DispLock::new(),
            ct_bucket: [const { SharedPtr::null() }; BUCKETS],
            ct_expired: AtomicU64::new(0),
        }
    }
}

impl Default for CalloutTable {
    fn default() -> Self {
        CalloutTable::new()
    }
}

/// Sleeps for so many ticks, at least one (`delay`).
#[inline(never)]
pub fn delay(ticks: u64) {
    let t = platform::curthread();
    let table = &platform::kernel().k_callout;
    let wchan = core::ptr::from_ref(t) as usize;
    let sq = sleepq::hash(wchan);
    disp_lock_enter(&sq.sq_lock);
    sleepq::sleep_on(t, sq, wchan, sobj::CV);
    table.ct_lock.enter_high();
    // Under the lock: `clock()` bumps lbolt before it takes the lock to see what is due, so either this sees the new
    // lbolt or `clock()` sees this timeout.
    let at = platform::kernel().lbolt.get() + ticks.max(1);
    t.t_callout_at.set(at);
    let bucket = &table.ct_bucket[at as usize % BUCKETS];
    t.t_callout_next.set(bucket.get());
    bucket.set(Some(t));
    table.ct_lock.exit_high();
    thread_unlock_nopreempt(t);
    crate::disp::swtch();
}

/// Fires what is due at tick `lbolt`; called by `clock()`.
pub fn callout_schedule(lbolt: u64) {
    let table = &platform::kernel().k_callout;
    let bucket = &table.ct_bucket[lbolt as usize % BUCKETS];
    let mut due = take_due(table, bucket, lbolt);
    while let Some(t) = due {
        due = t.t_callout_next.get();
        table.ct_expired.bump();
        thread_lock(t);
        if t.t_state.get() == ts::SLEEP {
            t.t_timedout.set(1);
            setrun_locked(t);
        }
        thread_unlock(t);
    }
}

/// Unlinks the threads whose time has come from a bucket, as a list of its own.
fn take_due(table: &CalloutTable, bucket: &SharedPtr<Kthread>, lbolt: u64) -> Option<&'static Kthread> {
    let level = spl::splhigh();
    table.ct_lock.enter_high();
    let mut due: Option<&'static Kthread> = None;
    let mut kept: Option<&'static Kthread> = None;
    let mut at = bucket.get();
    while let Some(t) = at {
        at = t.t_callout_next.get();
        let list = if t.t_callout_at.get() <= lbolt { &mut due } else { &mut kept };
        t.t_callout_next.set(*list);
        *list = Some(t);
    }
    bucket.set(kept);
    table.ct_lock.exit_high();
    spl::splx(level);
    due
}
