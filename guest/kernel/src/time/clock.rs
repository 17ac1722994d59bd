//! `clock()`: the tick (`clock.c`), and the time of day, which tells `clock()` of full seconds (`cbe_hres_tick`).
//!
//! # Invariants
//! - `clock()` runs at level 10 on `clock_cpu`, once for each tick owed. No other function writes what it counts, except that
//!   `hres_tick` writes `lbolt` if that is the hybrid one.
//! - `one_sec` counts full seconds of the high-level `hres_tick`, which goes on while `clock()` is held off; `clock()`
//!   takes them all at once. So a late clock does only once what is due once a second.
//! - With `class_callouts` a function is in one callout at a time: that sets itself again when the function has returned.
//!
//! # What is not here
//! Time-of-day chips, NTP, fsflush.

use core::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};

use super::callout::{Call, delay, timeout};
use super::clock_tick::clock_tick_schedule;
use super::cyclic::{CycFunc, anywhere, handler};
use super::{deadman, loadavg};
use crate::cell::{Cell, Counter};
use crate::lgrp::lgrp_load_update;
use crate::sys::NANOSEC;
use crate::time::clock_tick_mp::ClockTick;
use crate::{kstat, platform, spl};
use umpire_shared::program::Header;
use umpire_shared::sys::machlock::LOCK_LEVEL;
use umpire_shared::{mutant, tunable};

/// What the clock counts.
#[repr(C)]
#[derive(Debug)]
pub struct ClockState {
    /// Times that `clock()` ran.
    pub clock_ticks: AtomicU64,
    /// The CPU whose timer drives `clock()`.
    pub clock_cpu: AtomicU32,
    /// Charging of ticks with several CPUs.
    pub clock_tick: ClockTick,
    /// Load averages of 1, 5 and 15 minutes, fixed point with 16 fraction bits (`hp_avenrun`).
    pub hp_avenrun: [AtomicI64; 3],
    /// When the clock's cyclic began: a tick is due at a multiple of the tick's length from here, in ns.
    pub tick_origin: AtomicU64,
    /// Time of day, in ns from boot (`hrestime`). Only `hres_tick()` writes it.
    pub hrestime: AtomicU64,
    /// `gethrtime` when that was last updated.
    pub hres_last: AtomicU64,
    /// Full seconds that `clock()` has not yet taken notice of (`one_sec`).
    pub one_sec: AtomicU32,
    /// What the clock calls for the floors above.
    pub clock_funcs: &'static [ClockFunc],
}

impl ClockState {
    /// A clock that has not begun, on CPU 0.
    pub fn new(ncpus: u32, header: &Header, clock_funcs: &'static [ClockFunc]) -> ClockState {
        ClockState {
            clock_ticks: AtomicU64::new(0),
            clock_cpu: AtomicU32::new(0),
            clock_tick: ClockTick::new(ncpus, header),
            hp_avenrun: Default::default(),
            tick_origin: AtomicU64::new(0),
            hrestime: AtomicU64::new(0),
            hres_last: AtomicU64::new(0),
            one_sec: AtomicU32::new(0),
            clock_funcs,
        }
    }
}

/// Times a second that the locality groups' load averages are brought up to date.
const LGRP_UPDATE_HZ: u32 = 10;

/// How often the clock calls a function.
#[derive(Debug, Clone, Copy)]
pub enum Every {
    /// At each tick for which the clock runs.
    Tick,
    /// At the ticks whose `lbolt` is a multiple of this.
    Ticks(fn() -> u32),
    /// At the first tick after each full second.
    Second,
}

/// What a floor above has `clock()` do, at its level, after the tick has been charged. The table is fixed when the kernel is made.
/// With `class_callouts` some do not depend on `clock()` but on `callout_taskq`.
#[derive(Debug, Clone, Copy)]
pub struct ClockFunc {
    /// How often.
    pub cf_every: Every,
    /// True for what is a callout in Solaris.
    pub cf_is_callout: bool,
    /// What is called.
    pub cf_func: fn(),
}

impl ClockFunc {
    /// True if `clock()` itself calls it.
    fn is_of_clock(&self) -> bool {
        !self.cf_is_callout || platform::kernel().tunable_at_boot(tunable::CLASS_CALLOUTS) == 0
    }

    /// Ticks from one call to the next.
    fn ticks(&self) -> u64 {
        match self.cf_every {
            Every::Tick => 1,
            Every::Ticks(of) => u64::from(of()),
            Every::Second => u64::from(platform::kernel().hz.get()),
        }
    }
}

/// Sets the callouts of what `clock()` is not to call, at boot.
pub fn clock_funcs_start() {
    let funcs = platform::kernel().k_clock.clock_funcs;
    for (n, of) in (0..).zip(funcs).filter(|(_, of)| !of.is_of_clock()) {
        let id = timeout(Call::ClockFunc(n), of.ticks());
        id.expect("invariant: at boot every callout is free");
    }
}

/// Number `n` as a callout, on a thread of `callout_taskq`: calls it, at `clock()`'s level as ever, and sets the callout again.
pub(super) fn run_as_callout(n: u32) {
    let of = &platform::kernel().k_clock.clock_funcs[n as usize];
    let level = spl::splr(LOCK_LEVEL);
    (of.cf_func)();
    spl::splx(level);
    // Without a free callout it waits for one: whoever is relieved by it is not to be forgotten.
    while timeout(Call::ClockFunc(n), of.ticks()).is_none() {
        delay(1);
    }
}

/// The tick's cyclic. Wherever it goes, `clock_cpu` names its CPU.
pub static CLOCK: CycFunc = CycFunc {
    number: handler::CLOCK,
    run: |_| clock(),
    moved: |_, to| platform::kernel().k_clock.clock_cpu.set(to.cpu_id),
};

/// The cyclic of the time of day.
pub static HRES_TICK: CycFunc = CycFunc { number: handler::HRES_TICK, run: |_| hres_tick(), moved: anywhere };

/// One tick.
pub fn clock() {
    let kernel = platform::kernel();
    let stops_at = u64::from(kernel.hz.get()) / 2;
    if deadman::is_panicking()
        || kernel.is_mutant(mutant::CLOCK_STOPS) && kernel.k_clock.clock_ticks.get() >= stops_at
    {
        return;
    }
    kernel.k_clock.clock_ticks.bump();
    if kernel.tunable(tunable::LBOLT_HYBRID) == 0 {
        kernel.lbolt.bump();
    }
    // A read-modify-write: `hres_tick` counts up on top of this function, or on another CPU. Orders nothing.
    let is_second = kernel.k_clock.one_sec.swap(0, Ordering::Relaxed) != 0;
    let runnable = count_runnable(is_second);
    if is_second {
        kernel.k_deadman.deadman_counter.bump();
        count_load(runnable);
    }
    let lgrp_ticks = u64::from(kernel.hz.get() / LGRP_UPDATE_HZ).max(1);
    if kernel.k_clock.clock_ticks.get().is_multiple_of(lgrp_ticks) {
        lgrp_load_update();
    }
    clock_tick_schedule(kernel.lbolt.get());
    for of in kernel.k_clock.clock_funcs.iter().filter(|of| of.is_of_clock()) {
        let is_due = match of.cf_every {
            Every::Tick => true,
            Every::Ticks(every) => kernel.lbolt.get().is_multiple_of(u64::from(every())),
            Every::Second => is_second,
        };
        if is_due {
            (of.cf_func)();
        }
    }
}

/// The high-level cyclic of the time of day: notes when a second is full, and keeps a hybrid `lbolt`.
pub fn hres_tick() {
    let kernel = platform::kernel();
    let now = platform::now();
    let fraction = kernel.k_clock.hrestime.get() % NANOSEC + (now - kernel.k_clock.hres_last.get());
    kernel.k_clock.hrestime.set(kernel.k_clock.hrestime.get() + (now - kernel.k_clock.hres_last.get()));
    kernel.k_clock.hres_last.set(now);
    if fraction >= NANOSEC {
        kernel.k_clock.one_sec.fetch_add(1, Ordering::Relaxed);
    }
    if kernel.tunable(tunable::LBOLT_HYBRID) != 0 {
        // Once a tick is often enough: a reader that compares lbolts could not tell a finer one from this.
        kernel.lbolt.set((now - kernel.k_clock.tick_origin.get()) * u64::from(kernel.hz.get()) / NANOSEC);
    }
}

/// Adds the number of threads that wait on each queue to the sums of the queue's partition; returns the total.
fn count_runnable(is_second: bool) -> u64 {
    let kernel = platform::kernel();
    let mut all = 0;
    for part in kernel.partitions() {
        let queued = u64::from(part.cp_kp_queue.disp_nrunnable.get());
        part.cp_updates.bump();
        part.cp_nrunnable_cum.set(part.cp_nrunnable_cum.get() + queued);
        all += queued;
    }
    for cp in &kernel.k_cpus {
        let part = cp.part();
        let queued = u64::from(cp.cpu_disp.disp_nrunnable.get());
        part.cp_nrunnable_cum.set(part.cp_nrunnable_cum.get() + queued);
        all += queued;
        if is_second {
            part.cp_nrunnable.set(part.cp_nrunnable.get() + queued);
            part.cp_nrunning.set(part.cp_nrunning.get() + u64::from(is_busy(cp)));
        }
    }
    all
}

/// Once a second: `sysinfo` and the load averages. `runnable` threads wait on run queues.
fn count_load(runnable: u64) {
    let kernel = platform::kernel();
    kernel.k_sysinfo.update(runnable);
    for cp in kernel.k_cpus.iter() {
        kstat::cpu_snap_update(cp, kernel.hz.get());
    }
    let running = kernel.k_cpus.iter().filter(|cp| is_busy(cp)).count() as u64;
    loadavg::calcloadavg(&kernel.k_clock.hp_avenrun, runnable + running);
}

/// True if the dispatcher has given the CPU something to run.
fn is_busy(cp: &crate::Cpu) -> bool {
    cp.cpu_dispatch_pri.get() >= 0
}
