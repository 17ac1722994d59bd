//! Walker `cycomni`: the cyclics of an omni cyclic, one a CPU that is online.
//!
//! # Invariants
//! - It goes through the slots of each CPU, whose number is known.

use umpire_shared::sys::cyclic::flag;

use super::{Walk, Walker};
use crate::kernel;
use crate::lang::Failure;
use crate::view::View;

/// The walker.
pub(super) static WALKER: Walker =
    Walker { name: "cycomni", about: "the cyclics that every CPU has (cyclic_add_omni)", begins_at: None, walk };

fn walk(view: &View<'_>, _: Option<u64>) -> Result<Walk, Failure> {
    let cpus = kernel::cpus(view)?;
    let mut walk = Walk::default();
    for cpu in cpus.addresses() {
        let slots = view.part(cpus.of, cpu, "cpu_cyclic.cyp_cyclics")?.elements()?;
        for addr in slots.addresses() {
            if view.n(slots.of, addr, "cy_flags")? & u64::from(flag::OMNI) != 0 {
                walk.addrs.push(addr);
            }
        }
    }
    Ok(walk)
}
