//! A queue, its entries and its buckets (`taskq_impl.h`).
//!
//! # Invariants
//! - `tq_lock` guards a queue's list of tasks, its free entries and every counter but those of its buckets.
//! - `tqbucket_lock` guards a bucket's entries and counts; its statistics are written under it or by the dispatcher that missed it, and
//!   read by anybody, as in illumos.
//! - An entry is on one list: a queue's tasks, its free entries, a bucket's idle ones; or on none, while its task runs.

use core::fmt;
use core::sync::atomic::{AtomicI32, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize};

use super::{tqbucket, tqflag};
use crate::cell::Cell;
use crate::lock::SharedPtr;
use crate::sync::{Condvar, Mutex, Rwlock};
use crate::sys::{Cpu, Cpupart, Kthread};
use umpire_shared::{NAME_LEN, unpack_name};

/// What a task calls (`task_func_t`).
pub struct TaskFunc(pub fn(usize));

impl fmt::Debug for TaskFunc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0 as usize)
    }
}

/// `taskq_ent_t`.
#[repr(C)]
#[derive(Debug, Default)]
pub struct TaskqEnt {
    /// Next of its list.
    pub tqent_next: SharedPtr<TaskqEnt>,
    /// Previous of its list; free entries of a queue have none.
    pub tqent_prev: SharedPtr<TaskqEnt>,
    /// What is called; null for the thread of an idle entry.
    pub tqent_func: SharedPtr<TaskFunc>,
    /// The address of what is called, for display.
    pub tqent_funcpc: AtomicUsize,
    /// What it is called with.
    pub tqent_arg: AtomicUsize,
    /// The bucket that a dynamic queue's entry belongs to.
    pub tqent_bucket: SharedPtr<TaskqBucket>,
    /// Of a static queue's entry: bits of [`super::tqent`].
    pub tqent_flags: AtomicU32,
    /// Where a dynamic queue's thread sleeps.
    pub tqent_cv: Condvar,
    /// The thread of a dynamic queue's entry.
    pub tqent_thread: SharedPtr<Kthread>,
}

impl TaskqEnt {
    /// An entry on no list.
    pub const fn new() -> TaskqEnt {
        TaskqEnt {
            tqent_next: SharedPtr::null(),
            tqent_prev: SharedPtr::null(),
            tqent_func: SharedPtr::null(),
            tqent_funcpc: AtomicUsize::new(0),
            tqent_arg: AtomicUsize::new(0),
            tqent_bucket: SharedPtr::null(),
            tqent_flags: AtomicU32::new(0),
            tqent_cv: Condvar::new(),
            tqent_thread: SharedPtr::null(),
        }
    }

    pub(super) fn set_task(&self, func: &'static TaskFunc, arg: usize) {
        self.tqent_func.set(Some(func));
        self.tqent_funcpc.set(func.0 as usize);
        self.tqent_arg.set(arg);
    }

    /// Makes this the head of a ring with nothing in it.
    pub(super) fn make_head(&'static self) {
        self.tqent_next.set(Some(self));
        self.tqent_prev.set(Some(self));
    }

    /// The first of the ring that this is the head of.
    pub(super) fn first(&'static self) -> Option<&'static TaskqEnt> {
        self.tqent_next.get().filter(|e| !core::ptr::eq(*e, self))
    }

    /// The last of the ring that this is the head of.
    pub(super) fn last(&'static self) -> Option<&'static TaskqEnt> {
        self.tqent_prev.get().filter(|e| !core::ptr::eq(*e, self))
    }

    /// Puts an entry at the end of the ring that this is the head of.
    pub(super) fn append(&'static self, e: &'static TaskqEnt) {
        let last = self.tqent_prev.get().expect("invariant: a ring is closed");
        e.tqent_next.set(Some(self));
        e.tqent_prev.set(Some(last));
        last.tqent_next.set(Some(e));
        self.tqent_prev.set(Some(e));
    }

    /// Puts an entry at the beginning of the ring that this is the head of.
    pub(super) fn prepend(&'static self, e: &'static TaskqEnt) {
        let first = self.tqent_next.get().expect("invariant: a ring is closed");
        e.tqent_prev.set(Some(self));
        e.tqent_next.set(Some(first));
        first.tqent_prev.set(Some(e));
        self.tqent_next.set(Some(e));
    }

    /// Takes this entry off its ring.
    pub(super) fn unlink(&self) {
        let next = self.tqent_next.get().expect("invariant: what is unlinked is on a ring");
        let prev = self.tqent_prev.get().expect("invariant: what is unlinked is on a ring");
        next.tqent_prev.set(Some(prev));
        prev.tqent_next.set(Some(next));
        self.tqent_next.set(None);
        self.tqent_prev.set(None);
    }
}

/// What a bucket counts (`tqbucket_stat`): 32 bits each, and no lock.
#[repr(C)]
#[derive(Debug, Default)]
pub struct TaskqBucketStat {
    /// Tasks that an idle thread took.
    pub tqs_hits: AtomicU32,
    /// Dispatches that found no idle thread.
    pub tqs_misses: AtomicU32,
    /// Nothing counts these, as in illumos.
    pub tqs_overflow: AtomicU32,
    /// Threads created.
    pub tqs_tcreates: AtomicU32,
    /// Threads that ended.
    pub tqs_tdeaths: AtomicU32,
    /// The most threads at a time.
    pub tqs_maxthreads: AtomicU32,
    /// Threads that a dispatch created.
    pub tqs_disptcreates: AtomicU32,
}

/// `taskq_bucket_t`.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct TaskqBucket {
    /// Guards what follows.
    pub tqbucket_lock: Mutex,
    /// Its queue.
    pub tqbucket_taskq: SharedPtr<Taskq>,
    /// The head of the ring of idle entries; the last is used first.
    pub tqbucket_freelist: TaskqEnt,
    /// Entries that are busy.
    pub tqbucket_nalloc: AtomicU32,
    /// Entries that are idle.
    pub tqbucket_nfree: AtomicU32,
    /// Where `taskq_wait` and `taskq_destroy` sleep.
    pub tqbucket_cv: Condvar,
    /// Bits of [`tqbucket`].
    pub tqbucket_flags: AtomicU16,
    /// ns in tasks.
    pub tqbucket_totaltime: AtomicU64,
    /// What it counts.
    pub tqbucket_stat: TaskqBucketStat,
}

impl TaskqBucket {
    pub(super) fn new() -> TaskqBucket {
        TaskqBucket {
            tqbucket_lock: Mutex::new(),
            tqbucket_taskq: SharedPtr::null(),
            tqbucket_freelist: TaskqEnt::new(),
            tqbucket_nalloc: AtomicU32::new(0),
            tqbucket_nfree: AtomicU32::new(0),
            tqbucket_cv: Condvar::new(),
            tqbucket_flags: AtomicU16::new(0),
            tqbucket_totaltime: AtomicU64::new(0),
            tqbucket_stat: TaskqBucketStat::default(),
        }
    }

    pub(super) fn taskq(&self) -> &'static Taskq {
        self.tqbucket_taskq.get().expect("invariant: a bucket in use has a queue")
    }

    pub(super) fn is_open(&self) -> bool {
        self.tqbucket_flags.get() & (tqbucket::CLOSE | tqbucket::SUSPEND) == 0
    }
}

/// `taskq_t`.
#[repr(C)]
#[derive(Debug)]
pub struct Taskq {
    /// `tq_name`, NUL-padded.
    pub tq_name: [AtomicU8; NAME_LEN],
    /// See the invariants.
    pub tq_lock: Mutex,
    /// Held as reader around a task, as writer while the queue is suspended.
    pub tq_threadlock: Rwlock,
    /// Where threads wait for tasks.
    pub tq_dispatch_cv: Condvar,
    /// Where `taskq_wait`, creation and destruction wait.
    pub tq_wait_cv: Condvar,
    /// Where threads wait that are to end after others.
    pub tq_exit_cv: Condvar,
    /// Priority of its threads.
    pub tq_pri: AtomicI32,
    /// Bits of [`tqflag`].
    pub tq_flags: AtomicU32,
    /// Threads that are not waiting for a task, those included that are being created.
    pub tq_active: AtomicU32,
    /// Threads.
    pub tq_nthreads: AtomicU32,
    /// How many there are to be.
    pub tq_nthreads_target: AtomicU32,
    /// The most that there may be.
    pub tq_nthreads_max: AtomicU32,
    /// The percentage of [`tqflag::THREADS_CPU_PCT`].
    pub tq_threads_ncpus_pct: AtomicU32,
    /// Entries that it has, in use or not.
    pub tq_nalloc: AtomicU32,
    /// Entries that it keeps.
    pub tq_minalloc: AtomicU32,
    /// Entries beyond which a dispatch has to wait.
    pub tq_maxalloc: AtomicU32,
    /// Where dispatchers wait for an entry.
    pub tq_maxalloc_cv: Condvar,
    /// How many do.
    pub tq_maxalloc_wait: AtomicU32,
    /// Most threads of a dynamic queue; one more is let through.
    pub tq_maxsize: AtomicU32,
    /// Buckets of a dynamic queue.
    pub tq_nbuckets: AtomicU32,
    /// Its instance.
    pub tq_instance: AtomicU32,
    /// Duty cycle of its threads, in per cent (`tq_DC`).
    pub tq_dc: AtomicU32,
    /// Entries that are free, linked by `tqent_next`.
    pub tq_freelist: SharedPtr<TaskqEnt>,
    /// The head of the ring of tasks.
    pub tq_task: TaskqEnt,
    /// The first bucket.
    pub tq_buckets: SharedPtr<TaskqBucket>,
    /// The CPU that the queue is there for, whose threads it has; null for a queue that has its threads from the pool.
    pub tq_cpu: SharedPtr<Cpu>,
    /// The partition whose CPUs are counted.
    pub tq_cpupart: SharedPtr<Cpupart>,
    /// ns in tasks.
    pub tq_totaltime: AtomicU64,
    /// Dispatches and extensions that failed for want of memory.
    pub tq_nomem: AtomicU64,
    /// Tasks dispatched.
    pub tq_tasks: AtomicU64,
    /// Tasks done.
    pub tq_executed: AtomicU64,
    /// The most tasks that were not done at a time.
    pub tq_maxtasks: AtomicU32,
    /// Threads of buckets created.
    pub tq_tcreates: AtomicU32,
    /// Threads of buckets that ended.
    pub tq_tdeaths: AtomicU32,
    /// `gethrtime` of its creation (`ks_crtime`); 0 if there is no such queue.
    pub tq_crtime: AtomicU64,
}

impl Taskq {
    pub(super) fn new() -> Taskq {
        Taskq {
            tq_name: [const { AtomicU8::new(0) }; NAME_LEN],
            tq_lock: Mutex::new(),
            tq_threadlock: Rwlock::new(),
            tq_dispatch_cv: Condvar::new(),
            tq_wait_cv: Condvar::new(),
            tq_exit_cv: Condvar::new(),
            tq_pri: AtomicI32::new(0),
            tq_flags: AtomicU32::new(0),
            tq_active: AtomicU32::new(0),
            tq_nthreads: AtomicU32::new(0),
            tq_nthreads_target: AtomicU32::new(0),
            tq_nthreads_max: AtomicU32::new(0),
            tq_threads_ncpus_pct: AtomicU32::new(0),
            tq_nalloc: AtomicU32::new(0),
            tq_minalloc: AtomicU32::new(0),
            tq_maxalloc: AtomicU32::new(0),
            tq_maxalloc_cv: Condvar::new(),
            tq_maxalloc_wait: AtomicU32::new(0),
            tq_maxsize: AtomicU32::new(0),
            tq_nbuckets: AtomicU32::new(0),
            tq_instance: AtomicU32::new(0),
            tq_dc: AtomicU32::new(0),
            tq_freelist: SharedPtr::null(),
            tq_task: TaskqEnt::new(),
            tq_buckets: SharedPtr::null(),
            tq_cpu: SharedPtr::null(),
            tq_cpupart: SharedPtr::null(),
            tq_totaltime: AtomicU64::new(0),
            tq_nomem: AtomicU64::new(0),
            tq_tasks: AtomicU64::new(0),
            tq_executed: AtomicU64::new(0),
            tq_maxtasks: AtomicU32::new(0),
            tq_tcreates: AtomicU32::new(0),
            tq_tdeaths: AtomicU32::new(0),
            tq_crtime: AtomicU64::new(0),
        }
    }

    /// True if it has one of these flags.
    #[inline(always)]
    pub fn has(&self, flags: u32) -> bool {
        self.tq_flags.get() & flags != 0
    }

    pub(super) fn set_flag(&self, flag: u32) {
        self.tq_flags.set(self.tq_flags.get() | flag);
    }

    pub(super) fn clear_flag(&self, flag: u32) {
        self.tq_flags.set(self.tq_flags.get() & !flag);
    }

    /// True for a queue that exists.
    pub fn is_in_use(&self) -> bool {
        self.tq_crtime.get() != 0
    }

    /// True for a dynamic one.
    #[inline(always)]
    pub fn is_dynamic(&self) -> bool {
        self.has(tqflag::DYNAMIC)
    }

    /// Puts its name into `out` and returns the used part.
    pub fn name<'a>(&self, out: &'a mut [u8; NAME_LEN]) -> &'a str {
        for (to, from) in out.iter_mut().zip(&self.tq_name) {
            *to = from.get();
        }
        unpack_name(out)
    }
}
