//! Walker `callouts_byid`: the callouts of a table by their ids.
//!
//! # Invariants
//! - It goes through the arena of callouts: no list is followed.

use super::{Walk, Walker};
use crate::callouts;
use crate::lang::Failure;
use crate::view::View;

/// The walker.
pub(super) static WALKER: Walker =
    Walker { name: "callouts_byid", about: "the callouts of a table, or of all, by id", begins_at: None, walk };

fn walk(view: &View<'_>, table: Option<u64>) -> Result<Walk, Failure> {
    let mut all = callouts::in_use(view, table)?;
    all.sort_by_key(|c| c.id);
    Ok(Walk::over(all.iter().map(|c| c.addr)))
}
