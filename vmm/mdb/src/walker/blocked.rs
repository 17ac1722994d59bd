//! Walker `blocked`: the threads that are blocked on a synchronisation object; without an address, on any.
//!
//! # Invariants
//! - It goes through the arena of threads: a queue that is corrupt hides nobody.

use super::{Walk, Walker};
use crate::kernel;
use crate::lang::Failure;
use crate::view::View;

/// The walker.
pub(super) static WALKER: Walker = Walker {
    name: "blocked",
    about: "the threads blocked on a synchronisation object, or on any",
    begins_at: None,
    walk,
};

fn walk(view: &View<'_>, object: Option<u64>) -> Result<Walk, Failure> {
    let threads = kernel::threads(view)?;
    let mut walk = Walk::default();
    for addr in threads.addresses() {
        let wchan = view.n(threads.of, addr, "t_wchan")?;
        if wchan != 0 && object.is_none_or(|object| object == wchan) {
            walk.addrs.push(addr);
        }
    }
    Ok(walk)
}
