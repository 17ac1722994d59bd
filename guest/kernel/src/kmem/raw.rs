//! Caches of words of memory, and `kmem_alloc` over those of common sizes (`kmem.c kmem_cache_create`, `kmem_alloc`).
//!
//! # Invariants
//! - A buffer begins on a cache line, and its number is the number of that line in memory.
//! - Its words are atomics: who has the buffer may pass it on, and orders that itself.

use core::sync::atomic::AtomicU64;

use super::cache::{self, KmemCache, KmemOps, NO_OPS};
use super::slab::CHUNK;
use super::vmem::{vmem_alloc, vmem_free};
use super::{PAGESIZE, kmem_cache_alloc, kmem_cache_free};
use crate::cell::Cell;
use crate::platform;

/// Words of memory that somebody has.
pub type Buf = &'static [AtomicU64];

/// Sizes for which `kmem_alloc` has caches, with their names (`kmem_alloc_sizes`, those that are whole cache lines).
const SIZES: &[(u32, &str)] = &[
    (64, "kmem_alloc_64"),
    (128, "kmem_alloc_128"),
    (192, "kmem_alloc_192"),
    (256, "kmem_alloc_256"),
    (320, "kmem_alloc_320"),
    (448, "kmem_alloc_448"),
    (640, "kmem_alloc_640"),
    (1024, "kmem_alloc_1024"),
    (1344, "kmem_alloc_1344"),
    (2048, "kmem_alloc_2048"),
    (4096, "kmem_alloc_4096"),
    (8192, "kmem_alloc_8192"),
];

/// Begins the caches of `kmem_alloc`, numbers 0 and up (`kmem_init`). At boot.
pub fn kmem_init() {
    for (size, name) in SIZES {
        let cp = cache::at_boot(name, *size, NO_OPS, &platform::kernel().k_kmem.kmem_raw);
        assert!(cp.is_some(), "kmem_init: no room for {name}");
    }
}

/// Begins a cache of buffers of `bufsize` bytes (`kmem_cache_create`). `None` if there are too many caches.
pub fn kmem_cache_create(name: &str, bufsize: u32, ops: &'static KmemOps) -> Option<&'static KmemCache> {
    cache::create(name, bufsize.max(8), ops, &platform::kernel().k_kmem.kmem_raw)
}

/// Allocates a buffer of a cache of words. `None` only with [`super::km::NOSLEEP`].
#[inline]
pub fn raw_alloc(cp: &'static KmemCache, flags: u32) -> Option<Buf> {
    kmem_cache_alloc(cp, flags).map(|buf| words(cp, buf))
}

/// Frees a buffer of a cache of words.
#[inline]
pub fn raw_free(cp: &'static KmemCache, buf: Buf) {
    kmem_cache_free(cp, buf_number(buf));
}

/// Allocates so many bytes (`kmem_alloc`). `None` only with [`super::km::NOSLEEP`].
pub fn kmem_alloc(size: u32, flags: u32) -> Option<Buf> {
    match cache_for(size) {
        Some(cp) => raw_alloc(cp, flags).map(|buf| &buf[..size.div_ceil(8) as usize]),
        None => {
            let page = vmem_alloc(size.div_ceil(PAGESIZE as u32), flags)?;
            let from = page as usize * (PAGESIZE / 8) as usize;
            Some(&platform::kernel().k_kmem.kmem_memory[from..][..size.div_ceil(8) as usize])
        }
    }
}

/// Frees what [`kmem_alloc`] gave for the same size (`kmem_free`).
pub fn kmem_free(buf: Buf, size: u32) {
    match cache_for(size) {
        Some(cp) => raw_free(cp, buf),
        None => {
            let page = buf_number(buf) / (PAGESIZE / CHUNK) as u32;
            vmem_free(page, size.div_ceil(PAGESIZE as u32));
        }
    }
}

/// The words of buffer `buf` of a cache.
#[inline]
pub(super) fn words(cp: &KmemCache, buf: u32) -> Buf {
    buf_at(buf, cp.cache_bufsize.get())
}

/// The word behind the buffer, where a cache has one.
pub(super) fn redzone(cp: &KmemCache, buf: u32) -> &'static AtomicU64 {
    let from = buf as usize * (CHUNK / 8) as usize;
    &platform::kernel().k_kmem.kmem_memory[from + cp.cache_bufsize.get().div_ceil(8) as usize]
}

/// The number of a buffer.
pub fn buf_number(buf: Buf) -> u32 {
    let base = platform::kernel().k_kmem.kmem_memory.as_ptr().addr();
    ((buf.as_ptr().addr() - base) as u64 / CHUNK) as u32
}

/// The buffer of a number, of so many bytes.
pub fn buf_at(number: u32, size: u32) -> Buf {
    let from = number as usize * (CHUNK / 8) as usize;
    &platform::kernel().k_kmem.kmem_memory[from..][..size.div_ceil(8) as usize]
}

/// True for a cache of `kmem_alloc`: they are the first.
pub(super) fn is_of_kmem_alloc(cp: &KmemCache) -> bool {
    (cp.cache_number as usize) < SIZES.len()
}

fn cache_for(size: u32) -> Option<&'static KmemCache> {
    let n = SIZES.iter().position(|(least, _)| size <= *least)?;
    Some(&platform::kernel().k_kmem.kmem_caches[n])
}
