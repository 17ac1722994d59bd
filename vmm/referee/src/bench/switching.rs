//! A thread switch through a condition variable in the guest, beside a futex ping-pong of two pinned host threads.
//!
//! # Invariants
//! - Both are measured on one CPU, by turns, in the same run; a switch is one hand-over of the ball.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::running::RunningGuest;
use super::{BenchRow, Better};
use super::{median, sampling, scenario};
use crate::report::RunError;
use umpire_scenario::Tracing;

const ROUNDS: usize = 9;
const INTERVAL: Duration = Duration::from_millis(200);

/// The rows: ns a switch in the guest, and how many times slower the host's is.
pub(super) fn switch() -> Result<Vec<BenchRow>, RunError> {
    let pingpong = scenario(sampling::PINGPONG)?;
    let (mut guest, mut kept, mut host, mut ratio) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let running = RunningGuest::start(&pingpong)?;
    for _ in 0..ROUNDS {
        let of_guest = guest_switch_ns(&running);
        let of_host = futex_switch_ns();
        guest.push(of_guest);
        host.push(of_host);
        ratio.push(of_host / of_guest);
    }
    drop(running);
    let running = RunningGuest::start_traced(&pingpong, Tracing::Kept)?;
    kept.extend((0..ROUNDS).map(|_| guest_switch_ns(&running)));
    Ok(vec![
        BenchRow {
            what: "thread switch through a condvar, one CPU".to_owned(),
            value: median(guest),
            goal: 150.0,
            unit: "ns",
            better: Better::Less,
            note: format!("median of {ROUNDS} intervals; cv_signal, cv_wait, swtch and the mutex both ways"),
        },
        BenchRow {
            what: "the same with its events kept in the ring".to_owned(),
            value: median(kept),
            goal: 270.0,
            unit: "ns",
            better: Better::Less,
            note: "six events of 20 ns a switch on top: the flight recorder that every VM has".to_owned(),
        },
        BenchRow {
            what: "the same through a futex of the host: times slower".to_owned(),
            value: median(ratio),
            goal: 10.0,
            unit: "x",
            better: Better::More,
            note: format!("{:.0} ns a switch of two threads pinned to one CPU, side by side", median(host)),
        },
    ])
}

/// ns a switch of a guest on one CPU.
fn guest_switch_ns(running: &RunningGuest) -> f64 {
    let clocks = running.clocks();
    let (ran, turns) = (clocks.ran_ns(0), running.progress());
    std::thread::sleep(INTERVAL);
    let (ran, turns) = (clocks.ran_ns(0) - ran, running.progress() - turns);
    ran as f64 / turns.max(1) as f64
}

/// ns a hand-over of two host threads on one CPU.
fn futex_switch_ns() -> f64 {
    let ball = Arc::new(AtomicU32::new(0));
    let turns = Arc::new(AtomicU64::new(0));
    let is_over = Arc::new(AtomicBool::new(false));
    let cpu = core_affinity::get_core_ids().and_then(|ids| ids.last().copied());
    let play = |me: u32| {
        let (ball, turns, is_over) = (Arc::clone(&ball), Arc::clone(&turns), Arc::clone(&is_over));
        std::thread::spawn(move || {
            cpu.map(core_affinity::set_for_current);
            while !is_over.load(Ordering::Relaxed) {
                atomic_wait::wait(&ball, 1 - me);
                if ball.load(Ordering::Acquire) == me {
                    turns.fetch_add(1, Ordering::Relaxed);
                    ball.store(1 - me, Ordering::Release);
                    atomic_wait::wake_one(&*ball);
                }
            }
            // Let the other one see that it is over.
            ball.store(1 - me, Ordering::Release);
            atomic_wait::wake_all(&*ball);
        })
    };
    let players = [play(0), play(1)];
    let (begin, before) = (Instant::now(), turns.load(Ordering::Relaxed));
    std::thread::sleep(INTERVAL);
    let (took, played) = (begin.elapsed(), turns.load(Ordering::Relaxed) - before);
    is_over.store(true, Ordering::Relaxed);
    for player in players {
        // A player that panicked has only spoilt the figure.
        let _ended = player.join();
    }
    took.as_nanos() as f64 / played.max(1) as f64
}
