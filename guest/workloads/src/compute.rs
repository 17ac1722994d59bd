//! Workloads that compute: a vCPU's loop, spinners, periodic threads, lock users.
//!
//! # Invariants
//! - `vcpu_loop` never sleeps and, in kernel mode, never returns to user mode: that is the point of illumos #1532.

use crate::{US, progress};
use umpire_kernel::cell::Cell;
use umpire_kernel::intr::{user_enter, user_exit};
use umpire_kernel::sync::{mutex_enter, mutex_exit};
use umpire_kernel::thread::{
    kpreempt_aggressively, kpreempt_disable, kpreempt_enable, kpreempt_normally, lwp, thread_yield,
};
use umpire_kernel::time::callout::{delay, sleep_until};
use umpire_kernel::{Kthread, platform};

/// Values of `after_exit`, in the order of the parameter's words.
mod after_exit {
    pub const CHECK_RUNRUN: u64 = 1;
    pub const FORCE_KPRUNRUN: u64 = 2;
}

/// `mode = "user"`.
pub(crate) const USER: u64 = 1;

/// `between = "yield"`.
const YIELD: u64 = 1;

/// A KVM vCPU thread: runs its guest, exits every `exit_us`, handles the exit in the kernel, goes in again.
pub(crate) fn vcpu_loop(t: &'static Kthread) {
    let [exit_us, after, preempt, mode] = [0, 1, 2, 3].map(|n| t.arg(n));
    if mode == USER {
        return spin_in(t, USER, exit_us);
    }
    loop {
        if preempt != 0 {
            kpreempt_aggressively();
        }
        platform::spin(exit_us * US);
        if preempt != 0 {
            kpreempt_normally();
        }
        progress(t);
        match after {
            after_exit::CHECK_RUNRUN => leave_if_asked(t),
            after_exit::FORCE_KPRUNRUN => {
                // The ticket's workaround: set our own kprunrun after each exit, look when preemption is enabled again.
                kpreempt_disable();
                platform::cpu().cpu_kprunrun.set(1);
                kpreempt_enable();
            }
            _ => {}
        }
    }
}

/// bhyve's `vcpu_should_yield`: leaves the run loop for user mode if anybody asks.
fn leave_if_asked(t: &'static Kthread) {
    if t.t_astflag.get() != 0 || platform::cpu().cpu_runrun.get() != 0 {
        user_enter();
        user_exit();
    }
}

/// Computes for ever, and yields between two chunks if asked to.
pub(crate) fn spin(t: &'static Kthread) {
    let [mode, chunk_us, between] = [0, 1, 2].map(|n| t.arg(n));
    if between != YIELD {
        return spin_in(t, mode, chunk_us);
    }
    loop {
        burn(t, mode, chunk_us);
        progress(t);
        thread_yield();
    }
}

/// Computes `busy_us`, sleeps `sleep_ticks` or `sleep_us`, and so on.
pub(crate) fn periodic(t: &'static Kthread) {
    let [busy_us, sleep_ticks, mode, sleep_us] = [0, 1, 2, 3].map(|n| t.arg(n));
    loop {
        burn(t, mode, busy_us);
        progress(t);
        match sleep_us {
            0 => delay(sleep_ticks),
            us => sleep_until(platform::now() + us * US),
        }
    }
}

/// Takes one of the workload mutexes, holds it, lets go, thinks.
pub(crate) fn lock_mix(t: &'static Kthread) {
    let [lock, hold_us, think_us, rest_ticks] = [0, 1, 2, 3].map(|n| t.arg(n));
    let mp = &platform::kernel().k_work_locks[lock as usize];
    loop {
        mutex_enter(mp);
        platform::spin(hold_us * US);
        mutex_exit(mp);
        platform::spin(think_us * US);
        progress(t);
        if rest_ticks != 0 {
            delay(rest_ticks);
        }
    }
}

fn spin_in(t: &'static Kthread, mode: u64, chunk_us: u64) {
    loop {
        burn(t, mode, chunk_us);
        progress(t);
    }
}

/// Computes, in user mode if `mode` says so and the thread has an LWP.
pub(crate) fn burn(t: &'static Kthread, mode: u64, us: u64) {
    if mode == USER && t.lwp_state.get() != lwp::NONE {
        user_enter();
        platform::spin(us * US);
        user_exit();
    } else {
        platform::spin(us * US);
    }
}
