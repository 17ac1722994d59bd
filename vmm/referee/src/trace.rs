//! The text of a run's trace records, a line each, written while the guest runs.
//!
//! # Invariants
//! - It is created before anything is run that would be lost.
//! - Lines are in the order of their times. Records are handed over pass by pass, so those that a later one may yet overtake are held
//!   back: the giver says up to which moment there are no more to come.
//! - What is held in memory is a part, the parts that wait to be written, and what is held back: the length of the run does not matter.

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::thread::{self, JoinHandle};

use crate::report::{Outcome, RunError, VariantReport};
use umpire_machine::Written;
use umpire_record::Line;
use umpire_watch::glass::TraceRecord;

/// What stands for standard output in a path's place: of a trace only.
pub const STDOUT: &str = "-";
/// Records that are handed to the thread that writes.
const PART: usize = 1 << 14;
/// Time after which fewer are handed over, in ns.
const PART_NS: u64 = 500_000_000;
/// Parts that may wait to be written before more are held back.
const WAITING: usize = 4;
/// Records that are held back at most: then the sampler waits for the disk, and what it misses meanwhile is counted as lost.
const MOST_HELD: usize = 1 << 20;

/// The file that a trace will be written to.
pub(super) struct TraceFile {
    path: PathBuf,
    file: File,
    is_stdout: bool,
}

impl TraceFile {
    /// Creates it, before anything is run that would be lost; `-` is standard output.
    ///
    /// # Errors
    /// [`RunError::Trace`] with the path, if it cannot be created.
    pub(super) fn create(path: &Path) -> Result<TraceFile, RunError> {
        let is_stdout = path == Path::new(STDOUT);
        let file = match is_stdout {
            true => io::stdout().as_fd().try_clone_to_owned().map(File::from),
            false => File::create(path),
        };
        match file {
            Ok(file) => Ok(TraceFile { path: path.to_owned(), file, is_stdout }),
            Err(cause) => Err(RunError::Trace { path: path.to_owned(), cause }),
        }
    }

    /// Begins to write it, on a thread of its own: to format takes longer than a pass of the sampler may.
    ///
    /// # Errors
    /// [`RunError::Trace`], if the host refuses the thread.
    pub(super) fn begin(self) -> Result<TraceTape, RunError> {
        let (to, parts) = mpsc::sync_channel(WAITING);
        let (held, writes) = (Vec::new(), Vec::new());
        let text = Text { out: BufWriter::new(self.file), held, writes, is_stdout: self.is_stdout };
        let thread = thread::Builder::new().name("trace".to_owned()).spawn(move || text.write_all(&parts));
        match thread {
            Ok(thread) => {
                let part = Part::default();
                Ok(TraceTape { path: self.path, to, thread, part, handed_ns: 0, writes: 0 })
            }
            Err(cause) => Err(RunError::Trace { path: self.path, cause }),
        }
    }
}

/// Records, what was written from outside, and the moment before which there is no more of either.
#[derive(Debug, Default)]
struct Part {
    records: Vec<TraceRecord>,
    writes: Vec<Written>,
    until_ns: u64,
}

/// A trace that is being written.
pub(super) struct TraceTape {
    path: PathBuf,
    to: SyncSender<Part>,
    thread: JoinHandle<io::Result<()>>,
    part: Part,
    /// The moment of the last part.
    handed_ns: u64,
    /// Writes from outside that were taken.
    writes: usize,
}

impl fmt::Debug for TraceTape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceTape").field("path", &self.path).finish_non_exhaustive()
    }
}

impl TraceTape {
    /// How many writes from outside it has.
    pub(super) fn writes(&self) -> usize {
        self.writes
    }

    /// Takes what is new: before `until_ns` there will be no more.
    pub(super) fn take(&mut self, records: &[TraceRecord], mut writes: Vec<Written>, until_ns: u64) {
        self.part.records.extend_from_slice(records);
        self.writes += writes.len();
        self.part.writes.append(&mut writes);
        self.part.until_ns = self.part.until_ns.max(until_ns);
        if self.part.records.len() >= PART || until_ns >= self.handed_ns.saturating_add(PART_NS) {
            self.hand_on();
        }
    }

    fn hand_on(&mut self) {
        self.handed_ns = self.part.until_ns;
        let part = std::mem::take(&mut self.part);
        if part.records.len() >= MOST_HELD {
            // A thread that has gone is told by `end`.
            let _gone = self.to.send(part);
        } else if let Err(TrySendError::Full(part)) = self.to.try_send(part) {
            self.part = part;
        }
    }

    /// Writes the rest. A run whose trace cannot be written is an error, told in its report beside what was seen.
    pub(super) fn end(mut self, rest: &[TraceRecord], report: &mut VariantReport) {
        self.part.records.extend_from_slice(rest);
        self.part.writes.extend(report.writes.iter().skip(self.writes).cloned());
        self.part.until_ns = u64::MAX;
        let _gone = self.to.send(self.part);
        drop(self.to);
        if let Err(cause) = self.thread.join().expect("invariant: the thread that writes does not panic") {
            report.why.push(RunError::Trace { path: self.path, cause }.to_string());
            (report.outcome, report.trace_lost) = (Outcome::Error, true);
        }
    }
}

/// What the thread that writes has.
struct Text<W: Write> {
    out: W,
    held: Vec<TraceRecord>,
    writes: Vec<Written>,
    is_stdout: bool,
}

impl<W: Write> Text<W> {
    /// Writes parts as they come, until no more will. After a failure they are only let go of.
    fn write_all(mut self, parts: &Receiver<Part>) -> io::Result<()> {
        let mut written = Ok(());
        while let Ok(part) = parts.recv() {
            if written.is_ok() {
                // What is written is handed on at once: a run that is ended by force leaves it behind, and a pipe's reader waits.
                written = self.take(part).and_then(|()| self.out.flush());
            }
        }
        match written {
            // A reader of standard output that goes away ends the output and nothing else.
            Err(e) if self.is_stdout && e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written,
        }
    }

    /// Writes the records before the part's moment, and among them by time what was written into the machine from outside:
    /// `time_ns - write - - what@addr:old:new`.
    fn take(&mut self, part: Part) -> io::Result<()> {
        let Part { mut records, mut writes, until_ns } = part;
        self.held.append(&mut records);
        self.writes.append(&mut writes);
        self.held.sort_by_key(|record| (record.time_ns, record.cpu));
        let is_ripe = |at_ns: u64| at_ns < until_ns || until_ns == u64::MAX;
        let ripe = self.held.partition_point(|record| is_ripe(record.time_ns));
        let at_ns = |write: &Written| write.at_ns.unwrap_or(0);
        let ripe_writes = self.writes.iter().take_while(|write| is_ripe(at_ns(write))).count();
        let mut among = self.writes.drain(..ripe_writes).peekable();
        for record in self.held.drain(..ripe) {
            while let Some(write) = among.next_if(|w| at_ns(w) <= record.time_ns) {
                line_of(&write, &mut self.out)?;
            }
            writeln!(self.out, "{}", Line(&record))?;
        }
        among.try_for_each(|write| line_of(&write, &mut self.out))
    }
}

fn line_of(Written { what, addr, old, new, at_ns, .. }: &Written, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{} - write - - {what}@{addr:#x}:{old:#x}:{new:#x}", at_ns.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use umpire_shared::event::Kind;

    fn record(time_ns: u64, cpu: u32) -> TraceRecord {
        TraceRecord { time_ns, cpu, kind: Kind::Tick, thread: 1, pri: 60, arg: 1 }
    }

    fn write(at_ns: u64) -> Written {
        Written { what: "x".to_owned(), addr: 16, bytes: 8, old: 0, new: 1, at_ns: Some(at_ns) }
    }

    /// The times that are in the text after these parts, in its order; writes with a `w`.
    fn times(parts: Vec<Part>) -> Vec<String> {
        let mut text = Text { out: Vec::new(), held: Vec::new(), writes: Vec::new(), is_stdout: false };
        for part in parts {
            text.take(part).expect("memory takes all");
        }
        let text = String::from_utf8(text.out).expect("text");
        let time = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            if words[2] == "write" { format!("w{}", words[0]) } else { words[0].to_owned() }
        };
        text.lines().map(time).collect()
    }

    #[test]
    fn records_that_a_later_one_may_overtake_are_held_back() {
        let first =
            Part { records: vec![record(5, 1), record(1, 0), record(9, 0)], writes: vec![], until_ns: 6 };
        let second = Part { records: vec![record(7, 1)], writes: vec![write(8)], until_ns: 8 };
        assert_eq!(times(vec![first]), ["1", "5"]);
        let first =
            Part { records: vec![record(5, 1), record(1, 0), record(9, 0)], writes: vec![], until_ns: 6 };
        let last = Part { records: vec![record(9, 1)], writes: vec![write(20)], until_ns: u64::MAX };
        assert_eq!(times(vec![first, second, last]), ["1", "5", "7", "w8", "9", "9", "w20"]);
    }
}
