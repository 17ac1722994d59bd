//! Queues whose number of threads is a percentage of the CPUs online (`taskq_cpu_setup`, `taskq_cpupct_update`).
//!
//! # Invariants
//! - Called with `cpu_lock` held, when the CPU has come or gone already.
//! - There is always a thread: the target does not become 0 this way.

use super::{Taskq, tqflag};
use crate::cell::Cell;
use crate::platform;
use crate::sync::{cv_broadcast, mutex_enter, mutex_exit};

/// Threads that such a queue is to have.
pub(super) fn cpupct_target(tq: &Taskq) -> u32 {
    let ncpus = tq.tq_cpupart.get().map_or(1, |part| part.cp_ncpus.get());
    let target = ncpus * tq.tq_threads_ncpus_pct.get() / 100;
    target.clamp(1, tq.tq_nthreads_max.get().max(1))
}

/// CPUs have come or gone: queues that count them get another number of threads.
pub fn taskq_cpu_setup() {
    for tq in &platform::kernel().k_taskq.taskq_cache.objects {
        if !tq.is_in_use() || !tq.has(tqflag::THREADS_CPU_PCT) || tq.tq_cpupart.is_null() {
            continue;
        }
        mutex_enter(&tq.tq_lock);
        let target = cpupct_target(tq);
        if target != tq.tq_nthreads_target.get() {
            tq.tq_nthreads_target.set(target);
            tq.set_flag(tqflag::CHANGING);
            cv_broadcast(&tq.tq_dispatch_cv);
            cv_broadcast(&tq.tq_exit_cv);
        }
        mutex_exit(&tq.tq_lock);
    }
}
