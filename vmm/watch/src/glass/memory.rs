//! Memory: how much is free, who sleeps for it, and how large each cache is.
//!
//! # Invariants
//! - These are single words, each right by itself; two of them may be of different moments. A condition between two has to last.
//! - No more caches are believed than a kernel can have.

use super::look::Look;
use super::record::record;
use super::root::KernelRoot;
use super::snapshot::Snapshot;
use super::walk::Arena;
use umpire_shared::NAME_LEN;

/// Caches that are read at most.
const MAX_CACHES: u64 = 1024;

record! {
    /// The arena of pages.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct MemorySample / MemoryPlaces of Kernel {
        read {
            /// `vm_cv.cv_waiters`: threads that sleep for pages.
            sleepers: u32 = number "k_kmem.kmem_vmem.vm_cv.cv_waiters",
            /// `vm_wanted`: the most pages that one of them wants.
            wanted: u64 = number "k_kmem.kmem_vmem.vm_wanted",
            /// `vm_wait`: times that an allocation had to wait.
            waits: u64 = number "k_kmem.kmem_vmem.vm_wait",
            /// `freemem`.
            freemem: u64 = number "k_kmem.kmem_vmem.freemem",
            /// `throttlefree`: pages that an allocation leaves.
            throttlefree: u64 = number "k_kmem.kmem_vmem.throttlefree",
        }
        known {}
    }
}

record! {
    /// A cache.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct CacheSample / CachePlaces of KmemCache {
        read {
            /// `cache_name`; empty if it is not in use.
            name: [u8; NAME_LEN] = array "cache_name",
            /// `cache_buftotal`: buffers in its slabs.
            buftotal: u64 = number "cache_buftotal",
        }
        known {
            /// Its address.
            addr: u64,
        }
    }
}

/// Where the caches are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caches {
    root: u64,
    caches: Arena,
}

impl Caches {
    /// Those of a kernel.
    pub(super) fn new(root: u64, says: &KernelRoot, stride: u64) -> Caches {
        let count = says.ncaches.min(MAX_CACHES) as u32;
        Caches { root, caches: Arena { base: says.caches, stride, count } }
    }

    /// Reads the arena of pages, and every cache that there is.
    pub(super) fn look(&self, look: &mut Look<'_>, into: &mut Snapshot) {
        let mut memory = MemorySample::default();
        if look.layout.memory.read(look.memory, self.root, look.room, &mut memory) {
            into.memory = memory;
        }
        into.caches.clear();
        for n in 0..self.caches.count {
            let addr = self.caches.address_of(n);
            let mut cache = CacheSample { addr, ..CacheSample::default() };
            if look.layout.cache.read(look.memory, addr, look.room, &mut cache) && cache.name[0] != 0 {
                into.caches.push(cache);
            }
        }
    }
}
