//! Walker `cyctrace`: the records of the cyclic trace, each CPU's oldest first.
//!
//! # Invariants
//! - It goes through arrays, whose lengths are known.

use super::{Walk, Walker};
use crate::cyctrace;
use crate::lang::Failure;
use crate::view::View;

/// The walker.
pub(super) static WALKER: Walker =
    Walker { name: "cyctrace", about: "the records of the cyclic trace, each CPU's oldest first", begins_at: None, walk };

fn walk(view: &View<'_>, _: Option<u64>) -> Result<Walk, Failure> {
    let buffers = cyctrace::buffers(view)?;
    Ok(Walk::over(buffers.iter().flat_map(cyctrace::Buffer::records)))
}
