//! Walker `thread`: every thread that is not free.
//!
//! # Invariants
//! - It goes through an arena, whose length is known.

use umpire_shared::sys::thread::ts;

use super::{Walk, Walker};
use crate::kernel;
use crate::lang::Failure;
use crate::recorded::Recorded;
use crate::view::View;

/// The walker.
pub(super) static WALKER: Walker = Walker { name: "thread", about: "every thread that is not free", begins_at: None, walk };

fn walk(view: &View<'_>, _: Option<u64>) -> Result<Walk, Failure> {
    let threads = kernel::threads(view)?;
    let mut walk = Walk::default();
    for addr in threads.addresses() {
        if view.n(threads.of, addr, "t_state")? != u64::from(ts::FREE) {
            walk.addrs.push(addr);
        }
    }
    Ok(walk)
}

/// The numbers of the threads.
pub(super) fn recorded(recorded: &Recorded<'_>, _: Option<u64>) -> Result<Walk, Failure> {
    Ok(Walk::over(recorded.scene().threads.keys().copied()))
}
