//! Walker `sqnext`: the queues from one on with messages parked at a perimeter.
//!
//! # Invariants
//! - A link that leads to none, or back, ends it and is named.

use super::{Walk, Walker, list};
use crate::lang::Failure;
use crate::streams;
use crate::view::View;

/// The walker.
pub(super) static WALKER: Walker =
    Walker { name: "sqnext", about: "the queues from one on that wait at a perimeter (q_sqnext)", begins_at: Some("a queue"), walk };

fn walk(view: &View<'_>, at: Option<u64>) -> Result<Walk, Failure> {
    let first = at.unwrap_or(0);
    Ok(list::follow(first, |queue| streams::queue(view, queue)?.n("q_sqnext")))
}
