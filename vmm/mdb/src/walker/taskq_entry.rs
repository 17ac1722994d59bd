//! Walker `taskq_entry`: the tasks that wait in a task queue.
//!
//! # Invariants
//! - The list ends or is cut off, whatever memory holds.

use super::{Walk, Walker, list};
use crate::kernel;
use crate::lang::Failure;
use crate::view::View;

/// The walker.
pub(super) static WALKER: Walker = Walker {
    name: "taskq_entry",
    about: "the tasks that wait in a task queue (Taskq)",
    begins_at: Some("a task queue"),
    walk,
};

fn walk(view: &View<'_>, tq: Option<u64>) -> Result<Walk, Failure> {
    let queues = kernel::arena(view, "k_taskq.taskq_cache.objects")?;
    // The list goes round, through the head that is in the queue.
    let head = view.part(queues.of, tq.unwrap_or(0), "tq_task")?;
    let entry = view.type_named("TaskqEnt")?;
    let next = |at| view.n(entry, at, "tqent_next").map(|next| if next == head.addr() { 0 } else { next });
    let first = head.n("tqent_next")?;
    Ok(list::follow(if first == head.addr() { 0 } else { first }, next))
}
