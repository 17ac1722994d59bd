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

/// Computes `busy_us`, sleeps `sleep_ticks` or `sleep_us` and up to `jitter_us` more, and so on.
fn periodic(t: &'static Kthread, Periodic { busy_us, sleep_ticks, mode, sleep_us, jitter_us }: Periodic) {
    let mut jitter = Jitter::of(t, jitter_us);
    loop {
        burn(t, mode, busy_us);
        progress(t);
        let more_us = jitter.draw_us();
        match (sleep_us, more_us) {
            (0, 0) => delay(sleep_ticks),
            (0, more_us) => {
                delay(sleep_ticks);
                sleep_until(platform::now() + more_us * US);
            }
            (us, more_us) => sleep_until(platform::now() + (us + more_us) * US),
        }
    }
}

/// Draws a thread's jitter (xorshift): each thread has its own sequence, the same in each run.
struct Jitter {
    state: u64,
    most_us: u64,
}

impl Jitter {
    /// Up to so many us, for a thread.
    fn of(t: &Kthread, most_us: u64) -> Jitter {
        Jitter { state: (u64::from(t.t_did) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15), most_us }
    }

    fn draw_us(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state % (self.most_us + 1)
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
