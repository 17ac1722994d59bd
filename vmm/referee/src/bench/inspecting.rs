//! What a command of the debugger takes on a guest that runs: a thousand threads on sixteen vCPUs.
//!
//! # Invariants
//! - A command is timed from the text that is typed to the text that comes back; the image has been read before.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use umpire_machine::GUEST_IMAGE;
use umpire_mdb::image::GuestImage;
use umpire_mdb::session::{Output, Session, Style};
use umpire_mdb::view::View;

use super::crowd::{self, CPUS, THREADS};
use super::running::RunningGuest;
use super::{BenchRow, Better, failed, median};
use crate::report::RunError;

/// A command: what it is called, what is typed, how often, its goal in us.
const COMMANDS: [(&str, &str, usize, f64); 3] = [
    ("a full ::cpuinfo -v", "::cpuinfo -v", 200, 100.0),
    ("::print of a kthread_t", "<t::print kthread_t", 200, 200.0),
    ("::walk thread | ::findstack", "::walk thread | ::findstack", 5, 50_000.0),
];

/// A row for each command.
pub(super) fn commands() -> Result<Vec<BenchRow>, RunError> {
    let guest = RunningGuest::start(&crowd::crowded()?)?;
    let image = Arc::new(GuestImage::read(GUEST_IMAGE).map_err(failed)?);
    let view = View::new(guest.target(), image);
    let mut session = Session::new(&view, false);
    typed(&mut session, "::walk thread | ::head -1 | >t")?;
    let mut rows = Vec::new();
    for (name, command, rounds, goal) in COMMANDS {
        typed(&mut session, command)?;
        let mut took = Vec::with_capacity(rounds);
        for _ in 0..rounds {
            let begin = Instant::now();
            typed(&mut session, command)?;
            took.push(begin.elapsed().as_secs_f64() * 1e6);
        }
        rows.push(BenchRow {
            what: format!("{name}, {CPUS} vCPUs, {THREADS} threads"),
            value: median(took),
            goal,
            unit: "us",
            better: Better::Less,
            note: format!("median of {rounds}; the guest runs meanwhile"),
        });
    }
    Ok(rows)
}

fn typed(session: &mut Session<'_>, line: &str) -> Result<(), RunError> {
    let mut nowhere = io::sink();
    let mut output = Output { to: &mut nowhere, style: Style::Text, requires_clean: false };
    session.run(line, &mut output).map_err(failed)
}
