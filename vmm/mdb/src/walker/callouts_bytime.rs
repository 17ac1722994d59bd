//! Walker `callouts_bytime`: the callouts of a table by the time at which they are due.
//!
//! # Invariants
//! - It goes through the arena of callouts: no list is followed.

use super::{Walk, Walker};
use crate::callouts;
use crate::lang::Failure;
use crate::view::View;

/// The walker.
pub(super) static WALKER: Walker = Walker {
    name: "callouts_bytime",
    about: "the callouts of a table, or of all, what is due first first",
    begins_at: None,
    walk,
};

fn walk(view: &View<'_>, table: Option<u64>) -> Result<Walk, Failure> {
    let mut all = callouts::in_use(view, table)?;
    all.sort_by_key(|c| (c.expires, c.order));
    Ok(Walk::over(all.iter().map(|c| c.addr)))
}
