//! The deadman inside the guest (`clock.c deadman`): notices that the clock has stopped, and nothing else.
//!
//! # Invariants
//! - Runs at level 14 once a second on each CPU: it is silent on a CPU that is stuck at level 14 or above.
//! - It watches `deadman_counter`, which `clock()` bumps once a second. A starved thread is none of its business; that
//!   is why it slept through illumos #1532.

use crate::cell::{Cell, Counter};
use crate::{panic, platform};
use umpire_shared::tunable;

/// One look at the clock from this CPU.
pub fn deadman() {
    let kernel = platform::kernel();
    let cp = platform::cpu();
    let seconds = (kernel.tunable(tunable::SNOOP_INTERVAL) / 1_000_000) as u32;
    let counter = kernel.deadman_counter.get();
    if counter != cp.cpu_deadman_counter.get() {
        cp.cpu_deadman_counter.set(counter);
        cp.cpu_deadman_countdown.set(seconds);
        return;
    }
    let countdown = cp.cpu_deadman_countdown.get().saturating_sub(1);
    cp.cpu_deadman_countdown.set(countdown);
    if countdown > 0 {
        return;
    }
    kernel.deadman_panics.bump();
    if kernel.tunable(tunable::SNOOPING) == 0 {
        cp.cpu_deadman_countdown.set(seconds);
        return;
    }
    panic::deadman_panic(seconds);
}
