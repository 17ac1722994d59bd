//! The stream head's structure (`stdata_t`), and claims on a stream.
//!
//! # Invariants
//! - `sd_lock` guards what the head has, and with `sd_reflock` the links between queues. `sd_reflock` guards `sd_refcnt`, `sd_qlock` the
//!   list of queues to be serviced and `sd_svcflags`.
//! - While `sd_refcnt` is not 0 nobody changes `q_next` in the stream.
//! - `sd_freezer` is written with every QLOCK of the stream held; a thread that finds itself there holds them.

use core::sync::atomic::{AtomicI64, AtomicU16, AtomicU32, AtomicU64};

use super::arena::Cached;
use super::counts::Counts;
use super::message::Mblk;
use super::queue::Queue;
use super::strsig::Siglist;
use crate::cell::Cell;
use crate::lock::SharedPtr;
use crate::sync::{Condvar, Mutex, cv_broadcast, mutex_enter, mutex_exit};
use crate::sys::Kthread;
use umpire_shared::sys::stream::INFPSZ;
pub use umpire_shared::sys::strsubr::strs;

/// ns that a close waits for each queue, unless `I_SETCLTIME` says otherwise.
pub const CLOSE_NS: u64 = 15_000_000_000;

/// A stream head (`stdata_t`).
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Stdata {
    /// Its write queue.
    pub sd_wrq: SharedPtr<Queue>,
    /// Guards the head.
    pub sd_lock: Mutex,
    /// Guards `sd_refcnt`; under `sd_lock`.
    pub sd_reflock: Mutex,
    /// Claims on `q_next`.
    pub sd_refcnt: AtomicU32,
    /// Bits of `sd_flag`.
    pub sd_flag: AtomicU32,
    /// Modules pushed.
    pub sd_pushcnt: AtomicU16,
    /// Who waits for `sd_refcnt` to become 0 sleeps here.
    pub sd_refmonitor: Condvar,
    /// Who waits for a push, a pop or an ioctl to end sleeps here.
    pub sd_monitor: Condvar,
    /// The thread that has frozen the stream.
    pub sd_freezer: SharedPtr<Kthread>,
    /// The other end of a pipe.
    pub sd_mate: SharedPtr<Stdata>,
    /// Guards the rest of the service fields.
    pub sd_qlock: Mutex,
    /// The first queue to be serviced.
    pub sd_qhead: SharedPtr<Queue>,
    /// The last.
    pub sd_qtail: SharedPtr<Queue>,
    /// How many.
    pub sd_nqueues: AtomicU32,
    /// Bits of [`strs`].
    pub sd_svcflags: AtomicU32,
    /// Who waits for a background thread to be done sleeps here.
    pub sd_qcv: Condvar,
    /// Queues' least packet, as the head sees it.
    pub sd_qn_minpsz: AtomicI64,
    /// Queues' greatest packet, as the head sees it.
    pub sd_qn_maxpsz: AtomicI64,
    /// The errno that readers get.
    pub sd_rerror: AtomicU32,
    /// The errno that writers get.
    pub sd_werror: AtomicU32,
    /// How `strread` treats ends of messages and control parts (`sd_read_opt`).
    pub sd_read_opt: AtomicU32,
    /// What anybody wants to be told of: all events of `sd_siglist`.
    pub sd_sigflags: AtomicU32,
    /// Who wants to be told, and what has come.
    pub sd_siglist: Siglist,
    /// Who polls sleeps here.
    pub sd_pollcv: Condvar,
    /// Whose ioctl waits for the one before it sleeps here.
    pub sd_iocmonitor: Condvar,
    /// Waits for the answer to an ioctl.
    pub sd_iocblk: SharedPtr<Mblk>,
    /// Number of the ioctl that is under way.
    pub sd_iocid: AtomicU32,
    /// ns that a close waits for each queue to drain.
    pub sd_closetime: AtomicU64,
    /// Where the stream of a scenario is counted; null for others.
    pub sd_counts: SharedPtr<Counts>,
    sd_link: SharedPtr<Stdata>,
    sd_depot: SharedPtr<Stdata>,
}

impl Cached for Stdata {
    fn link(&self) -> &SharedPtr<Stdata> {
        &self.sd_link
    }

    fn depot_link(&self) -> &SharedPtr<Stdata> {
        &self.sd_depot
    }
}

impl Stdata {
    /// True if it has any of these flags. Without `sd_lock` the answer may be old.
    #[inline(always)]
    pub fn has(&self, flags: u32) -> bool {
        self.sd_flag.get() & flags != 0
    }

    /// Sets flags; `sd_lock` is held.
    pub(super) fn raise(&self, flags: u32) {
        self.sd_flag.set(self.sd_flag.get() | flags);
    }

    /// Clears flags; `sd_lock` is held.
    pub(super) fn lower(&self, flags: u32) {
        self.sd_flag.set(self.sd_flag.get() & !flags);
    }

    /// Makes it the head of a new stream.
    pub(super) fn begin(&self) {
        self.sd_closetime.set(CLOSE_NS);
        self.sd_qn_minpsz.set(0);
        self.sd_qn_maxpsz.set(INFPSZ);
        self.sd_refcnt.set(0);
        self.sd_flag.set(0);
        self.sd_pushcnt.set(0);
        self.sd_svcflags.set(0);
        self.sd_nqueues.set(0);
        self.sd_rerror.set(0);
        self.sd_werror.set(0);
        self.sd_iocid.set(0);
        self.sd_counts.set(None);
        self.sd_freezer.set(None);
        self.sd_mate.set(None);
        self.sd_read_opt.set(0);
        self.sd_sigflags.set(0);
        self.sd_siglist.clear();
        self.sd_qhead.set(None);
        self.sd_qtail.set(None);
        self.sd_iocblk.set(None);
    }

    /// Its write queue.
    #[inline(always)]
    pub fn wrq(&self) -> &'static Queue {
        self.sd_wrq.get().expect("invariant: a stream head in use has queues")
    }

    /// The read sides of its queues from the head to the driver; the stream is claimed, or its links are the caller's.
    pub fn pairs(&self) -> impl Iterator<Item = &'static Queue> + use<> {
        let head = self.sd_wrq.get().map(Queue::rd);
        let stream = core::ptr::from_ref(self);
        core::iter::successors(head, move |rq| {
            rq.wr()
                .q_next
                .get()
                .filter(|next| !next.is_read() && core::ptr::eq(next.stream(), stream))
                .map(Queue::rd)
        })
    }
}

/// Keeps the stream's links as they are (`claimstr`).
#[inline]
pub fn claimstr(stp: &'static Stdata) {
    mutex_enter(&stp.sd_reflock);
    stp.sd_refcnt.set(stp.sd_refcnt.get() + 1);
    mutex_exit(&stp.sd_reflock);
}

/// Takes [`claimstr`] back (`releasestr`).
#[inline]
pub fn releasestr(stp: &'static Stdata) {
    mutex_enter(&stp.sd_reflock);
    stp.sd_refcnt.set(stp.sd_refcnt.get() - 1);
    if stp.sd_refcnt.get() == 0 {
        cv_broadcast(&stp.sd_refmonitor);
    }
    mutex_exit(&stp.sd_reflock);
}
