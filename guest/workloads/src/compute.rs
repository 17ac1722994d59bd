//! Workloads that compute: spinners, periodic threads, users of a mutex.
//!
//! # Invariants
//! - Only a thread with an LWP computes in user mode; a thread without one that is told to do so computes in the kernel.

use crate::turn::{US, progress, rest};
use umpire_kernel::cell::Cell;
use umpire_kernel::disp::thread_yield;
use umpire_kernel::intr::{user_enter, user_exit};
use umpire_kernel::sync::{mutex_enter, mutex_exit};
use umpire_kernel::sys::thread::lwp;
use umpire_kernel::time::callout::{delay, sleep_until};
use umpire_kernel::{Kthread, platform};
use umpire_shared::work::compute::{Between, Compute, LockMix, Mode, Periodic, Spin};

umpire_shared::compute_workloads!();

/// Computes for ever, and yields between two chunks if asked to.
fn spin(t: &'static Kthread, Spin { mode, chunk_us, between }: Spin) {
    match between {
        Between::Nothing => burn_for_ever(t, mode, chunk_us),
        Between::Yield => loop {
            burn(t, mode, chunk_us);
            progress(t);
            thread_yield();
        },
    }
}

/// Computes `busy_us`, sleeps `sleep_ticks` or `sleep_us`, and so on.
fn periodic(t: &'static Kthread, Periodic { busy_us, sleep_ticks, mode, sleep_us }: Periodic) {
    loop {
        burn(t, mode, busy_us);
        progress(t);
        match sleep_us {
            0 => delay(sleep_ticks),
            us => sleep_until(platform::now() + us * US),
        }
    }
}

/// Takes one of the workload mutexes, holds it, releases it, thinks.
fn lock_mix(t: &'static Kthread, LockMix { lock, hold_us, think_us, rest_ticks }: LockMix) {
    let mp = &platform::kernel().k_work.locks[lock as usize];
    loop {
        mutex_enter(mp);
        platform::spin(hold_us * US);
        mutex_exit(mp);
        platform::spin(think_us * US);
        progress(t);
        rest(rest_ticks);
    }
}

/// Computes for ever; a turn is `chunk_us`.
pub(crate) fn burn_for_ever(t: &'static Kthread, mode: Mode, chunk_us: u64) {
    loop {
        burn(t, mode, chunk_us);
        progress(t);
    }
}

/// Computes, in user mode if `mode` says so and the thread has an LWP.
pub(crate) fn burn(t: &'static Kthread, mode: Mode, us: u64) {
    if mode == Mode::User && t.lwp_state.get() != lwp::NONE {
        user_enter();
        platform::spin(us * US);
        user_exit();
    } else {
        platform::spin(us * US);
    }
}
