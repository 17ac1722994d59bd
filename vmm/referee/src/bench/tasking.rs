//! What a task and a buffer cost: `taskq_dispatch` beside what a Rust programmer would use, an allocation beside the host's malloc, and
//! what a second CPU adds to either.
//!
//! # Invariants
//! - A batch of [`BATCH`] tasks is dispatched and waited for, in the guest and on the host alike, on one CPU, with [`THREADS`] threads and
//!   tasks that only count.
//! - A figure of the guest is running time of its vCPUs divided by the progress made in it: what the host takes away does not count.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::dispatching::{text, thread, turns};
use super::running::RunningGuest;
use super::{BenchRow, Better, median, scenario};
use crate::report::RunError;
use umpire_shared::work::measure::BATCH;

const ROUNDS: usize = 9;
/// Bytes of a buffer, here and on the host.
const BYTES: usize = 256;
const INTERVAL: Duration = Duration::from_millis(100);
/// Threads that serve, in the guest and on the host.
const THREADS: usize = 4;

/// Rows of a task: times faster than each peer, and what a second CPU adds.
pub(super) fn tasks() -> Result<Vec<BenchRow>, RunError> {
    let guest = guest_ns(1, &tasks_of(1))?;
    let two = guest_ns(2, &tasks_of(2))?;
    let against = |what: &str, peer: f64| BenchRow {
        what: format!(
            "a task, from taskq_dispatch to its start, against {what} of as many threads: times faster"
        ),
        value: peer / guest,
        goal: 3.0,
        unit: "x",
        better: Better::More,
        note: format!(
            "{guest:.0} ns a task here, {peer:.0} ns there; batches of {BATCH}, {THREADS} threads, one CPU"
        ),
    };
    Ok(vec![
        against("a crossbeam-channel pool", pool_ns()),
        against("rayon's spawn", rayon_ns()?),
        scaling("tasks of a queue each", guest, two),
    ])
}

/// Rows of a buffer: an allocation with its free, and what a second CPU adds.
pub(super) fn buffers() -> Result<Vec<BenchRow>, RunError> {
    let guest = guest_ns(1, &buffers_of(1))?;
    let two = guest_ns(2, &buffers_of(2))?;
    let host = malloc_ns(BYTES);
    Ok(vec![
        BenchRow {
            what: "kmem_cache_alloc and kmem_cache_free from a warm magazine".to_owned(),
            value: guest,
            goal: 20.0,
            unit: "ns",
            better: Better::Less,
            note: format!("median of {ROUNDS}, {BYTES} bytes; the host's malloc and free: {host:.1} ns"),
        },
        scaling("buffers of one cache", guest, two),
    ])
}

/// What two CPUs do together, as many times what one does.
pub(super) fn scaling(what: &str, one_ns: f64, two_ns: f64) -> BenchRow {
    BenchRow {
        what: format!("{what}: what two CPUs do, against one"),
        value: 2.0 * one_ns / two_ns,
        goal: 1.8,
        unit: "x",
        better: Better::More,
        note: format!("{one_ns:.1} ns each on one CPU, {two_ns:.1} ns each on two"),
    }
}

fn tasks_of(cpus: u32) -> String {
    let one = |cpu: u32| {
        let queue = format!(
            "[[taskq]]\nname = \"queue{cpu}\"\nthreads = {THREADS}\nminalloc = {BATCH}\nflags = [\"prepopulate\"]\n"
        );
        let work = format!("{{ taskq_bench = {{ taskq = \"queue{cpu}\" }} }}");
        queue + &thread(&format!("bench{cpu}"), "SYS", 60, cpu, 1, &work)
    };
    (0..cpus).map(one).collect()
}

fn buffers_of(cpus: u32) -> String {
    (0..cpus).map(|cpu| thread(&format!("bench{cpu}"), "SYS", 60, cpu, 1, "\"kmem_bench\"")).collect()
}

/// ns of its vCPUs' running time that a guest takes for a turn.
pub(super) fn guest_ns(cpus: u32, threads: &str) -> Result<f64, RunError> {
    let guest = RunningGuest::start(&scenario(&text(cpus, threads))?)?;
    if cpus == 1 {
        return Ok(median(turns(&guest)));
    }
    let ran = || (0..cpus as usize).map(|cpu| guest.clocks().ran_ns(cpu)).sum::<u64>();
    let measure = |_| {
        let (before, turns) = (ran(), guest.progress());
        std::thread::sleep(INTERVAL);
        (ran() - before) as f64 / (guest.progress() - turns).max(1) as f64
    };
    Ok(median((0..ROUNDS).map(measure).collect()))
}

/// ns a task of a pool of threads that take closures from a channel, all on one CPU.
fn pool_ns() -> f64 {
    type Job = Box<dyn FnOnce() + Send>;
    let (jobs, taken) = crossbeam_channel::unbounded::<Job>();
    let work = |taken: crossbeam_channel::Receiver<Job>| {
        pin();
        taken.into_iter().for_each(|job| job());
    };
    let threads: Vec<JoinHandle<()>> = (0..THREADS)
        .map(|_| {
            let taken = taken.clone();
            std::thread::spawn(move || work(taken))
        })
        .collect();
    let (over, is_over) = crossbeam_channel::bounded::<()>(1);
    let ns = std::thread::spawn(move || {
        pin();
        measured(|| {
            let left = Arc::new(AtomicU64::new(BATCH));
            for _ in 0..BATCH {
                let (left, over) = (Arc::clone(&left), over.clone());
                let job = move || {
                    if left.fetch_sub(1, Ordering::AcqRel) == 1 {
                        let _is_waited_for = over.send(());
                    }
                };
                let _is_served = jobs.send(Box::new(job));
            }
            let _is_done = is_over.recv();
        })
    });
    let ns = ns.join().unwrap_or(0.0);
    drop(threads);
    ns
}

/// ns a task that is spawned in a scope of a rayon pool, all on one CPU.
fn rayon_ns() -> Result<f64, RunError> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(THREADS).start_handler(|_| pin()).build();
    let pool = pool.map_err(super::failed)?;
    let count = AtomicU64::new(0);
    let batch = || {
        pool.scope(|scope| {
            for _ in 0..BATCH {
                scope.spawn(|_| {
                    count.fetch_add(1, Ordering::Relaxed);
                });
            }
        });
    };
    Ok(measured(batch))
}

/// ns that the host's allocator takes to give so many bytes and to take them back.
pub(super) fn malloc_ns(bytes: usize) -> f64 {
    measured(|| {
        for _ in 0..BATCH {
            black_box(Vec::<u8>::with_capacity(black_box(bytes)));
        }
    })
}

/// ns for one of the [`BATCH`] things that a call does: the median of some intervals.
fn measured(mut batch: impl FnMut()) -> f64 {
    let mut interval = || {
        let (began, mut batches) = (Instant::now(), 0);
        while began.elapsed() < INTERVAL {
            batch();
            batches += 1;
        }
        began.elapsed().as_nanos() as f64 / (batches * BATCH) as f64
    };
    median((0..ROUNDS).map(|_| interval()).collect())
}

/// Keeps the current thread on the last CPU.
fn pin() {
    if let Some(cpu) = core_affinity::get_core_ids().and_then(|ids| ids.last().copied()) {
        core_affinity::set_for_current(cpu);
    }
}
