//! Walker `soft_ring`: every soft ring.
//!
//! # Invariants
//! - It goes through an arena, whose length is known.

use super::{Walk, Walker};
use crate::kernel;
use crate::lang::Failure;
use crate::view::View;

/// The walker.
pub(super) static WALKER: Walker = Walker { name: "soft_ring", about: "every soft ring", begins_at: None, walk };

fn walk(view: &View<'_>, _: Option<u64>) -> Result<Walk, Failure> {
    Ok(Walk::over(kernel::arena(view, "k_net.soft_rings")?.addresses()))
}
