//! Walker `turnstile`: every turnstile that is in use.
//!
//! # Invariants
//! - It goes through an arena, whose length is known.

use super::{Walk, Walker};
use crate::kernel;
use crate::lang::Failure;
use crate::view::View;

/// The walker.
pub(super) static WALKER: Walker = Walker { name: "turnstile", about: "every turnstile that is in use", begins_at: None, walk };

fn walk(view: &View<'_>, _: Option<u64>) -> Result<Walk, Failure> {
    let turnstiles = kernel::arena(view, "k_sync.turnstiles")?;
    let mut walk = Walk::default();
    for addr in turnstiles.addresses() {
        if view.n(turnstiles.of, addr, "ts_sobj")? != 0 {
            walk.addrs.push(addr);
        }
    }
    Ok(walk)
}
