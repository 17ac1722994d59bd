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
use umpire_watch::glass::{Glass, Held, Identity, Snapshot, Trace, TraceRecord};

/// Passes that are kept: a quarter of a second at 1 kHz, which is more than rings of the usual size hold of a busy guest.
const PASSES: usize = 256;

/// Said of rings without room for a record that is not being written.
const NOTHING_HELD: &str =
    "the flight recorder has no events, so that nothing was recorded: give the guest more trace_records";

/// What will become a recording.
#[derive(Debug)]
pub(super) struct Flight {
    dir: PathBuf,
    passes: VecDeque<Sample>,
    /// The records, and from when on they are whole.
    taken: Option<(Vec<TraceRecord>, u64)>,
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

    /// This is the moment, unless one was before: `held` is what the rings hold now, and `seen` what the last pass saw.
    pub(super) fn take(&mut self, held: impl FnOnce() -> Held, seen: &Snapshot) {
        // The pass is older than its time, by which it was over, and younger than the one before.
        let seen_ns = self.passes.iter().rev().nth(1).map_or(0, |pass| pass.at_ns);
        self.taken.get_or_insert_with(|| recorded::of_rings(held(), seen, seen_ns));
    }

    /// Writes it, if there was such a moment.
    pub(super) fn end(self, glass: &Glass, identity: &Identity, seen: Told<'_>, report: &mut VariantReport) {
        let Some((records, whole_from_ns)) = self.taken else { return };
        if records.is_empty() {
            report.why.push(NOTHING_HELD.to_owned());
            return;
        }
        let since_ns = records.first().map_or(0, |record| record.time_ns).max(whole_from_ns);
        let trace = Trace::default();
        let ended = Seen { threads: seen.threads, trace: &trace, passed: seen.passed };
        let recording = Recording {
            header: Header { whole_from_ns, ..seen.header.clone() },
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

/// What rings of `most` records would hold of these.
pub(super) fn last(mut records: Vec<TraceRecord>, most: u64) -> Held {
    records.sort_by_key(|record| (record.time_ns, record.cpu));
    let (mut left, mut has_lost) = ([most; umpire_shared::MAX_CPUS], [false; umpire_shared::MAX_CPUS]);
    let is_kept = |record: &TraceRecord| {
        let cpu = record.cpu as usize;
        let one_less = left.get(cpu)?.checked_sub(1);
        match one_less {
            Some(rest) => left[cpu] = rest,
            None => has_lost[cpu] = true,
        }
        one_less.map(|_| *record)
    };
    let mut kept: Vec<TraceRecord> = records.iter().rev().filter_map(is_kept).collect();
    kept.reverse();
    Held::of(kept, |cpu| has_lost[cpu as usize])
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
    fn last_keeps_so_many_of_each_cpu_and_parts_them_where_all_are_whole() {
        let record =
            |time_ns, cpu| TraceRecord { time_ns, cpu, kind: Kind::Poke, thread: 1, pri: 60, arg: 0 };
        let all = vec![record(5, 0), record(1, 0), record(2, 1), record(3, 0), record(4, 0), record(5, 1)];
        let told = |records: &[TraceRecord]| records.iter().map(|r| (r.time_ns, r.cpu)).collect::<Vec<_>>();
        let held = last(all.clone(), 2);
        assert_eq!(told(&held.whole), [(4, 0), (5, 0), (5, 1)]);
        assert_eq!(
            told(&held.older),
            [(2, 1)],
            "what cpu 0 did at 3 is gone: whom it served then is not known"
        );
        let all_of_it = last(all, 9);
        assert_eq!((all_of_it.whole.len(), all_of_it.older.len(), all_of_it.whole_from_ns()), (6, 0, 0));
    }
}
