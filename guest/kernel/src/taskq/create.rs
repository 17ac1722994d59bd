//! How a queue begins (`taskq_create`, `taskq_create_instance`, `taskq_create_sysdc`), and how its threads do.
//!
//! # Invariants
//! - One creation of a thread is outstanding at a time ([`tqflag::THREAD_CREATED`]); the creator counts the new thread as active before it
//!   drops the lock, so that nobody takes the queue for idle meanwhile.
//! - A queue that is below its target has a thread that creates the next one: each does so before it takes a task. So
//!   `taskq_create` waits for two: the first is busy making the second.
//! - What a kernel is booted with is not waited for: nothing runs yet.

use super::cpupct::cpupct_target;
use super::dynamic::bucket_extend;
use super::entry::{taskq_ent_alloc, taskq_ent_free};
use super::pool::{self, NewThread, Threads};
use super::worker::TASKQ_THREAD;
use super::{TASKQ_NAMELEN, Taskq, TaskqEnt, tqflag};
use crate::cell::{Cell, Counter};
use crate::disp::{MINCLSYSPRI, setrun};
use crate::kmem::km;
use crate::platform;
use crate::sync::{cv_wait, mutex_enter, mutex_exit};
use umpire_shared::tunable;

/// Threads that a creation waits for (`TASKQ_CREATE_ACTIVE_THREADS`).
const CREATE_ACTIVE_THREADS: u32 = 2;

/// What a queue is to be.
#[derive(Debug, Clone, Copy)]
pub struct TaskqSpec<'a> {
    /// Its name: 31 characters count, and what no C identifier has becomes `_`.
    pub name: &'a str,
    /// Its instance; `None` for the next one.
    pub instance: Option<u32>,
    /// Threads, at least 1; the most of a dynamic queue, or a percentage of the CPUs.
    pub nthreads: u32,
    /// Priority of its threads. That of a duty-cycle queue does not matter.
    pub pri: i32,
    /// Entries that it keeps.
    pub minalloc: u32,
    /// Entries beyond which dispatchers wait.
    pub maxalloc: u32,
    /// Duty cycle in per cent, for a queue with [`tqflag::DUTY_CYCLE`].
    pub dc: u32,
    /// Bits of [`tqflag`], of the creation's.
    pub flags: u32,
}

/// Begins a queue whose instance is chosen.
///
/// # Panics
/// If flags exclude each other, or there are too many queues.
pub fn taskq_create(
    name: &str,
    nthreads: u32,
    pri: i32,
    minalloc: u32,
    maxalloc: u32,
    flags: u32,
) -> &'static Taskq {
    taskq_create_instance(&TaskqSpec {
        name,
        instance: None,
        nthreads,
        pri,
        minalloc,
        maxalloc,
        dc: 0,
        flags,
    })
}

/// Begins a queue. Returns when two of its threads, or all, can serve it.
///
/// # Panics
/// As [`taskq_create`].
pub fn taskq_create_instance(spec: &TaskqSpec<'_>) -> &'static Taskq {
    let tq = create(spec, Threads::OfPool);
    mutex_enter(&tq.tq_lock);
    let enough = || {
        let n = tq.tq_nthreads.get();
        n == tq.tq_nthreads_target.get() || n >= CREATE_ACTIVE_THREADS
    };
    while !enough() {
        cv_wait(&tq.tq_wait_cv, &tq.tq_lock);
    }
    mutex_exit(&tq.tq_lock);
    extend_buckets(tq);
    tq
}

/// Begins a queue whose threads are of class SDC, with a duty cycle of `dc` per cent.
///
/// # Panics
/// As [`taskq_create`].
pub fn taskq_create_sysdc(
    name: &str,
    nthreads: u32,
    minalloc: u32,
    maxalloc: u32,
    dc: u32,
    flags: u32,
) -> &'static Taskq {
    let flags = flags | tqflag::DUTY_CYCLE;
    let pri = MINCLSYSPRI;
    taskq_create_instance(&TaskqSpec { name, instance: None, nthreads, pri, minalloc, maxalloc, dc, flags })
}

/// Begins a queue while the kernel boots, when nobody could wait for its threads.
///
/// # Panics
/// As [`taskq_create`].
pub fn taskq_create_at_boot(spec: &TaskqSpec<'_>) -> &'static Taskq {
    at_boot(spec, Threads::OfPool)
}

/// Begins a queue while the kernel boots, with threads from where it is said.
pub(super) fn at_boot(spec: &TaskqSpec<'_>, threads: Threads) -> &'static Taskq {
    let tq = create(spec, threads);
    extend_buckets(tq);
    tq
}

/// Creates the next thread (`taskq_thread_create`). Called with `tq_lock`, which it drops meanwhile.
pub(super) fn taskq_thread_create(tq: &'static Taskq) {
    tq.set_flag(tqflag::THREAD_CREATED);
    tq.tq_active.bump();
    mutex_exit(&tq.tq_lock);
    let made = pool::thread_create(&NewThread { tq, ent: None, start: &TASKQ_THREAD });
    let Some(t) = made else {
        panic!(
            "taskq_thread_create: no thread left for {tq:p}: the kernel was given too few for its task queues"
        );
    };
    setrun(t);
    mutex_enter(&tq.tq_lock);
}

fn create(spec: &TaskqSpec<'_>, from: Threads) -> &'static Taskq {
    check(spec);
    let kernel = platform::kernel();
    let state = &kernel.k_taskq;
    let tq = state.taskq_cache.alloc(km::SLEEP).expect("invariant: who may sleep gets a queue");
    let nthreads = spec.nthreads.max(1);
    let least = kernel.tunable_at_boot(tunable::TASKQ_MINIMUM_NTHREADS_MAX) as u32;
    let (threads, most) = if spec.flags & tqflag::DYNAMIC != 0 {
        (1, 1)
    } else if spec.flags & tqflag::THREADS_CPU_PCT != 0 {
        let pct = nthreads.min(kernel.tunable_at_boot(tunable::TASKQ_CPUPCT_MAX_PERCENT) as u32);
        tq.tq_threads_ncpus_pct.set(pct);
        tq.tq_cpupart.set(Some(kernel.cp_default()));
        (1, (kernel.k_ncpus * pct / 100).max(1))
    } else {
        (nthreads, nthreads)
    };
    tq.tq_cpu.set(from.cpu());
    set_name(tq, spec.name);
    tq.tq_pri.set(spec.pri);
    tq.tq_dc.set(spec.dc);
    tq.tq_flags.set(spec.flags | tqflag::CHANGING);
    tq.tq_maxsize.set(if spec.flags & tqflag::DYNAMIC != 0 { nthreads } else { 0 });
    tq.tq_nthreads_target.set(threads);
    tq.tq_nthreads_max.set(most.max(least));
    tq.tq_minalloc.set(spec.minalloc);
    tq.tq_maxalloc.set(spec.maxalloc);
    tq.tq_task.make_head();
    init_buckets(tq);
    if spec.flags & tqflag::PREPOPULATE != 0 {
        prepopulate(tq, spec.minalloc);
    }
    let instance = spec.instance.unwrap_or_else(|| {
        tq.set_flag(tqflag::NOINSTANCE);
        next_instance()
    });
    tq.tq_instance.set(instance);
    tq.tq_crtime.set(platform::now().max(1));
    mutex_enter(&tq.tq_lock);
    if spec.flags & tqflag::THREADS_CPU_PCT != 0 {
        tq.tq_nthreads_target.set(cpupct_target(tq));
    }
    taskq_thread_create(tq);
    mutex_exit(&tq.tq_lock);
    tq
}

/// What excludes what (`taskq_create_common`'s assertions).
fn check(spec: &TaskqSpec<'_>) {
    let has = |flag: u32| spec.flags & flag != 0;
    let kinds = [tqflag::DYNAMIC, tqflag::CPR_SAFE, tqflag::THREADS_CPU_PCT];
    let exclusive = kinds.iter().filter(|kind| has(**kind)).count();
    assert!(
        exclusive <= 1,
        "taskq_create({}): DYNAMIC, CPR_SAFE and THREADS_CPU_PCT exclude each other",
        spec.name
    );
    assert!(
        !(has(tqflag::DYNAMIC) && has(tqflag::DUTY_CYCLE)),
        "taskq_create({}): a dynamic queue has no duty cycle",
        spec.name
    );
    assert!(
        has(tqflag::DUTY_CYCLE) || !has(tqflag::DC_BATCH),
        "taskq_create({}): DC_BATCH is for duty-cycle queues",
        spec.name
    );
}

fn set_name(tq: &Taskq, name: &str) {
    tq.tq_name.iter().for_each(|byte| byte.set(0));
    for (n, (to, from)) in tq.tq_name.iter().zip(name.bytes()).take(TASKQ_NAMELEN).enumerate() {
        let is_good = from == b'_' || from.is_ascii_alphabetic() || n > 0 && from.is_ascii_digit();
        to.set(if is_good { from } else { b'_' });
    }
}

fn prepopulate(tq: &'static Taskq, n: u32) {
    mutex_enter(&tq.tq_lock);
    let mut made: Option<&'static TaskqEnt> = None;
    for _ in 0..n {
        let e = taskq_ent_alloc(tq, super::TQ_SLEEP).expect("invariant: who may sleep gets an entry");
        e.tqent_next.set(made);
        made = Some(e);
    }
    while let Some(e) = made {
        made = e.tqent_next.get();
        taskq_ent_free(tq, e);
    }
    mutex_exit(&tq.tq_lock);
}

fn init_buckets(tq: &'static Taskq) {
    let state = &platform::kernel().k_taskq;
    if !tq.is_dynamic() {
        tq.tq_nbuckets.set(0);
        return;
    }
    let first = state.taskq_cache.number_of(tq) * state.taskq_nbuckets;
    let buckets = &state.taskq_buckets[first as usize..][..state.taskq_nbuckets as usize];
    tq.tq_buckets.set(buckets.first());
    tq.tq_nbuckets.set(state.taskq_nbuckets);
    for b in buckets {
        b.tqbucket_taskq.set(Some(tq));
        b.tqbucket_flags.set(0);
        b.tqbucket_totaltime.set(0);
        b.tqbucket_freelist.make_head();
        let s = &b.tqbucket_stat;
        for cell in [
            &s.tqs_hits,
            &s.tqs_misses,
            &s.tqs_tcreates,
            &s.tqs_tdeaths,
            &s.tqs_maxthreads,
            &s.tqs_disptcreates,
        ] {
            cell.set(0);
        }
    }
}

/// A thread for each bucket of a dynamic queue that is prepopulated.
fn extend_buckets(tq: &'static Taskq) {
    if tq.is_dynamic() && tq.has(tqflag::PREPOPULATE) {
        super::dynamic::buckets(tq).iter().for_each(bucket_extend);
    }
}

/// The least instance that is free, from 1 on (`taskq_id_arena`).
fn next_instance() -> u32 {
    let state = &platform::kernel().k_taskq;
    mutex_enter(&state.taskq_id_lock);
    let used = state.taskq_ids.get();
    let id = used.trailing_ones();
    state.taskq_ids.set(used | 1 << id);
    mutex_exit(&state.taskq_id_lock);
    id
}

/// Gives a chosen instance back.
pub(super) fn free_instance(id: u32) {
    let state = &platform::kernel().k_taskq;
    mutex_enter(&state.taskq_id_lock);
    state.taskq_ids.set(state.taskq_ids.get() & !(1 << id));
    mutex_exit(&state.taskq_id_lock);
}
