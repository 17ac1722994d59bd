//! Task queues (`taskq.c`): functions that other threads call later.
//!
//! | file | what |
//! |---|---|
//! | `queue.rs` | a queue, its entries and its buckets |
//! | `create.rs`, `destroy.rs` | how a queue begins and ends, and its threads with it |
//! | `entry.rs` | entries: `minalloc`, `maxalloc`, and the one-second throttle between |
//! | `dispatch.rs` | `taskq_dispatch` of a static queue, `taskq_dispatch_ent` |
//! | `worker.rs` | a thread of a static queue, and the backing thread of a dynamic one |
//! | `dynamic.rs` | `taskq_dispatch` of a dynamic queue: buckets and their threads |
//! | `wait.rs` | waiting for a queue; suspending it |
//! | `callout.rs` | `callout_taskq`, one a CPU |
//! | `cpupct.rs` | queues whose threads are a percentage of the CPUs |
//! | `pool.rs` | the threads themselves |
//! | `ddi.rs` | `ddi_taskq_*` |
//! | `kstat.rs` | what `kstat -c taskq` shows |
//!
//! # Invariants
//! - Lock order: `cpu_lock`, `tqbucket_lock`, `tq_lock`, then those of the memory allocator. `tq_threadlock` is taken with none of them
//!   held: as reader around each task of a static queue, as writer while the queue is suspended.
//! - No lock is global on the way of a dispatch or of a task: each queue and each bucket has its own.
//! - A task that has been dispatched is called once, in whatever order; a static queue of one thread keeps the order.
//! - Who waits for a queue lends its threads no priority: a condition variable has no owner.
//!
//! # What is not here
//! Suspending the system (CPR), and zones: [`tqflag::CPR_SAFE`] says only that a queue is never destroyed.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU32, AtomicU64};

use crate::disp::MINCLSYSPRI;
use crate::kmem::{NO_OPS, Objects};
use crate::lock::SharedPtr;
use crate::platform;
use crate::sync::Mutex;
use umpire_shared::program::{Header, Program};
pub use umpire_shared::sys::taskq::{TASKQ_DEFAULTPRI, TASKQ_NAMELEN, TQ_SLEEP, tq, tqbucket, tqent, tqflag};
use umpire_shared::{roster, tunable, unpack_name};

mod callout;
mod cpupct;
mod create;
mod ddi;
mod destroy;
mod dispatch;
mod dynamic;
mod entry;
mod kstat;
mod pool;
mod queue;
mod wait;
mod worker;

pub use self::callout::callout_taskq_dispatch;
pub use self::cpupct::taskq_cpu_setup;
pub use self::create::{
    TaskqSpec, taskq_create, taskq_create_at_boot, taskq_create_instance, taskq_create_sysdc,
};
pub use self::ddi::{
    DDI_FAILURE, DDI_NOSLEEP, DDI_SLEEP, DDI_SUCCESS, DevInfo, ddi_taskq_create, ddi_taskq_destroy,
    ddi_taskq_dispatch, ddi_taskq_resume, ddi_taskq_suspend, ddi_taskq_suspended, ddi_taskq_wait,
};
pub use self::destroy::taskq_destroy;
pub use self::dispatch::{taskq_dispatch, taskq_dispatch_ent};
pub use self::kstat::{TaskqKstat, taskq_kstat_update};
use self::pool::Threads;
pub use self::pool::{Pool, PoolThread, lwp_kernel_create};
pub use self::queue::{TaskFunc, Taskq, TaskqBucket, TaskqBucketStat, TaskqEnt};
pub use self::wait::{
    taskq_empty, taskq_member, taskq_resume, taskq_suspend, taskq_suspended, taskq_wait, taskq_wait_id,
};

/// Queues that there may be at a time beside those of the CPUs, if the kernel has threads for any.
const MAX_TASKQS: u32 = 72;
/// Entries that there may be at a time beside those of the CPUs' queues.
const MAX_ENTRIES: u32 = 4096;
/// Most buckets of a dynamic queue (`taskq_maxbuckets`).
const MAXBUCKETS: u32 = 128;
/// `system_taskq`'s least and greatest number of entries.
const SYSTEM_ALLOC: (u32, u32) = (4, 512);

/// What task queues keep.
#[repr(C)]
#[derive(Debug)]
pub struct TaskqState {
    /// The queues (`taskq_cache`).
    pub taskq_cache: Objects<Taskq>,
    /// Their entries (`taskq_ent_cache`).
    pub taskq_ent_cache: Objects<TaskqEnt>,
    /// The buckets: queue `n` has those from `n * taskq_nbuckets` on.
    pub taskq_buckets: Box<[TaskqBucket]>,
    /// Buckets of a queue.
    pub taskq_nbuckets: u32,
    /// Each CPU's queue of normal callouts.
    pub callout_taskq: Box<[SharedPtr<Taskq>]>,
    /// The queue of whoever has none of its own.
    pub system_taskq: SharedPtr<Taskq>,
    /// The scenario's queues, in its order.
    pub scenario: Box<[SharedPtr<Taskq>]>,
    /// Guards which instances were chosen.
    pub taskq_id_lock: Mutex,
    /// Those that are in use, a bit each; instance 1 is bit 1.
    pub taskq_ids: AtomicU64,
    /// The generator of failures (`taskq_random`).
    pub taskq_random: AtomicU32,
    /// The threads.
    pub pool: Pool,
}

impl TaskqState {
    /// No queue. Without threads there can be none but `callout_taskq`, which brings its own, and nothing is kept for others.
    pub fn new(ncpus: u32, first_thread: u32, header: &Header, scenario: usize) -> TaskqState {
        let (taskqs, entries) = if header.pool == 0 { (0, 0) } else { (MAX_TASKQS, MAX_ENTRIES) };
        let nbuckets = (1 << ncpus.ilog2()).min(MAXBUCKETS);
        let taskq_cache = Objects::new(ncpus + taskqs, |_| Taskq::new());
        let buckets = if taskqs == 0 { 0 } else { taskq_cache.objects.len() as u32 * nbuckets };
        let of_callouts = 2 * roster::CALLOUT_THREADS * ncpus;
        TaskqState {
            taskq_cache,
            taskq_ent_cache: Objects::new(of_callouts + entries, |_| TaskqEnt::new()),
            taskq_buckets: (0..buckets).map(|_| TaskqBucket::new()).collect(),
            taskq_nbuckets: nbuckets,
            callout_taskq: (0..ncpus).map(|_| SharedPtr::null()).collect(),
            system_taskq: SharedPtr::null(),
            scenario: (0..scenario).map(|_| SharedPtr::null()).collect(),
            taskq_id_lock: Mutex::new(),
            taskq_ids: AtomicU64::new(1),
            taskq_random: AtomicU32::new(0),
            pool: Pool::new(first_thread, header.pool),
        }
    }
}

/// Begins the caches, `callout_taskq`, `system_taskq` and the scenario's queues (`taskq_init`, `system_taskq_init`). At boot.
pub fn taskq_init(program: Program<'_>) {
    let kernel = platform::kernel();
    let state = &kernel.k_taskq;
    state.taskq_cache.init("taskq_cache", NO_OPS);
    state.taskq_ent_cache.init("taskq_ent_cache", NO_OPS);
    callout::init();
    if state.pool.is_empty() {
        return;
    }
    pool::init();
    let (minalloc, maxalloc) = SYSTEM_ALLOC;
    let tq = create::at_boot(
        &TaskqSpec {
            name: "system_taskq",
            instance: Some(0),
            nthreads: kernel.tunable_at_boot(tunable::SYSTEM_TASKQ_SIZE) as u32 * kernel.k_ncpus,
            pri: MINCLSYSPRI,
            minalloc,
            maxalloc,
            dc: 0,
            flags: tqflag::DYNAMIC | tqflag::PREPOPULATE,
        },
        Threads::OfPool,
    );
    state.system_taskq.set(Some(tq));
    for (cell, spec) in state.scenario.iter().zip(program.taskqs()) {
        cell.set(Some(create::at_boot(
            &TaskqSpec {
                name: unpack_name(&spec.name),
                instance: u32::try_from(spec.instance).ok(),
                nthreads: spec.nthreads,
                pri: spec.pri,
                minalloc: spec.minalloc,
                maxalloc: spec.maxalloc,
                dc: spec.duty_cycle,
                flags: spec.flags,
            },
            Threads::OfPool,
        )));
    }
}

/// `system_taskq`.
///
/// # Panics
/// If the kernel was given no threads for task queues.
pub fn system_taskq() -> &'static Taskq {
    platform::kernel()
        .k_taskq
        .system_taskq
        .get()
        .expect("system_taskq: the kernel has no threads for task queues")
}
