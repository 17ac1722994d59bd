//! Walker `b_next`: the messages from one on, on a queue.
//!
//! # Invariants
//! - A link that leads to none, or back, ends it and is named.

use super::{Walk, Walker};
use crate::lang::Failure;
use crate::streams;
use crate::view::View;

/// The walker.
pub(super) static WALKER: Walker =
    Walker { name: "b_next", about: "the messages from one on, on a queue (b_next)", begins_at: Some("a message block"), walk };

fn walk(view: &View<'_>, at: Option<u64>) -> Result<Walk, Failure> {
    Ok(streams::messages(view, at.unwrap_or(0)))
}
