//! Walker `taskq_thread`: the threads of a task queue, or of all.
//!
//! # Invariants
//! - It goes through the arena of threads, whose length is known.

use super::{Walk, Walker};
use crate::kernel;
use crate::lang::Failure;
use crate::view::View;

/// The walker.
pub(super) static WALKER: Walker =
    Walker { name: "taskq_thread", about: "the threads of a task queue (Taskq), or of all", begins_at: None, walk };

fn walk(view: &View<'_>, tq: Option<u64>) -> Result<Walk, Failure> {
    let threads = kernel::threads(view)?;
    let mut walk = Walk::default();
    for addr in threads.addresses() {
        let own = view.n(threads.of, addr, "t_taskq")?;
        if tq.map_or(own != 0, |tq| own == tq) {
            walk.addrs.push(addr);
        }
    }
    Ok(walk)
}
