//! A stream stands still: `strlock`, `freezestr` (`strsubr.c`).
//!
//! # Invariants
//! - `sd_lock`, then `sd_reflock`, then the SQLOCKs by place: two that lock streams at once do not wait for each other.
//! - A stream is locked only while nobody claims it.

use super::stdata::Stdata;
use super::syncq::{self, Syncq, await_change, sq};
use crate::cell::Cell;
use crate::platform;
use crate::sync::{cv_wait, mutex_enter, mutex_exit};

/// Perimeters that a stream and its mate can have: two for each pair of queues.
const MOST_SYNCQS: usize = 64;

/// The perimeters of a stream, locked.
pub(super) struct Locked {
    /// Them, by place.
    list: [Option<&'static Syncq>; MOST_SYNCQS],
    len: usize,
}

impl Locked {
    fn syncqs(&self) -> impl Iterator<Item = &'static Syncq> + '_ {
        self.list[..self.len].iter().filter_map(|sqp| *sqp)
    }
}

/// Keeps everybody out of every perimeter of a stream, and takes every QLOCK: what its queues have stands still (`freezestr`).
pub fn freezestr(stp: &'static Stdata) {
    assert!(stp.sd_freezer.is_null(), "freezestr: the stream is frozen already");
    for sqp in syncqs_of(stp).syncqs() {
        syncq::blocksq(sqp, sq::FROZEN, 0);
    }
    for rq in stp.pairs() {
        mutex_enter(&rq.q_lock);
        mutex_enter(&rq.wr().q_lock);
    }
    stp.sd_freezer.set(Some(platform::curthread()));
}

/// Takes [`freezestr`] back, and drains what came meanwhile (`unfreezestr`).
///
/// # Panics
/// If the caller has not frozen the stream.
pub fn unfreezestr(stp: &'static Stdata) {
    assert!(stp.sd_freezer.is(platform::curthread()), "unfreezestr: the stream is frozen by another thread");
    stp.sd_freezer.set(None);
    for rq in stp.pairs() {
        mutex_exit(&rq.wr().q_lock);
        mutex_exit(&rq.q_lock);
    }
    for sqp in syncqs_of(stp).syncqs() {
        syncq::unblocksq(sqp, sq::FROZEN);
    }
}

/// Locks a stream: `sd_lock`, `sd_reflock` and every SQLOCK, when nobody claims the stream and, if `wait`, nobody is in a perimeter of
/// it but in `removeq` (`strlock`).
pub(super) fn strlock(stp: &'static Stdata, wait: bool) -> Locked {
    loop {
        lock_heads(stp);
        let list = syncqs_of(stp);
        let mut taken = 0;
        let mut offender = None;
        for sqp in list.syncqs() {
            mutex_enter(&sqp.sq_lock);
            taken += 1;
            if wait && sqp.sq_count.get() != sqp.sq_rmqcount.get() {
                offender = Some(sqp);
                break;
            }
        }
        let Some(offender) = offender else { return list };
        for sqp in list.syncqs().take(taken).filter(|sqp| !core::ptr::eq(*sqp, offender)) {
            mutex_exit(&sqp.sq_lock);
        }
        unlock_heads(stp);
        while offender.sq_count.get() > offender.sq_rmqcount.get() {
            await_change(offender, true);
        }
        mutex_exit(&offender.sq_lock);
    }
}

/// Takes [`strlock`] back.
pub(super) fn strunlock(stp: &'static Stdata, list: &Locked) {
    for sqp in list.syncqs() {
        mutex_exit(&sqp.sq_lock);
    }
    unlock_heads(stp);
}

/// Takes `sd_lock` and then `sd_reflock` of both ends, when nobody claims either.
pub(super) fn lock_heads(stp: &'static Stdata) {
    loop {
        for end in mates(stp).into_iter().flatten() {
            mutex_enter(&end.sd_lock);
        }
        let mut claimed = None;
        for end in mates(stp).into_iter().flatten() {
            mutex_enter(&end.sd_reflock);
            if end.sd_refcnt.get() != 0 {
                claimed = claimed.or(Some(end));
            }
        }
        let Some(claimed) = claimed else { return };
        for end in mates(stp).into_iter().flatten() {
            if !core::ptr::eq(end, claimed) {
                mutex_exit(&end.sd_reflock);
            }
            mutex_exit(&end.sd_lock);
        }
        if claimed.sd_refcnt.get() != 0 {
            cv_wait(&claimed.sd_refmonitor, &claimed.sd_reflock);
        }
        mutex_exit(&claimed.sd_reflock);
    }
}

/// Takes [`lock_heads`] back.
pub(super) fn unlock_heads(stp: &'static Stdata) {
    for end in mates(stp).into_iter().flatten() {
        mutex_exit(&end.sd_reflock);
        mutex_exit(&end.sd_lock);
    }
}

/// Every perimeter of a stream and of its mate, once each, by place.
fn syncqs_of(stp: &'static Stdata) -> Locked {
    let mut found = Locked { list: [None; MOST_SYNCQS], len: 0 };
    let kernel = platform::kernel();
    let place = |sqp: &Syncq| kernel.place_of(core::ptr::from_ref(sqp).addr());
    let streams = [Some(stp), stp.sd_mate.get()];
    for rq in streams.into_iter().flatten().flat_map(Stdata::pairs) {
        for sqp in [rq.syncq(), rq.wr().syncq()] {
            let at = found.list[..found.len]
                .partition_point(|have| have.is_some_and(|have| place(have) < place(sqp)));
            if found.list[..found.len].get(at).copied().flatten().is_some_and(|have| core::ptr::eq(have, sqp))
            {
                continue;
            }
            assert!(found.len < MOST_SYNCQS, "strlock: a stream of more queues than there can be");
            found.list.copy_within(at..found.len, at + 1);
            found.list[at] = Some(sqp);
            found.len += 1;
        }
    }
    found
}

/// A stream and the other end of it, if it is a pipe's, in the order in which their locks are taken (`STRLOCKMATES`).
fn mates(stp: &'static Stdata) -> [Option<&'static Stdata>; 2] {
    let place = |of: &Stdata| platform::kernel().place_of(core::ptr::from_ref(of).addr());
    match stp.sd_mate.get() {
        Some(mate) if place(mate) > place(stp) => [Some(mate), Some(stp)],
        mate => [Some(stp), mate],
    }
}
