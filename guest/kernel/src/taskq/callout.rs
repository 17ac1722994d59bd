//! `callout_taskq`: each CPU's queue for its normal callouts (`callout.c callout_cpu_online`).
//!
//! # Invariants
//! - The instance is the CPU's number. A queue has `callout_threads` threads at maxclsyspri and twice as many entries, all of them
//!   allocated at once, and is never destroyed.
//! - Its threads are the two that [`roster`] has for the CPU, so that it needs none of the pool and a reader from outside knows whose
//!   they are. They are bound to nobody: the queue works on while its CPU is offline.
//! - A dispatch that finds no entry may be left out. Every entry that is not free belongs to a look at the list that is still to come,
//!   or to one that is under way, and of those there are no more than threads:
//!
//! ```text
//!   four entries: two are with the threads, two are on the ring     the expiry finds none: one of the ring's looks after it
//! ```

use super::create::at_boot;
use super::pool::Threads;
use super::{TaskFunc, Taskq, TaskqSpec, taskq_dispatch, tq, tqflag};
use crate::disp::MAXCLSYSPRI;
use crate::platform;
use crate::time::callout::{CalloutTable, callout_execute};
use umpire_shared::{roster, tunable};

/// What its tasks are: one look at a table's expired callouts. The argument is the table's address.
static CALLOUT_EXECUTE: TaskFunc = TaskFunc(execute);

/// Begins every CPU's queue. At boot.
pub(super) fn init() {
    let kernel = platform::kernel();
    let threads = kernel.tunable_at_boot(tunable::CALLOUT_THREADS) as u32;
    for (cp, cell) in kernel.k_cpus.iter().zip(&kernel.k_taskq.callout_taskq) {
        cell.set(Some(at_boot(
            &TaskqSpec {
                name: roster::name::CALLOUT,
                instance: Some(cp.cpu_id),
                nthreads: threads,
                pri: MAXCLSYSPRI,
                minalloc: 2 * threads,
                maxalloc: 2 * threads,
                dc: 0,
                flags: tqflag::PREPOPULATE | tqflag::CPR_SAFE,
            },
            Threads::OfCpu(cp),
        )));
    }
}

/// The queue of the CPU that a table belongs to.
fn queue_of(ct: &CalloutTable) -> &'static Taskq {
    let cpu = (ct.ct_number >> 1) as usize;
    platform::kernel().k_taskq.callout_taskq[cpu].get().expect("invariant: boot has begun the queue")
}

/// Has a thread look at a table's expired callouts. From the table's cyclic, at `LOCK_LEVEL`, on an interrupt thread.
pub fn callout_taskq_dispatch(ct: &'static CalloutTable) {
    let arg = core::ptr::from_ref(ct).addr();
    // Without an entry there is nothing to be done: see the module's third rule.
    let _entry = taskq_dispatch(queue_of(ct), &CALLOUT_EXECUTE, arg, tq::NOSLEEP);
}

fn execute(arg: usize) {
    let tables = &platform::kernel().k_callout.callout_tables;
    callout_execute(&tables[(arg - tables.as_ptr().addr()) / size_of::<CalloutTable>()]);
}
