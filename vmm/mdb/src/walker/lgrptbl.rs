//! Walker `lgrptbl`: what the locality groups have in the partitions, each partition's root first.
//!
//! # Invariants
//! - It goes through an arena, whose length is known.

use super::{Walk, Walker};
use crate::kernel;
use crate::lang::Failure;
use crate::view::View;

/// The walker.
pub(super) static WALKER: Walker = Walker {
    name: "lgrptbl",
    about: "the locality groups of each partition (lpl_t), its root first",
    begins_at: None,
    walk,
};

fn walk(view: &View<'_>, _: Option<u64>) -> Result<Walk, Failure> {
    Ok(Walk::over(kernel::arena(view, "k_lgrp.lpls")?.addresses()))
}
