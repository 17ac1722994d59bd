//! Walker `taskq_entry`: the tasks that wait in a task queue.
//!
//! # Invariants
//! - It ends after as many entries as there are, whatever memory holds.

use super::{Walk, Walker};
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
    let head = view.object(queues.of, tq.unwrap_or(0))?.get("tq_task")?;
    let most = kernel::arena(view, "k_taskq.taskq_ent_cache.objects")?.count;
    let mut walk = Walk::default();
    let mut next = head.n("tqent_next")?;
    while next != head.addr() && next != 0 {
        if walk.addrs.len() as u64 > most {
            walk.ended = Some(Failure::new("the list of tasks does not end"));
            break;
        }
        walk.addrs.push(next);
        next = view.at("TaskqEnt", next)?.n("tqent_next")?;
    }
    Ok(walk)
}
