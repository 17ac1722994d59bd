//! Priority inheritance (`turnstile.c`): a waiter's priority reaches the owner, and the thread that the owner waits for, and so on.
//!
//! # Invariants
//! - A thread's `t_epri` is the greatest `ts_epri` on its `t_prioinv` list, 0 if that is empty.
//! - The walk holds the lock of the thread it stands on and takes that of the owner that the thread waits for. Locks of two threads
//!   have no order by kind, so their places in memory decide: a walk that holds the lower one waits for the higher one; a walk that
//!   holds the higher one releases it, waits and begins anew. A walk that holds a lock therefore always waits for one of higher
//!   place, and no circle of walks can wait for each other.
//! - No CPU that holds a run queue's lock or a `cpu_thread_lock` waits for a chain or a sleep queue, so a walk may wait for a run
//!   queue's lock or a `cpu_thread_lock` while it holds a chain.
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
use crate::sys::spin::Spin;
use crate::sys::thread::{sobj, ts};
use umpire_shared::{mutant, tunable};

/// Follows the blocking chain from `me`, which has just fallen asleep and is locked, and lends each owner on the way the priority of
/// the thread that waits for it (the loop of `turnstile_block`). Unlocks everything.
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
        let more = if platform::kernel().is_mutant(mutant::HIGH_LOAN) { 5 } else { 0 };
        thread_change_epri(owner, pri + more);
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
    let kernel = platform::kernel();
    if kernel.is_mutant(mutant::WAIVE_DROPS_ALL) {
        epri = 0;
    }
    if !kernel.is_mutant(mutant::WAIVE_KEEPS) {
        thread_change_epri(t, epri);
    }
    if must_surrender(t) && !kernel.is_mutant(mutant::WAIVE_NO_SURRENDER) {
        cpu_surrender(t);
    }
    thread_unlock_high(t);
}

/// Locks `owner` beside `held`, which the caller holds (`turnstile_interlock`). False if the caller must not wait for that.
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

/// Releases `held`, waits until `owner`'s lock can be had, and locks `me` again, by the lock that it has by now.
///
/// Only one loser at a time gets past here (facts 11.E6): of the walks that lost to one walk, one goes for its lock and the others
/// wait behind it, holding nothing. That alone does not keep two walks from losing in turn, because the first loser has left before
/// the second loses. Losing in turn takes a coincidence of places and one of times.
///
/// A loser holds nothing while the lock that it lost to is held, so the walk that holds that lock does not lose to the loser at its
/// next step. For two walks to lose in turn, each must stand at the other's last lock when the other comes to it. One takes the
/// locks `b2, a1, b1` and the other `b1, a2, b2`, where `b1 < a1` and `b2 < a2`:
///
/// ```text
///   walk 1                                  walk 2
///   holds a1                                 holds b1
///   b1 is held, and a1 > b1: loses
///   releases a1; waits for b1, alone
///                                            takes a2, releases b1
///   sees b1 free, takes b2, leaves here
///                                            b2 is held, and a2 > b2: loses
///                                            releases a2; waits for b2, alone
///   takes a1, releases b2
///                                            sees b2 free, takes b1, leaves here
///   b1 is held, and a1 > b1: loses ...
/// ```
/// These are locks of turnstile chains. The two threads that sleep on the chain `b2` do so on different locks, or the owners form a
/// circle; so two contended locks must share a chain. And a loser that has seen the other walk release its lock must take the first
/// lock of its own walk before the other, which has only to go on, tries that: half a round needs this, and the next half as well.
fn wait_as_loser(held: &'static DispLock, owner: &'static Kthread, me: &'static Kthread) {
    let kernel = platform::kernel();
    held.exit_high();
    kernel.k_sync.turnstile_loser_lock.enter_high();
    platform::cpu().cpu_stats.turnstile_losses.bump();
    wait_while_busy(owner.lockp(), owner);
    thread_lock_high(me);
    kernel.k_sync.turnstile_loser_lock.exit_high();
}

/// Waits until a lock is free or not `owner`'s any more. `transition_lock` is never free, so the second condition matters.
fn wait_while_busy(lock: &'static DispLock, owner: &'static Kthread) {
    let mut spin = Spin::for_lock(lock);
    while lock.is_held() && owner.t_lockp.is(lock) {
        spin.turn();
    }
}

/// The number by which two locks are ordered: a place, not an address, so that a seed means the same twice.
fn place(lock: &DispLock) -> usize {
    platform::kernel().place_of(core::ptr::from_ref(lock).addr())
}
