//! Trace records as lines of text: `time_ns cpu probe thread pri argument`.
//!
//! # Invariants
//! - The same records give the same bytes.

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::report::{Outcome, RunError, VariantReport};
use umpire_machine::Written;
use umpire_shared::event::{self, Kind};
use umpire_watch::glass::TraceRecord;

/// A line of the trace.
struct Line<'r>(&'r TraceRecord);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TraceRecord { time_ns, cpu, kind, thread, pri, arg } = self.0;
        write!(f, "{time_ns} {cpu} {} {thread} {pri} ", kind.name())?;
        match kind {
            Kind::Enqueue => {
                let end = if event::at_head(*arg) { "head" } else { "tail" };
                write!(f, "{end}@{}", QueueOf(*arg))
            }
            Kind::Dequeue => write!(f, "@{}", QueueOf(*arg)),
            Kind::NoSteal => write!(f, "{}:{}", arg >> 32, arg & u64::from(u32::MAX)),
            _ => write!(f, "{arg}"),
        }
    }
}

/// The queue that the argument of an `enqueue` or `dequeue` names.
struct QueueOf(u64);

impl fmt::Display for QueueOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match event::queue_cpu(self.0) {
            Some(cpu) => write!(f, "{cpu}"),
            None => f.write_str("kp"),
        }
    }
}

/// The file that a trace will be written to.
pub(super) struct TraceFile {
    path: PathBuf,
    file: File,
}

impl TraceFile {
    /// Creates it, before anything is run that would be lost.
    ///
    /// # Errors
    /// [`RunError::Trace`] with the path, if it cannot be created.
    pub(super) fn create(path: &Path) -> Result<TraceFile, RunError> {
        match File::create(path) {
            Ok(file) => Ok(TraceFile { path: path.to_owned(), file }),
            Err(cause) => Err(RunError::Trace { path: path.to_owned(), cause }),
        }
    }

    /// Writes the records. A run whose trace cannot be written is an error, told in its report beside what was seen.
    pub(super) fn write(self, lines: &[TraceRecord], report: &mut VariantReport) {
        let mut out = BufWriter::new(self.file);
        let writes = std::mem::take(&mut report.writes);
        let written = merged(lines, &writes, &mut out);
        report.writes = writes;
        if let Err(cause) = written.and_then(|()| out.flush()) {
            report.why.push(RunError::Trace { path: self.path, cause }.to_string());
            (report.outcome, report.trace_lost) = (Outcome::Error, true);
        }
    }
}

/// Writes the records, and among them by time what was written into the machine from outside:
/// `time_ns - write - - what@addr:old:new`.
fn merged(lines: &[TraceRecord], writes: &[Written], out: &mut impl Write) -> io::Result<()> {
    let mut writes = writes.iter().peekable();
    let mut until = |time_ns: u64, out: &mut dyn Write| -> io::Result<()> {
        while let Some(w) = writes.next_if(|w| w.at_ns.unwrap_or(0) <= time_ns) {
            let Written { what, addr, old, new, .. } = w;
            writeln!(out, "{} - write - - {what}@{addr:#x}:{old:#x}:{new:#x}", w.at_ns.unwrap_or(0))?;
        }
        Ok(())
    };
    for line in lines {
        until(line.time_ns, out)?;
        writeln!(out, "{}", Line(line))?;
    }
    until(u64::MAX, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(kind: Kind, arg: u64) -> String {
        Line(&TraceRecord { time_ns: 5, cpu: 1, kind, thread: 7, pri: 99, arg }).to_string()
    }

    #[test]
    fn line_of_a_queue_event_names_the_queue_and_the_end() {
        assert_eq!(line(Kind::Enqueue, event::on_queue(Some(3), true)), "5 1 enqueue 7 99 head@3");
        assert_eq!(line(Kind::Enqueue, event::on_queue(None, false)), "5 1 enqueue 7 99 tail@kp");
        assert_eq!(line(Kind::Dequeue, event::on_queue(Some(0), false)), "5 1 dequeue 7 99 @0");
    }

    #[test]
    fn line_of_a_nosteal_tells_victim_and_age_and_any_other_its_number() {
        assert_eq!(line(Kind::NoSteal, event::not_stolen(2, 1234)), "5 1 nosteal 7 99 2:1234");
        assert_eq!(line(Kind::NoSteal, event::not_stolen(2, u64::MAX)), "5 1 nosteal 7 99 2:4294967295");
        assert_eq!(line(Kind::ChangePri, 42), "5 1 change-pri 7 99 42");
    }
}
