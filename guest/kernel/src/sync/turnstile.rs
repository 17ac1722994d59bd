//! Turnstiles: where threads wait for a lock that has an owner (`turnstile.c`).
//!
//! Every thread comes with one turnstile. The first thread to block on a lock lends the lock its turnstile; a thread that comes later
//! parks its own on the `ts_free` stack. A thread that leaves takes one from that stack, and the last one takes the lock's.
//! So a lock needs no room for waiters, and there is always one turnstile for each thread.
//!
//! # Invariants
//! - A turnstile with `ts_sobj` != 0 is on the chain of that address, and has at least one waiter. It and the threads that sleep on it
//!   are guarded by the chain's lock, which is the sleepers' `t_lockp`.
//! - A blocked thread's `t_ts` is the turnstile it is blocked on; any other thread's is its own to lend.
//! - What the owner inherits from a turnstile (`ts_inheritor`, `ts_epri`) changes under the chain's lock and the owner's thread lock.
//! - Order: a chain before any run queue and any `cpu_thread_lock`; two chains never in a fixed order, see `inherit.rs`.

use core::sync::atomic::{AtomicI16, AtomicU8, AtomicU32, AtomicUsize};

use super::inherit::{pi_inherit, pi_waive, will_to_owners};
use super::{Mutex, Rwlock, SleepList, sleepq};
use crate::cell::{Cell, Counter};
use crate::disp::{disp_lock_exit, swtch};
use crate::lock::{DispLock, SharedPtr, disp_lock_enter, thread_lock_high, thread_unlock_high};
use crate::sys::thread::{sobj, thread_transition_keeping};
use crate::sys::{Kthread, class};
use crate::{platform, probe};
use umpire_shared::event::Kind;

/// Chains in the hash table: a power of two. (Solaris has as many again for user-level locks.)
pub const TURNSTILE_HASH_SIZE: usize = 128;
/// Place in `ts_sleepq` of the threads that want to write; threads that wait for a mutex are there too.
pub const TS_WRITER_Q: usize = 0;
/// Place in `ts_sleepq` of the threads that want to read.
pub const TS_READER_Q: usize = 1;

/// `turnstile_t`.
#[repr(C)]
#[derive(Debug)]
pub struct Turnstile {
    /// Next of the chain.
    pub ts_next: SharedPtr<Turnstile>,
    /// Turnstiles that the other waiters brought.
    pub ts_free: SharedPtr<Turnstile>,
    /// Address of the lock, 0 while the turnstile is not in use.
    pub ts_sobj: AtomicUsize,
    /// Kind of the lock: one of [`sobj`].
    pub ts_kind: AtomicU8,
    /// Priority that `ts_inheritor` has from this turnstile.
    pub ts_epri: AtomicI16,
    /// Threads that are blocked here.
    pub ts_waiters: AtomicU32,
    /// The owner that inherits `ts_epri`.
    pub ts_inheritor: SharedPtr<Kthread>,
    /// Next turnstile from which the same thread inherits.
    pub ts_prioinv: SharedPtr<Turnstile>,
    /// The blocked threads: [`TS_WRITER_Q`], [`TS_READER_Q`].
    pub ts_sleepq: [SleepList; 2],
    /// The lock, if it is a mutex.
    pub ts_mutex: SharedPtr<Mutex>,
    /// The lock, if it is an rwlock.
    pub ts_rwlock: SharedPtr<Rwlock>,
}

/// One chain of the hash table (`turnstile_chain_t`).
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct TurnstileChain {
    /// Guards the chain, its turnstiles and the threads that sleep there.
    pub tc_lock: DispLock,
    /// Turnstiles in use.
    pub tc_first: SharedPtr<Turnstile>,
}

/// A lock that turnstiles know (`sobj_ops_t`).
#[derive(Debug, Clone, Copy)]
pub(super) enum Sobj {
    Mutex(&'static Mutex),
    Rwlock(&'static Rwlock),
}

impl Sobj {
    fn address(self) -> usize {
        match self {
            Sobj::Mutex(m) => core::ptr::from_ref(m).addr(),
            Sobj::Rwlock(r) => core::ptr::from_ref(r).addr(),
        }
    }

    fn kind(self) -> u8 {
        match self {
            Sobj::Mutex(_) => sobj::MUTEX,
            Sobj::Rwlock(_) => sobj::RWLOCK,
        }
    }
}

impl Turnstile {
    /// A turnstile that is not in use.
    pub fn new() -> Turnstile {
        Turnstile {
            ts_next: SharedPtr::null(),
            ts_free: SharedPtr::null(),
            ts_sobj: AtomicUsize::new(0),
            ts_kind: AtomicU8::new(sobj::NONE),
            ts_epri: AtomicI16::new(0),
            ts_waiters: AtomicU32::new(0),
            ts_inheritor: SharedPtr::null(),
            ts_prioinv: SharedPtr::null(),
            ts_sleepq: [const { SleepList::new() }; 2],
            ts_mutex: SharedPtr::null(),
            ts_rwlock: SharedPtr::null(),
        }
    }

    /// The thread that holds the lock, if exactly one does. The caller holds the chain's lock; while it does, that thread cannot
    /// release the lock.
    pub(super) fn owner(&self) -> Option<&'static Kthread> {
        match self.ts_kind.get() {
            sobj::MUTEX => self.ts_mutex.get()?.m_owner.owner(),
            _ => self.ts_rwlock.get()?.rw_wwwh.owner(),
        }
    }

    /// The priority of the best waiter, -1 if there is none.
    fn best_waiter(&self) -> i32 {
        self.ts_sleepq[TS_WRITER_Q].best_pri().max(self.ts_sleepq[TS_READER_Q].best_pri())
    }

    fn serve(&self, lock: Sobj) {
        self.ts_sobj.set(lock.address());
        self.ts_kind.set(lock.kind());
        match lock {
            Sobj::Mutex(m) => self.ts_mutex.set(Some(m)),
            Sobj::Rwlock(r) => self.ts_rwlock.set(Some(r)),
        }
    }

    fn retire(&self) {
        debug_assert!(self.ts_inheritor.is_null(), "turnstile: nobody waits, and somebody inherits");
        self.ts_sobj.set(0);
        self.ts_kind.set(sobj::NONE);
        self.ts_mutex.set(None);
        self.ts_rwlock.set(None);
    }
}

impl Default for Turnstile {
    fn default() -> Self {
        Turnstile::new()
    }
}

/// Locks the chain of a lock and finds its turnstile, if a thread waits (`turnstile_lookup`). [`turnstile_exit`] unlocks.
pub(super) fn turnstile_lookup(lock: Sobj) -> (&'static TurnstileChain, Option<&'static Turnstile>) {
    let kernel = platform::kernel();
    let address = lock.address();
    let place = kernel.place_of(address);
    let chain = &kernel.k_sync.turnstile_table[((place >> 2) + (place >> 9)) % TURNSTILE_HASH_SIZE];
    disp_lock_enter(&chain.tc_lock);
    let mut at = chain.tc_first.get();
    while let Some(ts) = at {
        if ts.ts_sobj.get() == address {
            break;
        }
        at = ts.ts_next.get();
    }
    (chain, at)
}

/// Unlocks a chain (`turnstile_exit`); a thread that was woken meanwhile may preempt the caller.
pub(super) fn turnstile_exit(chain: &'static TurnstileChain) {
    disp_lock_exit(&chain.tc_lock);
}

/// Blocks the current thread on a lock, lending its priority to the owner, to the thread that the owner waits for, and so on
/// (`turnstile_block`). Called with what [`turnstile_lookup`] returned; returns when the thread has been woken, with nothing locked.
///
/// # Panics
/// "Deadlock: cycle in blocking chain", if the thread would wait for itself.
pub(super) fn turnstile_block(
    (chain, ts): (&'static TurnstileChain, Option<&'static Turnstile>),
    queue: usize,
    lock: Sobj,
) {
    let t = platform::curthread();
    thread_lock_high(t);
    let mine = t.t_ts.get().expect("invariant: a thread that is not blocked has a turnstile");
    let ts = ts.unwrap_or(mine);
    if core::ptr::eq(ts, mine) {
        mine.serve(lock);
        mine.ts_next.set(chain.tc_first.get());
        chain.tc_first.set(Some(mine));
    } else {
        mine.ts_free.set(ts.ts_free.get());
        ts.ts_free.set(Some(mine));
        t.t_ts.set(Some(ts));
    }
    ts.ts_waiters.bump();
    sleepq::fall_asleep(t, &chain.tc_lock, &ts.ts_sleepq[queue], lock.address(), lock.kind(), ts.owner());
    will_to_owners(t);
    // The level stays high until swtch has chosen.
    swtch();
}

/// Takes from the current thread what it inherited from `ts`, then wakes the best `count` threads of a queue (`turnstile_wakeup`).
/// `owner`, one of them, has been made the lock's owner and inherits from the threads that still wait. The caller holds the chain's
/// lock, before and after.
pub(super) fn turnstile_wakeup(
    chain: &'static TurnstileChain,
    ts: &'static Turnstile,
    queue: usize,
    count: u32,
    owner: Option<&'static Kthread>,
) {
    probe::fire(Kind::Release, platform::curthread(), u64::from(count));
    if !ts.ts_inheritor.is_null() {
        pi_waive(ts);
    }
    for _ in 0..count {
        let t = ts.ts_sleepq[queue].first().expect("invariant: who wakes has counted the sleepers");
        dequeue(chain, ts, queue, t);
        thread_transition_keeping(t);
        probe::fire(Kind::Wakeup, t, 0);
        class::cl_wakeup(t);
        if owner.is_some_and(|o| core::ptr::eq(o, t)) {
            pi_inherit(ts, t, ts.best_waiter());
        }
        thread_unlock_high(t);
    }
}

/// Takes a sleeper off a turnstile and gives it one to take along: a parked one, or this one if it was the last (`turnstile_dequeue`).
fn dequeue(chain: &'static TurnstileChain, ts: &'static Turnstile, queue: usize, t: &'static Kthread) {
    sleepq::leave(t, &ts.ts_sleepq[queue]);
    ts.ts_waiters.drop_one();
    match ts.ts_free.get() {
        Some(free) => {
            ts.ts_free.set(free.ts_free.get());
            free.ts_free.set(None);
            t.t_ts.set(Some(free));
        }
        None => {
            unlink(chain, ts);
            ts.retire();
        }
    }
}

fn unlink(chain: &'static TurnstileChain, ts: &'static Turnstile) {
    let mut link = &chain.tc_first;
    while let Some(here) = link.get() {
        if core::ptr::eq(here, ts) {
            link.set(ts.ts_next.get());
            ts.ts_next.set(None);
            return;
        }
        link = &here.ts_next;
    }
    unreachable!("invariant: a turnstile in use is on its chain");
}
