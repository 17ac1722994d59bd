//! What the guest's dispatcher and its probes cost: an enqueue with a dequeue, a probe, a mutex passed on.
//!
//! # Invariants
//! - A figure is the running time of a vCPU divided by the progress made in it; what is compared is measured by turns.

use std::hint::black_box;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::running::RunningGuest;
use super::{BenchRow, Better};
use super::{median, scenario};
use crate::report::RunError;
use umpire_scenario::Tracing;

const ROUNDS: usize = 9;
const INTERVAL: Duration = Duration::from_millis(100);

/// Runnable threads beside the two that measure.
const CROWDS: [usize; 3] = [10, 1_000, 10_000];

/// Rows of an enqueue with its dequeue, among few and many threads.
pub(super) fn queue() -> Result<Vec<BenchRow>, RunError> {
    CROWDS.iter().map(|&crowd| queue_among(crowd)).collect()
}

fn queue_among(crowd: usize) -> Result<BenchRow, RunError> {
    // The crowd waits at sixty levels below the thread that comes and goes.
    let levels = 60.min(crowd);
    let threads: String = (0..levels)
        .map(|pri| {
            let count = crowd / levels + usize::from(pri < crowd % levels);
            thread(&format!("crowd{pri}"), "TS", pri, 0, count, "\"spin\"")
        })
        .collect();
    let threads = threads
        + &thread("target", "SYS", 70, 0, 1, "\"spin\"")
        + &thread("bench", "SYS", 80, 0, 1, "{ disp_bench = { target = \"target\" } }");
    let scenario = scenario(&text(1, &threads))?;
    let before = host_locks_ns();
    let pair = median(turns(&RunningGuest::start(&scenario)?));
    let host = f64::midpoint(before, host_locks_ns());
    Ok(BenchRow {
        what: format!("enqueue and dequeue among {crowd} runnable threads"),
        value: pair,
        goal: 40.0,
        unit: "ns",
        better: Better::Less,
        note: format!(
            "median of {ROUNDS}; two locks, one clock reading; the host's own, bare: {host:.1} ns before and after"
        ),
    })
}

/// Rows of a probe that is off, and of one that writes trace records.
pub(super) fn probe() -> Result<Vec<BenchRow>, RunError> {
    let scenario = scenario(&text(1, &thread("bench", "SYS", 60, 0, 1, "\"probe_bench\"")))?;
    let row = |tracing, what: &str, goal| {
        let cost = median(turns(&RunningGuest::start_traced(&scenario, tracing)?));
        Ok(BenchRow {
            what: format!("a probe of the sched provider, {what}"),
            value: cost,
            goal,
            unit: "ns",
            better: Better::Less,
            note: format!("median of {ROUNDS}; a loop around it included"),
        })
    };
    Ok(vec![row(Tracing::Off, "off", 2.0)?, row(Tracing::On, "on", 20.0)?])
}

/// The row of a mutex passed to a better thread: a round with contention less one without.
pub(super) fn lock_pass() -> Result<BenchRow, RunError> {
    let guest = |contend: &str| {
        let pass = format!("{{ lock_pass = {{ peer = \"better\", contend = \"{contend}\" }} }}");
        let threads =
            thread("worse", "SYS", 60, 0, 1, &pass) + &thread("better", "SYS", 99, 0, 1, "\"lock_take\"");
        RunningGuest::start(&scenario(&text(1, &threads))?)
    };
    let with = median(turns(&guest("yes")?));
    let without = median(turns(&guest("no")?));
    Ok(BenchRow {
        what: "a mutex passed on to a better thread that blocked on it".to_owned(),
        value: with - without,
        goal: 400.0,
        unit: "ns",
        better: Better::Less,
        note: format!(
            "block, switch, exit, wake-up, switch: {with:.0} ns a round, less {without:.0} ns with the mutex free"
        ),
    })
}

/// ns that this host takes for what an enqueue with its dequeue cannot do without: two free mutexes locked and unlocked, and a
/// look at the clock. Hosts differ twofold in it.
fn host_locks_ns() -> f64 {
    const TURNS: u32 = 100_000;
    let locks = [Mutex::new(0_u64), Mutex::new(0)];
    let measure = |_| {
        let began = Instant::now();
        for _ in 0..TURNS {
            for lock in black_box(&locks) {
                *lock.lock().unwrap_or_else(PoisonError::into_inner) += 1;
            }
            black_box(Instant::now());
        }
        began.elapsed().as_nanos() as f64 / f64::from(TURNS)
    };
    median((0..ROUNDS).map(measure).collect())
}

/// ns that CPU 0 ran for one turn, in each of some intervals.
pub(super) fn turns(guest: &RunningGuest) -> Vec<f64> {
    let clocks = guest.clocks();
    let measure = |_| {
        let (ran, turns) = (clocks.ran_ns(0), guest.progress());
        std::thread::sleep(INTERVAL);
        (clocks.ran_ns(0) - ran) as f64 / (guest.progress() - turns).max(1) as f64
    };
    (0..ROUNDS).map(measure).collect()
}

/// A scenario of these threads that judges nothing of interest.
pub(super) fn text(cpus: u32, threads: &str) -> String {
    format!(
        "id = \"measure\"\ntitle = \"One operation again and again\"\nsource = \"bench\"\n\
         teaches = \"what it costs\"\ncpus = {cpus}\nrun = \"3600s\"\n{threads}\
         [[bound]]\nmonitor = \"deadman\"\nlimit = \"3600s\"\n"
    )
}

/// A thread of a scenario file, so many times over; one alone keeps its name.
pub(super) fn thread(name: &str, class: &str, pri: usize, cpu: u32, count: usize, work: &str) -> String {
    let count = if count == 1 { String::new() } else { format!("count = {count}\n") };
    format!(
        "[[thread]]\nname = \"{name}\"\nclass = \"{class}\"\npri = {pri}\ncpu = {cpu}\n{count}work = {work}\n"
    )
}
