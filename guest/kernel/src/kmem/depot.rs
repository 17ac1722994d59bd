//! Magazines, and the depot in which CPUs exchange them (`kmem.c kmem_depot_alloc`, `kmem_depot_free`).
//!
//! # Invariants
//! - A magazine in the depot is full or empty, and its buffers are constructed.
//! - `ml_min` is the least length that a list has had since the working set was last looked at: so many magazines nobody needed.

use core::sync::atomic::{AtomicU32, AtomicU64};

use super::cache::KmemCache;
use super::{KmemState, NIL};
use crate::cell::{Cell, Counter};
use crate::platform;
use crate::sync::{mutex_enter, mutex_exit};

/// Most rounds of a magazine: with its link it fills a cache line.
pub const MAG_ROUNDS: usize = 15;

/// A magazine (`kmem_magazine_t`): its rounds are numbers of buffers.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct KmemMagazine {
    /// Next of its list.
    pub mag_next: AtomicU32,
    /// The rounds; how many there are, who has the magazine knows.
    pub mag_round: [AtomicU32; MAG_ROUNDS],
}

impl KmemMagazine {
    pub(super) fn new(next: u32) -> KmemMagazine {
        KmemMagazine {
            mag_next: AtomicU32::new(next),
            mag_round: [const { AtomicU32::new(NIL) }; MAG_ROUNDS],
        }
    }
}

/// A list of magazines (`kmem_maglist_t`), guarded by `cache_depot_lock`.
#[repr(C)]
#[derive(Debug)]
pub struct Maglist {
    /// The first.
    pub ml_list: AtomicU32,
    /// How many there are.
    pub ml_total: AtomicU32,
    /// The fewest that there were since the working set was last looked at.
    pub ml_min: AtomicU32,
    /// How many may be given back.
    pub ml_reaplimit: AtomicU32,
    /// Times that one was taken.
    pub ml_alloc: AtomicU64,
}

impl Maglist {
    pub(super) fn new() -> Maglist {
        Maglist {
            ml_list: AtomicU32::new(NIL),
            ml_total: AtomicU32::new(0),
            ml_min: AtomicU32::new(0),
            ml_reaplimit: AtomicU32::new(0),
            ml_alloc: AtomicU64::new(0),
        }
    }
}

/// Takes a magazine out of the depot, if there is one.
pub(super) fn depot_alloc(cp: &'static KmemCache, list: &Maglist) -> Option<u32> {
    // Without the lock, a look that is too early costs a slab's allocation and nothing else.
    if list.ml_list.get() == NIL {
        return None;
    }
    mutex_enter(&cp.cache_depot_lock);
    let mag = list.ml_list.get();
    if mag != NIL {
        list.ml_list.set(magazine(mag).mag_next.get());
        list.ml_total.drop_one();
        list.ml_min.set(list.ml_min.get().min(list.ml_total.get()));
        list.ml_alloc.bump();
    }
    mutex_exit(&cp.cache_depot_lock);
    (mag != NIL).then_some(mag)
}

/// Puts a magazine into the depot.
pub(super) fn depot_free(cp: &'static KmemCache, list: &Maglist, mag: u32) {
    mutex_enter(&cp.cache_depot_lock);
    magazine(mag).mag_next.set(list.ml_list.get());
    list.ml_list.set(mag);
    list.ml_total.bump();
    mutex_exit(&cp.cache_depot_lock);
}

/// Takes a magazine that no cache has; `None` if there is none: the buffer then goes to its slab.
pub(super) fn mag_alloc(state: &'static KmemState) -> Option<u32> {
    mutex_enter(&state.kmem_mag_lock);
    let mag = state.kmem_mag_free.get();
    if mag != NIL {
        state.kmem_mag_free.set(magazine(mag).mag_next.get());
    }
    mutex_exit(&state.kmem_mag_lock);
    (mag != NIL).then_some(mag)
}

/// Gives a magazine to whatever cache needs one.
pub(super) fn mag_free(state: &'static KmemState, mag: u32) {
    mutex_enter(&state.kmem_mag_lock);
    magazine(mag).mag_next.set(state.kmem_mag_free.get());
    state.kmem_mag_free.set(mag);
    mutex_exit(&state.kmem_mag_lock);
}

/// Magazine number `mag`.
#[inline(always)]
pub(super) fn magazine(mag: u32) -> &'static KmemMagazine {
    &platform::kernel().k_kmem.kmem_mags[mag as usize]
}
