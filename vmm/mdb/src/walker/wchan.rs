//! Walker `wchan`: the threads that sleep on a wait channel, in the order in which they wake.
//!
//! # Invariants
//! - The list of the channel's queue ends or is cut off; sleepers on other channels of the same queue are passed over.

use super::{Walk, Walker, find};
use crate::lang::Failure;
use crate::view::View;

/// The walker.
pub(super) static WALKER: Walker = Walker {
    name: "wchan",
    about: "the threads that sleep on a condition variable or semaphore",
    begins_at: Some("a wait channel"),
    walk,
};

fn walk(view: &View<'_>, channel: Option<u64>) -> Result<Walk, Failure> {
    let mut walk = find("sleepq")?.begin(view, None)?;
    let mut here = Vec::new();
    for addr in walk.addrs {
        if Some(view.at("Kthread", addr)?.n("t_wchan")?) == channel {
            here.push(addr);
        }
    }
    walk.addrs = here;
    Ok(walk)
}
