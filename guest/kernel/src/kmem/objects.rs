//! Caches of a type of the kernel: the objects are in an arena that boot makes, and buffer `n` is object `n`.
//!
//! # Invariants
//! - An object keeps its address for ever, allocated or not: a reader from outside finds it, and a stale pointer leads to an object of
//!   the same type.
//! - Its fields are what the last user left. Who allocates it sets what matters.

use alloc::boxed::Box;

use super::cache::{self, KmemCache, KmemOps};
use super::slab::BufTable;
use super::{kmem_cache_alloc, kmem_cache_free};
use crate::lock::SharedPtr;

/// An arena of objects, and the cache that hands them out.
#[repr(C)]
#[derive(Debug)]
pub struct Objects<T: 'static> {
    /// The objects, by number.
    pub objects: Box<[T]>,
    /// The cache.
    pub cache: SharedPtr<KmemCache>,
    table: BufTable,
}

impl<T: Sync> Objects<T> {
    /// So many objects, of which none is handed out; `n` is rounded up to whole slabs.
    pub fn new(n: u32, new: impl Fn(u32) -> T) -> Objects<T> {
        let per_slab = cache::per_slab(size_of::<T>());
        let n = n.next_multiple_of(per_slab);
        Objects {
            objects: (0..n).map(new).collect(),
            cache: SharedPtr::null(),
            table: BufTable::new(n, per_slab),
        }
    }

    /// Begins their cache. Called once, at boot.
    ///
    /// # Panics
    /// If there are too many caches.
    pub fn init(&'static self, name: &str, ops: &'static KmemOps) {
        let cp = cache::at_boot(name, size_of::<T>() as u32, ops, &self.table);
        self.cache.set(Some(cp.expect("kmem: raise MAX_CACHES")));
    }

    /// Allocates an object; `flags` are of [`super::km`]. `None` only with [`super::km::NOSLEEP`].
    #[inline]
    pub fn alloc(&'static self, flags: u32) -> Option<&'static T> {
        kmem_cache_alloc(self.cache(), flags).map(|n| &self.objects[n as usize])
    }

    /// Frees an object.
    #[inline]
    pub fn free(&'static self, object: &T) {
        kmem_cache_free(self.cache(), self.number_of(object));
    }

    /// The number of an object of this arena.
    #[inline]
    pub fn number_of(&self, object: &T) -> u32 {
        let offset = core::ptr::from_ref(object).addr() - self.objects.as_ptr().addr();
        (offset / size_of::<T>()) as u32
    }

    /// The cache.
    #[inline]
    pub fn cache(&self) -> &'static KmemCache {
        self.cache.get().expect("invariant: boot has begun the cache")
    }
}
