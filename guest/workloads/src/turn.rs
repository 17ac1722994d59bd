//! What the turns of all workloads have in common: how the first begins, and how each ends.
//!
//! # Invariants
//! - Progress is counted once a turn, where it is done.

use umpire_kernel::cell::Cell;
use umpire_kernel::time::callout::delay;
use umpire_kernel::{Kthread, platform};
use umpire_shared::work::ThreadRef;

/// ns in a microsecond.
pub(crate) const US: u64 = 1000;

/// Says that the workload has done one more turn.
pub(crate) fn progress(t: &Kthread) {
    t.t_progress.set(t.t_progress.get() + 1);
}

/// Waits for the first turn, to the microsecond: it sleeps for the whole ticks, so that others may run, and computes for the
/// rest.
pub(crate) fn wait_first(after_us: u64) {
    let at_ns = platform::now() + after_us * US;
    let ticks = after_us * u64::from(platform::kernel().hz.get()) / 1_000_000;
    if ticks != 0 {
        delay(ticks);
    }
    platform::spin(at_ns.saturating_sub(platform::now()));
}

/// Counts the turn, works outside, and sleeps `rest_ticks`, if that is not 0.
pub(crate) fn finish_turn(t: &'static Kthread, think_us: u64, rest_ticks: u64) {
    progress(t);
    platform::spin(think_us * US);
    rest(rest_ticks);
}

/// Sleeps some ticks; 0 for not at all.
pub(crate) fn rest(ticks: u64) {
    if ticks != 0 {
        delay(ticks);
    }
}

/// The thread that a parameter names.
pub(crate) fn thread(at: ThreadRef) -> &'static Kthread {
    &platform::kernel().scenario_threads()[at.0 as usize]
}
