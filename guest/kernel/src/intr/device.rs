//! Devices that a scenario names: each interrupts at a rate, and may bring packets.
//!
//! # Invariants
//! - A device belongs to one CPU at a time, that of its cyclic: `dev_cpu` follows when the cyclic moves. What was pending then
//!   is handled with the next interrupt, on the new CPU.
//! - A cross trap's cyclic is on another CPU than the one that takes the trap: wherever the cyclic goes, `dev_cpu` stays. No
//!   cross trap is sent to a CPU that is not `READY`. The sender counts and then looks at the flag, `cpu_poweroff` clears the
//!   flag and then looks at the count. Whatever the order in time, one of them sees the other:
//!
//! ```text
//!   CPU A: device_assert                      CPU B: cpu_poweroff of the target
//!   dev_pend += burst       (full barrier)    READY off               (full barrier)
//!   target READY? -> no: dev_pend -= burst    dev_pend == 0? -> no: waits, or gives up
//! ```
//! - A bit in `cpu_xtraps` is set before its poke is sent, so a bit that a swap is too early for has a poke of its own:
//!
//! ```text
//!   CPU A: xtrap                              the target: cross_traps, for an earlier poke
//!                                             swaps cpu_xtraps for 0
//!   cpu_xtraps |= level
//!   poke  ----------------------------------> swaps again: finds the level, posts it
//! ```
//! - A handler of a high level wakes no thread: it counts its interrupts, and a soft call delivers what they brought.
//! - A device whose interrupts are off (`rr_off`) goes on receiving. Who turns them on makes up for what came meanwhile.

use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering, fence};

use super::rxring::RxRing;
use super::softcall::softcall;
use super::thread::handler_done;
use crate::cell::{Cell, Counter};
use crate::platform;
use crate::spl::{splr, splx};
use crate::sync::{Mutex, mutex_enter, mutex_exit};
use crate::sys::Cpu;
use crate::sys::cpu::flag;
use umpire_shared::sys::machlock::{DISP_LEVEL, LOCK_LEVEL};
use umpire_shared::{NAME_LEN, program, tunable};

/// One source of interrupts.
#[repr(C)]
#[derive(Debug)]
pub struct Device {
    /// Its name.
    pub dev_name: [AtomicU8; NAME_LEN],
    /// The CPU that takes it; changes under that CPU's `cyp_lock`.
    pub dev_cpu: AtomicU32,
    /// Its level, 1 to 15.
    pub dev_pil: u32,
    /// ns between two interrupts.
    pub dev_interval_ns: u64,
    /// Interrupts that come at once each time.
    pub dev_burst: u32,
    /// ns after boot before the first; 0: one interval.
    pub dev_start_ns: u64,
    /// ns that the handler takes, [`program::COST_DEFAULT`] for what the tunable says.
    pub dev_cost_ns: u64,
    /// The workload mutex that the handler holds while it computes, -1 for none.
    pub dev_lock: i32,
    /// The CPU whose timer sends it at first, -1 if it is no cross trap.
    pub dev_from: i32,
    /// Interrupts not yet handled. Counted up at level 14, down at the device's own.
    pub dev_pend: AtomicU32,
    /// Interrupts handled.
    pub dev_count: AtomicU64,
    /// Interrupts of a high-level device that brings packets, and whose soft call is still to come.
    pub dev_packets: AtomicU32,
    /// Packets that an interrupt brings.
    pub dev_packets_each: u32,
    /// Flows that they belong to; 0: they are for all who listen.
    pub dev_flows: u32,
    /// What has arrived.
    pub dev_rx: RxRing,
    /// Nonzero while its soft call is queued; guarded by `sc_lock`.
    pub dev_softcall: AtomicU8,
}

impl Device {
    /// The device that a scenario describes; `is_nic`: it brings packets.
    pub fn new(spec: &program::Interrupt, is_nic: bool) -> Device {
        let dev_name = core::array::from_fn(|n| AtomicU8::new(spec.name[n]));
        Device {
            dev_name,
            dev_cpu: AtomicU32::new(spec.cpu),
            dev_pil: spec.pil,
            dev_interval_ns: 1_000_000_000 / spec.rate_hz.max(1),
            dev_burst: spec.burst,
            dev_start_ns: spec.start_ns,
            dev_cost_ns: spec.cost_ns,
            dev_lock: spec.lock,
            dev_from: spec.from,
            dev_pend: AtomicU32::new(0),
            dev_count: AtomicU64::new(0),
            dev_packets: AtomicU32::new(0),
            dev_packets_each: spec.packets,
            dev_flows: spec.flows,
            dev_rx: RxRing::new(is_nic),
            dev_softcall: AtomicU8::new(0),
        }
    }

    /// True if another CPU's cyclic sends it.
    pub fn is_cross_trap(&self) -> bool {
        self.dev_from >= 0
    }

    /// The CPU that has its cyclic at boot.
    pub fn home(&self) -> u32 {
        if self.is_cross_trap() { self.dev_from as u32 } else { self.dev_cpu.get() }
    }

    /// Packets of those that are there which no pending interrupt stands for.
    pub fn unannounced(&self, there: u32) -> u32 {
        let pending = self.dev_pend.get().saturating_add(self.dev_packets.get());
        there.saturating_sub(pending.saturating_mul(self.dev_packets_each))
    }

    fn cost_ns(&self) -> u64 {
        match self.dev_cost_ns {
            program::COST_DEFAULT => platform::kernel().tunable(tunable::INTR_COST_NSEC) as u64,
            ns => ns,
        }
    }

    fn lock(&self) -> Option<&'static Mutex> {
        usize::try_from(self.dev_lock).ok().map(|n| &platform::kernel().k_work.locks[n])
    }
}

/// The cyclic of device `n` fired: makes its interrupts pending.
pub fn device_assert(n: usize) {
    let kernel = platform::kernel();
    let dev = &kernel.k_intr.devices[n];
    let target = &kernel.k_cpus[dev.dev_cpu.get() as usize];
    if dev.dev_rx.is_there() {
        dev.dev_rx.arrive(dev.dev_burst * dev.dev_packets_each, platform::now());
        platform::interleave();
        // SeqCst: see the picture in `rxring.rs`.
        if dev.dev_rx.rr_off.load(Ordering::SeqCst) != 0 {
            return;
        }
    }
    // A cross trap's timer is another CPU's than the target's.
    let is_own = !dev.is_cross_trap() || core::ptr::eq(target, platform::cpu());
    make_pending(dev, target, is_own, dev.dev_burst);
}

/// Makes so many interrupts of a device pending. Called at `DISP_LEVEL` or above; `is_own`: on the CPU that takes them.
fn make_pending(dev: &Device, target: &Cpu, is_own: bool, interrupts: u32) {
    // A read-modify-write: a device that has moved may still be emptied where it was.
    dev.dev_pend.fetch_add(interrupts, Ordering::Relaxed);
    if is_own {
        platform::post(dev.dev_pil);
        return;
    }
    // Count, then look: see the module's first picture.
    fence(Ordering::SeqCst);
    platform::interleave();
    if target.cpu_flags.get() & flag::READY == 0 {
        // The target may still be handling earlier ones, and may have taken some of these along.
        let without = |n: u32| Some(n.saturating_sub(interrupts));
        let _old = dev.dev_pend.fetch_update(Ordering::Relaxed, Ordering::Relaxed, without);
        return;
    }
    platform::interleave();
    xtrap(target, dev.dev_pil);
}

/// A device does not interrupt any more: who turned it off fetches what it receives.
pub fn intr_off(dev: &Device) {
    dev.dev_rx.rr_off.store(1, Ordering::SeqCst);
}

/// Device `n` interrupts again, at once if there is anything. From a thread or a handler of level 10 or less.
pub fn intr_on(n: usize) {
    let kernel = platform::kernel();
    let dev = &kernel.k_intr.devices[n];
    dev.dev_rx.rr_off.store(0, Ordering::SeqCst);
    platform::interleave();
    if dev.dev_rx.is_empty() {
        return;
    }
    let level = splr(DISP_LEVEL);
    let target = &kernel.k_cpus[dev.dev_cpu.get() as usize];
    make_pending(dev, target, core::ptr::eq(target, platform::cpu()), 1);
    splx(level);
}

/// Makes level `pil` pending on another CPU, one that is `READY`. Called at `DISP_LEVEL` or above.
pub(crate) fn xtrap(target: &Cpu, pil: u32) {
    // Release: a CPU that sees the bit sees what is pending. The poke itself orders it on hardware.
    target.cpu_xtraps.fetch_or(1 << pil, Ordering::Release);
    platform::interleave();
    platform::cpu().cpu_stats.xcalls.bump();
    platform::poke(target.cpu_id);
}

/// A poke arrived: posts the levels of the cross traps that came with it. Called at the poke's level.
pub(super) fn cross_traps(cp: &Cpu) {
    if cp.cpu_xtraps.get() == 0 {
        return;
    }
    // Acquire, against `xtrap`. A CPU that sets a bit after this pokes after this: see the module's second picture.
    let levels = cp.cpu_xtraps.swap(0, Ordering::Acquire);
    for level in (1..=15).filter(|level| levels >> level & 1 == 1) {
        platform::post(level);
    }
}

/// Handles what this CPU's devices of this level have pending, one interrupt after another.
pub(super) fn device_softint(level: u32) {
    let id = platform::cpu().cpu_id;
    for (n, dev) in platform::kernel().k_intr.devices.iter().enumerate() {
        if dev.dev_cpu.get() == id && dev.dev_pil == level {
            while dev.dev_cpu.get() == id && take_one(dev) {
                handle(n, dev);
            }
        }
    }
}

/// Takes one of the pending interrupts, if there is one. It uses compare and swap: the timer may count up in between, and a
/// device that has moved while its handler was blocked is emptied on two CPUs for a moment.
fn take_one(dev: &Device) -> bool {
    let less_one = |n: u32| {
        platform::interleave();
        n.checked_sub(1)
    };
    dev.dev_pend.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less_one).is_ok()
}

/// The soft call of a high-level device: delivers the packets that its interrupts have brought.
pub(super) fn device_drain(n: usize) {
    // The handler adds on the device's CPU; this may run on any CPU at the same time.
    let interrupts = platform::kernel().k_intr.devices[n].dev_packets.swap(0, Ordering::AcqRel);
    if interrupts != 0 {
        receive(n, interrupts);
    }
}

/// So many interrupts of device `n` have been handled: what they brought is the floor's above.
fn receive(n: usize, interrupts: u32) {
    let intr = &platform::kernel().k_intr;
    if intr.devices[n].dev_rx.is_there() {
        (intr.receive)(n, interrupts);
    }
}

/// One interrupt.
fn handle(n: usize, dev: &Device) {
    let lock = dev.lock();
    if let Some(mp) = lock {
        mutex_enter(mp);
    }
    platform::spin(dev.cost_ns());
    if let Some(mp) = lock {
        mutex_exit(mp);
    }
    // A read-modify-write: see `take_one`.
    dev.dev_count.fetch_add(1, Ordering::Relaxed);
    if dev.dev_pil > LOCK_LEVEL {
        dev.dev_packets.fetch_add(1, Ordering::AcqRel);
        softcall(n);
    } else {
        receive(n, 1);
        handler_done();
    }
}
