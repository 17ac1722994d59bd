//! Walker `sleepq`: threads that sleep on a sleep queue; without an address, on all of them.
//!
//! # Invariants
//! - The list of a queue ends or is cut off; a queue that is corrupt does not hide the others.

use super::{Walk, Walker, list};
use crate::kernel;
use crate::lang::Failure;
use crate::view::View;

/// The walker.
pub(super) static WALKER: Walker = Walker {
    name: "sleepq",
    about: "the threads on a sleep queue (sleepq_head_t), or on all of them",
    begins_at: None,
    walk,
};

fn walk(view: &View<'_>, addr: Option<u64>) -> Result<Walk, Failure> {
    let queues = kernel::arena(view, "k_sync.sleepq")?;
    let mut all = Walk::default();
    for queue in addr.map_or_else(|| queues.addresses().collect(), |addr| vec![addr]) {
        let first = view.n(queues.of, queue, "sq_queue.sq_first")?;
        let one = list::follow(first, |thread| view.at("Kthread", thread)?.n("t_link"));
        all.addrs.extend(one.addrs);
        all.ended = all.ended.or(one.ended);
    }
    Ok(all)
}
