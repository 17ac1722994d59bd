//! The kernel memory allocator (`kmem.c`, `vmem.c`): object caches over slabs over pages.
//!
//! | file | what |
//! |---|---|
//! | `cache.rs` | a cache: what it is, how it begins and ends |
//! | `rounds.rs` | `kmem_cache_alloc` and `kmem_cache_free`: a CPU's two magazines |
//! | `depot.rs` | full and empty magazines of all CPUs |
//! | `slab.rs` | slabs: pages that are cut into buffers |
//! | `vmem.rs` | pages: who gets them, who waits for them, `freemem` and its thresholds |
//! | `raw.rs` | caches of words, and `kmem_alloc` over them |
//! | `objects.rs` | caches of a type of the kernel |
//! | `reap.rs` | giving memory back |
//! | `audit.rs` | what the tunable `kmem_flags` has checked |
//! | `log.rs` | who had a buffer last, and where |
//!
//! Nothing here is `unsafe`, because a buffer is a number. What lies behind the number is either words of the kernel's memory, or
//! an object of an arena that boot has made ([`Objects`]), which keeps its address for ever. An object of an arena takes pages all
//! the same: its slab does, and so memory runs out of objects of every kind alike.
//!
//! # Invariants
//! - Lock order: `cc_lock`, `cache_depot_lock`, `kmem_mag_lock`, `cache_lock`, `vm_lock`. Each is an adaptive mutex, and none is held while
//!   anything sleeps for memory, or a constructor runs.
//! - A buffer is in one place: with who allocated it, in one round of one magazine, or on the free list of its slab.
//! - On the way of an allocation that finds a round, and of a free that finds room for one, the only lock is the CPU's own.
//! - A page belongs to one slab, or to nobody.
//!
//! # What is not here
//! Magazines have at most [`MAG_ROUNDS`] rounds and do not grow when the depot is contended for. Partial slabs are taken in the order
//! in which they became so, not fullest first, and buffers do not move (`kmem_move`). The arena of pages is searched first fit.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU32, AtomicU64};

use crate::sync::Mutex;
use umpire_shared::program::Header;
pub use umpire_shared::sys::kmem::{PAGESIZE, km, kmf};
use umpire_shared::tunable;

mod audit;
mod cache;
mod depot;
mod log;
mod objects;
mod raw;
mod reap;
mod rounds;
mod slab;
mod vmem;

pub use self::cache::{KmemCache, KmemOps, NO_OPS, kmem_cache_destroy};
pub use self::depot::{KmemMagazine, MAG_ROUNDS, Maglist};
pub use self::log::{KMEM_STACK_DEPTH, KmemLog, KmemLogEntry};
pub use self::objects::Objects;
pub use self::raw::{
    Buf, buf_at, buf_number, kmem_alloc, kmem_cache_create, kmem_free, kmem_init, raw_alloc, raw_free,
};
pub use self::reap::{kmem_cache_reap, kmem_depot_ws_update, kmem_reap};
pub use self::rounds::{kmem_cache_alloc, kmem_cache_free};
pub use self::slab::{BufTable, Bufctl, KmemSlab};
pub use self::vmem::{Vmem, freemem, vmem_alloc, vmem_free};

/// "None" among buffers, magazines and slabs.
pub const NIL: u32 = u32::MAX;
/// Caches that there may be at a time.
pub const MAX_CACHES: usize = 64;

/// What the allocator keeps.
#[repr(C)]
#[derive(Debug)]
pub struct KmemState {
    /// The caches; one without a name is not in use.
    pub kmem_caches: Box<[KmemCache]>,
    /// What each CPU has of each cache: cache `n`, CPU `c` at `n * ncpus + c`.
    pub kmem_cpu: Box<[KmemCpuCache]>,
    /// Magazines.
    pub kmem_mags: Box<[KmemMagazine]>,
    /// Slabs: that whose first page is page `n` is number `n`.
    pub kmem_slabs: Box<[KmemSlab]>,
    /// The words of memory.
    pub kmem_memory: Box<[AtomicU64]>,
    /// What is known of each chunk of the memory.
    pub kmem_raw: BufTable,
    /// The pages.
    pub kmem_vmem: Vmem,
    /// Guards which magazines are in use by no cache.
    pub kmem_mag_lock: Mutex,
    /// The first of those magazines.
    pub kmem_mag_free: AtomicU32,
    /// Guards which caches are in use.
    pub kmem_cache_lock: Mutex,
    /// The log of transactions (`kmem_transaction_log`).
    pub kmem_log: KmemLog,
}

/// What one CPU has of one cache (`kmem_cpu_cache_t`). Everything in it is guarded by `cc_lock`.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct KmemCpuCache {
    /// Taken by this CPU for each allocation and free, by others only to take the magazines away.
    pub cc_lock: Mutex,
    /// Allocations that found a round.
    pub cc_alloc: AtomicU64,
    /// Frees that found room.
    pub cc_free: AtomicU64,
    /// The magazine in use, or [`NIL`].
    pub cc_loaded: AtomicU32,
    /// The one before it, or [`NIL`].
    pub cc_ploaded: AtomicU32,
    /// Rounds in the magazine in use.
    pub cc_rounds: AtomicU32,
    /// Rounds in the one before it: none or all.
    pub cc_prounds: AtomicU32,
    /// Rounds that a magazine holds; 0 while the cache uses none.
    pub cc_magsize: AtomicU32,
}

impl KmemState {
    /// Everything free.
    pub fn new(ncpus: u32, header: &Header) -> KmemState {
        let pages = (header.memory / PAGESIZE) as u32;
        let words = (header.memory / 8) as usize;
        let mags = pages * slab::CHUNKS_PER_PAGE / 8 + 2 * ncpus * MAX_CACHES as u32;
        KmemState {
            kmem_caches: (0..MAX_CACHES as u32).map(KmemCache::new).collect(),
            kmem_cpu: (0..MAX_CACHES as u32 * ncpus).map(|_| KmemCpuCache::new()).collect(),
            kmem_mags: (0..mags).map(|n| KmemMagazine::new(if n + 1 < mags { n + 1 } else { NIL })).collect(),
            kmem_slabs: (0..pages).map(|_| KmemSlab::new()).collect(),
            kmem_memory: (0..words).map(|_| AtomicU64::new(0)).collect(),
            kmem_raw: BufTable::new(pages * slab::CHUNKS_PER_PAGE, 0),
            kmem_vmem: Vmem::new(pages, &header.tunables),
            kmem_mag_lock: Mutex::new(),
            kmem_mag_free: AtomicU32::new(0),
            kmem_cache_lock: Mutex::new(),
            kmem_log: KmemLog::new(header.tunables[tunable::KMEM_FLAGS] as u32),
        }
    }
}

impl KmemCpuCache {
    fn new() -> KmemCpuCache {
        KmemCpuCache {
            cc_lock: Mutex::new(),
            cc_alloc: AtomicU64::new(0),
            cc_free: AtomicU64::new(0),
            cc_loaded: AtomicU32::new(NIL),
            cc_ploaded: AtomicU32::new(NIL),
            cc_rounds: AtomicU32::new(0),
            cc_prounds: AtomicU32::new(0),
            cc_magsize: AtomicU32::new(0),
        }
    }
}
