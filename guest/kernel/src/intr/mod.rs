//! Interrupts: levels, what runs at each, and what happens on return from one.
//!
//! | file | what |
//! |---|---|
//! | `avintr.rs` | the handlers that the floors above have for a level |
//! | `dispatch.rs` | taking an interrupt, and returning from it |
//! | `thread.rs` | interrupt threads: pinning, passivation, the base level, SPARC's rule of 16 |
//! | `softcall.rs` | work that a high-level handler leaves to level 1, and how another CPU steals it |
//! | `xcall.rs` | functions run on other CPUs, whose answers the caller waits for |
//! | `intrload.rs` | how busy a CPU is with interrupts |
//! | `device.rs`, `rxring.rs` | the scenario's devices, and what they receive |
//! | `user.rs` | user mode and the AST |
//!
//! # Invariants
//! - Interrupts are masked by the CPU's priority level, a number; they are never disabled otherwise.
//! - A handler of level 1 to `LOCK_LEVEL` runs on an interrupt thread and may block. One above runs on the stack that it
//!   interrupted, and may neither block nor enter the dispatcher.

use alloc::boxed::Box;

use avintr::Avintr;
use device::Device;
use softcall::SoftcallTable;
use umpire_shared::program::Program;

pub mod avintr;
pub mod device;
mod dispatch;
mod intrload;
pub mod rxring;
pub mod softcall;
mod thread;
mod user;
pub mod xcall;

pub(crate) use dispatch::drain;
pub use dispatch::interrupt;
pub use thread::{intr_thread_free, intr_thread_main};
pub use user::{user_enter, user_exit};

/// What interrupts, and what handles it.
#[repr(C)]
#[derive(Debug)]
pub struct IntrState {
    /// Handlers of levels.
    pub autovect: &'static [Avintr],
    /// Interrupt sources of the scenario.
    pub devices: Box<[Device]>,
    /// Takes in what a device's interrupts, by its number and theirs, have brought; fixed at boot, as the network is a floor above.
    pub receive: fn(usize, u32),
    /// Soft calls that are due.
    pub softcall: SoftcallTable,
}

impl IntrState {
    /// The scenario's devices, and what the floors above do about interrupts. A device that a workload names brings packets.
    pub fn new(program: &Program<'_>, autovect: &'static [Avintr], receive: fn(usize, u32)) -> IntrState {
        let is_nic = |n: u32| program.threads().any(|t| t.work.interrupts().any(|of| of.0 == n));
        let devices: Box<[Device]> =
            (0_u32..).zip(program.interrupts()).map(|(n, spec)| Device::new(&spec, is_nic(n))).collect();
        let softcall = SoftcallTable::new(devices.len() as u32);
        IntrState { autovect, devices, receive, softcall }
    }
}
