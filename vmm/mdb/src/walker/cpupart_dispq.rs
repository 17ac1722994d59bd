//! Walker `cpupart_dispq`: the threads on a partition's kp queue, best first.
//!
//! # Invariants
//! - The queue is read under its generation, by the sampler that the monitors use.

use super::{Walk, Walker};
use crate::kernel;
use crate::lang::Failure;
use crate::view::View;

/// The walker.
pub(super) static WALKER: Walker = Walker {
    name: "cpupart_dispq",
    about: "the threads on a partition's kp queue, best first",
    begins_at: Some("a cpupart_t"),
    walk,
};

fn walk(view: &View<'_>, addr: Option<u64>) -> Result<Walk, Failure> {
    let addr = addr.unwrap_or(0);
    let part = kernel::arena(view, "k_parts.parts")?.index_of(addr);
    let seen = view.look()?;
    let queue = part.and_then(|n| seen.kps.get(n as usize));
    let queue = queue.ok_or_else(|| Failure::new(format!("failed to walk a kp queue: no partition is at {addr:#x}")))?;
    Ok(super::queued(&seen, queue))
}
