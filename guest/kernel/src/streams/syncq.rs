//! Perimeters (`syncq_t`): which entries of a module may run at once.
//!
//! # Invariants
//! - `sq_lock` (SQLOCK) guards everything in it, and the `q_sq...` fields of the queues on its list. A sleeper drops it.
//! - `sq_count` counts the threads inside and claims that are about to go. SQ_EXCL means that one of them is alone, and it alone clears
//!   the bit. Put procedures have the highest concurrency of all, so that a put need not look at the count.
//! - SQ_MESSAGES is set if and only if there is a queue on the list, SQ_EVENTS if and only if there is an event, and `sq_nqueues` is
//!   the number of queues there.
//! - On an outer perimeter `sq_count` counts writers that are queued or inside. `sq_onext` of an outer one leads to its inner ones; that
//!   list changes under the outer SQLOCK while no writer is there.

use core::sync::atomic::{AtomicI32, AtomicU16, AtomicU32, AtomicU64};

use super::arena::Cached;
use super::drain::drain_syncq;
use super::message::Mblk;
use super::queue::{Queue, q};
use super::streams;
use crate::cell::Cell;
use crate::lock::SharedPtr;
use crate::sync::{Condvar, Mutex, cv_broadcast, cv_wait, mutex_enter, mutex_exit};
use umpire_shared::sys::conf::{
    D_DIRECT, D_MP, D_MTCBSHARED, D_MTINNER_MASK, D_MTINNER_MOD, D_MTOCEXCL, D_MTOCSHARED, D_MTOUTPERIM,
    D_MTPERMOD, D_MTPERQ, D_MTPUTSHARED, D_MTQPAIR, D_MTSVCSHARED, D_SINGLE_INSTANCE, D_SYNCSTR,
};
pub use umpire_shared::sys::strsubr::{qsq, sq, sqsvc, sqtype};

/// A perimeter (`syncq_t`).
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Syncq {
    /// SQLOCK.
    pub sq_lock: Mutex,
    /// Threads inside.
    pub sq_count: AtomicU16,
    /// Bits of [`sq`].
    pub sq_flags: AtomicU16,
    /// Bits of [`sqtype`].
    pub sq_type: AtomicU16,
    /// Threads in `removeq` that are inside and are to be let pass.
    pub sq_rmqcount: AtomicU16,
    /// Threads that wait to be alone inside.
    pub sq_needexcl: AtomicU16,
    /// Bits of [`sqsvc`].
    pub sq_svcflags: AtomicU16,
    /// Background threads that drain it or have been asked to.
    pub sq_servcount: AtomicU16,
    /// Priority of the first queue of the list.
    pub sq_pri: AtomicI32,
    /// Queues on the list.
    pub sq_nqueues: AtomicU32,
    /// The first queue with parked messages.
    pub sq_head: SharedPtr<Queue>,
    /// The last.
    pub sq_tail: SharedPtr<Queue>,
    /// The first event.
    pub sq_evhead: SharedPtr<Mblk>,
    /// The last.
    pub sq_evtail: SharedPtr<Mblk>,
    /// Who wants to come in sleeps here.
    pub sq_wait: Condvar,
    /// Who waits for somebody to leave sleeps here.
    pub sq_exitwait: Condvar,
    /// The callback that is being taken back.
    pub sq_cancelid: AtomicU64,
    /// Which kinds of callbacks are being taken back ([`super::callback`]).
    pub sq_callbflags: AtomicU16,
    /// The outer perimeter.
    pub sq_outer: SharedPtr<Syncq>,
    /// The next inner one.
    pub sq_onext: SharedPtr<Syncq>,
    /// The one before.
    pub sq_oprev: SharedPtr<Syncq>,
    /// The next on the list of the background thread; of a free one, the next free one.
    pub sq_next: SharedPtr<Syncq>,
    /// Threads in put procedures of `solo` here.
    pub sq_solo: AtomicU32,
    /// `lbolt` when a background thread was asked last.
    pub sq_tstamp: AtomicU64,
}

impl Cached for Syncq {
    fn link(&self) -> &SharedPtr<Syncq> {
        &self.sq_next
    }

    fn depot_link(&self) -> &SharedPtr<Syncq> {
        &self.sq_onext
    }
}

impl Syncq {
    /// True if it has any of these flags. Without SQLOCK the answer may be old.
    #[inline(always)]
    pub fn has(&self, flags: u16) -> bool {
        self.sq_flags.get() & flags != 0
    }

    /// Sets flags; SQLOCK is held.
    #[inline(always)]
    pub fn raise(&self, flags: u16) {
        self.sq_flags.set(self.sq_flags.get() | flags);
    }

    /// Clears flags; SQLOCK is held.
    #[inline(always)]
    pub fn lower(&self, flags: u16) {
        self.sq_flags.set(self.sq_flags.get() & !flags);
    }

    /// True if it is of this type.
    #[inline(always)]
    pub fn is(&self, bits: u16) -> bool {
        self.sq_type.get() & bits != 0
    }

    /// True if put procedures share it.
    #[inline(always)]
    pub fn shares_put(&self) -> bool {
        self.is(sqtype::CIPUT)
    }

    /// One more inside; SQLOCK is held.
    #[inline(always)]
    pub fn claim(&self) {
        self.sq_count.set(self.sq_count.get() + 1);
    }

    /// One less inside; SQLOCK is held.
    #[inline(always)]
    pub fn unclaim(&self) {
        let n = self.sq_count.get();
        assert!(n != 0, "syncq: more threads leave than came in");
        self.sq_count.set(n - 1);
    }

    /// Makes it the perimeter of nobody yet.
    pub fn begin(&self, sq_type: u16) {
        self.sq_type.set(sq_type);
        self.sq_flags.set(0);
        self.sq_count.set(0);
        self.sq_rmqcount.set(0);
        self.sq_needexcl.set(0);
        self.sq_svcflags.set(0);
        self.sq_servcount.set(0);
        self.sq_pri.set(0);
        self.sq_nqueues.set(0);
        self.sq_callbflags.set(0);
        self.sq_solo.set(0);
        self.sq_outer.set(None);
        self.sq_onext.set(None);
        self.sq_oprev.set(None);
        self.sq_next.set(None);
    }

    /// The inner perimeters of an outer one; its SQLOCK is held, or a writer keeps the list as it is.
    pub fn inner(&self) -> impl Iterator<Item = &'static Syncq> + use<> {
        core::iter::successors(self.sq_onext.get(), |at| at.sq_onext.get())
    }
}

/// A perimeter of its own, for a write queue, a whole module or an outer one. `None` if there is no memory.
pub fn new_syncq(sq_type: u16) -> Option<&'static Syncq> {
    let state = streams();
    let sqp = state.syncq_cache.alloc(0, || state.syncqs.take())?;
    sqp.begin(sq_type);
    Some(sqp)
}

/// Gives a perimeter of [`new_syncq`] back.
pub fn free_syncq(sqp: &'static Syncq) {
    assert!(sqp.sq_count.get() == 0 && sqp.sq_head.is_null(), "syncq: freed although it is in use");
    streams().syncq_cache.free(0, sqp);
}

/// Wakes who wants to come in, and who waits for somebody to leave; SQLOCK is held.
#[inline]
pub(super) fn wake(sqp: &'static Syncq) {
    let flags = sqp.sq_flags.get();
    if flags & (sq::WANTWAKEUP | sq::WANTEXWAKEUP) == 0 {
        return;
    }
    sqp.lower(sq::WANTWAKEUP | sq::WANTEXWAKEUP);
    if flags & sq::WANTWAKEUP != 0 {
        cv_broadcast(&sqp.sq_wait);
    }
    if flags & sq::WANTEXWAKEUP != 0 {
        cv_broadcast(&sqp.sq_exitwait);
    }
}

/// Sleeps until somebody has left or a flag has gone; SQLOCK is held. Meanwhile putters park their messages if the caller wants to be
/// alone.
pub(super) fn await_change(sqp: &'static Syncq, wants_excl: bool) {
    if wants_excl {
        sqp.sq_needexcl.set(sqp.sq_needexcl.get() + 1);
    }
    sqp.raise(sq::WANTWAKEUP);
    cv_wait(&sqp.sq_wait, &sqp.sq_lock);
    if wants_excl {
        sqp.sq_needexcl.set(sqp.sq_needexcl.get() - 1);
    }
}

/// Keeps everybody out by a flag, and waits until no more than `most` are inside (`blocksq`).
pub fn blocksq(sqp: &'static Syncq, flag: u16, most: u16) {
    mutex_enter(&sqp.sq_lock);
    while sqp.has(flag) {
        await_change(sqp, false);
    }
    sqp.raise(flag);
    while sqp.sq_count.get() > most {
        await_change(sqp, true);
    }
    mutex_exit(&sqp.sq_lock);
}

/// Takes [`blocksq`] back, and drains what has been parked (`unblocksq`).
pub fn unblocksq(sqp: &'static Syncq, flag: u16) {
    mutex_enter(&sqp.sq_lock);
    sqp.lower(flag);
    wake(sqp);
    if sqp.has(sq::QUEUED) && !sqp.has(sq::STAYAWAY | sq::EXCL) {
        drain_syncq(sqp);
    } else {
        mutex_exit(&sqp.sq_lock);
    }
}

/// A claim on a queue's perimeter by who does not run module code (`claimq`).
pub fn claimq(qp: &'static Queue) {
    let sqp = qp.syncq();
    mutex_enter(&sqp.sq_lock);
    sqp.claim();
    mutex_exit(&sqp.sq_lock);
}

/// Takes [`claimq`] back (`releaseq`).
pub fn releaseq(qp: &'static Queue) {
    let sqp = qp.syncq();
    mutex_enter(&sqp.sq_lock);
    sqp.unclaim();
    wake(sqp);
    if sqp.has(sq::QUEUED) && !sqp.has(sq::STAYAWAY | sq::EXCL) {
        drain_syncq(sqp);
    } else {
        mutex_exit(&sqp.sq_lock);
    }
}

/// A declaration of perimeters that is none: `EINVAL`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadPerimeter(
    /// What is wrong.
    pub &'static str,
);

/// What a module's declaration means: `q_flag` bits and the type of its syncq (`devflg_to_qflag`).
///
/// # Errors
/// [`BadPerimeter`] for what Solaris refuses.
pub fn devflg_to_qflag(flags: u32) -> Result<(u32, u16), BadPerimeter> {
    if flags & D_MP == 0 {
        return Err(BadPerimeter("not D_MP: every module is to be safe for many threads"));
    }
    let (mut qflag, mut sq_type) = match flags & D_MTINNER_MASK & !D_MP {
        0 => (q::QMTSAFE, sqtype::CI),
        D_MTPERQ => (q::QPERQ, 0),
        D_MTQPAIR => (q::QPAIR, 0),
        D_MTPERMOD => (q::QPERMOD, sqtype::PERMOD),
        _ => return Err(BadPerimeter("more than one inner perimeter")),
    };
    let is_safe = qflag == q::QMTSAFE;
    if flags & D_MTINNER_MOD != 0 && is_safe {
        return Err(BadPerimeter("a shared entry without an inner perimeter"));
    }
    if flags & D_MTPUTSHARED != 0 {
        sq_type |= sqtype::CIPUT;
    } else if flags & (D_MTOCSHARED | D_MTCBSHARED | D_MTSVCSHARED) != 0 {
        return Err(BadPerimeter("opens, callbacks or services share what puts do not"));
    }
    if flags & D_MTSVCSHARED != 0 && qflag != q::QPERMOD {
        return Err(BadPerimeter("services share an inner perimeter that is not the module's"));
    }
    for (of, bit) in
        [(D_MTOCSHARED, sqtype::CIOC), (D_MTCBSHARED, sqtype::CICB), (D_MTSVCSHARED, sqtype::CISVC)]
    {
        if flags & of != 0 {
            sq_type |= bit;
        }
    }
    sq_type |= sqtype::CO;
    if flags & D_MTOUTPERIM != 0 {
        if qflag == q::QPERMOD {
            return Err(BadPerimeter("an outer perimeter around that of the module"));
        }
        qflag |= q::QMTOUTPERIM;
    }
    if flags & D_MTOCEXCL != 0 {
        if flags & D_MTOUTPERIM == 0 {
            return Err(BadPerimeter("exclusive opens without an outer perimeter"));
        }
        sq_type &= !sqtype::COOC;
    }
    if flags & D_DIRECT != 0 {
        if qflag != q::QMTSAFE {
            return Err(BadPerimeter("D_DIRECT with a perimeter"));
        }
        qflag |= q::_QDIRECT;
    }
    if flags & D_SYNCSTR != 0 {
        qflag |= q::QSYNCSTR;
    }
    if flags & D_SINGLE_INSTANCE != 0 {
        qflag |= q::_QSINGLE_INSTANCE;
    }
    Ok((qflag, sq_type))
}
