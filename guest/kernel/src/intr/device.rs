//! Devices that a scenario names: each interrupts at a rate and brings a packet.
//!
//! # Invariants
//! - A device belongs to one CPU: its cyclic, its pending count and its soft interrupt are that CPU's.

use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};

use crate::cell::{Cell, Counter};
use crate::mailbox;
use crate::platform;
use umpire_shared::tunable;
use umpire_shared::{NAME_LEN, program};

/// One source of interrupts.
#[repr(C)]
#[derive(Debug)]
pub struct Device {
    /// Its name.
    pub dev_name: [AtomicU8; NAME_LEN],
    /// The CPU that takes it.
    pub dev_cpu: u32,
    /// Its level, 1 to 9.
    pub dev_pil: u32,
    /// ns between two interrupts.
    pub dev_interval_ns: u64,
    /// Interrupts not yet handled.
    pub dev_pend: AtomicU32,
    /// Interrupts handled.
    pub dev_count: AtomicU64,
}

impl Device {
    /// The device that a scenario describes.
    pub fn new(spec: &program::Interrupt) -> Device {
        let dev_name = core::array::from_fn(|n| AtomicU8::new(spec.name[n]));
        Device {
            dev_name,
            dev_cpu: spec.cpu,
            dev_pil: spec.pil,
            dev_interval_ns: 1_000_000_000 / spec.rate_hz.max(1),
            dev_pend: AtomicU32::new(0),
            dev_count: AtomicU64::new(0),
        }
    }
}

/// The cyclic of device `n` fired: makes its interrupt pending.
pub fn device_assert(n: usize) {
    let dev = &platform::kernel().k_devices[n];
    dev.dev_pend.bump();
    platform::post(dev.dev_pil);
}

/// Handles what this CPU's devices of this level have pending: each interrupt is a packet for whoever listens.
pub fn device_softint(level: u32) {
    let kernel = platform::kernel();
    let id = platform::cpu().cpu_id;
    for (n, dev) in kernel.k_devices.iter().enumerate() {
        if dev.dev_cpu == id && dev.dev_pil == level {
            let pend = dev.dev_pend.swap(0, core::sync::atomic::Ordering::Relaxed);
            if pend != 0 {
                platform::spin(kernel.tunable(tunable::INTR_COST_NSEC) as u64 * u64::from(pend));
                dev.dev_count.set(dev.dev_count.get() + u64::from(pend));
                mailbox::deliver(n, pend);
            }
        }
    }
}
