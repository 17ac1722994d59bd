//! User mode, as far as the scheduler can tell: a section to which interrupts return differently.
//!
//! # Invariants
//! - `cpu_runrun` is looked at here and, on behalf of a thread that asks for it, by `kpreempt_aggressively`.
//! - An AST posted between the last look and the change of mode is not lost: the thread changes the mode first and looks at the
//!   AST afterwards:
//!
//! ```text
//!   thread: user_enter                        an interrupt on its CPU
//!   t_astflag? -> 0
//!                                             posts the AST
//!                                             returns to mode SYS: does not look at the AST
//!   mode = USER
//!   t_astflag? -> 1: mode = SYS, takes the AST, begins again
//! ```

use core::sync::atomic::{Ordering, compiler_fence};

use crate::cell::{Cell, Counter};
use crate::disp::{preempt, stop_if_asked};
use crate::lock::{thread_lock, thread_unlock_nopreempt};
use crate::mstate::mode_mstate;
use crate::platform;
use crate::sys::thread::{lwp, schedflag};
use crate::sys::{Kthread, class};
use umpire_shared::mutant;

/// The current thread's LWP goes to user mode (end of a system call).
pub fn user_enter() {
    let t = platform::curthread();
    return_to_user_checks(t);
    loop {
        mode_mstate(t, lwp::USER, |_| ());
        // Only an interrupt on this CPU looks at the mode, so it is enough that the compiler does not move the look at the AST
        // before the change of mode.
        compiler_fence(Ordering::SeqCst);
        platform::interleave();
        if t.t_astflag.get() == 0 {
            return;
        }
        mode_mstate(t, lwp::SYS, |cp| cp.cpu_stats.trap.bump());
        return_to_user_checks(t);
    }
}

/// The current thread's LWP comes back to the kernel (start of a system call).
pub fn user_exit() {
    mode_mstate(platform::curthread(), lwp::SYS, |cp| cp.cpu_stats.syscall.bump());
}

/// An interrupt returns to user mode: `trap(T_AST)` if an AST is posted.
pub(super) fn return_to_user(t: &'static Kthread) {
    if t.t_astflag.get() != 0 {
        mode_mstate(t, lwp::SYS, |cp| cp.cpu_stats.trap.bump());
        user_enter();
    }
}

fn return_to_user_checks(t: &'static Kthread) {
    while t.t_astflag.get() != 0 {
        t.astoff();
        platform::interleave();
        if t.t_trapret.get() != 0 {
            t.t_trapret.set(0);
            thread_lock(t);
            class::cl_trapret(t);
            thread_unlock_nopreempt(t);
        }
        stop_if_asked(t);
        let must_wait = t.t_schedflag.get() & schedflag::ANYWAITQ != 0;
        let runrun =
            platform::cpu().cpu_runrun.get() != 0 && !platform::kernel().is_mutant(mutant::BLIND_USER);
        if runrun || must_wait {
            // All that the thread has left to do is to go to user mode, so from here on a preemption may park it.
            t.t_to_user.set(1);
            preempt();
            t.t_to_user.set(0);
        }
    }
}
