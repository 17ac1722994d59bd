//! Walker `b_cont`: the blocks of a message.
//!
//! # Invariants
//! - A link that leads to none, or back, ends it and is named.

use super::{Walk, Walker, list};
use crate::lang::Failure;
use crate::streams;
use crate::view::View;

/// The walker.
pub(super) static WALKER: Walker =
    Walker { name: "b_cont", about: "the blocks of a message (b_cont)", begins_at: Some("a message block"), walk };

fn walk(view: &View<'_>, at: Option<u64>) -> Result<Walk, Failure> {
    let first = at.unwrap_or(0);
    Ok(list::follow(first, |mp| streams::mblk(view, mp)?.n("b_cont")))
}
