//! Slabs: pages that are cut into buffers of one cache (`kmem.c kmem_slab_create`, `kmem_slab_alloc`, `kmem_slab_free`).
//!
//! # Invariants
//! - `cache_lock` guards a cache's slabs and the free lists in them.
//! - A slab on the cache's list has a free buffer; one that has none is on no list; one that has nothing else does not exist.
//! - A buffer's `bc_slab` stays while its slab does, so that whoever has the buffer may read it without the lock.
//! - A thread that sleeps for a buffer of an arena whose objects are all taken is woken by the next that is freed: while there is such
//!   a thread the cache uses no magazines, so no buffer is kept from it.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU32, AtomicU64};

use super::cache::KmemCache;
use super::reap::kmem_cache_magazine_enable;
use super::vmem::{vmem_alloc, vmem_free};
use super::{KmemState, NIL, PAGESIZE, audit, km, reap};
use crate::cell::{Cell, Counter};
use crate::platform;
use crate::sync::{cv_signal, cv_wait, mutex_enter, mutex_exit};

/// The pieces in which memory is given out: a cache line.
pub(super) const CHUNK: u64 = 64;
pub(super) const CHUNKS_PER_PAGE: u32 = (PAGESIZE / CHUNK) as u32;

/// Buffers that have numbers: the chunks of memory, or the objects of an arena.
#[repr(C)]
#[derive(Debug)]
pub struct BufTable {
    /// What is known of each.
    pub bt_bufctls: Box<[Bufctl]>,
    /// For an arena: buffers a slab. 0 for memory, where a buffer's number says which page it is in.
    pub bt_per_slab: u32,
    /// The first slab's worth of objects that no slab has, linked by `bc_next` of its first. Guarded by the cache's `cache_lock`.
    bt_free: AtomicU32,
}

/// What is known of a buffer (`kmem_bufctl_t`, `kmem_bufctl_audit_t`).
#[repr(C)]
#[derive(Debug)]
pub struct Bufctl {
    /// The next free one of its slab.
    pub bc_next: AtomicU32,
    /// Its slab.
    pub bc_slab: AtomicU32,
    /// Not 0 while somebody has it. This and what follows is kept with [`super::kmf::AUDIT`] alone.
    pub bc_is_out: AtomicU32,
    /// The thread (`t_did`) that allocated or freed it last.
    pub bc_thread: AtomicU32,
    /// When, in ns of `gethrtime`.
    pub bc_timestamp: AtomicU64,
    /// The number of that transaction in the log (`bc_lastlog`).
    pub bc_lastlog: AtomicU32,
}

/// A slab (`kmem_slab_t`): number `n` begins with page `n`.
#[repr(C)]
#[derive(Debug)]
pub struct KmemSlab {
    /// Its cache's number.
    pub slab_cache: AtomicU32,
    /// Its first buffer.
    pub slab_base: AtomicU32,
    /// Buffers that are out.
    pub slab_refcnt: AtomicU32,
    /// Buffers that it has; 0 if there is no such slab.
    pub slab_chunks: AtomicU32,
    /// The first free one.
    pub slab_head: AtomicU32,
    /// Next of the cache's list.
    slab_next: AtomicU32,
    /// Previous of the cache's list.
    slab_prev: AtomicU32,
}

impl BufTable {
    /// A table for so many buffers; `per_slab` as in the field.
    pub fn new(buffers: u32, per_slab: u32) -> BufTable {
        let next = |n: u32| match per_slab {
            0 => NIL,
            per if n + 2 * per <= buffers => n + per,
            _ => NIL,
        };
        let has_any = per_slab != 0 && per_slab <= buffers;
        BufTable {
            bt_bufctls: (0..buffers).map(|n| Bufctl::new(next(n))).collect(),
            bt_per_slab: per_slab,
            bt_free: AtomicU32::new(if has_any { 0 } else { NIL }),
        }
    }

    pub(super) fn bufctl(&self, buf: u32) -> &Bufctl {
        &self.bt_bufctls[buf as usize]
    }
}

impl Bufctl {
    fn new(next: u32) -> Bufctl {
        Bufctl {
            bc_next: AtomicU32::new(next),
            bc_slab: AtomicU32::new(NIL),
            bc_is_out: AtomicU32::new(0),
            bc_thread: AtomicU32::new(0),
            bc_timestamp: AtomicU64::new(0),
            bc_lastlog: AtomicU32::new(0),
        }
    }
}

impl KmemSlab {
    pub(super) fn new() -> KmemSlab {
        KmemSlab {
            slab_cache: AtomicU32::new(0),
            slab_base: AtomicU32::new(0),
            slab_refcnt: AtomicU32::new(0),
            slab_chunks: AtomicU32::new(0),
            slab_head: AtomicU32::new(NIL),
            slab_next: AtomicU32::new(NIL),
            slab_prev: AtomicU32::new(NIL),
        }
    }
}

/// Takes a buffer off a slab, a new one if need be. `None` if there is no memory and the caller must not sleep.
pub(super) fn slab_alloc(cp: &'static KmemCache, flags: u32) -> Option<u32> {
    let state = &platform::kernel().k_kmem;
    mutex_enter(&cp.cache_lock);
    while cp.cache_partial.get() == NIL {
        match take_range(cp) {
            Some(range) => {
                mutex_exit(&cp.cache_lock);
                let page = vmem_alloc(cp.pages(), flags);
                mutex_enter(&cp.cache_lock);
                let Some(page) = page else {
                    give_range(cp, range);
                    cp.cache_alloc_fail.bump();
                    mutex_exit(&cp.cache_lock);
                    return None;
                };
                slab_create(state, cp, page, range);
            }
            None if flags & km::NOSLEEP != 0 => {
                cp.cache_alloc_fail.bump();
                mutex_exit(&cp.cache_lock);
                return None;
            }
            None => wait_for_buffer(cp),
        }
    }
    let number = cp.cache_partial.get();
    let slab = &state.kmem_slabs[number as usize];
    let buf = slab.slab_head.get();
    slab.slab_head.set(cp.table().bufctl(buf).bc_next.get());
    slab.slab_refcnt.bump();
    if slab.slab_head.get() == NIL {
        unlink(state, cp, slab);
    }
    cp.cache_slab_alloc.bump();
    mutex_exit(&cp.cache_lock);
    Some(buf)
}

/// Puts a buffer back onto its slab; a slab that has them all again is given back.
pub(super) fn slab_free(cp: &'static KmemCache, buf: u32) {
    let state = &platform::kernel().k_kmem;
    let bufctl = cp.table().bufctl(buf);
    mutex_enter(&cp.cache_lock);
    let number = bufctl.bc_slab.get();
    let slab = &state.kmem_slabs[number as usize];
    let was_full = slab.slab_head.get() == NIL;
    bufctl.bc_next.set(slab.slab_head.get());
    slab.slab_head.set(buf);
    slab.slab_refcnt.drop_one();
    cp.cache_slab_free.bump();
    if was_full {
        link(state, cp, number);
    }
    let is_empty = slab.slab_refcnt.get() == 0;
    if is_empty {
        unlink(state, cp, slab);
        slab_destroy(state, cp, slab);
    }
    if cp.cache_waiters.get() != 0 {
        cv_signal(&cp.cache_cv);
    }
    mutex_exit(&cp.cache_lock);
    if is_empty {
        vmem_free(number, cp.pages());
    }
}

/// Sleeps until a buffer is freed. Called with `cache_lock`, and again with it on return.
fn wait_for_buffer(cp: &'static KmemCache) {
    cp.cache_waiters.bump();
    mutex_exit(&cp.cache_lock);
    reap::kmem_cache_magazine_purge(cp);
    mutex_enter(&cp.cache_lock);
    if cp.cache_partial.get() == NIL && !has_range(cp) {
        cv_wait(&cp.cache_cv, &cp.cache_lock);
    }
    cp.cache_waiters.drop_one();
    if cp.cache_waiters.get() == 0 {
        mutex_exit(&cp.cache_lock);
        kmem_cache_magazine_enable(cp);
        mutex_enter(&cp.cache_lock);
    }
}

/// Cuts pages into buffers. Called with `cache_lock`.
fn slab_create(state: &'static KmemState, cp: &'static KmemCache, page: u32, range: u32) {
    let table = cp.table();
    let (base, step, chunks) = match table.bt_per_slab {
        0 => (page * CHUNKS_PER_PAGE, cp.cache_chunksize.get() / CHUNK as u32, cp.cache_maxchunks.get()),
        per => (range, 1, per),
    };
    let slab = &state.kmem_slabs[page as usize];
    slab.slab_cache.set(cp.cache_number);
    slab.slab_base.set(base);
    slab.slab_refcnt.set(0);
    slab.slab_chunks.set(chunks);
    slab.slab_head.set(base);
    for n in 0..chunks {
        let buf = base + n * step;
        let bufctl = table.bufctl(buf);
        bufctl.bc_next.set(if n + 1 < chunks { buf + step } else { NIL });
        bufctl.bc_slab.set(page);
        bufctl.bc_is_out.set(0);
        audit::fill_new(cp, buf);
    }
    cp.cache_buftotal.set(cp.cache_buftotal.get() + u64::from(chunks));
    cp.cache_bufmax.set(cp.cache_bufmax.get().max(cp.cache_buftotal.get()));
    cp.cache_slab_create.bump();
    link(state, cp, page);
}

/// Forgets a slab. Called with `cache_lock`; the caller then gives its pages back.
fn slab_destroy(state: &'static KmemState, cp: &'static KmemCache, slab: &KmemSlab) {
    debug_assert!(
        core::ptr::eq(&state.kmem_caches[slab.slab_cache.get() as usize], cp),
        "a slab of another cache"
    );
    cp.cache_buftotal.set(cp.cache_buftotal.get() - u64::from(slab.slab_chunks.get()));
    cp.cache_slab_destroy.bump();
    slab.slab_chunks.set(0);
    give_range(cp, slab.slab_base.get());
}

/// Takes a slab's worth of an arena's objects; for memory there is nothing to take. Called with `cache_lock`.
fn take_range(cp: &KmemCache) -> Option<u32> {
    let table = cp.table();
    if table.bt_per_slab == 0 {
        return Some(NIL);
    }
    let range = table.bt_free.get();
    if range == NIL {
        return None;
    }
    table.bt_free.set(table.bufctl(range).bc_next.get());
    Some(range)
}

fn give_range(cp: &KmemCache, range: u32) {
    let table = cp.table();
    if table.bt_per_slab != 0 {
        table.bufctl(range).bc_next.set(table.bt_free.get());
        table.bt_free.set(range);
    }
}

fn has_range(cp: &KmemCache) -> bool {
    let table = cp.table();
    table.bt_per_slab == 0 || table.bt_free.get() != NIL
}

fn link(state: &KmemState, cp: &KmemCache, number: u32) {
    let (slab, head) = (&state.kmem_slabs[number as usize], cp.cache_partial.get());
    slab.slab_prev.set(NIL);
    slab.slab_next.set(head);
    if head != NIL {
        state.kmem_slabs[head as usize].slab_prev.set(number);
    }
    cp.cache_partial.set(number);
}

fn unlink(state: &KmemState, cp: &KmemCache, slab: &KmemSlab) {
    let (prev, next) = (slab.slab_prev.get(), slab.slab_next.get());
    match prev {
        NIL => cp.cache_partial.set(next),
        prev => state.kmem_slabs[prev as usize].slab_next.set(next),
    }
    if next != NIL {
        state.kmem_slabs[next as usize].slab_prev.set(prev);
    }
}
