//! What sampling costs: the host a pass, the guest its work.
//!
//! # Invariants
//! - The pass is measured on a live guest that changes under it.
//! - Lost work is a ratio of neighbouring intervals, one sampled, the next not.

use std::time::{Duration, Instant};

use vmm_sys_util::timerfd::TimerFd;

use super::running::RunningGuest;
use super::{BenchRow, Better};
use super::{failed, median, scenario};
use crate::report::RunError;

/// 200 threads that want to run on 4 CPUs.
const CROWD: &str = r#"
id = "crowd"
title = "200 runnable threads on 4 CPUs"
source = "bench"
teaches = "what a pass costs"
cpus = 4
run = "3600s"
[[thread]]
name = "crowd"
count = 200
class = "TS"
pri = 29
work = { spin = { mode = "user" } }
[[bound]]
monitor = "starvation"
threads = "pri >= 0"
limit = "3600s"
[[bound]]
monitor = "deadman"
limit = "3600s"
[[bound]]
monitor = "runq"
limit = "3600s"
"#;

/// Two threads that pass a ball on one CPU: work that is counted, not timed.
pub(super) const PINGPONG: &str = r#"
id = "pingpong"
title = "Two threads pass a ball through condition variables"
source = "bench"
teaches = "what a switch costs"
cpus = 1
run = "3600s"
[[thread]]
name = "ping"
class = "SYS"
pri = 60
work = { pingpong = { peer = "pong" } }
[[thread]]
name = "pong"
class = "SYS"
pri = 60
work = { pingpong = { peer = "ping" } }
[[bound]]
monitor = "deadman"
limit = "3600s"
[[bound]]
monitor = "runq"
limit = "3600s"
[[bound]]
monitor = "starvation"
limit = "3600s"
"#;

const PASSES: u32 = 2000;
const WARM_UP: u32 = 50;

/// The row for a pass over 4 CPUs and 200 threads, all monitors and the vCPUs' clocks included.
pub(super) fn pass() -> Result<BenchRow, RunError> {
    let mut guest = RunningGuest::start(&scenario(CROWD)?)?;
    let mut judge = guest.judge();
    let mut timer = TimerFd::new().map_err(|e| failed(std::io::Error::from(e)))?;
    let period = Duration::from_micros(500);
    timer.reset(period, Some(period)).map_err(|e| failed(std::io::Error::from(e)))?;
    let begin = Instant::now();
    let (mut took, mut queued) = (Vec::new(), Vec::new());
    for n in 0..PASSES {
        timer.wait().map_err(|e| failed(std::io::Error::from(e)))?;
        let now = Instant::now();
        let _end = guest.pass(&mut judge, (now - begin).as_nanos() as u64).map_err(failed)?;
        if n >= WARM_UP {
            took.push(now.elapsed().as_nanos() as f64 / 1e3);
            let seen = judge.snapshot();
            queued.push(seen.queues().map(|(_, q)| q.threads.len()).sum::<usize>() as f64);
        }
    }
    Ok(BenchRow {
        what: "one sampler pass, 4 CPUs, 200 threads".to_owned(),
        value: median(took),
        goal: 10.0,
        unit: "us",
        better: Better::Less,
        note: format!(
            "median of {PASSES}, {:.0} threads queued; 3 monitors and 4 vCPU clocks included",
            median(queued)
        ),
    })
}

const ROUNDS: usize = 15;
const INTERVAL: Duration = Duration::from_millis(200);

/// The row for the guest's work that a 1 kHz sampler takes away, one vCPU on a host with a CPU to spare.
pub(super) fn lost_work() -> Result<BenchRow, RunError> {
    let mut guest = RunningGuest::start(&scenario(PINGPONG)?)?;
    let mut lost = Vec::new();
    for _ in 0..ROUNDS {
        let alone = rate(&mut guest, false)?;
        let sampled = rate(&mut guest, true)?;
        let alone_again = rate(&mut guest, false)?;
        lost.push(100.0 * (1.0 - 2.0 * sampled / (alone + alone_again)));
    }
    Ok(BenchRow {
        what: "guest work lost to a 1 kHz sampler, a CPU free".to_owned(),
        value: median(lost),
        goal: 1.0,
        unit: "%",
        better: Better::Less,
        note: format!(
            "median of {ROUNDS} intervals between two unsampled ones; turns a ns of the vCPU's time"
        ),
    })
}

/// Turns a ns of the vCPU's own running time, over one interval.
fn rate(guest: &mut RunningGuest, is_sampled: bool) -> Result<f64, RunError> {
    let mut timer = TimerFd::new().map_err(|e| failed(std::io::Error::from(e)))?;
    let period = if is_sampled { Duration::from_millis(1) } else { INTERVAL };
    timer.reset(period, Some(period)).map_err(|e| failed(std::io::Error::from(e)))?;
    let mut judge = guest.judge();
    let (ran, turns, begin) = (guest.clocks().ran_ns(0), guest.progress(), Instant::now());
    while begin.elapsed() < INTERVAL {
        timer.wait().map_err(|e| failed(std::io::Error::from(e)))?;
        if is_sampled {
            let _end = guest.pass(&mut judge, begin.elapsed().as_nanos() as u64).map_err(failed)?;
        }
    }
    let (ran, turns) = (guest.clocks().ran_ns(0) - ran, guest.progress() - turns);
    Ok(turns as f64 / ran.max(1) as f64)
}
