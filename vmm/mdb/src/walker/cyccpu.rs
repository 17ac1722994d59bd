//! Walker `cyccpu`: the cyclics of each CPU (CyclicCpu).
//!
//! # Invariants
//! - It goes through an arena, whose length is known.

use super::{Walk, Walker};
use crate::kernel;
use crate::lang::Failure;
use crate::view::View;

/// The walker.
pub(super) static WALKER: Walker = Walker { name: "cyccpu", about: "the cyclics of each CPU (CyclicCpu)", begins_at: None, walk };

fn walk(view: &View<'_>, _: Option<u64>) -> Result<Walk, Failure> {
    let mut walk = Walk::default();
    for cpu in kernel::cpus(view)?.addresses() {
        walk.addrs.push(view.at("Cpu", cpu)?.get("cpu_cyclic")?.addr());
    }
    Ok(walk)
}
