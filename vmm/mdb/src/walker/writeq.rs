//! Walker `writeq`: the write queues of a stream, from the head to the driver.
//!
//! # Invariants
//! - A link that leads to none, or back, ends it and is named.

use super::{Walk, Walker, list};
use crate::lang::Failure;
use crate::streams;
use crate::view::View;

/// The walker.
pub(super) static WALKER: Walker =
    Walker { name: "writeq", about: "the write queues of a stream, from the head to the driver", begins_at: Some("a stream head"), walk };

fn walk(view: &View<'_>, at: Option<u64>) -> Result<Walk, Failure> {
    let stream = streams::stdata(view, at.unwrap_or(0))?;
    let first = stream.n("sd_wrq")?;
    // The last one's link leads nowhere; that of a pipe's end leads to the read side of its mate.
    Ok(list::follow(first, |queue| {
        let next = streams::queue(view, queue)?.n("q_next")?;
        if next == 0 {
            return Ok(0);
        }
        match streams::pair_of(view, next) {
            Ok((_, true)) => Ok(0),
            _ => Ok(next),
        }
    }))
}
