//! What a command of the debugger takes on a guest that runs, and what ten debuggers take from the guest: a thousand threads on
//! sixteen vCPUs.
//!
//! # Invariants
//! - A command is timed from the text that is typed to the text that comes back; the image has been read before.
//! - What is held against the goal is CPU time of the thread that looks: sixteen vCPUs that want to run leave it a share of a
//!   smaller host only. The wall time is in the note.
//! - The guest's work is counted by a ns of its vCPU's own running time, by turns beside inspectors of the guest and beside
//!   inspectors of its core: these take as much of the host, its caches included, and do not look at the guest.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use umpire_mdb::image::GuestImage;
use umpire_mdb::session::{Output, Session, Style};
use umpire_mdb::view::View;
use umpire_watch::glass::Target;

use super::crowd::{self, CPUS, THREADS};
use super::reaching;
use super::running::RunningGuest;
use super::sampling::PINGPONG;
use super::{BenchRow, Better, failed, median, scenario};
use crate::report::RunError;

/// A command: what it is called, what is typed, how often, its goal in us.
const COMMANDS: [(&str, &str, usize, f64); 3] = [
    ("a full ::cpuinfo -v", "::cpuinfo -v", 200, 100.0),
    ("::print of a kthread_t", "<t::print kthread_t", 200, 200.0),
    ("::walk thread | ::findstack", "::walk thread | ::findstack", 11, 50_000.0),
];

/// Debuggers that loop.
const INSPECTORS: usize = 10;
/// What each of them types.
const LOOPED: [&str; 3] =
    ["::cpuinfo -v", "::walk thread | ::findstack", "::walk thread | ::print kthread_t t_state t_pri"];
/// Intervals with inspectors.
const ROUNDS: usize = 11;
/// An interval.
const INTERVAL: Duration = Duration::from_millis(200);

/// A row for each command.
pub(super) fn commands() -> Result<Vec<BenchRow>, RunError> {
    let guest = RunningGuest::start(&crowd::crowded()?)?;
    let image = Arc::new(GuestImage::built_in().map_err(failed)?);
    let view = View::new(guest.target(), image);
    let mut session = Session::new(&view, false);
    typed(&mut session, "::walk thread | ::head -1 | >t")?;
    let mut rows = Vec::new();
    for (name, command, rounds, goal) in COMMANDS {
        typed(&mut session, command)?;
        let (mut own, mut wall) = (Vec::with_capacity(rounds), Vec::with_capacity(rounds));
        for _ in 0..rounds {
            let (begin, ran) = (Instant::now(), own_time());
            typed(&mut session, command)?;
            own.push((own_time() - ran).as_secs_f64() * 1e6);
            wall.push(begin.elapsed().as_secs_f64() * 1e6);
        }
        rows.push(BenchRow {
            what: format!("{name}, {CPUS} vCPUs, {THREADS} threads"),
            value: median(own),
            goal,
            unit: "us",
            better: Better::Less,
            note: format!(
                "median of {rounds}, CPU time of who looks; {:.0} us of wall time beside vCPUs that run",
                median(wall)
            ),
        });
    }
    Ok(rows)
}

/// CPU time of this thread.
fn own_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32)
}

fn typed(session: &mut Session<'_>, line: &str) -> Result<(), RunError> {
    let mut nowhere = io::sink();
    let mut output = Output { to: &mut nowhere, style: Style::Text, requires_clean: false };
    session.run(line, &mut output).map_err(failed)
}

/// The row of the guest's work that ten inspectors take away.
pub(super) fn inspectors() -> Result<BenchRow, RunError> {
    let guest = RunningGuest::start(&scenario(PINGPONG)?)?;
    let image = Arc::new(GuestImage::built_in().map_err(failed)?);
    let core = reaching::core_of(&guest)?;
    let (mut lost, mut noise, commands) = (Vec::new(), Vec::new(), AtomicU64::new(0));
    for _ in 0..ROUNDS {
        let unwatched = rate(&guest, &core, &image, &AtomicU64::new(0));
        let watched = rate(&guest, guest.target(), &image, &commands);
        let unwatched_again = rate(&guest, &core, &image, &AtomicU64::new(0));
        lost.push(100.0 * (1.0 - 2.0 * watched / (unwatched + unwatched_again)));
        noise.push(100.0 * (1.0 - unwatched_again / unwatched).abs());
    }
    let noise = median(noise);
    Ok(BenchRow {
        what: format!("guest work lost to {INSPECTORS} inspectors that loop"),
        value: median(lost),
        goal: noise.max(1.0),
        unit: "%",
        better: Better::Less,
        note: format!(
            "median of {ROUNDS}, {} commands; against {INSPECTORS} that loop over a core; goal: 1 %, or the noise ({noise:.1} %)",
            commands.load(Ordering::Relaxed)
        ),
    })
}

/// Turns a ns of the vCPU's own running time over one interval in which the inspectors loop over a target.
fn rate(
    guest: &RunningGuest,
    target: &(impl Target + Sync),
    image: &Arc<GuestImage>,
    commands: &AtomicU64,
) -> f64 {
    let is_over = &AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..INSPECTORS {
            scope.spawn(move || {
                let view = View::new(target, Arc::clone(image));
                let mut session = Session::new(&view, false);
                // Only a sign to stop: nothing else is passed on by it.
                for command in LOOPED.iter().cycle().take_while(|_| !is_over.load(Ordering::Relaxed)) {
                    let is_done = typed(&mut session, command).is_ok();
                    commands.fetch_add(u64::from(is_done), Ordering::Relaxed);
                }
            });
        }
        let (ran, turns) = (guest.clocks().ran_ns(0), guest.progress());
        thread::sleep(INTERVAL);
        let (ran, turns) = (guest.clocks().ran_ns(0) - ran, guest.progress() - turns);
        is_over.store(true, Ordering::Relaxed);
        turns as f64 / ran.max(1) as f64
    })
}
