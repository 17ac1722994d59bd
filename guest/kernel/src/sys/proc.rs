//! Processes: no more of one than what a debugger calls it.
//!
//! # Invariants
//! - Every thread of the scenario is a process of its own; what else a process has is in its thread.

use core::sync::atomic::AtomicU8;

use crate::cell::Cell;
use umpire_shared::NAME_LEN;

/// `proc_t`.
#[repr(C)]
#[derive(Debug)]
pub struct Proc {
    /// `p_user.u_comm`, NUL-padded; empty if it is called as its thread.
    pub u_comm: [AtomicU8; NAME_LEN],
}

impl Proc {
    /// A process without a name of its own.
    pub fn new() -> Proc {
        Proc { u_comm: [const { AtomicU8::new(0) }; NAME_LEN] }
    }

    /// Names it.
    pub fn set_comm(&self, name: &[u8; NAME_LEN]) {
        for (to, from) in self.u_comm.iter().zip(name) {
            to.set(*from);
        }
    }
}

impl Default for Proc {
    fn default() -> Self {
        Proc::new()
    }
}
