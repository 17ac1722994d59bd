//! Walker `kmem_cache`: every cache of the memory allocator.
//!
//! # Invariants
//! - It goes through an arena, whose length is known.

use super::{Walk, Walker};
use crate::kernel;
use crate::lang::Failure;
use crate::view::View;

/// The walker.
pub(super) static WALKER: Walker = Walker { name: "kmem_cache", about: "every cache of the memory allocator", begins_at: None, walk };

fn walk(view: &View<'_>, _: Option<u64>) -> Result<Walk, Failure> {
    let caches = kernel::arena(view, "k_kmem.kmem_caches")?;
    let mut walk = Walk::default();
    for addr in caches.addresses() {
        if !view.part(caches.of, addr, "cache_name")?.text("")?.is_empty() {
            walk.addrs.push(addr);
        }
    }
    Ok(walk)
}
