//! Walker `mac_srs`: every soft ring set.
//!
//! # Invariants
//! - It goes through an arena, whose length is known.

use super::{Walk, Walker};
use crate::kernel;
use crate::lang::Failure;
use crate::view::View;

/// The walker.
pub(super) static WALKER: Walker = Walker { name: "mac_srs", about: "every soft ring set", begins_at: None, walk };

fn walk(view: &View<'_>, _: Option<u64>) -> Result<Walk, Failure> {
    Ok(Walk::over(kernel::arena(view, "k_net.srs")?.addresses()))
}
