//! An interrupt from one running CPU to another and back, in the guest and on the host.
//!
//! # Invariants
//! - The guest's round trip ends when the sender sees that the other CPU's handler has begun. The host's is an expedited
//!   `membarrier`: the kernel interrupts the other CPU, on which a thread of this process runs, and waits until it has
//!   executed a barrier there. It has a system call in it that the guest's has not, and no thread is switched in either.
//! - Both are wall time, by turns: sender and target run on two host CPUs of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::thread::{MembarrierCommand, membarrier};

use super::dispatching::{text, thread};
use super::running::RunningGuest;
use super::{BenchRow, Better};
use super::{failed, median, scenario};
use crate::report::RunError;

const ROUNDS: usize = 9;
const INTERVAL: Duration = Duration::from_millis(100);

/// Rows: ns a round trip in the guest, and how many times the host's it is.
pub(super) fn poke() -> Result<Vec<BenchRow>, RunError> {
    let threads = thread("target", "SYS", 60, 1, 1, "{ spin = { chunk_us = 1000000 } }")
        + &thread("bench", "SYS", 60, 0, 1, "{ poke_bench = { target = \"target\" } }");
    // The target counts chunks as progress: one a second, which is nothing beside the pokes.
    let running = RunningGuest::start(&scenario(&text(2, &threads))?)?;
    let mut guest = Vec::new();
    for _ in 0..ROUNDS {
        let (begin, turns) = (Instant::now(), running.progress());
        std::thread::sleep(INTERVAL);
        guest.push(begin.elapsed().as_nanos() as f64 / (running.progress() - turns).max(1) as f64);
    }
    drop(running);
    let host = host_round_trip_ns()?;
    let own = median(guest);
    Ok(vec![BenchRow {
        what: "a poke to a running vCPU and back: times the host's".to_owned(),
        value: own / host,
        goal: 10.0,
        unit: "x",
        better: Better::Less,
        note: format!("{own:.0} ns; {host:.0} ns by membarrier between two threads on two CPUs"),
    }])
}

/// ns of an expedited `membarrier` while another thread computes on another CPU.
fn host_round_trip_ns() -> Result<f64, RunError> {
    let io = |e| failed(std::io::Error::from(e));
    membarrier(MembarrierCommand::RegisterPrivateExpedited).map_err(io)?;
    let is_over = Arc::new(AtomicBool::new(false));
    let cpus = core_affinity::get_core_ids().unwrap_or_default();
    let (first, last) = (cpus.first().copied(), cpus.last().copied());
    let target = {
        let is_over = Arc::clone(&is_over);
        std::thread::spawn(move || {
            last.map(core_affinity::set_for_current);
            while !is_over.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        })
    };
    // A thread of its own: this one keeps its affinity.
    let sender = std::thread::spawn(move || {
        first.map(core_affinity::set_for_current);
        let mut took = Vec::new();
        for _ in 0..ROUNDS {
            let (begin, mut turns) = (Instant::now(), 0_u32);
            while begin.elapsed() < INTERVAL {
                membarrier(MembarrierCommand::PrivateExpedited)?;
                turns += 1;
            }
            took.push(begin.elapsed().as_nanos() as f64 / f64::from(turns));
        }
        Ok::<_, rustix::io::Errno>(median(took))
    });
    let sent = sender.join();
    is_over.store(true, Ordering::Relaxed);
    // A target that panicked has only spoilt the figure.
    let _ended = target.join();
    sent.unwrap_or_else(|panic| std::panic::resume_unwind(panic)).map_err(io)
}
