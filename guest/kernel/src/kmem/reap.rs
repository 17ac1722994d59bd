//! Giving memory back: magazines that nobody needed, or all of them (`kmem.c kmem_depot_ws_reap`, `kmem_cache_magazine_purge`).
//!
//! # Invariants
//! - A reap takes no more from the depot than was not needed since the working set was last looked at, but for memory that somebody
//!   waits for.
//! - It is long, and holds no lock between two magazines: every `kmem_reap_preempt_bytes` it lets others run (illumos #7232).

use super::cache::KmemCache;
use super::depot::{Maglist, depot_alloc, mag_free, magazine};
use super::slab::slab_free;
use super::{KmemCpuCache, NIL};
use crate::cell::{Cell, Counter};
use crate::disp::kpreempt_sync;
use crate::platform;
use crate::sync::{mutex_enter, mutex_exit};
use umpire_shared::tunable;

/// Looks at what of the depot was not needed since the last look; twice in a row is what `kmem_update` makes of 15 s each
/// (`kmem_depot_ws_update`).
pub fn kmem_depot_ws_update(cp: &'static KmemCache) {
    mutex_enter(&cp.cache_depot_lock);
    for list in [&cp.cache_full, &cp.cache_empty] {
        list.ml_reaplimit.set(list.ml_min.get());
        list.ml_min.set(list.ml_total.get());
    }
    mutex_exit(&cp.cache_depot_lock);
}

/// Gives back what a cache has not needed (`kmem_cache_reap`).
pub fn kmem_cache_reap(cp: &'static KmemCache) {
    cp.cache_reap.bump();
    let mut reaped = 0;
    for (list, rounds) in [(&cp.cache_full, cp.cache_magsize.get()), (&cp.cache_empty, 0)] {
        let limit = list.ml_reaplimit.get().min(list.ml_min.get());
        drain(cp, list, rounds, limit, &mut reaped);
    }
}

/// Gives back all that the depots of all caches hold, for somebody waits (`kmem_reap`).
pub fn kmem_reap() {
    for cp in platform::kernel().k_kmem.kmem_caches.iter().filter(|cp| cp.is_in_use()) {
        cp.cache_reap.bump();
        let mut reaped = 0;
        drain(cp, &cp.cache_full, cp.cache_magsize.get(), NIL, &mut reaped);
        drain(cp, &cp.cache_empty, 0, NIL, &mut reaped);
    }
}

/// Takes every magazine away from the CPUs and the depot, and has the cache use none until
/// [`kmem_cache_magazine_enable`].
pub(super) fn kmem_cache_magazine_purge(cp: &'static KmemCache) {
    let mut reaped = 0;
    for cc in cp.of_cpus() {
        mutex_enter(&cc.cc_lock);
        let both = [(cc.cc_loaded.get(), cc.cc_rounds.get()), (cc.cc_ploaded.get(), cc.cc_prounds.get())];
        unload(cc);
        mutex_exit(&cc.cc_lock);
        for (mag, rounds) in both {
            if mag != NIL {
                magazine_destroy(cp, mag, rounds, &mut reaped);
            }
        }
    }
    drain(cp, &cp.cache_full, cp.cache_magsize.get(), NIL, &mut reaped);
    drain(cp, &cp.cache_empty, 0, NIL, &mut reaped);
}

/// Has a cache use magazines.
pub(super) fn kmem_cache_magazine_enable(cp: &'static KmemCache) {
    for cc in cp.of_cpus() {
        mutex_enter(&cc.cc_lock);
        cc.cc_magsize.set(cp.cache_magsize.get());
        mutex_exit(&cc.cc_lock);
    }
}

fn unload(cc: &KmemCpuCache) {
    cc.cc_magsize.set(0);
    cc.cc_loaded.set(NIL);
    cc.cc_ploaded.set(NIL);
    cc.cc_rounds.set(0);
    cc.cc_prounds.set(0);
}

fn drain(cp: &'static KmemCache, list: &'static Maglist, rounds: u32, most: u32, reaped: &mut u64) {
    for _ in 0..most {
        let Some(mag) = depot_alloc(cp, list) else { break };
        magazine_destroy(cp, mag, rounds, reaped);
    }
}

/// Puts a magazine's rounds back onto their slabs, and lets others run now and then.
fn magazine_destroy(cp: &'static KmemCache, mag: u32, rounds: u32, reaped: &mut u64) {
    let kernel = platform::kernel();
    for round in &magazine(mag).mag_round[..rounds as usize] {
        let buf = round.get();
        if cp.keeps_constructed() {
            (cp.ops().destructor)(cp, buf);
        }
        slab_free(cp, buf);
    }
    mag_free(&kernel.k_kmem, mag);
    let often = kernel.tunable(tunable::KMEM_REAP_PREEMPT_BYTES) as u64;
    *reaped += u64::from(rounds) * u64::from(cp.cache_chunksize.get());
    if often != 0 && *reaped >= often {
        *reaped = 0;
        kpreempt_sync();
    }
}
