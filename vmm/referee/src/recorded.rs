//! What a run tells its recording: who the threads are, what each sample saw, how it ended.
//!
//! # Invariants
//! - The file is created before anything is run that would be lost.
//! - A recording that cannot be written is an error of the set-up, told in the report beside what was seen.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use crate::report::{Outcome, RunError, VariantReport};
use umpire_record::{Breach, Ending, Header, QueueState, Sample, StandState, Thread, Writer};
use umpire_shared::event::{self, Kind, PLACE_SPACING};
use umpire_shared::program::class;
use umpire_watch::glass::{CpuSample, Glass, Needs, QueueSample, Snapshot, Trace};
use umpire_watch::monitor::Finding;

/// What a recording wants to know of each pass: which thread runs, and whether it is in user mode.
pub(super) const NEEDS: Needs = Needs { runners: true, ..Needs::NOTHING };

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
    pub(super) fn write(self, seen: &Seen<'_>, report: &mut VariantReport) {
        let written = write(self.file, seen, report);
        if let Err(cause) = written {
            report.why.push(RunError::Record { path: self.path, cause }.to_string());
            (report.outcome, report.trace_lost) = (Outcome::Error, true);
        }
    }
}

/// What was seen of a run, beside what its report says.
pub(super) struct Seen<'s> {
    pub(super) cpus: u32,
    pub(super) threads: &'s [Thread],
    pub(super) objects: &'s [(u32, String)],
    pub(super) trace: &'s Trace,
    pub(super) samples: &'s [Sample],
    /// When the limit of each bound was passed, in the guest's ns.
    pub(super) passed: Vec<Option<u64>>,
}

/// When the limits were passed, in the guest's ns: `breaks` has the moments of the passes that found it, as the judge counts and as
/// the guest does.
pub(super) fn passed(findings: &[Finding], breaks: &[(u64, u64)]) -> Vec<Option<u64>> {
    let guest = |finding: &Finding| {
        let at_ns = finding.violated_at_ns?;
        let (_, guest_ns) = breaks.iter().find(|(pass_ns, _)| *pass_ns == at_ns)?;
        Some(guest_ns.saturating_sub(finding.detect_after_ns.unwrap_or(0)))
    };
    findings.iter().map(guest).collect()
}

fn write(file: File, seen: &Seen<'_>, report: &VariantReport) -> io::Result<()> {
    let header = Header {
        umpire: env!("CARGO_PKG_VERSION").to_owned(),
        scenario: report.scenario.clone(),
        variant: report.variant.clone(),
        seed: report.seed,
        host: report.host_kvm.clone(),
        cpus: seen.cpus,
    };
    let mut writer = Writer::begin(BufWriter::new(file), &header)?;
    writer.roster(seen.threads)?;
    writer.objects(seen.objects)?;
    writer.records(&seen.trace.records)?;
    writer.samples(seen.samples)?;
    // Bounds on records come behind those of monitors, and have no moment.
    let passed = seen.passed.iter().copied().chain(std::iter::repeat(None));
    let broken = report.bounds.iter().zip(passed).filter(|(bound, _)| !bound.held);
    let breach = |(bound, passed_ns): (&crate::BoundReport, Option<u64>)| {
        let (limit, worst) = bound.records.map_or((bound.limit_ns, bound.worst_ns), |r| (r.limit, r.worst));
        let (monitor, thread) = (bound.monitor.clone(), bound.thread.clone());
        Breach { monitor, thread, limit, worst, passed_ns }
    };
    writer.finish(&Ending {
        observed: report.observed.as_str().to_owned(),
        outcome: report.outcome.as_str().to_owned(),
        breaches: broken.map(breach).collect(),
        why: report.why.clone(),
        lost: seen.trace.lost,
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
            has_lwp: card.has_lwp,
        })
    };
    (0..arena.count).filter_map(thread).filter(|thread| !thread.name.is_empty()).collect()
}

/// What one pass saw of what a CPU ran.
fn stand(seen: &Snapshot, cpu: &CpuSample) -> StandState {
    let ran_ns = seen.readings.get(cpu.id as usize).map_or(0, |reading| reading.ran_ns);
    let thread = seen.arena.and_then(|arena| arena.index_of(cpu.dispthread)).map(u64::from);
    let runner = cpu.runner;
    StandState {
        thread: thread.filter(|_| cpu.dispatch_pri >= 0),
        dispatch_pri: cpu.dispatch_pri,
        handles: cpu.handles,
        preempt: runner.preempt,
        is_user: runner.is_user(),
        ran_ns,
    }
}

/// Places whose names are looked for, at most: each is a search of the kernel.
const MOST_OBJECTS: usize = 512;

/// What the places are called that threads slept on.
pub(super) fn objects(glass: &Glass, trace: &Trace) -> Vec<(u32, String)> {
    let asleep = trace.records.iter().filter(|record| record.kind == Kind::Sleep);
    let places: BTreeSet<u32> = asleep.map(|record| event::sleep_of(record.arg).2).collect();
    let arenas = glass.kernel_object().and_then(|kernel| kernel.at("k_places.arenas"));
    let name = |place: u32| {
        let (arena, offset) = (place as usize / PLACE_SPACING, place as usize % PLACE_SPACING);
        let base = arenas?.element(arena as u64)?.number_at("base").filter(|&base| base != 0)?;
        let object = glass.object_at(base.wrapping_add(offset as u64));
        Some((place, umpire_watch::why::object_name(&object)))
    };
    let known = places.into_iter().filter(|&place| place != event::NO_PLACE).take(MOST_OBJECTS);
    known.filter_map(name).collect()
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
        stands: seen.cpus.iter().map(|cpu| stand(seen, cpu)).collect(),
        kpreemptpri: Some(seen.kpreemptpri),
    }
}
