//! The vector table: the handlers that the floors above have for each level (`i86pc avintr.c`).
//!
//! # Invariants
//! - The table is fixed when the kernel is made; on every interrupt of a level the level's handlers are called in the table's
//!   order.
//! - A handler finds out by itself whether there is anything for it to do.

/// One handler (`struct autovec`).
#[derive(Debug, Clone, Copy)]
pub struct Avintr {
    /// Its level, 1 to 15.
    pub av_pil: u32,
    /// Called at that level, with it. True if there was something to do: on an interrupt thread that counts as a handler done.
    pub av_vector: fn(u32) -> bool,
}

/// Calls the handlers of a level; true if one of them had something to do (`av_dispatch_autovect`).
pub(super) fn dispatch(table: &[Avintr], level: u32) -> bool {
    let mut is_claimed = false;
    for av in table.iter().filter(|av| av.av_pil == level) {
        is_claimed |= (av.av_vector)(level);
    }
    is_claimed
}
