//! The cyclics of the scenario's devices: each fires where its device interrupts.
//!
//! # Invariants
//! - A device follows its cyclic from CPU to CPU, unless it is a cross trap: the target of a cross trap stays.

use core::sync::atomic::Ordering;

use super::cyclic::{CycFunc, handler};
use crate::cell::Cell;
use crate::intr::device::device_assert;
use crate::platform;
use crate::sys::Cpu;

/// A device's cyclic: its argument is the device's number.
pub static DEVICE: CycFunc =
    CycFunc { number: handler::DEVICE, run: |n| device_assert(n as usize), moved: follow };

/// The cyclic of device `n` has come to CPU `to`: notes that CPU as the device's.
fn follow(n: u32, to: &Cpu) {
    let dev = &platform::kernel().k_intr.devices[n as usize];
    if dev.is_cross_trap() {
        return;
    }
    dev.dev_cpu.set(to.cpu_id);
    // A read-modify-write: another CPU's device may follow here at the same time. The bit of the old CPU stays: it only
    // makes it look once more.
    to.cpu_dev_pils.fetch_or(1 << dev.dev_pil, Ordering::Relaxed);
}
