//! Walker `callout`: every callout of every table that is not free.
//!
//! # Invariants
//! - It goes through an arena, whose length is known.

use super::{Walk, Walker};
use crate::kernel;
use crate::lang::Failure;
use crate::view::View;

/// The walker.
pub(super) static WALKER: Walker = Walker { name: "callout", about: "every callout of every table that is not free", begins_at: None, walk };

fn walk(view: &View<'_>, _: Option<u64>) -> Result<Walk, Failure> {
    let callouts = kernel::arena(view, "k_callout.callouts")?;
    let mut walk = Walk::default();
    for addr in callouts.addresses() {
        if view.n(callouts.of, addr, "c_state")? != 0 {
            walk.addrs.push(addr);
        }
    }
    Ok(walk)
}
