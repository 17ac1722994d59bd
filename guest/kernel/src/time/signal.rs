//! Signals: numbered counters that callouts and cyclics count up and that threads wait for.
//!
//! # Invariants
//! - A sleeper looks at the count under its sleep queue's lock before it sleeps; the sender counts up and takes that lock
//!   afterwards to wake the sleepers. So no signal is missed:
//!
//! ```text
//!   CPU A: signal_wait                        CPU B: signal_send
//!   sq_lock: sg_count < count
//!                                             sg_count += 1
//!                                             spins for sq_lock
//!   sleeps on the queue, releases sq_lock
//!                                             sq_lock: finds the sleeper, wakes it
//! ```
//! - Nothing here takes an adaptive mutex: a signal may be sent from any handler.

use core::sync::atomic::{AtomicU64, Ordering};

use super::callout;
use super::cyclic::{CycFunc, anywhere, handler};
use crate::disp::{disp_lock_exit, swtch};
use crate::lock::{disp_lock_enter, disp_lock_exit_nopreempt, thread_unlock_nopreempt};
use crate::platform;
use crate::sync::sleepq;
use crate::sys::thread::sobj;
use umpire_shared::sys::machlock::DISP_LEVEL;

/// Signals that a kernel has.
pub const SIGNALS: usize = 16;

/// One counter.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Signal {
    /// Times it was sent.
    pub sg_count: AtomicU64,
    /// `gethrtime` when it was sent last.
    pub sg_last: AtomicU64,
}

impl Signal {
    fn wchan(&self) -> usize {
        core::ptr::from_ref(self) as usize
    }
}

/// A cyclic that sends a signal: its argument is the signal's number.
pub static SEND: CycFunc =
    CycFunc { number: handler::SIGNAL, run: |n| signal_send(n as usize), moved: anywhere };

/// Counts signal `n` up and wakes the threads that wait for it. At `DISP_LEVEL` or above, where no thread may be woken, it only
/// counts.
pub fn signal_send(n: usize) {
    let s = &platform::kernel().k_signals[n];
    s.sg_last.store(platform::now(), Ordering::Relaxed);
    // Release: a thread that sees the count sees what was done before.
    s.sg_count.fetch_add(1, Ordering::Release);
    if platform::pil() < DISP_LEVEL {
        let sq = sleepq::hash(s.wchan());
        disp_lock_enter(&sq.sq_lock);
        sleepq::wake_all(sq, s.wchan(), || {});
        disp_lock_exit(&sq.sq_lock);
    }
}

/// Sleeps until signal `n` has been sent `count` times, or until `at_ns` of `gethrtime` ([`u64::MAX`]: for ever). False: the
/// time was up first. From threads only.
pub fn signal_wait(n: usize, count: u64, at_ns: u64) -> bool {
    let t = platform::curthread();
    let s = &platform::kernel().k_signals[n];
    let sq = sleepq::hash(s.wchan());
    loop {
        disp_lock_enter(&sq.sq_lock);
        let is_there = s.sg_count.load(Ordering::Acquire) >= count;
        if is_there || platform::now() >= at_ns {
            disp_lock_exit_nopreempt(&sq.sq_lock);
            return is_there;
        }
        sleepq::sleep_on(t, sq, s.wchan(), sobj::CV);
        if at_ns != u64::MAX {
            callout::arm(t, at_ns);
        }
        thread_unlock_nopreempt(t);
        swtch();
        callout::disarm(t);
    }
}
