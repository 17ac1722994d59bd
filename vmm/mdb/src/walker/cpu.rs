//! Walker `cpu`: the CPUs.
//!
//! # Invariants
//! - It goes through an arena, whose length is known.

use super::{Walk, Walker};
use crate::kernel;
use crate::lang::Failure;
use crate::recorded::Recorded;
use crate::view::View;

/// The walker.
pub(super) static WALKER: Walker = Walker { name: "cpu", about: "the CPUs", begins_at: None, walk };

fn walk(view: &View<'_>, _: Option<u64>) -> Result<Walk, Failure> {
    Ok(Walk::over(kernel::cpus(view)?.addresses()))
}

/// The numbers of the CPUs.
pub(super) fn recorded(recorded: &Recorded<'_>, _: Option<u64>) -> Result<Walk, Failure> {
    Ok(Walk::over(recorded.scene().cpus.iter().map(|cpu| cpu.cpu.into())))
}
