//! What every look at a guest needs: its memory, its layout, where its threads lie, and room for a copy.
//!
//! # Invariants
//! - The room is one for all: what was read is decoded before the next read.

use super::layout::Layout;
use super::placement::Grounds;
use super::record::Room;
use super::walk::Arena;
use umpire_machine::memory::GuestMemory;

/// A look at a guest.
pub(super) struct Look<'a> {
    /// Its memory.
    pub(super) memory: &'a dyn GuestMemory,
    /// Where its fields lie.
    pub(super) layout: &'a Layout,
    /// Where its threads lie.
    pub(super) arena: Arena,
    /// Where CPUs and partitions lie, if it is needed where threads may be.
    pub(super) grounds: Option<Grounds>,
    /// Room for a copy.
    pub(super) room: &'a mut Room,
}
