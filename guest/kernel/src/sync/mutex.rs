//! Adaptive mutexes (`mutex.c`): spin while the owner runs, sleep while it does not.
//!
//! # Invariants
//! - The waiters bit is set under the turnstile chain's lock, after which the waiter looks at the owner once more; an owner that
//!   finds the bit at exit takes the same lock, so it sees every waiter that saw it as owner:
//!
//! ```text
//!   waiter                                   owner, which does not run
//!   locks the chain
//!   sets the bit            (full barrier)
//!   the owner runs? -> no
//!                                            runs; mutex_exit finds the bit
//!   is on the turnstile, unlocks the chain   waits for the chain's lock
//!                                            drops the mutex, wakes the waiter
//! ```
//! - Exit is a look and a plain store, no exchange: the look may be older than a waiter's bit, and the store wipes the bit out. The
//!   waiter that relies on its bit has seen three things in this order: the bit is set, the owner does not run, the bit is still set.
//!   An owner that is interrupted between look and store starts over (`platform::drop_owner`), so one that does not run is not between
//!   them, and looks again once it runs; and `cpu_thread` is stored by an exchange, a full barrier, before that look:
//!
//! ```text
//!   owner, runs: mutex_exit        waiter                               owner, interrupted in mutex_exit
//!   looks: no bit                                                        looks: no bit; is switched off
//!                                  sets the bit                          (waiter sets the bit, does not see it run,
//!   stores 0: the bit is gone                                             sees the bit, sleeps)
//!   another runs here                                                    runs again: looks once more: the bit
//!                                  the owner runs? -> no
//!                                  the bit? -> gone: does not sleep
//! ```
//! - Exit wakes every waiter, and they race for the mutex: the thundering herd is by design.
//! - `m_owner` is the first word: a reader from outside judges by it.

use core::sync::atomic::AtomicU64;

use super::turnstile::{
    Sobj, TS_WRITER_Q, turnstile_block, turnstile_exit, turnstile_lookup, turnstile_wakeup,
};
use crate::cell::{Cell, Counter};
use crate::lock::OwnerWord;
use crate::sys::Kthread;
use crate::sys::spin::Spin;
use crate::{kstat, platform};
use umpire_shared::mutant;
use umpire_shared::sys::machlock::LOCK_LEVEL;

/// Turns of the first wait for an owner that runs (`MUTEX_BACKOFF_BASE`).
const BACKOFF_BASE: u64 = 1;
/// How much longer each wait is in which the owner changed (`MUTEX_BACKOFF_SHIFT`).
const BACKOFF_SHIFT: u64 = 2;
/// Turns of the longest wait, for each CPU (`MUTEX_CAP_FACTOR`).
const BACKOFF_CAP_PER_CPU: u64 = 64;

/// An adaptive mutex (`kmutex_t`).
#[repr(C)]
#[derive(Debug, Default)]
pub struct Mutex {
    /// Owner and waiters bit.
    pub m_owner: OwnerWord,
    /// Times that a thread slept for it.
    pub m_blocks: AtomicU64,
}

impl Mutex {
    /// A free mutex.
    pub const fn new() -> Mutex {
        Mutex { m_owner: OwnerWord::new(), m_blocks: AtomicU64::new(0) }
    }
}

/// Takes the mutex.
///
/// # Panics
/// If the caller would have to wait and owns it already, or is above `LOCK_LEVEL`, where no thread may sleep: in a high-level
/// handler (`CPU_ON_INTR`), or with the level raised.
#[inline]
pub fn mutex_enter(mp: &'static Mutex) {
    platform::interleave();
    if !mp.m_owner.try_take(platform::curthread()) {
        mutex_vector_enter(mp);
    }
}

/// Takes the mutex if it is free (`mutex_tryenter`).
#[must_use = "says whether the mutex was taken"]
#[inline]
pub fn mutex_tryenter(mp: &'static Mutex) -> bool {
    platform::interleave();
    mp.m_owner.try_take(platform::curthread())
}

/// Gives the mutex up and wakes every thread that waits for it.
///
/// # Panics
/// If the caller does not own it.
#[inline]
pub fn mutex_exit(mp: &'static Mutex) {
    if !mp.m_owner.try_drop(platform::curthread()) {
        mutex_vector_exit(mp);
    }
}

#[cold]
fn mutex_vector_enter(mp: &'static Mutex) {
    let me = platform::curthread();
    assert!(platform::pil() <= LOCK_LEVEL, "mutex_enter: adaptive at high PIL");
    kstat::count(|stats| &stats.mutex_adenters);
    let cap = BACKOFF_CAP_PER_CPU * platform::kernel().k_cpus.len() as u64;
    let mut backoff = BACKOFF_BASE;
    let mut last: Option<&'static Kthread> = None;
    let mut spin = Spin::for_word(&mp.m_owner);
    loop {
        let Some(owner) = mp.m_owner.owner() else {
            if mp.m_owner.try_take(me) {
                return;
            }
            continue;
        };
        assert!(!core::ptr::eq(owner, me), "recursive mutex_enter by thread {}", me.t_did);
        if !is_running(owner) {
            block(mp, me);
            continue;
        }
        // Another thread was quicker: many want the mutex, so this one looks less often.
        if last.replace(owner).is_some_and(|l| !core::ptr::eq(l, owner)) {
            backoff = (backoff << BACKOFF_SHIFT).min(cap);
        }
        wait(&mut spin, owner, backoff);
    }
}

/// Waits `turns` turns and up to as many again, by the low bits of the clock, so that two CPUs fall out of step.
fn wait(spin: &mut Spin, owner: &Kthread, turns: u64) {
    for _ in 0..turns + platform::now() % turns {
        spin.turn_for_thread(owner);
    }
}

/// Sleeps until the mutex is given up, unless its owner has changed or begun to run meanwhile.
fn block(mp: &'static Mutex, me: &'static Kthread) {
    let found = turnstile_lookup(Sobj::Mutex(mp));
    // The bit is set before the second look whether the owner runs: an owner that leaves its CPU after that look finds the bit at
    // exit. The exchange that sets the bit is a full barrier. See the pictures in the invariants.
    let must_wait = mp.m_owner.owner().is_some_and(|o| {
        let is_set = !core::ptr::eq(o, me) && mp.m_owner.set_waiters(o);
        platform::interleave();
        is_set && !is_running(o) && mp.m_owner.has_waiters(o)
    });
    if !must_wait {
        turnstile_exit(found.0);
        return;
    }
    mp.m_blocks.bump();
    turnstile_block(found, TS_WRITER_Q, Sobj::Mutex(mp));
}

#[cold]
fn mutex_vector_exit(mp: &'static Mutex) {
    let me = platform::curthread();
    assert!(mp.m_owner.owner().is_some_and(|o| core::ptr::eq(o, me)), "mutex_exit: not owner");
    let (chain, ts) = turnstile_lookup(Sobj::Mutex(mp));
    mp.m_owner.drop_with_waiters();
    // A bit without a turnstile was set by a thread that then saw this one run again, and did not sleep.
    if let Some(ts) = ts {
        turnstile_wakeup(chain, ts, TS_WRITER_Q, ts.ts_waiters.get(), None);
    }
    turnstile_exit(chain);
}

/// True if the owner is on a CPU, so that spinning is worth while (`mutex_owner_running`). An owner that an interrupt thread pins
/// is not on a CPU: `cpu_thread` is the interrupt thread then.
#[inline]
fn is_running(owner: &'static Kthread) -> bool {
    if platform::kernel().is_mutant(mutant::BLIND_SPIN) {
        return true;
    }
    // Acquire: the waiters bit is looked at after this (`block`).
    owner.t_cpu.get().and_then(|cp| cp.cpu_thread.get()).is_some_and(|runs| core::ptr::eq(runs, owner))
}
