//! A thread is stopped from outside, as `/proc` does it, and let go again.
//!
//! Nobody stops a thread but itself: it may hold locks, and only on its way to user mode it holds none (`stop`). So whoever wants it
//! stopped leaves word (`TP_PRSTOP`) and posts an AST. A thread that sleeps in a system call stops when that is over; one that has no
//! LWP never goes to user mode and cannot be stopped.
//!
//! # Invariants
//! - `TP_PRSTOP` changes under the thread's lock, and a thread stops under that lock only while the flag is set. So of a stop and a run
//!   that come at once either the thread sees that it need not stop, or it is found stopped:
//!
//! ```text
//!   stop_if_asked: locks the thread              prun: waits for the lock
//!   the flag is set: TS_STOPPED, unlocks         locks the thread, clears the flag
//!   switches                                     finds it stopped, makes it runnable
//! ```

use crate::cell::Cell;
use crate::disp::{poke_cpu, setrun_locked, swtch, thread_unlock};
use crate::lock::{thread_lock, thread_unlock_nopreempt};
use crate::sys::thread::{lwp, pflag, thread_stop_running, ts};
use crate::sys::{Kthread, class};
use crate::{mstate, platform};
use umpire_shared::errno;

/// Has a thread stop on its way to user mode (`prcontrol.c pr_stop`). 0, or `EINVAL` for one that never goes there.
pub fn prstop(t: &'static Kthread) -> u32 {
    if t.lwp_state.get() == lwp::NONE {
        return errno::EINVAL;
    }
    thread_lock(t);
    t.t_proc_flag.set(t.t_proc_flag.get() | pflag::PRSTOP);
    t.aston();
    let cp = t.cpu();
    if t.t_state.get() == ts::ONPROC && !core::ptr::eq(cp, platform::cpu()) {
        poke_cpu(cp);
    }
    thread_unlock(t);
    0
}

/// Lets a thread go that was stopped, or was to stop (`prcontrol.c pr_setrun`). 0, or `EBUSY` if nobody had asked it to stop.
pub fn prun(t: &'static Kthread) -> u32 {
    thread_lock(t);
    let was_asked = t.t_proc_flag.get() & pflag::PRSTOP != 0;
    t.t_proc_flag.set(t.t_proc_flag.get() & !pflag::PRSTOP);
    if was_asked && t.t_state.get() == ts::STOPPED {
        setrun_locked(t);
    }
    thread_unlock(t);
    if was_asked { 0 } else { errno::EBUSY }
}

/// The current thread is about to go to user mode: stops if somebody has asked for it (`stop`), and comes back when it is let go.
pub fn stop_if_asked(t: &'static Kthread) {
    if t.t_proc_flag.get() & pflag::PRSTOP == 0 {
        return;
    }
    thread_lock(t);
    if t.t_proc_flag.get() & pflag::PRSTOP == 0 {
        thread_unlock_nopreempt(t);
        return;
    }
    class::cl_stop(t);
    mstate::mstate_stop(t);
    thread_stop_running(t);
    swtch();
}
