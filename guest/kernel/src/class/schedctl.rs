//! `schedctl`: a thread asks not to be preempted for a moment (`schedctl.c`, `schedctl_start(3C)`).
//!
//! # Invariants
//! - The request holds for at most [`SC_MAX_TICKS`] ticks past the quantum; then the class clears it.
//! - `t_schedctl` has two writers, the thread without its lock and the class with it: both change bits, never the word.
//! - Only the thread's own CPU time is at stake, so no order with other memory is needed: relaxed.

use core::sync::atomic::Ordering;

use crate::cell::Cell;
use crate::disp::{setfrontdq, thread_yield};
use crate::platform;
use crate::sys::Kthread;
use umpire_shared::event::cause;

/// Ticks that a quantum may be overdrawn by.
pub const SC_MAX_TICKS: i32 = 2;

/// Bits of `t_schedctl`.
pub mod sc {
    /// `sc_nopreempt`: the thread would rather not be preempted.
    pub const NOPREEMPT: u8 = 1;
    /// `sc_yield`: it was spared a preemption, and is to yield when it is done.
    pub const YIELD: u8 = 2;
}

/// The priority that a spared thread has meanwhile: the best of user mode.
const SPARED_PRI: i16 = 59;

/// The current thread begins a section in which it would rather not be preempted.
pub fn schedctl_start() {
    platform::curthread().t_schedctl.fetch_or(sc::NOPREEMPT, Ordering::Relaxed);
}

/// It ends the section, and yields if it was spared meanwhile.
pub fn schedctl_stop() {
    if platform::curthread().t_schedctl.swap(0, Ordering::Relaxed) & sc::YIELD != 0 {
        thread_yield();
    }
}

/// True if `t` asks not to be preempted.
pub(super) fn nopreempt(t: &Kthread) -> bool {
    t.t_schedctl.get() & sc::NOPREEMPT != 0
}

/// `tick` found the quantum used up: true if the thread is spared once more.
pub(super) fn is_spared(t: &Kthread, timeleft: i32) -> bool {
    let spared = nopreempt(t) && timeleft > -SC_MAX_TICKS;
    if spared {
        t.t_schedctl.fetch_or(sc::YIELD, Ordering::Relaxed);
    }
    spared
}

/// `preempt` of a thread that may be spared: if it is, it goes to the head of the best user level, `save` is called with
/// the priority to come back to, and the answer is true. If it is not, its request is over.
pub(super) fn spare(t: &'static Kthread, timeleft: i32, save: impl FnOnce(i16)) -> bool {
    if !nopreempt(t) {
        return false;
    }
    if !is_spared(t, timeleft) {
        t.t_schedctl.fetch_and(!sc::NOPREEMPT, Ordering::Relaxed);
        return false;
    }
    save(t.t_pri.get());
    super::tell_pri(t, SPARED_PRI, cause::SCHEDCTL);
    t.t_pri.set(SPARED_PRI);
    setfrontdq(t);
    true
}
