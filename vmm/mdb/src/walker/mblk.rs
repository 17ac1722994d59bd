//! Walker `mblk`: every message block in use.
//!
//! # Invariants
//! - It goes through an arena, whose length is known, and leaves out what lies in magazines.

use super::{Walk, Walker};
use crate::lang::Failure;
use crate::streams;
use crate::view::View;

/// The walker.
pub(super) static WALKER: Walker =
    Walker { name: "mblk", about: "every message block in use", begins_at: None, walk };

fn walk(view: &View<'_>, _: Option<u64>) -> Result<Walk, Failure> {
    streams::mblks(view).map(Walk::over)
}
