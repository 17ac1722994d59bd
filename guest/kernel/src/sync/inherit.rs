//! Priority inheritance (`turnstile.c`): a waiter's priority reaches the owner, and whoever that one waits for.
//!
//! # Invariants
//! - A thread's `t_epri` is the greatest `ts_epri` on its `t_prioinv` list, 0 if that is empty.
//! - The walk holds the lock of the thread it stands on and takes its owner's. Locks of two threads have no order by kind, so their places
//!   in memory decide: who holds the lower one waits for the higher one; who holds the higher one gives it back, waits and begins anew.
//!   A wait is therefore always for a lock of higher place, and no circle of walks can wait for each other.
//! - Nobody who holds a run queue's lock or a `cpu_thread_lock` waits for a chain or a sleep queue, so a walk may wait for those while it
//!   holds a chain.
//!
//! # What is not here
//! Condition variables, semaphores and read-held rwlocks have no owner, so their waiters lend nothing. A waiter whose own
//! priority is changed while it sleeps moves on its queue, but lends no more than before, as in Solaris.

use super::Turnstile;
use super::deadlock::Cycle;
use crate::cell::{Cell, Counter};
use crate::disp::{cpu_surrender, must_surrender, thread_change_epri};
use crate::lock::{DispLock, thread_lock_high, thread_unlock_high};
use crate::platform;
use crate::sys::Kthread;
use crate::sys::thread::{sobj, ts};
use umpire_shared::{mutant, tunable};

/// Follows the blocking chain from `me`, which has just fallen asleep and is locked, and lends each owner on the way the priority of
/// who waits for it (the loop of `turnstile_block`). Unlocks everything.
pub(super) fn will_to_owners(me: &'static Kthread) {
    let mut t = me;
    while let Some((ts, owner)) = blocked_on(t) {
        assert!(!core::ptr::eq(owner, me), "Deadlock: cycle in blocking chain: {}", Cycle(me));
        let held = t.lockp();
        if !interlock(held, owner) {
            wait_as_loser(held, owner, me);
            t = me;
            continue;
        }
        pi_inherit(ts, owner, t.pri());
        // Two threads that sleep on the same chain have one lock.
        if !core::ptr::eq(owner.lockp(), held) {
            held.exit_high();
        }
        t = owner;
    }
    thread_unlock_high(t);
}

/// The turnstile that a locked thread is blocked on, with the owner of the lock, if there is one.
pub(super) fn blocked_on(t: &Kthread) -> Option<(&'static Turnstile, &'static Kthread)> {
    if t.t_state.get() != ts::SLEEP || !matches!(t.t_sobj.get(), sobj::MUTEX | sobj::RWLOCK) {
        return None;
    }
    let ts = t.t_ts.get().expect("invariant: a blocked thread is on a turnstile");
    Some((ts, ts.owner()?))
}

/// Lends `owner` the priority `pri` of `ts`'s best waiter (`turnstile_pi_inherit`). The chain and the owner are locked.
pub(super) fn pi_inherit(ts: &'static Turnstile, owner: &'static Kthread, pri: i32) {
    if platform::kernel().is_mutant(mutant::NO_INHERIT) {
        return;
    }
    if pri <= i32::from(owner.t_pri.get()) || platform::kernel().tunable(tunable::PRIORITY_INHERITANCE) == 0 {
        return;
    }
    if ts.ts_inheritor.is_null() {
        ts.ts_inheritor.set(Some(owner));
        ts.ts_epri.set(pri as i16);
        ts.ts_prioinv.set(owner.t_prioinv.get());
        owner.t_prioinv.set(Some(ts));
    } else {
        debug_assert!(ts.ts_inheritor.is(owner), "turnstile: two heirs");
        ts.ts_epri.set(ts.ts_epri.get().max(pri as i16));
    }
    if pri > owner.pri() {
        thread_change_epri(owner, pri);
    }
}

/// The current thread gives up what it inherits from `ts` (`turnstile_pi_waive`). The chain is locked.
pub(super) fn pi_waive(ts: &'static Turnstile) {
    let t = platform::curthread();
    debug_assert!(ts.ts_inheritor.is(t), "turnstile: who lets go is not who inherits");
    thread_lock_high(t);
    let mut epri = 0;
    let mut link = &t.t_prioinv;
    while let Some(here) = link.get() {
        if core::ptr::eq(here, ts) {
            link.set(ts.ts_prioinv.get());
        } else {
            epri = epri.max(i32::from(here.ts_epri.get()));
            link = &here.ts_prioinv;
        }
    }
    ts.ts_prioinv.set(None);
    ts.ts_inheritor.set(None);
    ts.ts_epri.set(0);
    thread_change_epri(t, epri);
    if must_surrender(t) {
        cpu_surrender(t);
    }
    thread_unlock_high(t);
}

/// Locks `owner` beside `held`, which the caller holds (`turnstile_interlock`). False if that must not be waited for.
fn interlock(held: &'static DispLock, owner: &'static Kthread) -> bool {
    loop {
        let wanted = owner.lockp();
        if core::ptr::eq(wanted, held) {
            return true;
        }
        if wanted.try_enter() {
            if owner.t_lockp.is(wanted) {
                return true;
            }
            wanted.exit_high();
            continue;
        }
        if place(held) > place(wanted) {
            return false;
        }
        wait_while_busy(wanted, owner);
    }
}

/// Gives `held` back, waits until `owner`'s lock can be had, and locks `me` again, on whatever it is by now.
///
/// Only one loser at a time gets past here (facts 11.E6): of those that lost to one walk, one goes for its lock and the others wait
/// behind him, holding nothing. That alone does not keep two from losing in turn, for who lost first has left before the other
/// loses. It takes a coincidence of places and one of times. A loser holds nothing while the lock that he lost to is held, so who holds
/// it does not lose to him at his next step. For two to lose in turn, each must stand at the other's last lock when the other comes to it:
/// one walks `b2, a1, b1` and the other `b1, a2, b2`, with `b1 < a1` and `b2 < a2`. These are locks of turnstile chains,
/// and the two who sleep on the chain `b2` do so on different locks, or the owners form a circle; so two contended locks
/// must share a chain. And each, having seen the other give his lock back, must take the first of his own walk before the
/// other, who has only to go on, tries it: half a round needs that, and the next half as well.
fn wait_as_loser(held: &'static DispLock, owner: &'static Kthread, me: &'static Kthread) {
    let kernel = platform::kernel();
    held.exit_high();
    kernel.k_sync.turnstile_loser_lock.enter_high();
    platform::cpu().cpu_stats.turnstile_losses.bump();
    wait_while_busy(owner.lockp(), owner);
    thread_lock_high(me);
    kernel.k_sync.turnstile_loser_lock.exit_high();
}

/// Waits until a lock is free or not `owner`'s any more. `transition_lock` never is free, so the second matters.
fn wait_while_busy(lock: &'static DispLock, owner: &'static Kthread) {
    while lock.is_held() && owner.t_lockp.is(lock) {
        platform::relax();
    }
}

/// What the order of two locks goes by: their places, not their addresses, so that a seed means the same twice.
fn place(lock: &DispLock) -> usize {
    platform::kernel().place_of(core::ptr::from_ref(lock).addr())
}
