//! Walker `deathrow`: the threads that have ended.
//!
//! # Invariants
//! - Nothing reaps them: a thread that has ended keeps its place in the arena.

use umpire_shared::sys::thread::ts;

use super::{Walk, Walker};
use crate::kernel;
use crate::lang::Failure;
use crate::view::View;

/// The walker.
pub(super) static WALKER: Walker =
    Walker { name: "deathrow", about: "the threads that have ended", begins_at: None, walk };

fn walk(view: &View<'_>, _: Option<u64>) -> Result<Walk, Failure> {
    let threads = kernel::threads(view)?;
    let mut walk = Walk::default();
    for addr in threads.addresses() {
        if view.n(threads.of, addr, "t_state")? == u64::from(ts::ZOMB) {
            walk.addrs.push(addr);
        }
    }
    Ok(walk)
}
