//! Walker `callout_table`: the callout tables, two a CPU.
//!
//! # Invariants
//! - It goes through an arena, whose length is known.

use super::{Walk, Walker};
use crate::kernel;
use crate::lang::Failure;
use crate::view::View;

/// The walker.
pub(super) static WALKER: Walker =
    Walker { name: "callout_table", about: "the callout tables, two a CPU", begins_at: None, walk };

fn walk(view: &View<'_>, _: Option<u64>) -> Result<Walk, Failure> {
    Ok(Walk::over(kernel::arena(view, "k_callout.callout_tables")?.addresses()))
}
