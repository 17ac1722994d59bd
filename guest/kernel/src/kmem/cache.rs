//! A cache: buffers of one kind (`kmem_cache_t`).
//!
//! # Invariants
//! - A cache in use has a name. Its slot changes hands under `kmem_cache_lock`; what describes it is written before it is used and
//!   not after.
//! - A constructor runs when a buffer leaves its slab, and the destructor when the buffer goes back there: what is in a magazine is
//!   constructed. With `KMF_DEADBEEF` what is in a magazine is a pattern, so both run at each allocation and each free.

use core::fmt;
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};

use super::depot::Maglist;
use super::slab::{BufTable, CHUNK};
use super::{KmemCpuCache, MAG_ROUNDS, NIL, PAGESIZE, kmf, reap};
use crate::cell::Cell;
use crate::lock::SharedPtr;
use crate::platform;
use crate::sync::{Condvar, Mutex, mutex_enter, mutex_exit};
use crate::sys::Cpu;
use umpire_shared::{NAME_LEN, pack_name, tunable, unpack_name};

/// Sizes of magazines: rounds, and the least buffer for which they are as few (`kmem_magtype`).
const MAGTYPES: [(u32, u32); 4] = [(1, 3200), (3, 256), (7, 64), (MAG_ROUNDS as u32, 0)];
/// Most pages of a slab whose buffers are smaller than itself.
const MAX_SLAB_PAGES: u32 = 8;

/// What a cache calls.
pub struct KmemOps {
    /// Makes a buffer ready, once for each time that it leaves its slab; false if it cannot.
    pub constructor: fn(&'static KmemCache, u32, u32) -> bool,
    /// Takes that back.
    pub destructor: fn(&'static KmemCache, u32),
}

/// Neither constructor nor destructor.
pub const NO_OPS: &KmemOps = &KmemOps { constructor: |_, _, _| true, destructor: |_, _| {} };

impl fmt::Debug for KmemOps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KmemOps")
    }
}

/// `kmem_cache_t`.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct KmemCache {
    /// `cache_name`, NUL-padded; empty if it is not in use.
    pub cache_name: [AtomicU8; NAME_LEN],
    /// Its number.
    pub cache_number: u32,
    /// Bits of [`kmf`].
    pub cache_flags: AtomicU32,
    /// Bytes that were asked for.
    pub cache_bufsize: AtomicU32,
    /// Bytes from one buffer to the next.
    pub cache_chunksize: AtomicU32,
    /// Bytes of a slab.
    pub cache_slabsize: AtomicU32,
    /// Buffers of a slab.
    pub cache_maxchunks: AtomicU32,
    /// Rounds of a magazine.
    pub cache_magsize: AtomicU32,
    /// What it calls.
    pub cache_ops: SharedPtr<KmemOps>,
    /// The table that its buffers are numbered in.
    pub cache_table: SharedPtr<BufTable>,

    /// Guards the two lists of magazines.
    pub cache_depot_lock: Mutex,
    /// Full magazines.
    pub cache_full: Maglist,
    /// Empty ones.
    pub cache_empty: Maglist,

    /// Guards all that follows.
    pub cache_lock: Mutex,
    /// Where threads sleep for a buffer of an arena.
    pub cache_cv: Condvar,
    /// How many do.
    pub cache_waiters: AtomicU32,
    /// The first slab that has a free buffer.
    pub cache_partial: AtomicU32,
    /// Buffers in slabs.
    pub cache_buftotal: AtomicU64,
    /// The most that there were.
    pub cache_bufmax: AtomicU64,
    /// Slabs made.
    pub cache_slab_create: AtomicU64,
    /// Slabs given back.
    pub cache_slab_destroy: AtomicU64,
    /// Buffers taken off slabs.
    pub cache_slab_alloc: AtomicU64,
    /// Buffers put back.
    pub cache_slab_free: AtomicU64,
    /// Allocations that failed for want of memory.
    pub cache_alloc_fail: AtomicU64,
    /// Times that the depot was reaped.
    pub cache_reap: AtomicU64,
    /// Allocations that must not sleep, counted for `kmem_mtbf`. Not guarded: each adds one, atomically.
    pub cache_nosleeps: AtomicU64,
}

impl KmemCache {
    pub(super) fn new(number: u32) -> KmemCache {
        KmemCache {
            cache_name: [const { AtomicU8::new(0) }; NAME_LEN],
            cache_number: number,
            cache_flags: AtomicU32::new(0),
            cache_bufsize: AtomicU32::new(0),
            cache_chunksize: AtomicU32::new(0),
            cache_slabsize: AtomicU32::new(0),
            cache_maxchunks: AtomicU32::new(0),
            cache_magsize: AtomicU32::new(0),
            cache_ops: SharedPtr::null(),
            cache_table: SharedPtr::null(),
            cache_depot_lock: Mutex::new(),
            cache_full: Maglist::new(),
            cache_empty: Maglist::new(),
            cache_lock: Mutex::new(),
            cache_cv: Condvar::new(),
            cache_waiters: AtomicU32::new(0),
            cache_partial: AtomicU32::new(NIL),
            cache_buftotal: AtomicU64::new(0),
            cache_bufmax: AtomicU64::new(0),
            cache_slab_create: AtomicU64::new(0),
            cache_slab_destroy: AtomicU64::new(0),
            cache_slab_alloc: AtomicU64::new(0),
            cache_slab_free: AtomicU64::new(0),
            cache_alloc_fail: AtomicU64::new(0),
            cache_reap: AtomicU64::new(0),
            cache_nosleeps: AtomicU64::new(0),
        }
    }

    pub(super) fn table(&self) -> &'static BufTable {
        self.cache_table.get().expect("invariant: a cache in use has a table")
    }

    pub(super) fn ops(&self) -> &'static KmemOps {
        self.cache_ops.get().expect("invariant: a cache in use has its calls")
    }

    /// Pages of a slab.
    pub(super) fn pages(&self) -> u32 {
        self.cache_slabsize.get() / PAGESIZE as u32
    }

    /// What a CPU has of it.
    #[inline(always)]
    pub(super) fn of_cpu(&self, cpu: &Cpu) -> &'static KmemCpuCache {
        let kernel = platform::kernel();
        &kernel.k_kmem.kmem_cpu[(self.cache_number * kernel.k_ncpus + cpu.cpu_id) as usize]
    }

    /// What every CPU has of it.
    pub(super) fn of_cpus(&self) -> &'static [KmemCpuCache] {
        let kernel = platform::kernel();
        let n = kernel.k_ncpus as usize;
        &kernel.k_kmem.kmem_cpu[self.cache_number as usize * n..][..n]
    }

    pub(super) fn has(&self, flag: u32) -> bool {
        self.cache_flags.get() & flag != 0
    }

    /// True if what is freed stays constructed until it goes back to its slab.
    pub(super) fn keeps_constructed(&self) -> bool {
        !self.has(kmf::DEADBEEF)
    }

    /// True if it is in use.
    pub fn is_in_use(&self) -> bool {
        self.cache_name[0].get() != 0
    }

    /// Puts its name into `out` and returns the used part.
    pub fn name<'a>(&self, out: &'a mut [u8; NAME_LEN]) -> &'a str {
        for (to, from) in out.iter_mut().zip(&self.cache_name) {
            *to = from.get();
        }
        unpack_name(out)
    }

    fn forget_counts(&self) {
        for cell in
            [&self.cache_buftotal, &self.cache_bufmax, &self.cache_slab_create, &self.cache_slab_destroy]
        {
            cell.set(0);
        }
        let others =
            [&self.cache_slab_alloc, &self.cache_slab_free, &self.cache_alloc_fail, &self.cache_reap];
        for cell in others.into_iter().chain([&self.cache_nosleeps]) {
            cell.set(0);
        }
    }

    /// Buffers that are out: with somebody, or in a magazine.
    pub fn inuse(&self) -> u64 {
        self.cache_slab_alloc.get() - self.cache_slab_free.get()
    }
}

/// Begins a cache of buffers of `bufsize` bytes that are numbered in `table`. `None` if there are [`super::MAX_CACHES`] already.
pub(super) fn create(
    name: &str,
    bufsize: u32,
    ops: &'static KmemOps,
    table: &'static BufTable,
) -> Option<&'static KmemCache> {
    let state = &platform::kernel().k_kmem;
    mutex_enter(&state.kmem_cache_lock);
    let cp = at_boot(name, bufsize, ops, table);
    mutex_exit(&state.kmem_cache_lock);
    cp
}

/// The same with `kmem_cache_lock` held, or while the kernel boots and nothing else runs.
pub(super) fn at_boot(
    name: &str,
    bufsize: u32,
    ops: &'static KmemOps,
    table: &'static BufTable,
) -> Option<&'static KmemCache> {
    let kernel = platform::kernel();
    let cp = kernel.k_kmem.kmem_caches.iter().find(|cp| !cp.is_in_use())?;
    let flags = kernel.tunable_at_boot(tunable::KMEM_FLAGS) as u32;
    let is_raw = table.bt_per_slab == 0;
    // What is behind an object of an arena is the next one, and its words have meanings.
    let flags = if is_raw { flags } else { flags & kmf::AUDIT };
    let redzone = if flags & kmf::REDZONE != 0 { 8 } else { 0 };
    let chunk = if is_raw { (bufsize + redzone).next_multiple_of(CHUNK as u32) } else { bufsize };
    let pages = pages_of_slab(chunk, table.bt_per_slab);
    let magsize = MAGTYPES.iter().find(|(_, least)| chunk > *least).map_or(1, |(rounds, _)| *rounds);
    cp.cache_flags.set(flags);
    cp.cache_bufsize.set(bufsize);
    cp.cache_chunksize.set(chunk);
    cp.cache_slabsize.set(pages * PAGESIZE as u32);
    cp.cache_maxchunks.set(if is_raw { pages * PAGESIZE as u32 / chunk } else { table.bt_per_slab });
    cp.cache_magsize.set(magsize);
    cp.cache_ops.set(Some(ops));
    cp.cache_table.set(Some(table));
    cp.forget_counts();
    for cc in cp.of_cpus() {
        cc.cc_alloc.set(0);
        cc.cc_free.set(0);
        cc.cc_magsize.set(magsize);
    }
    for (to, from) in cp.cache_name.iter().zip(pack_name(name)) {
        to.set(from);
    }
    Some(cp)
}

/// Objects of `size` bytes that a slab of an arena has: a page's worth, at least one.
pub(super) fn per_slab(size: usize) -> u32 {
    (PAGESIZE as usize / size.max(1)).max(1) as u32
}

fn pages_of_slab(chunk: u32, per_slab: u32) -> u32 {
    let page = PAGESIZE as u32;
    match per_slab {
        0 if chunk <= page / 8 => 1,
        0 => (chunk * 8).div_ceil(page).min(MAX_SLAB_PAGES).max(chunk.div_ceil(page)),
        per => (per * chunk).div_ceil(page),
    }
}

/// Ends a cache (`kmem_cache_destroy`): gives back what its magazines hold. All its buffers have been freed.
///
/// # Panics
/// If one has not.
pub fn kmem_cache_destroy(cp: &'static KmemCache) {
    reap::kmem_cache_magazine_purge(cp);
    let mut name = [0; NAME_LEN];
    assert!(
        cp.cache_buftotal.get() == 0,
        "kmem_cache_destroy: '{}' ({:p}) not empty: {} buffers are out",
        cp.name(&mut name),
        cp,
        cp.inuse()
    );
    let state = &platform::kernel().k_kmem;
    mutex_enter(&state.kmem_cache_lock);
    cp.cache_name[0].set(0);
    mutex_exit(&state.kmem_cache_lock);
}
