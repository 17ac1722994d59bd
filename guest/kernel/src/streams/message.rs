//! Message blocks and data blocks (`sys/stream.h`): what a message is made of.
//!
//! # Invariants
//! - A message block points to one data block; a data block's `db_ref` is the number of message blocks that point to it, and one more
//!   with `DBLK_REFMIN`.
//! - `db_base <= b_rptr <= b_wptr <= db_lim`: all are addresses in the memory of messages, and nothing else is.
//! - A message block is on one list at most: on a queue by `b_next`, or inside a message by another block's `b_cont`. A block that is
//!   not on a queue belongs to whoever holds it, so its fields need no lock; a queue's lock orders them from one owner to the next.
//! - The first message block of a data block is made with it (`db_mblk`) and is freed with it.

use core::sync::atomic::{AtomicI32, AtomicU8, AtomicU16, AtomicU32, AtomicUsize};

use super::arena::Cached;
use super::esballoc::Frtn;
use super::queue::{Queue, Writer};
use crate::cell::Cell;
use crate::lock::SharedPtr;
use crate::platform;
pub use umpire_shared::sys::stream::{QNORM, QPCTL, dbf, m, msg};

/// A message block (`mblk_t`).
#[repr(C)]
#[derive(Debug, Default)]
pub struct Mblk {
    /// The next message of a queue.
    pub b_next: SharedPtr<Mblk>,
    /// The one before it.
    pub b_prev: SharedPtr<Mblk>,
    /// The message's next block.
    pub b_cont: SharedPtr<Mblk>,
    /// The first byte that is not read.
    pub b_rptr: AtomicUsize,
    /// The first byte that is not written.
    pub b_wptr: AtomicUsize,
    /// Its data block.
    pub b_datap: SharedPtr<Dblk>,
    /// The queue that an event is for.
    pub b_queue: SharedPtr<Queue>,
    /// What is to be called for an event, where C has it in `b_prev`.
    pub b_func: SharedPtr<Writer>,
    /// Its band.
    pub b_band: AtomicU8,
    /// A tag for who made it.
    pub b_tag: AtomicU8,
    /// Bits of [`msg`].
    pub b_flag: AtomicU16,
}

/// A data block (`dblk_t`).
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Dblk {
    /// How an external buffer is freed.
    pub db_frtnp: SharedPtr<Frtn>,
    /// The buffer's first byte.
    pub db_base: AtomicUsize,
    /// The byte behind its last.
    pub db_lim: AtomicUsize,
    /// References.
    pub db_ref: AtomicU8,
    /// One of [`m`].
    pub db_type: AtomicU8,
    /// Bits of [`dbf`].
    pub db_flags: AtomicU8,
    /// How much of it synchronous STREAMS have done.
    pub db_struioflag: AtomicU8,
    /// Not 0 for an external buffer that another thread is to free.
    db_deferred: AtomicU8,
    /// The process that made it, -1 if none.
    pub db_cpid: AtomicI32,
    /// The cache that it is from; see `allocb.rs`.
    pub db_cache: AtomicU32,
    /// The message block that was made with it.
    pub db_mblk: SharedPtr<Mblk>,
    /// The next free one.
    db_link: SharedPtr<Dblk>,
    /// The next magazine of the depot.
    db_depot: SharedPtr<Dblk>,
}

impl Cached for Mblk {
    fn link(&self) -> &SharedPtr<Mblk> {
        &self.b_next
    }

    fn depot_link(&self) -> &SharedPtr<Mblk> {
        &self.b_prev
    }
}

impl Cached for Dblk {
    fn link(&self) -> &SharedPtr<Dblk> {
        &self.db_link
    }

    fn depot_link(&self) -> &SharedPtr<Dblk> {
        &self.db_depot
    }
}

impl Dblk {
    /// The next of a list of free ones.
    pub(super) fn next_free(&self) -> &SharedPtr<Dblk> {
        &self.db_link
    }

    /// True if another thread is to call its free routine.
    pub(super) fn is_deferred(&self) -> bool {
        self.db_deferred.get() != 0
    }

    pub(super) fn set_deferred(&self, yes: bool) {
        self.db_deferred.set(u8::from(yes));
    }

    /// The capacity of its buffer.
    #[inline(always)]
    pub fn size(&self) -> usize {
        self.db_lim.get() - self.db_base.get()
    }
}

impl Mblk {
    /// Its data block.
    #[inline(always)]
    pub fn datap(&self) -> &'static Dblk {
        self.b_datap.get().expect("invariant: a message block has a data block")
    }

    /// Its type, one of [`m`].
    #[inline(always)]
    pub fn db_type(&self) -> u8 {
        self.datap().db_type.get()
    }

    /// Its class: `QPCTL` or `QNORM` (`queclass`).
    #[inline(always)]
    pub fn queclass(&self) -> u8 {
        self.db_type() & QPCTL
    }

    /// Makes it a message of another type.
    #[inline(always)]
    pub fn set_type(&self, db_type: u8) {
        self.datap().db_type.set(db_type);
    }

    /// Bytes in it (`MBLKL`).
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.b_wptr.get() - self.b_rptr.get()
    }

    /// True if it has no bytes.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that fit behind `b_wptr` (`MBLKTAIL`).
    #[inline(always)]
    pub fn tail(&self) -> usize {
        self.datap().db_lim.get() - self.b_wptr.get()
    }

    /// The bytes from `b_rptr` to `b_wptr`.
    pub fn data(&self) -> &'static [AtomicU8] {
        let len = self.len();
        if len == 0 { &[] } else { bytes_at(self.b_rptr.get(), len) }
    }

    /// Byte number `n` behind `b_rptr`, if there is one.
    pub fn byte(&self, n: usize) -> Option<u8> {
        self.data().get(n).map(Cell::get)
    }

    /// Writes these behind `b_wptr`; returns how many fitted.
    pub fn append(&self, bytes: &[u8]) -> usize {
        let n = bytes.len().min(self.tail());
        if n != 0 {
            for (to, from) in bytes_at(self.b_wptr.get(), n).iter().zip(bytes) {
                to.set(*from);
            }
            self.b_wptr.set(self.b_wptr.get() + n);
        }
        n
    }

    /// Makes it so many bytes long, as far as they fit, with what `byte` gives for each place from the first byte of the block.
    pub fn fill_to(&self, len: usize, byte: impl Fn(usize) -> u8) {
        let n = len.saturating_sub(self.len()).min(self.tail());
        if n != 0 {
            let first = self.len();
            for (at, to) in (first..).zip(bytes_at(self.b_wptr.get(), n)) {
                to.set(byte(at));
            }
            self.b_wptr.set(self.b_wptr.get() + n);
        }
    }

    /// Writes the bytes of another block behind `b_wptr`. The caller knows that they fit.
    pub(super) fn append_block(&self, from: &Mblk, len: usize) {
        if len != 0 {
            for (to, from) in bytes_at(self.b_wptr.get(), len).iter().zip(from.data()) {
                to.set(from.get());
            }
            self.b_wptr.set(self.b_wptr.get() + len);
        }
    }

    /// Writes a number of 8 bytes behind `b_wptr`; false if it does not fit.
    pub fn append_u64(&self, value: u64) -> bool {
        self.tail() >= 8 && self.append(&value.to_le_bytes()) == 8
    }

    /// The number whose 8 bytes begin at byte `at`.
    pub fn u64_at(&self, at: usize) -> Option<u64> {
        let bytes = self.data().get(at..at + 8)?;
        Some(u64::from_le_bytes(core::array::from_fn(|n| bytes[n].get())))
    }

    /// Its blocks, itself first.
    pub fn blocks(&'static self) -> impl Iterator<Item = &'static Mblk> {
        core::iter::successors(Some(self), |mp| mp.b_cont.get())
    }

    /// Bytes in all of its blocks, and how many blocks: what a queue counts.
    #[inline]
    pub fn weight(&'static self) -> (usize, usize) {
        self.blocks().fold((0, 0), |(bytes, n), bp| (bytes + bp.len(), n + 1))
    }
}

/// So many bytes of the memory of messages, from an address on.
fn bytes_at(addr: usize, len: usize) -> &'static [AtomicU8] {
    let memory = &platform::kernel().k_streams.memory.sm_bytes;
    &memory[addr - memory.as_ptr().addr()..][..len]
}
