//! Cyclics: what a CPU does again and again (`cyclic.c`).
//!
//! # Invariants
//! - A cyclic belongs to one CPU, and only that CPU touches it.
//! - High-level cyclics run in `cyclic_fire` itself, at level 14. Others count up `cy_pend` there and run from their
//!   own level's soft interrupt until the count is 0 again: a handler that is held off is owed, not lost.
//!
//! # What is not here
//! The heap, rebinding and juggling: a CPU has few cyclics and they stay.

use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use super::{NANOSEC, clock, deadman};
use crate::cell::{Cell, Counter};
use crate::intr::{HIGH_PIL, LOCK_LEVEL, device};
use crate::platform;

/// Cyclics that a CPU may have.
pub const MAX_CYCLICS: usize = 20;

/// What a cyclic runs; see `cy_handler`.
mod handler {
    /// Free slot.
    pub const NONE: u8 = 0;
    /// `clock()`.
    pub const CLOCK: u8 = 1;
    /// `deadman()`.
    pub const DEADMAN: u8 = 2;
    /// Device number `cy_arg`.
    pub const DEVICE: u8 = 3;
}

/// One cyclic (`cyclic_t`).
#[repr(C)]
#[derive(Debug, Default)]
pub struct Cyclic {
    /// When it is due, in ns.
    pub cy_expire: AtomicU64,
    /// ns between two times.
    pub cy_interval: AtomicU64,
    /// Times owed.
    pub cy_pend: AtomicU32,
    /// The device's number.
    pub cy_arg: AtomicU32,
    /// The level it runs at.
    pub cy_level: AtomicU8,
    /// What it runs: clock 1, deadman 2, device 3; 0 for a free slot.
    pub cy_handler: AtomicU8,
}

/// The cyclics of one CPU (`cyc_cpu_t`).
#[repr(C)]
#[derive(Debug, Default)]
pub struct CyclicCpu {
    /// The slots, used ones first.
    pub cyp_cyclics: [Cyclic; MAX_CYCLICS],
    /// Times that the timer fired.
    pub cyp_fires: AtomicU64,
}

impl CyclicCpu {
    /// No cyclic.
    pub fn new() -> CyclicCpu {
        CyclicCpu::default()
    }

    fn add(&self, level: u32, handler: u8, arg: u32, interval: u64, first: u64) {
        let slot = self.cyp_cyclics.iter().find(|c| c.cy_handler.get() == handler::NONE);
        let c = slot.expect("cyclic_add: too many cyclics on one CPU");
        c.cy_expire.set(first);
        c.cy_interval.set(interval);
        c.cy_arg.set(arg);
        c.cy_level.set(level as u8);
        c.cy_handler.set(handler);
    }

    fn in_use(&self) -> impl Iterator<Item = &Cyclic> {
        self.cyp_cyclics.iter().take_while(|c| c.cy_handler.get() != handler::NONE)
    }
}

/// Adds this CPU's cyclics and arms its timer (`cyclic_init`, `clkstart`, `deadman_init`).
///
/// The deadman's first time on each CPU is half a stagger away from any full second of the clock's, so that it never
/// races with the count that it watches.
pub fn cyclic_start() {
    let kernel = platform::kernel();
    let cp = platform::cpu();
    let cyp = &cp.cpu_cyclic;
    let now = platform::now();
    let ncpus = u64::from(kernel.k_ncpus);
    let id = cp.cpu_id;
    let stagger = NANOSEC / ncpus;
    cyp.add(HIGH_PIL, handler::DEADMAN, 0, NANOSEC, now + stagger * u64::from(id) + stagger / 2);
    if id == kernel.k_clock_cpu.get() {
        let tick = NANOSEC / u64::from(kernel.hz.get());
        cyp.add(LOCK_LEVEL, handler::CLOCK, 0, tick, now + tick);
    }
    for (n, dev) in kernel.k_devices.iter().enumerate() {
        if dev.dev_cpu == id {
            // A device's own level is kept by the device; its cyclic only asserts it.
            cyp.add(HIGH_PIL, handler::DEVICE, n as u32, dev.dev_interval_ns, now + dev.dev_interval_ns);
        }
    }
    program(cp);
}

/// The timer fired: runs or posts what is due and arms the timer again (`cyclic_fire`).
pub fn cyclic_fire() {
    let cp = platform::cpu();
    cp.cpu_cyclic.cyp_fires.bump();
    for c in cp.cpu_cyclic.in_use() {
        while c.cy_expire.get() <= platform::now() {
            expire(c);
        }
    }
    program(cp);
}

/// The soft interrupt of `level`: runs what is owed at it (`cyclic_softint`).
pub fn cyclic_softint(level: u32) {
    for c in platform::cpu().cpu_cyclic.in_use() {
        while u32::from(c.cy_level.get()) == level && c.cy_pend.get() != 0 {
            // The timer may come in between and count up: a read-modify-write.
            c.cy_pend.fetch_sub(1, Ordering::Relaxed);
            run(c);
        }
    }
}

fn expire(c: &Cyclic) {
    if u32::from(c.cy_level.get()) == HIGH_PIL {
        run(c);
    } else {
        c.cy_pend.fetch_add(1, Ordering::Relaxed);
        platform::post(u32::from(c.cy_level.get()));
    }
    let interval = c.cy_interval.get();
    let next = c.cy_expire.get() + interval;
    let now = platform::now();
    // More than a second behind: go on at the next boundary, owing nothing for what was missed.
    c.cy_expire.set(if now > next + NANOSEC {
        next + (now - next) / interval * interval + interval
    } else {
        next
    });
}

fn run(c: &Cyclic) {
    match c.cy_handler.get() {
        handler::CLOCK => clock::clock(),
        handler::DEADMAN => deadman::deadman(),
        _ => device::device_assert(c.cy_arg.get() as usize),
    }
}

fn program(cp: &crate::cpu::Cpu) {
    let first = cp.cpu_cyclic.in_use().map(|c| c.cy_expire.get()).min();
    platform::timer(first.unwrap_or(u64::MAX));
}
