//! Walker `cpupart_cpulist`: the CPUs of a partition.
//!
//! # Invariants
//! - A bit of the set for which there is no CPU is passed over.

use super::{Walk, Walker};
use crate::kernel;
use crate::lang::Failure;
use crate::view::View;

/// The walker.
pub(super) static WALKER: Walker = Walker {
    name: "cpupart_cpulist",
    about: "the CPUs of a partition",
    begins_at: Some("a cpupart_t"),
    walk,
};

fn walk(view: &View<'_>, addr: Option<u64>) -> Result<Walk, Failure> {
    let set = view.at("Cpupart", addr.unwrap_or(0))?.n("cp_cpus")?;
    let cpus = kernel::cpus(view)?.addresses().take(64).enumerate();
    Ok(Walk::over(cpus.filter(|(n, _)| set >> n & 1 == 1).map(|(_, addr)| addr)))
}
