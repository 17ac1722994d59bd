//! The text file of a run's trace records, a line each.
//!
//! # Invariants
//! - It is created before anything is run that would be lost.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::report::{Outcome, RunError, VariantReport};
use umpire_machine::Written;
use umpire_record::Line;
use umpire_watch::glass::TraceRecord;

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
