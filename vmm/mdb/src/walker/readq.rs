//! Walker `readq`: the read queues of a stream, from the head to the driver.
//!
//! # Invariants
//! - It goes along the write side: what links the read sides leads up.

use super::{Walk, Walker, find};
use crate::lang::Failure;
use crate::streams;
use crate::view::View;

/// The walker.
pub(super) static WALKER: Walker =
    Walker { name: "readq", about: "the read queues of a stream, from the head to the driver", begins_at: Some("a stream head"), walk };

fn walk(view: &View<'_>, at: Option<u64>) -> Result<Walk, Failure> {
    let write = find("writeq")?.begin(view, at)?;
    let read_side = |wq: &u64| Ok(streams::pair_of(view, *wq)?.0.get("qu_rqueue")?.addr());
    let addrs = write.addrs.iter().map(read_side).collect::<Result<Vec<u64>, Failure>>()?;
    Ok(Walk { addrs, ended: write.ended })
}
