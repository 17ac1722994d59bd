//! How far a guest has come, as it says in its boot block.
//!
//! # Invariants
//! - Each field is read once, by one load; they may be of different moments.

use std::mem::offset_of;

use umpire_shared::boot::{BOOT_BLOCK, BootBlock};

use super::memory::GuestMemory;

/// The part of the boot block that the guest writes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BootState {
    /// Address of the `Kernel` object, 0 before it exists.
    pub root: u64,
    /// One of [`umpire_shared::boot::phase`].
    pub phase: u32,
    /// CPUs that have reached their idle loop.
    pub cpus_up: u32,
    /// The time-stamp counter when the kernel's clock read 0.
    pub tsc_base: u64,
    /// The time-stamp counter when the first scenario thread began to run; 0 before.
    pub first_thread_tsc: u64,
}

impl BootState {
    /// Reads it; zero where there is no memory.
    pub fn read(memory: &dyn GuestMemory) -> BootState {
        let word = |offset: usize| memory.read_u64(BOOT_BLOCK + offset as u64).unwrap_or(0);
        let half = |offset: usize| memory.read_u32(BOOT_BLOCK + offset as u64).unwrap_or(0);
        BootState {
            root: word(offset_of!(BootBlock, root)),
            phase: half(offset_of!(BootBlock, phase)),
            cpus_up: half(offset_of!(BootBlock, cpus_up)),
            tsc_base: word(offset_of!(BootBlock, tsc_base)),
            first_thread_tsc: word(offset_of!(BootBlock, first_thread_tsc)),
        }
    }
}
