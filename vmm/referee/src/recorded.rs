//! What a run tells its recording: who the threads are, what each sample saw, how it ended.
//!
//! # Invariants
//! - The file is created before anything is run that would be lost.
//! - A recording that cannot be written is an error of the set-up, told in the report beside what was seen.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use crate::report::{Outcome, RunError, VariantReport};
use umpire_record::{Breach, Ending, Header, QueueState, Sample, Thread, Writer};
use umpire_shared::program::class;
use umpire_watch::glass::{Glass, QueueSample, Snapshot, Trace};

/// The file that a recording will be written to.
pub(super) struct RecordingFile {
    path: PathBuf,
    file: File,
}

impl RecordingFile {
    /// Creates it.
    ///
    /// # Errors
    /// [`RunError::Record`] with the path, if it cannot be created.
    pub(super) fn create(path: &Path) -> Result<RecordingFile, RunError> {
        match File::create(path) {
            Ok(file) => Ok(RecordingFile { path: path.to_owned(), file }),
            Err(cause) => Err(RunError::Record { path: path.to_owned(), cause }),
        }
    }

    /// Writes the whole of it.
    pub(super) fn write(
        self,
        cpus: u32,
        threads: &[Thread],
        trace: &Trace,
        samples: &[Sample],
        report: &mut VariantReport,
    ) {
        let written = write(self.file, cpus, threads, trace, samples, report);
        if let Err(cause) = written {
            report.why.push(RunError::Record { path: self.path, cause }.to_string());
            (report.outcome, report.trace_lost) = (Outcome::Error, true);
        }
    }
}

fn write(
    file: File,
    cpus: u32,
    threads: &[Thread],
    trace: &Trace,
    samples: &[Sample],
    report: &VariantReport,
) -> io::Result<()> {
    let header = Header {
        umpire: env!("CARGO_PKG_VERSION").to_owned(),
        scenario: report.scenario.clone(),
        variant: report.variant.clone(),
        seed: report.seed,
        host: report.host_kvm.clone(),
        cpus,
    };
    let mut writer = Writer::begin(BufWriter::new(file), &header)?;
    writer.roster(threads)?;
    writer.records(&trace.records)?;
    writer.samples(samples)?;
    let broken = report.bounds.iter().filter(|bound| !bound.held);
    let breach = |bound: &crate::BoundReport| {
        let (limit, worst) = bound.records.map_or((bound.limit_ns, bound.worst_ns), |r| (r.limit, r.worst));
        Breach { monitor: bound.monitor.clone(), thread: bound.thread.clone(), limit, worst }
    };
    writer.finish(&Ending {
        observed: report.observed.as_str().to_owned(),
        outcome: report.outcome.as_str().to_owned(),
        breaches: broken.map(breach).collect(),
        why: report.why.clone(),
        lost: trace.lost,
        steal_ns: report.steal_ns,
    })
}

/// The guest's threads, by number.
pub(super) fn threads(glass: &Glass, seen: &Snapshot) -> Vec<Thread> {
    let Some(arena) = seen.arena else { return Vec::new() };
    let thread = |n: u32| {
        let addr = arena.address_of(n);
        let card = glass.thread_card(seen, addr)?;
        let class = class::NAMES.get(usize::from(card.class)).copied().unwrap_or("?");
        Some(Thread {
            id: n.into(),
            name: card.name,
            class: class.to_owned(),
            bound_cpu: card.bound_cpu,
            is_idle: seen.cpus.iter().any(|cpu| cpu.idle_thread == addr),
        })
    };
    (0..arena.count).filter_map(thread).filter(|thread| !thread.name.is_empty()).collect()
}

/// What one pass saw of the run queues.
pub(super) fn sample(seen: &Snapshot, at_ns: u64) -> Sample {
    let state = |queue: &QueueSample| QueueState {
        nrunnable: queue.nrunnable,
        maxrunpri: queue.maxrunpri,
        is_trusted: queue.verdict.is_trusted(),
    };
    Sample {
        at_ns,
        cpus: seen.cpus.iter().map(|cpu| state(&cpu.queue)).collect(),
        kps: seen.kps.iter().map(state).collect(),
    }
}
