//! The flight recorder: what the guest's rings and the last passes held at the first violation of a bound, at the guest's death, or when
//! the run was ended from outside, as a recording.
//!
//! # Invariants
//! - One recording a run, of the first of these moments. A run that none of them befalls leaves none.
//! - Nothing is drained for it: the rings are read once, at that moment, and the file is written when the run is over.
//! - A recording that cannot be written is an error of the set-up, told in the report beside what was seen.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use super::dump::free;
use super::recorded::{self, Seen};
use crate::report::{Outcome, RunError, VariantReport};
use umpire_record::{Header, Recording, Sample, Writer};
use umpire_watch::glass::{Glass, Identity, Snapshot, Trace, TraceRecord};

/// Passes that are kept: a quarter of a second at 1 kHz, which is more than rings of the usual size hold of a busy guest.
const PASSES: usize = 256;

/// What will become a recording.
#[derive(Debug)]
pub(super) struct Flight {
    dir: PathBuf,
    passes: VecDeque<Sample>,
    taken: Option<Vec<TraceRecord>>,
}

impl Flight {
    /// One that goes into this directory, which is made if it is not there.
    ///
    /// # Errors
    /// [`RunError::Flight`] if it cannot be made.
    pub(super) fn into(dir: &Path) -> Result<Flight, RunError> {
        fs::create_dir_all(dir).map_err(|cause| RunError::Flight { path: dir.to_owned(), cause })?;
        Ok(Flight { dir: dir.to_owned(), passes: VecDeque::with_capacity(PASSES), taken: None })
    }

    /// Notes what a pass saw.
    pub(super) fn pass(&mut self, seen: &Snapshot, at_ns: u64) {
        if self.taken.is_none() {
            if self.passes.len() == PASSES {
                self.passes.pop_front();
            }
            self.passes.push_back(recorded::sample(seen, at_ns));
        }
    }

    /// This is the moment, unless one was before: `held` is what the rings hold now.
    pub(super) fn take(&mut self, held: impl FnOnce() -> Vec<TraceRecord>) {
        self.taken.get_or_insert_with(held);
    }

    /// Writes it, if there was such a moment.
    pub(super) fn end(self, glass: &Glass, identity: &Identity, seen: Told<'_>, report: &mut VariantReport) {
        let Some(records) = self.taken else { return };
        let since_ns = records.first().map_or(0, |record| record.time_ns);
        let trace = Trace::default();
        let ended = Seen { threads: seen.threads, trace: &trace, passed: seen.passed };
        let recording = Recording {
            header: seen.header.clone(),
            threads: seen.threads.to_vec(),
            samples: self.passes.into_iter().filter(|pass| pass.at_ns >= since_ns).collect(),
            objects: recorded::objects(glass, &recorded::places(&records)),
            ending: Some(recorded::ending(&ended, report)),
            records,
            damage: None,
        };
        match free(&self.dir, identity, "rec").and_then(|path| write(&recording, path)) {
            Ok(path) => report.flight = Some(path.display().to_string()),
            Err(why) => {
                report.why.push(format!("the flight recorder's recording is lost: {why}"));
                (report.outcome, report.trace_lost) = (Outcome::Error, true);
            }
        }
    }
}

/// What a recording is told beside its records.
pub(super) struct Told<'t> {
    pub(super) header: &'t Header,
    pub(super) threads: &'t [umpire_record::Thread],
    /// When the limit of each bound was passed, in the guest's ns.
    pub(super) passed: Vec<Option<u64>>,
}

/// The last `most` records of each CPU, by time.
pub(super) fn last(mut records: Vec<TraceRecord>, most: u64) -> Vec<TraceRecord> {
    records.sort_by_key(|record| (record.time_ns, record.cpu));
    let mut left = [most; umpire_shared::MAX_CPUS];
    let is_kept = |record: &TraceRecord| {
        let left = left.get_mut(record.cpu as usize)?;
        *left = left.checked_sub(1)?;
        Some(*record)
    };
    let mut kept: Vec<TraceRecord> = records.iter().rev().filter_map(is_kept).collect();
    kept.reverse();
    kept
}

/// Writes a recording into a new file.
///
/// # Errors
/// A sentence with the path.
pub fn write(recording: &Recording, path: PathBuf) -> Result<PathBuf, String> {
    let written = File::create_new(&path).and_then(|file| {
        let mut writer = Writer::begin(BufWriter::new(file), &recording.header)?;
        writer.records(&recording.records)?;
        writer.samples(&recording.samples)?;
        writer.roster(&recording.threads)?;
        writer.objects(&recording.objects)?;
        match &recording.ending {
            Some(ending) => writer.finish(ending),
            None => writer.flush(),
        }
    });
    match written {
        Ok(()) => Ok(path),
        Err(cause) => Err(format!("cannot write {}: {cause}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use umpire_shared::event::Kind;

    #[test]
    fn last_keeps_so_many_of_each_cpu_and_their_order() {
        let record =
            |time_ns, cpu| TraceRecord { time_ns, cpu, kind: Kind::Poke, thread: 1, pri: 60, arg: 0 };
        let all = vec![record(5, 0), record(1, 0), record(2, 1), record(3, 0), record(4, 0)];
        let told: Vec<_> = last(all, 2).iter().map(|r| (r.time_ns, r.cpu)).collect();
        assert_eq!(told, [(2, 1), (4, 0), (5, 0)]);
    }
}
