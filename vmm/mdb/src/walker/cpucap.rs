//! Walker `cpucap`: the CPU caps that are set, those of projects first.
//!
//! # Invariants
//! - It goes through arenas, whose lengths are known.

use super::{Walk, Walker};
use crate::kernel;
use crate::lang::Failure;
use crate::view::View;

/// The walker.
pub(super) static WALKER: Walker = Walker {
    name: "cpucap",
    about: "the CPU caps that are set, those of projects, then those of zones",
    begins_at: None,
    walk,
};

fn walk(view: &View<'_>, _: Option<u64>) -> Result<Walk, Failure> {
    let mut walk = Walk::default();
    for of in ["k_cpucaps.caps", "k_cpucaps.zone_caps"] {
        let caps = kernel::arena(view, of)?;
        for addr in caps.addresses() {
            if view.n(caps.of, addr, "cap_value")? != 0 {
                walk.addrs.push(addr);
            }
        }
    }
    Ok(walk)
}
