//! The deadman inside the guest (`clock.c deadman`): notices that the clock has stopped, and nothing else.
//!
//! # Invariants
//! - It runs at level 14 once a second on each online CPU: it is silent on a CPU that is stuck at level 14 or above.
//! - It watches `deadman_counter`, which `clock()` bumps once a second. It does not watch for starved threads; that is why it
//!   did not notice illumos #1532.
//! - It counts its own calls and reads no clock, so time that jumps does not make it fire.
//! - Once it has panicked, only the CPU that panics runs it.

use core::sync::atomic::{AtomicU32, Ordering};

use super::cyclic::{CY_HIGH_LEVEL, CycFunc, anywhere, cyclic_add_omni, handler};
use crate::cell::Cell;
use crate::sys::NANOSEC;
use crate::{panic, platform};
use umpire_shared::{mutant, tunable};

/// What the deadman watches, and what it has found.
#[repr(C)]
#[derive(Debug)]
pub struct DeadmanState {
    /// Bumped by `clock()` once a second (`clock.c`).
    pub deadman_counter: AtomicU32,
    /// Times that the in-guest deadman fired or would have fired (`clock.c`).
    pub deadman_panics: AtomicU32,
    /// `deadman_seconds`: how long the clock may stand still.
    pub deadman_seconds: AtomicU32,
    /// `deadman_enabled`: non-zero if the deadman panics.
    pub deadman_enabled: AtomicU32,
    /// The CPU whose deadman panicked, [`crate::time::deadman::NO_CPU`] if none has.
    pub panic_cpu: AtomicU32,
}

impl DeadmanState {
    /// No deadman has panicked.
    pub fn new() -> DeadmanState {
        DeadmanState {
            deadman_counter: AtomicU32::new(0),
            deadman_panics: AtomicU32::new(0),
            deadman_seconds: AtomicU32::new(0),
            deadman_enabled: AtomicU32::new(0),
            panic_cpu: AtomicU32::new(NO_CPU),
        }
    }
}

impl Default for DeadmanState {
    fn default() -> Self {
        DeadmanState::new()
    }
}

/// `snoop_interval` is at least this, in us.
const LEAST_INTERVAL_US: i64 = 1_000_000;
/// `panic_cpu` while no deadman has panicked.
pub const NO_CPU: u32 = u32::MAX;

/// Reads the settings and gives every CPU its deadman (`deadman_init`). At boot, once.
pub fn deadman_init() {
    let kernel = platform::kernel();
    let default = tunable::TUNABLES[tunable::SNOOP_INTERVAL].default;
    let mut us = kernel.tunable_at_boot(tunable::SNOOP_INTERVAL);
    if us < LEAST_INTERVAL_US {
        platform::console(format_args!(
            "WARNING: snoop_interval of {us} us is less than {LEAST_INTERVAL_US}; {default} us taken instead\n"
        ));
        us = default;
    }
    kernel.k_deadman.deadman_seconds.set((us / LEAST_INTERVAL_US) as u32);
    kernel.k_deadman.deadman_enabled.set(u32::from(kernel.tunable_at_boot(tunable::SNOOPING) != 0));
    cyclic_add_omni(&DEADMAN, CY_HIGH_LEVEL, NANOSEC);
}

/// The cyclic by which each CPU looks at the clock.
static DEADMAN: CycFunc = CycFunc { number: handler::DEADMAN, run: |_| deadman(), moved: anywhere };

/// One look at the clock from this CPU.
pub fn deadman() {
    let kernel = platform::kernel();
    let cp = platform::cpu();
    if is_panicking() && kernel.k_deadman.panic_cpu.get() != cp.cpu_id {
        return;
    }
    let seconds = kernel.k_deadman.deadman_seconds.get();
    let counter = kernel.k_deadman.deadman_counter.get();
    if counter != cp.cpu_deadman_counter.get() {
        cp.cpu_deadman_counter.set(counter);
        cp.cpu_deadman_countdown.set(seconds);
        return;
    }
    let before = cp.cpu_deadman_countdown.get();
    cp.cpu_deadman_countdown.set(before.saturating_sub(1));
    // The count after the step decides, not the one before: otherwise an interval lasts a second too long (6655821).
    let left = if kernel.is_mutant(mutant::DEADMAN_OFF_BY_ONE) { before } else { before.saturating_sub(1) };
    if left > 0 {
        return;
    }
    // A read-modify-write: several CPUs may count here at the same time.
    kernel.k_deadman.deadman_panics.fetch_add(1, Ordering::Relaxed);
    if kernel.k_deadman.deadman_enabled.get() == 0 {
        cp.cpu_deadman_countdown.set(seconds);
        return;
    }
    kernel.k_deadman.panic_cpu.set(cp.cpu_id);
    panic::deadman_panic(seconds);
}

/// True once a deadman has panicked.
#[inline]
pub fn is_panicking() -> bool {
    platform::kernel().k_deadman.panic_cpu.get() != NO_CPU
}
