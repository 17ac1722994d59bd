//! The network's receive path, as its commands see it: soft ring sets, soft rings and squeues.
//!
//! # Invariants
//! - An address is believed to be one of them only if it is in the kernel's list of them.

use std::fmt::Write as _;

use umpire_shared::sys::Flags;

use crate::kernel;
use crate::lang::Failure;
use crate::object::Object;
use crate::view::View;

/// The object of one of the kernel's lists at an address; `what` is what it should be, and `lists` the command that lists those.
fn of_list<'v>(
    view: &'v View<'v>,
    list: &str,
    addr: u64,
    what: &str,
    lists: &str,
) -> Result<Object<'v>, Failure> {
    let all = kernel::arena(view, list)?;
    match all.index_of(addr) {
        Some(_) => view.object(all.of, addr),
        None => Err(Failure::new(format!("no {what} begins at {addr:#x}; {lists} lists them"))),
    }
}

/// The squeue at an address.
pub(crate) fn squeue<'v>(view: &'v View<'v>, addr: u64) -> Result<Object<'v>, Failure> {
    of_list(view, "k_net.squeues", addr, "squeue", "::squeue")
}

/// The soft ring at an address.
pub(crate) fn soft_ring<'v>(view: &'v View<'v>, addr: u64) -> Result<Object<'v>, Failure> {
    of_list(view, "k_net.soft_rings", addr, "soft ring", "::softring")
}

/// The soft ring set at an address.
pub(crate) fn mac_srs<'v>(view: &'v View<'v>, addr: u64) -> Result<Object<'v>, Failure> {
    of_list(view, "k_net.srs", addr, "soft ring set", "::mac_srs")
}

/// The names of the bits that are set, a line each, indented to a column.
pub(crate) fn names(flags: Flags, bits: u64, column: usize) -> String {
    flags.names(bits).fold(String::new(), |mut text, name| {
        let _ = write!(text, "\n{:column$}{name}", "");
        text
    })
}

/// The CPU to which the worker behind a path is bound, -1 for none.
pub(crate) fn bound_cpu(view: &View<'_>, of: &Object<'_>, path: &str) -> Result<i64, Failure> {
    let thread = of.n(path)?;
    if thread == 0 {
        return Ok(-1);
    }
    let cpu = view.at("kthread_t", thread)?.n("t_bound_cpu")?;
    if cpu == 0 { Ok(-1) } else { view.at("cpu_t", cpu)?.signed("cpu_id") }
}
