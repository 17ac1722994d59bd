//! A background thread is called to drain a perimeter (`strsubr.c sqenable`).
//!
//! # Invariants
//! - `sq_servcount` counts the threads that have been called and are not yet done: one at most, but for the perimeter of a whole module,
//!   which may have as many as it has queues with parked messages and the machine has CPUs.

use core::sync::atomic::Ordering;

use super::background;
use super::drain::drain_syncq;
use super::syncq::{Syncq, sqsvc, sqtype};
use super::{lbolt, streams};
use crate::cell::Cell;
use crate::platform;
use crate::sync::mutex_enter;

/// Has the perimeter drained by another thread; SQLOCK is held.
pub(super) fn sqenable(sqp: &'static Syncq) {
    if sqp.sq_svcflags.get() & (sqsvc::DISABLED | sqsvc::BGTHREAD) != 0 {
        return;
    }
    let stat = streams().strstat();
    let serving = u32::from(sqp.sq_servcount.get());
    let most = sqp.sq_nqueues.get().min(ncpus_online());
    if serving != 0 && (!sqp.is(sqtype::PERMOD) || serving >= most) {
        stat.sqtoomany.fetch_add(1, Ordering::Relaxed);
        return;
    }
    sqp.sq_tstamp.set(lbolt());
    stat.sqenables.fetch_add(1, Ordering::Relaxed);
    if background::dispatch_syncq(sqp) {
        sqp.sq_servcount.set(sqp.sq_servcount.get() + 1);
        return;
    }
    if serving != 0 {
        return;
    }
    stat.taskqfails.fetch_add(1, Ordering::Relaxed);
    sqp.sq_svcflags.set(sqp.sq_svcflags.get() | sqsvc::BGTHREAD);
    sqp.sq_servcount.set(1);
    background::sqenable_later(sqp);
}

fn ncpus_online() -> u32 {
    platform::kernel().k_parts.parts.iter().map(|part| part.cp_ncpus.get()).sum()
}

/// What the background thread does (`syncq_service`).
pub(super) fn syncq_service(sqp: &'static Syncq) {
    streams().strstat().syncqservice.fetch_add(1, Ordering::Relaxed);
    mutex_enter(&sqp.sq_lock);
    let flags = sqp.sq_svcflags.get();
    sqp.sq_svcflags.set(flags & !sqsvc::BGTHREAD | sqsvc::SERVICE);
    drain_syncq(sqp);
}
