//! Dynamic queues: buckets of threads that wait, each for one task (`taskq_dispatch`, `taskq_bucket_extend`, `taskq_d_thread`).
//!
//! # Invariants
//! - An entry of a bucket is busy from the dispatch until its task has been done: freed earlier it would be a queue of two behind one
//!   thread, and two tasks of which one waits for the other would be stuck in it.
//! - A task that no bucket takes goes to the ring of the one backing thread, unless the dispatcher asked for [`tq::NOQUEUE`]. So a
//!   dynamic queue has the old deadlock once more for those.
//! - `tq_tcreates - tq_tdeaths` may exceed `tq_maxsize` by one: it is counted up after the comparison.
//! - The hash is that of illumos, in which the argument cancels out of one term, so that 14 low bits of CPU and argument do not count,
//!   nor does the function. Addresses go by their places.

use super::dispatch::{enqueue, is_failing, named};
use super::entry::taskq_ent_alloc;
use super::pool::{self, NewThread};
use super::worker::taskq_thread_wait;
use super::{TaskFunc, Taskq, TaskqBucket, TaskqEnt, tq, tqbucket};
use crate::cell::{Cell, Counter};
use crate::disp::setrun;
use crate::kmem::km;
use crate::platform;
use crate::probe;
use crate::sync::{cv_signal, mutex_enter, mutex_exit};
use crate::sys::NANOSEC;
use crate::sys::thread::Start;
use umpire_shared::event::Kind;
use umpire_shared::tunable;

/// Where a thread of a bucket begins.
static TASKQ_D_THREAD: Start = Start(taskq_d_thread);

/// Extends a bucket, as a task.
static BUCKET_EXTEND: TaskFunc = TaskFunc(|n| bucket_extend(&platform::kernel().k_taskq.taskq_buckets[n]));

/// The buckets of a queue; a static one has none.
pub(super) fn buckets(tq: &Taskq) -> &'static [TaskqBucket] {
    let n = tq.tq_nbuckets.get() as usize;
    match tq.tq_buckets.get() {
        Some(first) if n != 0 => &platform::kernel().k_taskq.taskq_buckets[number_of(first)..][..n],
        _ => &[],
    }
}

/// `taskq_dispatch` of a dynamic queue.
pub(super) fn dispatch_dynamic(
    tq: &'static Taskq,
    func: &'static TaskFunc,
    arg: usize,
    flags: u32,
) -> Option<&'static TaskqEnt> {
    assert!(
        flags & (tq::NOALLOC | tq::FRONT) == 0,
        "taskq_dispatch({tq:p}): a dynamic queue knows neither TQ_NOALLOC nor TQ_FRONT"
    );
    if flags & tq::NOSLEEP != 0 && is_failing(tunable::TASKQ_DMTBF) {
        mutex_enter(&tq.tq_lock);
        tq.tq_nomem.bump();
        mutex_exit(&tq.tq_lock);
        return None;
    }
    let all = buckets(tq);
    let mask = all.len() - 1;
    let hash = hash(arg);
    let home = &all[hash & mask];
    if all.len() == 1 {
        if let Some(e) = bucket_try(home, func, arg) {
            return Some(e);
        }
    } else if let Some(e) = try_idle(home, func, arg) {
        return Some(e);
    }
    let mut found = None;
    if all.len() > 1 {
        let depth = (platform::kernel().tunable(tunable::TASKQ_SEARCH_DEPTH) as usize).min(all.len());
        found = (1..=depth).find_map(|n| try_idle(&all[(hash + n) & mask], func, arg));
    }
    if found.is_none() && flags & tq::NOSLEEP == 0 {
        bucket_extend(home);
        home.tqbucket_stat.tqs_disptcreates.bump();
        if let Some(e) = bucket_try(home, func, arg) {
            return Some(e);
        }
    }
    mutex_enter(&tq.tq_lock);
    ask_for_extension(tq, home);
    if found.is_none() && flags & tq::NOQUEUE == 0 {
        found = taskq_ent_alloc(tq, flags);
        match found {
            Some(e) => enqueue(tq, e, func, arg, false),
            None => tq.tq_nomem.bump(),
        }
    }
    mutex_exit(&tq.tq_lock);
    found
}

/// Takes a task to a bucket that seems to have an idle thread; a miss otherwise. The look is without the lock, as it is in illumos: one
/// that is wrong costs a search, or a try that fails.
fn try_idle(b: &'static TaskqBucket, func: &'static TaskFunc, arg: usize) -> Option<&'static TaskqEnt> {
    if b.tqbucket_nfree.get() != 0 {
        return bucket_try(b, func, arg);
    }
    b.tqbucket_stat.tqs_misses.bump();
    None
}

/// Gives a task to the thread of a bucket that became idle last (`taskq_bucket_dispatch`).
fn bucket_try(b: &'static TaskqBucket, func: &'static TaskFunc, arg: usize) -> Option<&'static TaskqEnt> {
    mutex_enter(&b.tqbucket_lock);
    let idle = b.tqbucket_freelist.last().filter(|_| b.is_open());
    match idle {
        Some(e) => {
            e.unlink();
            b.tqbucket_nalloc.bump();
            b.tqbucket_nfree.drop_one();
            e.set_task(func, arg);
            b.tqbucket_stat.tqs_hits.bump();
            cv_signal(&e.tqent_cv);
            probe::fire_masked(Kind::TaskqDEnqueue, named(b.taskq(), Some(number_of(b)), e));
        }
        None => b.tqbucket_stat.tqs_misses.bump(),
    }
    mutex_exit(&b.tqbucket_lock);
    idle
}

/// Has the backing thread extend a bucket, unless it has been asked to. Called with `tq_lock`.
fn ask_for_extension(tq: &'static Taskq, home: &'static TaskqBucket) {
    let n = number_of(home);
    let mut e = tq.tq_task.first();
    while let Some(task) = e {
        if task.tqent_func.is(&BUCKET_EXTEND) && task.tqent_arg.get() == n {
            return;
        }
        e = task.tqent_next.get().filter(|next| !core::ptr::eq(*next, &tq.tq_task));
    }
    match taskq_ent_alloc(tq, tq::NOSLEEP) {
        Some(e) => enqueue(tq, e, &BUCKET_EXTEND, n, true),
        None => tq.tq_nomem.bump(),
    }
}

/// Gives a bucket one more thread, if there is memory and there may be one (`taskq_bucket_extend`).
pub(super) fn bucket_extend(b: &'static TaskqBucket) {
    let tq = b.taskq();
    let kernel = platform::kernel();
    mutex_enter(&tq.tq_lock);
    if !kernel.k_kmem.kmem_vmem.is_plenty() {
        tq.tq_nomem.bump();
        mutex_exit(&tq.tq_lock);
        return;
    }
    let alive = tq.tq_tcreates.get() - tq.tq_tdeaths.get();
    if alive > tq.tq_maxsize.get() {
        mutex_exit(&tq.tq_lock);
        return;
    }
    tq.tq_tcreates.bump();
    mutex_exit(&tq.tq_lock);
    let Some((e, t)) = new_worker(b) else {
        mutex_enter(&tq.tq_lock);
        tq.tq_nomem.bump();
        tq.tq_tcreates.drop_one();
        mutex_exit(&tq.tq_lock);
        return;
    };
    mutex_enter(&b.tqbucket_lock);
    e.tqent_thread.set(Some(t));
    b.tqbucket_freelist.append(e);
    b.tqbucket_nfree.bump();
    let s = &b.tqbucket_stat;
    s.tqs_tcreates.bump();
    s.tqs_maxthreads.set(s.tqs_maxthreads.get().max(s.tqs_tcreates.get() - s.tqs_tdeaths.get()));
    mutex_exit(&b.tqbucket_lock);
    setrun(t);
}

/// An entry and its thread, which does not run yet.
fn new_worker(b: &'static TaskqBucket) -> Option<(&'static TaskqEnt, &'static crate::Kthread)> {
    let cache = &platform::kernel().k_taskq.taskq_ent_cache;
    let e = cache.alloc(km::NOSLEEP)?;
    e.tqent_func.set(None);
    e.tqent_bucket.set(Some(b));
    match pool::thread_create(&NewThread { tq: b.taskq(), ent: Some(e), start: &TASKQ_D_THREAD }) {
        Some(t) => Some((e, t)),
        None => {
            cache.free(e);
            None
        }
    }
}

/// A thread of a bucket: calls what its entry is given, and ends when it was given nothing for `taskq_thread_timeout`.
fn taskq_d_thread() {
    let me = platform::curthread();
    let e = me.t_taskq_ent.get().expect("invariant: set when the thread was created");
    let b = e.tqent_bucket.get().expect("invariant: set when the thread was created");
    let tq = b.taskq();
    let name = named(tq, Some(number_of(b)), e);
    mutex_enter(&b.tqbucket_lock);
    loop {
        if let Some(func) = e.tqent_func.get() {
            mutex_exit(&b.tqbucket_lock);
            let start = platform::now();
            probe::fire_masked(Kind::TaskqDExecStart, name);
            (func.0)(e.tqent_arg.get());
            probe::fire_masked(Kind::TaskqDExecEnd, name);
            let spent = platform::now() - start;
            mutex_enter(&b.tqbucket_lock);
            b.tqbucket_totaltime.set(b.tqbucket_totaltime.get() + spent);
            e.tqent_func.set(None);
            b.tqbucket_freelist.append(e);
            b.tqbucket_nalloc.drop_one();
            b.tqbucket_nfree.bump();
            cv_signal(&b.tqbucket_cv);
        }
        let is_closed = || b.tqbucket_flags.get() & tqbucket::CLOSE != 0;
        let mut is_late = false;
        if !is_closed() {
            let timeout = platform::kernel().tunable(tunable::TASKQ_THREAD_TIMEOUT) as u64 * NANOSEC;
            is_late = taskq_thread_wait(&e.tqent_cv, &b.tqbucket_lock, Some(timeout));
        }
        if e.tqent_func.is_null() && (is_late || is_closed()) {
            break;
        }
    }
    e.unlink();
    b.tqbucket_nfree.drop_one();
    b.tqbucket_stat.tqs_tdeaths.bump();
    cv_signal(&b.tqbucket_cv);
    e.tqent_thread.set(None);
    mutex_enter(&tq.tq_lock);
    tq.tq_tdeaths.bump();
    mutex_exit(&tq.tq_lock);
    pool::leave();
    mutex_exit(&b.tqbucket_lock);
    platform::kernel().k_taskq.taskq_ent_cache.free(e);
}

/// `TQ_HASH` of the CPU's address and the argument: two of its four terms are equal but for the constant, and cancel.
fn hash(arg: usize) -> usize {
    let kernel = platform::kernel();
    let cpu = kernel.place_of(core::ptr::from_ref(platform::cpu()).addr());
    let x = cpu.wrapping_add(kernel.place_of(arg)) >> 3;
    x ^ x >> 11 ^ x >> 17 ^ (x ^ 27)
}

fn number_of(b: &TaskqBucket) -> usize {
    let first = platform::kernel().k_taskq.taskq_buckets.as_ptr().addr();
    (core::ptr::from_ref(b).addr() - first) / size_of::<TaskqBucket>()
}
