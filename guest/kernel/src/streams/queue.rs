//! Queues (`sys/stream.h`): what a module has of them, and what a module is.
//!
//! # Invariants
//! - A read queue, its write queue and a syncq are one object, in this order, and are found from each other without a lock.
//! - `q_lock` (QLOCK) guards the list of messages, the counts, the flags, the limits and the bands. Some flags are read without it;
//!   where that is so, a later look under the lock decides.
//! - Lock order: `sd_lock` > `sd_reflock` > QLOCK > SQLOCK > `sd_qlock`, the service lock; an outer SQLOCK before an inner one; of two
//!   queues' locks one at a time.
//! - `q_next`, `q_nfsrv` and `q_qinfo` change only with `sd_lock` and `sd_reflock` held and the stream's perimeters emptied
//!   (`plumb.rs`): whoever has claimed the stream, or is inside one of its perimeters, may follow them.

use core::fmt;
use core::sync::atomic::{AtomicI32, AtomicI64, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize};

use super::arena::Cached;
use super::message::Mblk;
use super::stdata::Stdata;
use super::syncq::Syncq;
use crate::cell::Cell;
use crate::lock::SharedPtr;
use crate::platform;
use crate::sync::{Condvar, Mutex, mutex_enter, mutex_exit};
pub use umpire_shared::sys::stream::{q, qb};

/// Bytes of a module's name (`FMNAMESZ`).
pub const FMNAMESZ: usize = 16;

/// A put procedure.
pub type Put = fn(&'static Queue, &'static Mblk);
/// A service procedure, and a close procedure.
pub type Service = fn(&'static Queue);
/// An open procedure: read queue, device, open flags, and how it is opened ([`sflag`]); returns an errno, 0 for success.
pub type Open = fn(&'static Queue, u32, u32, u32) -> u32;

/// What `qwriter` calls: a function of queue and message.
#[derive(Debug)]
pub struct Writer(pub Put);

/// Values of an open procedure's last argument.
pub mod sflag {
    /// A driver, opened by its minor.
    pub const DRVOPEN: u32 = 0;
    /// A module, pushed.
    pub const MODOPEN: u32 = 1;
    /// A driver that chooses its minor.
    pub const CLONEOPEN: u32 = 2;
}

/// A module's numbers (`module_info`).
#[derive(Debug)]
pub struct ModuleInfo {
    /// `mi_idnum`.
    pub mi_idnum: u16,
    /// `mi_idname`: at most [`FMNAMESZ`] bytes.
    pub mi_idname: &'static str,
    /// Least bytes of a packet.
    pub mi_minpsz: i64,
    /// Most bytes of a packet, -1 for any.
    pub mi_maxpsz: i64,
    /// High-water mark.
    pub mi_hiwat: usize,
    /// Low-water mark.
    pub mi_lowat: usize,
}

/// The procedures of one side of a module (`qinit`).
pub struct Qinit {
    /// Takes a message.
    pub qi_putp: Put,
    /// Works on what is queued.
    pub qi_srvp: Option<Service>,
    /// Opens; of read sides only.
    pub qi_qopen: Option<Open>,
    /// Closes; of read sides only.
    pub qi_qclose: Option<Service>,
    /// Its numbers.
    pub qi_minfo: &'static ModuleInfo,
}

impl fmt::Debug for Qinit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.qi_minfo.mi_idname)
    }
}

/// A module or driver (`streamtab`).
#[derive(Debug)]
pub struct Streamtab {
    /// Read side.
    pub st_rdinit: &'static Qinit,
    /// Write side.
    pub st_wrinit: &'static Qinit,
    /// Read side of what is linked below a multiplexor.
    pub st_muxrinit: Option<&'static Qinit>,
    /// Write side of the same.
    pub st_muxwinit: Option<&'static Qinit>,
}

/// A module or driver under its name, with its perimeters: `fmodsw_impl_t`, and a driver's part of `cdevsw`.
#[derive(Debug)]
pub struct Fmodsw {
    /// Its name.
    pub f_name: &'static str,
    /// Its procedures.
    pub f_str: &'static Streamtab,
    /// Bits of [`umpire_shared::sys::conf`].
    pub f_flag: u32,
}

/// A queue (`queue_t`).
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Queue {
    /// Its procedures.
    pub q_qinfo: SharedPtr<Qinit>,
    /// Its first message.
    pub q_first: SharedPtr<Mblk>,
    /// Its last message.
    pub q_last: SharedPtr<Mblk>,
    /// The next queue in the direction of flow.
    pub q_next: SharedPtr<Queue>,
    /// The next queue to be serviced; guarded by `sd_qlock`, or by the service lock on the list of the background thread.
    pub q_link: SharedPtr<Queue>,
    /// The module's own; a stream head's is not used.
    pub q_ptr: AtomicUsize,
    /// Bytes queued of band 0 and of high priority.
    pub q_count: AtomicUsize,
    /// Blocks queued of the same.
    pub q_mblkcnt: AtomicUsize,
    /// Messages queued, of all bands; Solaris counts them when it is asked (`qsize`).
    pub q_msgs: AtomicU32,
    /// Bits of [`q`].
    pub q_flag: AtomicU32,
    /// Bands 1 to this are there.
    pub q_nband: AtomicU8,
    /// Somebody is in `qdrain_syncq` with it.
    pub q_draining: AtomicU16,
    /// Least bytes of a packet.
    pub q_minpsz: AtomicI64,
    /// Most bytes of a packet.
    pub q_maxpsz: AtomicI64,
    /// High-water mark.
    pub q_hiwat: AtomicUsize,
    /// Low-water mark.
    pub q_lowat: AtomicUsize,
    /// Band 1, which leads to band 2, and so on.
    pub q_bandp: SharedPtr<Qband>,
    /// QLOCK.
    pub q_lock: Mutex,
    /// Its stream.
    pub q_stream: SharedPtr<Stdata>,
    /// Its inner perimeter.
    pub q_syncq: SharedPtr<Syncq>,
    /// Who closes waits here for its service to end; at a stream head readers and writers sleep here.
    pub q_wait: Condvar,
    /// The nearest queue from here on that has a service procedure.
    pub q_nfsrv: SharedPtr<Queue>,
    /// `lbolt` when it was enabled last.
    pub q_qtstamp: AtomicU64,
    /// Messages parked for it, one that a drain has in a put procedure included.
    pub q_syncqmsgs: AtomicU32,
    /// Priority with which it went onto its syncq's list.
    pub q_spri: AtomicI32,
    /// The first message parked for it, linked by `b_next` alone.
    pub q_sqhead: SharedPtr<Mblk>,
    /// The last.
    pub q_sqtail: SharedPtr<Mblk>,
    /// The next on its syncq's list; this and the next three are guarded by SQLOCK.
    pub q_sqnext: SharedPtr<Queue>,
    /// The one before.
    pub q_sqprev: SharedPtr<Queue>,
    /// Bits of [`umpire_shared::sys::strsubr::qsq`].
    pub q_sqflags: AtomicU32,
    /// `lbolt` when it went onto that list.
    pub q_sqtstamp: AtomicU64,
    /// Its module's entry; null for drivers and heads.
    pub q_fp: SharedPtr<Fmodsw>,
    /// The object that it is part of.
    q_pair: SharedPtr<Queinfo>,
    /// `q_qinfo->qi_minfo->mi_idname`, which lies in the program's constants, for who looks from outside.
    pub q_idname: [AtomicU8; FMNAMESZ],
}

/// A read queue with its write queue and the syncq that they may use (`queinfo`).
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Queinfo {
    /// The read side.
    pub qu_rqueue: Queue,
    /// The write side.
    pub qu_wqueue: Queue,
    /// Their syncq, if they have one for the pair.
    pub qu_syncq: Syncq,
    /// Words of the module's instance, where C has what `q_ptr` points to; an open finds them 0.
    pub qu_private: [AtomicU64; 6],
    qu_link: SharedPtr<Queinfo>,
    qu_depot: SharedPtr<Queinfo>,
}

/// A band of a queue (`qband_t`).
#[repr(C)]
#[derive(Debug, Default)]
pub struct Qband {
    /// The next higher one.
    pub qb_next: SharedPtr<Qband>,
    /// Bytes.
    pub qb_count: AtomicUsize,
    /// Its first message.
    pub qb_first: SharedPtr<Mblk>,
    /// Its last message.
    pub qb_last: SharedPtr<Mblk>,
    /// High-water mark.
    pub qb_hiwat: AtomicUsize,
    /// Low-water mark.
    pub qb_lowat: AtomicUsize,
    /// Bits of [`qb`].
    pub qb_flag: AtomicU32,
    /// Blocks.
    pub qb_mblkcnt: AtomicUsize,
    qb_depot: SharedPtr<Qband>,
}

impl Cached for Queinfo {
    fn link(&self) -> &SharedPtr<Queinfo> {
        &self.qu_link
    }

    fn depot_link(&self) -> &SharedPtr<Queinfo> {
        &self.qu_depot
    }
}

impl Cached for Qband {
    fn link(&self) -> &SharedPtr<Qband> {
        &self.qb_next
    }

    fn depot_link(&self) -> &SharedPtr<Qband> {
        &self.qb_depot
    }
}

impl Queue {
    /// True for a read side.
    #[inline(always)]
    pub fn is_read(&self) -> bool {
        self.q_flag.get() & q::QREADR != 0
    }

    /// The object that it is part of.
    #[inline(always)]
    pub fn pair(&self) -> &'static Queinfo {
        self.q_pair.get().expect("invariant: a queue is part of a pair")
    }

    /// The other side (`OTHERQ`).
    #[inline(always)]
    pub fn other(&self) -> &'static Queue {
        let pair = self.pair();
        if self.is_read() { &pair.qu_wqueue } else { &pair.qu_rqueue }
    }

    /// The read side (`RD`).
    #[inline(always)]
    pub fn rd(&self) -> &'static Queue {
        &self.pair().qu_rqueue
    }

    /// The write side (`WR`).
    #[inline(always)]
    pub fn wr(&self) -> &'static Queue {
        &self.pair().qu_wqueue
    }

    /// Its stream (`STREAM`).
    #[inline(always)]
    pub fn stream(&self) -> &'static Stdata {
        self.q_stream.get().expect("invariant: a queue in use belongs to a stream")
    }

    /// Its perimeter.
    #[inline(always)]
    pub fn syncq(&self) -> &'static Syncq {
        self.q_syncq.get().expect("invariant: a queue in use has a perimeter")
    }

    /// Its procedures.
    #[inline(always)]
    pub fn qinfo(&self) -> &'static Qinit {
        self.q_qinfo.get().expect("invariant: a queue in use has procedures")
    }

    /// True if it has any of these flags. Without QLOCK the answer may be old.
    #[inline(always)]
    pub fn has(&self, flags: u32) -> bool {
        self.q_flag.get() & flags != 0
    }

    /// Sets flags; QLOCK is held.
    #[inline(always)]
    pub fn raise(&self, flags: u32) {
        self.q_flag.set(self.q_flag.get() | flags);
    }

    /// Clears flags; QLOCK is held.
    #[inline(always)]
    pub fn lower(&self, flags: u32) {
        self.q_flag.set(self.q_flag.get() & !flags);
    }

    /// Word `n` of its module's instance.
    pub fn private(&self, n: usize) -> &'static AtomicU64 {
        &self.pair().qu_private[n]
    }

    /// Band `n`, from 1 on, if it is there; QLOCK is held.
    pub fn band(&self, n: u8) -> Option<&'static Qband> {
        let mut bands = core::iter::successors(self.q_bandp.get(), |qb| qb.qb_next.get());
        (n != 0 && n <= self.q_nband.get()).then(|| bands.nth(usize::from(n) - 1)).flatten()
    }

    /// Its messages in order; QLOCK is held, or the stream is frozen or does nothing.
    pub fn messages(&self) -> impl Iterator<Item = &'static Mblk> + use<> {
        core::iter::successors(self.q_first.get(), |mp| mp.b_next.get())
    }

    /// Links the two sides of a pair to their object; once, at boot.
    pub(super) fn link_pair(pair: &'static Queinfo) {
        pair.qu_rqueue.q_pair.set(Some(pair));
        pair.qu_wqueue.q_pair.set(Some(pair));
    }
}

/// The queue that begins at an address, if one does: for messages that name queues.
pub(super) fn queue_at(addr: usize) -> Option<&'static Queue> {
    let all = &super::streams().queues.ar_objects;
    let pair = all.get(addr.checked_sub(all.as_ptr().addr())? / size_of::<Queinfo>())?;
    [&pair.qu_rqueue, &pair.qu_wqueue].into_iter().find(|qp| core::ptr::from_ref(*qp).addr() == addr)
}

/// Takes QLOCK, unless the caller has frozen the stream and so has it. Says whether it did, for [`qunlock`].
#[inline(always)]
pub(super) fn qlock(qp: &'static Queue) -> bool {
    let is_free = !qp.stream().sd_freezer.is(platform::curthread());
    if is_free {
        mutex_enter(&qp.q_lock);
    }
    is_free
}

/// Gives QLOCK up if [`qlock`] took it.
#[inline(always)]
pub(super) fn qunlock(qp: &'static Queue, is_taken: bool) {
    if is_taken {
        mutex_exit(&qp.q_lock);
    }
}

/// The queue before this one in its direction, if there is one; the stream is claimed (`backq`).
#[inline]
pub fn backq(qp: &'static Queue) -> Option<&'static Queue> {
    qp.other().q_next.get().map(Queue::other)
}
