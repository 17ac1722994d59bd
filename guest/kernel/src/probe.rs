//! The sched provider's probes: one place for each probe, always there.
//!
//! # Invariants
//! - With tracing off a probe is one load and one branch.
//! - A probe takes no lock and touches no queue, so it may fire anywhere in the dispatcher.
//! - It fires at `DISP_LEVEL` or above, and so the thread that fires it stays on its CPU meanwhile. Interrupts of higher levels fire
//!   probes as well: the platform writes a record with all of them held off.
//! - A CPU's events are in the order of their times.

use crate::cell::{Cell, Counter};
use crate::sys::Kthread;
use crate::{platform, spl};
use umpire_shared::event::Kind;
use umpire_shared::program::trace;
use umpire_shared::sys::machlock::DISP_LEVEL;

/// Records `kind` for thread `t` if events are wanted; `arg` is what [`Kind`] says.
#[inline(always)]
pub fn fire(kind: Kind, t: &Kthread, arg: u64) {
    if is_wanted() {
        record(platform::now(), kind, t, arg);
    }
}

/// Records `kind` for the current thread, from where interrupts may come in: they are held off meanwhile.
#[inline(always)]
pub fn fire_masked(kind: Kind, arg: u64) {
    if is_wanted() {
        record_masked(kind, arg);
    }
}

#[cold]
fn record_masked(kind: Kind, arg: u64) {
    let level = spl::splhigh();
    record(platform::now(), kind, platform::curthread(), arg);
    spl::splx(level);
}

/// The same with a reading of the clock that the caller has already.
#[inline(always)]
pub fn fire_at(now: u64, kind: Kind, t: &Kthread, arg: u64) {
    if is_wanted() {
        record(now, kind, t, arg);
    }
}

/// The same for what comes with every message: only if all events are wanted.
#[inline(always)]
pub fn fire_each(kind: Kind, place: impl FnOnce() -> usize) {
    if platform::kernel().k_trace.get() > trace::KEPT {
        record_masked(kind, place() as u64);
    }
}

/// True if events are wanted; for a caller that would have to find out what there is to record.
#[inline(always)]
pub fn is_wanted() -> bool {
    platform::kernel().k_trace.get() != 0
}

#[inline]
fn record(now: u64, kind: Kind, t: &Kthread, arg: u64) {
    debug_assert!(platform::pil() >= DISP_LEVEL, "probe {} below DISP_LEVEL", kind.name());
    platform::cpu().cpu_stats.dtrace_probes.bump();
    platform::event(now, kind, t, arg);
}
