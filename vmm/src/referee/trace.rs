//! Scheduler events as lines of text: `time_ns cpu probe thread pri argument`.
//!
//! # Invariants
//! - The same events give the same bytes.

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::glass::EventRecord;
use crate::scenario::outcome::{Outcome, RunError, VariantReport};

/// One event, of a real or a simulated guest.
pub type TraceLine = EventRecord;

/// A line of the trace.
struct Line<'r>(&'r TraceLine);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TraceLine { time_ns, cpu, kind, thread, pri, arg } = self.0;
        write!(f, "{time_ns} {cpu} {} {thread} {pri} {arg}", kind.name())
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

    /// Writes the events. A run whose trace cannot be written is an error, told in its report beside what was seen.
    pub(super) fn write(self, lines: &[TraceLine], report: &mut VariantReport) {
        let mut out = BufWriter::new(self.file);
        let written: io::Result<()> = lines.iter().try_for_each(|line| writeln!(out, "{}", Line(line)));
        if let Err(cause) = written.and_then(|()| out.flush()) {
            report.why.push(RunError::Trace { path: self.path, cause }.to_string());
            report.outcome = Outcome::Error;
        }
    }
}
