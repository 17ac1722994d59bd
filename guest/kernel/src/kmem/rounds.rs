//! Allocating and freeing: a CPU's two magazines, then the depot, then the slabs (`kmem.c kmem_cache_alloc`, `kmem_cache_free`).
//!
//! # Invariants
//! - The CPU is looked up once and not pinned: a thread that is moved before it has the lock uses the other CPU's magazines under that
//!   CPU's lock, which is slower and not wrong.
//! - Of the two magazines the one that is not in use is full or empty, so that a thread that allocates and frees at the boundary of
//!   one does not go to the depot each time.

use core::sync::atomic::Ordering;

use super::cache::KmemCache;
use super::depot::{depot_alloc, depot_free, mag_alloc, magazine};
use super::raw::is_of_kmem_alloc;
use super::slab::{slab_alloc, slab_free};
use super::{KmemCpuCache, NIL, audit, km};
use crate::cell::{Cell, Counter};
use crate::platform;
use crate::sync::{mutex_enter, mutex_exit};
use umpire_shared::{mutant, tunable};

/// ns of good service before the mutant that frees nothing begins.
const FORGETS_FROM_NS: u64 = 250_000_000;

/// Allocates a buffer, by its number; `flags` are of [`km`]. `None` only with [`km::NOSLEEP`].
#[inline]
pub fn kmem_cache_alloc(cp: &'static KmemCache, flags: u32) -> Option<u32> {
    let cc = cp.of_cpu(platform::cpu());
    if flags & km::NOSLEEP != 0 && is_injected(cp) {
        return None;
    }
    mutex_enter(&cc.cc_lock);
    loop {
        let rounds = cc.cc_rounds.get();
        if rounds > 0 {
            let buf = magazine(cc.cc_loaded.get()).mag_round[rounds as usize - 1].get();
            cc.cc_rounds.set(rounds - 1);
            cc.cc_alloc.bump();
            mutex_exit(&cc.cc_lock);
            if cp.cache_flags.get() != 0 {
                audit::allocated(cp, buf);
                if !cp.keeps_constructed() {
                    return construct(cp, buf, flags);
                }
            }
            return Some(buf);
        }
        if !reload_for_alloc(cp, cc) {
            break;
        }
    }
    mutex_exit(&cc.cc_lock);
    alloc_from_slab(cp, flags)
}

/// Frees a buffer, by its number.
#[inline]
pub fn kmem_cache_free(cp: &'static KmemCache, buf: u32) {
    if is_forgotten(cp) {
        return;
    }
    if cp.cache_flags.get() != 0 {
        audit::freed(cp, buf);
    }
    let cc = cp.of_cpu(platform::cpu());
    mutex_enter(&cc.cc_lock);
    loop {
        let rounds = cc.cc_rounds.get();
        if cc.cc_loaded.get() != NIL && rounds < cc.cc_magsize.get() {
            magazine(cc.cc_loaded.get()).mag_round[rounds as usize].set(buf);
            cc.cc_rounds.set(rounds + 1);
            cc.cc_free.bump();
            mutex_exit(&cc.cc_lock);
            return;
        }
        if !reload_for_free(cp, cc) {
            break;
        }
    }
    mutex_exit(&cc.cc_lock);
    if cp.keeps_constructed() {
        (cp.ops().destructor)(cp, buf);
    }
    slab_free(cp, buf);
}

/// True under the mutant that frees nothing of caches that are neither kmem_alloc's nor of a type of the kernel, once things have gone
/// well for a while.
#[inline]
fn is_forgotten(cp: &KmemCache) -> bool {
    let is_mutant = platform::kernel().is_mutant(mutant::KMEM_FORGETS);
    is_mutant && cp.table().bt_per_slab == 0 && !is_of_kmem_alloc(cp) && platform::now() > FORGETS_FROM_NS
}

/// The magazine in use has no rounds: has one that does put in its place. False if there is none.
fn reload_for_alloc(cp: &'static KmemCache, cc: &KmemCpuCache) -> bool {
    if cc.cc_prounds.get() > 0 {
        swap(cc);
        return true;
    }
    if cc.cc_magsize.get() == 0 {
        return false;
    }
    let Some(full) = depot_alloc(cp, &cp.cache_full) else { return false };
    if cc.cc_ploaded.get() != NIL {
        depot_free(cp, &cp.cache_empty, cc.cc_ploaded.get());
    }
    load(cc, full, cc.cc_magsize.get());
    true
}

/// The magazine in use has no room: has one that does put in its place. False if there is none.
fn reload_for_free(cp: &'static KmemCache, cc: &'static KmemCpuCache) -> bool {
    if cc.cc_magsize.get() == 0 {
        return false;
    }
    if cc.cc_ploaded.get() != NIL && cc.cc_prounds.get() == 0 {
        swap(cc);
        return true;
    }
    if let Some(empty) = depot_alloc(cp, &cp.cache_empty) {
        if cc.cc_ploaded.get() != NIL {
            depot_free(cp, &cp.cache_full, cc.cc_ploaded.get());
        }
        load(cc, empty, 0);
        return true;
    }
    match mag_alloc(&platform::kernel().k_kmem) {
        Some(mag) => {
            depot_free(cp, &cp.cache_empty, mag);
            true
        }
        None => false,
    }
}

/// Makes the other magazine the one in use.
fn swap(cc: &KmemCpuCache) {
    let (loaded, rounds) = (cc.cc_loaded.get(), cc.cc_rounds.get());
    cc.cc_loaded.set(cc.cc_ploaded.get());
    cc.cc_rounds.set(cc.cc_prounds.get());
    cc.cc_ploaded.set(loaded);
    if !platform::kernel().is_mutant(mutant::STALE_ROUNDS) {
        cc.cc_prounds.set(rounds);
    }
}

/// Makes a magazine with so many rounds the one in use, and what was in use the other one.
fn load(cc: &KmemCpuCache, mag: u32, rounds: u32) {
    cc.cc_ploaded.set(cc.cc_loaded.get());
    cc.cc_prounds.set(cc.cc_rounds.get());
    cc.cc_loaded.set(mag);
    cc.cc_rounds.set(rounds);
}

fn alloc_from_slab(cp: &'static KmemCache, flags: u32) -> Option<u32> {
    let buf = slab_alloc(cp, flags)?;
    if cp.cache_flags.get() != 0 {
        audit::allocated(cp, buf);
    }
    construct(cp, buf, flags)
}

/// Has the constructor make a buffer ready. If it cannot, the buffer goes back to its slab.
fn construct(cp: &'static KmemCache, buf: u32, flags: u32) -> Option<u32> {
    if (cp.ops().constructor)(cp, buf, flags) {
        return Some(buf);
    }
    if cp.cache_flags.get() != 0 {
        audit::put_away(cp, buf);
    }
    slab_free(cp, buf);
    None
}

/// True if this allocation is one of those that `kmem_mtbf` has fail: one in so many, which ones by seed, cache and count alone.
fn is_injected(cp: &KmemCache) -> bool {
    let kernel = platform::kernel();
    let mtbf = kernel.tunable(tunable::KMEM_MTBF) as u64;
    if mtbf == 0 {
        return false;
    }
    // Relaxed: only that every allocation gets a number of its own matters.
    let nth = cp.cache_nosleeps.fetch_add(1, Ordering::Relaxed);
    let seed = kernel.tunable(tunable::KMEM_MTBF_SEED) as u64;
    let is_failing = mixed(seed << 32 ^ u64::from(cp.cache_number) << 24 ^ nth).is_multiple_of(mtbf);
    if is_failing {
        cp.cache_alloc_fail.fetch_add(1, Ordering::Relaxed);
    }
    is_failing
}

/// A number of which each bit depends on each of the given (the finalizer of `splitmix64`).
fn mixed(x: u64) -> u64 {
    let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}
