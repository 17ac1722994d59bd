//! Walker `taskq_cache`: every task queue.
//!
//! # Invariants
//! - It goes through an arena, whose length is known.

use super::{Walk, Walker};
use crate::kernel;
use crate::lang::Failure;
use crate::view::View;

/// The walker.
pub(super) static WALKER: Walker = Walker { name: "taskq_cache", about: "every task queue", begins_at: None, walk };

fn walk(view: &View<'_>, _: Option<u64>) -> Result<Walk, Failure> {
    let queues = kernel::arena(view, "k_taskq.taskq_cache.objects")?;
    let mut walk = Walk::default();
    for addr in queues.addresses() {
        if view.n(queues.of, addr, "tq_crtime")? != 0 {
            walk.addrs.push(addr);
        }
    }
    Ok(walk)
}
