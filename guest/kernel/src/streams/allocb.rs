//! `allocb`, `dupb`, `freeb` and their like (`stream.c`).
//!
//! # Invariants
//! - Nothing here waits for memory.
//! - `db_ref` goes up only in the hands of somebody who holds a reference, so it cannot go up once it has reached its end. The last
//!   one out is who takes it there: a fetch_sub decides. Release on the way down, acquire for the last: what the others did with
//!   the buffer is over before it is used anew.
//!
//! ```text
//!   holder A: freeb                      holder B: freeb
//!   db_ref == 1? -> no, it is 2          db_ref == 1? -> no, it is 2
//!   fetch_sub: 2 -> 1, not the last      fetch_sub: 1 -> 0, the last: the data block goes to its cache
//! ```

use core::sync::atomic::{AtomicUsize, Ordering};

use super::arena::{Arena, Cache};
use super::message::{Dblk, Mblk, dbf, m};
use super::{callback, esballoc};
use crate::cell::Cell;
use crate::platform;
use alloc::boxed::Box;
use core::sync::atomic::AtomicU8;
use umpire_shared::mutant;

/// Sizes of buffers that there are caches for, `streams_dblk_16` and so on (LP64).
pub const DBLK_SIZES: [u32; 29] = [
    16, 80, 144, 208, 272, 336, 528, 1040, 1488, 1936, 2576, 3856, 8192, 12048, 16384, 20240, 24576, 28432,
    32768, 36624, 40960, 44816, 49152, 53008, 57344, 61200, 65536, 69392, 73728,
];
/// The largest of them; what is longer is "oversize" (`DBLK_MAX_CACHE`).
pub const DBLK_MAX_CACHE: usize = 73_728;
/// `db_cache` of a data block with a buffer of its own, longer than any cache's.
pub const OVERSIZE: u32 = DBLK_SIZES.len() as u32;
/// `db_cache` of a data block with an external buffer (`streams_dblk_esb`).
pub const ESB: u32 = OVERSIZE + 1;
/// References that a data block may have.
const DBLK_REF_MAX: u8 = 255;

/// The memory of messages.
#[repr(C)]
#[derive(Debug)]
pub struct Messages {
    /// All buffers lie here.
    pub sm_bytes: Box<[AtomicU8]>,
    /// How many have been handed out. Relaxed: pieces are disjoint.
    pub sm_next: AtomicUsize,
    /// Data blocks.
    pub sm_dblks: Arena<Dblk>,
    /// Message blocks: as many as data blocks, and as many again for `dupb`.
    pub sm_mblks: Arena<Mblk>,
    /// Free data blocks with their buffers, by size; then oversize ones, then those without a buffer.
    pub sm_dblk_cache: Cache<Dblk>,
    /// Free message blocks (`streams_mblk`).
    pub sm_mblk_cache: Cache<Mblk>,
}

impl Messages {
    /// So many bytes of buffers, and so many data blocks.
    pub fn new(ncpus: u32, bytes: usize, blocks: usize) -> Messages {
        Messages {
            sm_bytes: (0..bytes).map(|_| AtomicU8::new(0)).collect(),
            sm_next: AtomicUsize::new(0),
            sm_dblks: Arena::new(blocks, |_| Dblk::default()),
            sm_mblks: Arena::new(2 * blocks, |_| Mblk::default()),
            sm_dblk_cache: Cache::new(ncpus, ESB + 1),
            sm_mblk_cache: Cache::new(ncpus, 1),
        }
    }

    /// Data blocks handed out and not freed: every message that there is has at least one.
    pub fn dblks_in_use(&self) -> u64 {
        self.sm_dblk_cache.in_use()
    }

    /// A buffer that was never used, as an address; never given back.
    fn take_bytes(&self, len: usize) -> Option<usize> {
        let len = len.next_multiple_of(64);
        let more = |n: usize| (n + len <= self.sm_bytes.len()).then_some(n + len);
        let at = self.sm_next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(self.sm_bytes.as_ptr().addr() + at)
    }
}

/// The memory of this kernel's messages.
#[inline(always)]
pub(super) fn messages() -> &'static Messages {
    &platform::kernel().k_streams.memory
}

/// A message of one block that can take so many bytes: type `M_DATA`, band 0. `None` if there is no memory (`allocb`).
#[inline]
pub fn allocb(size: usize) -> Option<&'static Mblk> {
    if size > DBLK_MAX_CACHE {
        return oversize(size);
    }
    let class = DBLK_SIZES.partition_point(|&of| (of as usize) < size);
    let dbp = messages()
        .sm_dblk_cache
        .alloc(class as u32, || construct(class as u32, DBLK_SIZES[class] as usize))?;
    Some(begin(dbp))
}

/// `allocb`, or with as much as 512 bytes more if just this size is not to be had (`allocb_tryhard`).
pub fn allocb_tryhard(size: usize) -> Option<&'static Mblk> {
    (size..size + 512).step_by(64).find_map(allocb)
}

/// A buffer outside of any message, for `esballoc`: its address.
pub fn take_external(len: usize) -> Option<usize> {
    messages().take_bytes(len)
}

/// A data block is in use from now on: one reference, type `M_DATA`, empty. Nobody else knows it.
#[inline]
pub(super) fn begin(dbp: &'static Dblk) -> &'static Mblk {
    let mp = dbp.db_mblk.get().expect("invariant: a data block is made with a message block");
    dbp.db_ref.set(1);
    dbp.db_type.set(m::DATA);
    dbp.db_flags.set(0);
    dbp.db_struioflag.set(0);
    clear(mp);
    mp.b_rptr.set(dbp.db_base.get());
    mp.b_wptr.set(dbp.db_base.get());
    mp
}

#[inline]
fn clear(mp: &Mblk) {
    mp.b_next.set(None);
    mp.b_prev.set(None);
    mp.b_cont.set(None);
    mp.b_queue.set(None);
    mp.b_band.set(0);
    mp.b_tag.set(0);
    mp.b_flag.set(0);
}

/// A data block with its message block and, if it has one, its buffer, which all stay together for ever.
#[cold]
pub(super) fn construct(cache: u32, len: usize) -> Option<&'static Dblk> {
    let memory = messages();
    let base = if len == 0 { 0 } else { memory.take_bytes(len)? };
    let (dbp, mp) = (memory.sm_dblks.take()?, memory.sm_mblks.take()?);
    dbp.db_base.set(base);
    dbp.db_lim.set(base + len);
    dbp.db_cache.set(cache);
    dbp.db_mblk.set(Some(mp));
    dbp.db_cpid.set(-1);
    mp.b_datap.set(Some(dbp));
    Some(dbp)
}

/// A buffer that no cache is for. One that was freed serves again if it is long enough.
#[cold]
fn oversize(size: usize) -> Option<&'static Mblk> {
    let cache = &messages().sm_dblk_cache;
    let len = size.next_multiple_of(64);
    let dbp = cache.alloc(OVERSIZE, || construct(OVERSIZE, len))?;
    if dbp.size() >= size {
        return Some(begin(dbp));
    }
    cache.free(OVERSIZE, dbp);
    // Counted as handed out by the cache, so that `in_use` stays right.
    let dbp = construct(OVERSIZE, len)?;
    cache.count_alloc(OVERSIZE);
    Some(begin(dbp))
}

/// Another message block for the same bytes; `None` if there are 255 already, or no memory (`dupb`).
pub fn dupb(bp: &'static Mblk) -> Option<&'static Mblk> {
    let memory = messages();
    let dbp = bp.datap();
    let mp = memory.sm_mblk_cache.alloc(0, || memory.sm_mblks.take())?;
    // Relaxed: the caller has a reference, and passes the new block on by means that order it.
    let more = |n: u8| (n < DBLK_REF_MAX).then(|| n + 1);
    if dbp.db_ref.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_err() {
        memory.sm_mblk_cache.free(0, mp);
        return None;
    }
    clear(mp);
    mp.b_datap.set(Some(dbp));
    mp.b_rptr.set(bp.b_rptr.get());
    mp.b_wptr.set(bp.b_wptr.get());
    mp.b_band.set(bp.b_band.get());
    mp.b_flag.set(bp.b_flag.get());
    Some(mp)
}

/// `dupb` of every block of a message; all or nothing (`dupmsg`).
pub fn dupmsg(mp: &'static Mblk) -> Option<&'static Mblk> {
    each_block(mp, dupb)
}

/// A chain of what `one` makes of each block; nothing if one fails.
pub(super) fn each_block(
    mp: &'static Mblk,
    one: impl Fn(&'static Mblk) -> Option<&'static Mblk>,
) -> Option<&'static Mblk> {
    let head = one(mp)?;
    let mut last = head;
    for bp in mp.blocks().skip(1) {
        let Some(more) = one(bp) else {
            freemsg(head);
            return None;
        };
        last.b_cont.set(Some(more));
        last = more;
    }
    Some(head)
}

/// Frees one block (`freeb`).
///
/// # Panics
/// If it is on a queue.
#[inline]
pub fn freeb(mp: &'static Mblk) {
    assert!(mp.b_next.is_null() && mp.b_prev.is_null(), "freeb: the message block is on a list");
    let memory = messages();
    let dbp = mp.datap();
    if !dbp.db_mblk.is(mp) {
        memory.sm_mblk_cache.free(0, mp);
    }
    if is_last(dbp) {
        last_free(dbp);
    }
}

/// Frees every block of a message (`freemsg`).
#[inline]
pub fn freemsg(mp: &'static Mblk) {
    let mut at = Some(mp);
    while let Some(bp) = at {
        at = bp.b_cont.get();
        freeb(bp);
    }
}

/// Gives a reference up; true if it was the last.
#[inline]
fn is_last(dbp: &'static Dblk) -> bool {
    let least = u8::from(dbp.db_flags.get() & dbf::REFMIN != 0);
    // Who finds one reference has it: nobody can add one. Acquire, as for the last of several.
    if dbp.db_ref.load(Ordering::Acquire) == 1 + least {
        return true;
    }
    if platform::kernel().is_mutant(mutant::TORN_DB_REF) {
        // Load and store are two steps: two that leave at once take one reference away.
        let n = dbp.db_ref.get();
        platform::interleave();
        dbp.db_ref.set(n - 1);
        return n == 1 + least;
    }
    dbp.db_ref.fetch_sub(1, Ordering::AcqRel) == 1 + least
}

#[inline]
fn last_free(dbp: &'static Dblk) {
    let cache = dbp.db_cache.get();
    if cache == ESB && esballoc::is_deferred(dbp) {
        return;
    }
    messages().sm_dblk_cache.free(cache, dbp);
    callback::memory_is_back();
}
