//! What a run tells its recording: who the threads are, what each sample saw, how it ended.
//!
//! # Invariants
//! - The file is created before anything is run that would be lost, and is written while the guest runs: what is held in memory is a
//!   block, unless somebody else wants the records too.
//! - A recording that cannot be written is an error of the set-up, told in the report beside what was seen.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::thread::{self, JoinHandle};

use crate::report::{Outcome, RunError, VariantReport};
use umpire_record::{Breach, Ending, Gap, Header, QueueState, Sample, StandState, Thread, Writer};
use umpire_shared::event::{self, Kind, PLACE_SPACING};
use umpire_shared::program::class;
use umpire_watch::glass::{
    CpuSample, Glass, Held, Needs, QueueSample, QueuedThread, Snapshot, Trace, TraceRecord,
};
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

    /// Begins to write it, on a thread of its own: to compress takes longer than a pass of the sampler may.
    ///
    /// # Errors
    /// [`RunError::Record`], if the host refuses the thread.
    pub(super) fn begin(self, header: &Header) -> Result<Tape, RunError> {
        let (to, parts) = mpsc::sync_channel(WAITING);
        let (file, header) = (self.file, header.clone());
        let live = move || Written::of(file, &header, &parts);
        match thread::Builder::new().name("recording".to_owned()).spawn(live) {
            Ok(thread) => Ok(Tape { path: self.path, to, thread, records: Vec::new(), samples: Vec::new() }),
            Err(cause) => Err(RunError::Record { path: self.path, cause }),
        }
    }
}

/// Records that are held back until they are a block.
const HELD_RECORDS: usize = 1 << 16;
/// Records that are held back at most: then the sampler waits for the disk, and what it misses meanwhile is counted as lost.
const MOST_HELD: usize = 1 << 20;
/// Samples likewise: a second of them.
const HELD_SAMPLES: usize = 1 << 10;
/// Parts that may wait to be written before more are held back.
const WAITING: usize = 16;

/// Records and samples that become blocks.
type Part = (Vec<TraceRecord>, Vec<Sample>);

/// A recording that is being written.
pub(super) struct Tape {
    path: PathBuf,
    to: SyncSender<Part>,
    thread: JoinHandle<Written>,
    records: Vec<TraceRecord>,
    samples: Vec<Sample>,
}

/// What the thread that writes comes back with.
struct Written {
    writer: io::Result<Writer<BufWriter<File>>>,
    /// Where threads slept.
    places: BTreeSet<u32>,
}

impl fmt::Debug for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tape").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Written {
    /// Writes parts as they come, until no more will. After a failure they are only let go of.
    fn of(file: File, header: &Header, parts: &Receiver<Part>) -> Written {
        let mut written =
            Written { writer: Writer::begin(BufWriter::new(file), header), places: BTreeSet::new() };
        while let Ok((mut records, samples)) = parts.recv() {
            written.places.append(&mut places(&records));
            records.sort_by_key(|record| (record.time_ns, record.cpu));
            let Ok(writer) = &mut written.writer else { continue };
            // What is written is handed on at once, so that a run which is ended by force leaves it behind.
            let done = writer
                .records(&records)
                .and_then(|()| writer.samples(&samples))
                .and_then(|()| writer.flush());
            if let Err(cause) = done {
                written.writer = Err(cause);
            }
        }
        written
    }
}

impl Tape {
    /// Takes records.
    pub(super) fn take(&mut self, mut records: Vec<TraceRecord>) {
        self.records.append(&mut records);
        if self.records.len() >= HELD_RECORDS {
            self.hand_on();
        }
    }

    /// Takes what a pass saw.
    pub(super) fn sample(&mut self, sample: Sample) {
        self.samples.push(sample);
        if self.samples.len() >= HELD_SAMPLES {
            self.hand_on();
        }
    }

    /// Gives away what is held back. Where too much waits to be written nobody waits for that here, until very much is held back.
    fn hand_on(&mut self) {
        let part = (std::mem::take(&mut self.records), std::mem::take(&mut self.samples));
        if part.0.len() >= MOST_HELD {
            // A thread that has gone is told by `end`.
            let _gone = self.to.send(part);
        } else if let Err(TrySendError::Full(part)) = self.to.try_send(part) {
            (self.records, self.samples) = part;
        }
    }

    /// Writes the rest of it.
    pub(super) fn end(mut self, glass: &Glass, seen: &Seen<'_>, report: &mut VariantReport) {
        self.records.extend_from_slice(&seen.trace.records);
        // The run is over: now the writer may be waited for. If it is gone there is no one to take it, and `join` says so.
        let _ = self.to.send((self.records, self.samples));
        drop(self.to);
        let written = self.thread.join().expect("invariant: the thread that writes does not panic");
        let ending = ending(seen, report);
        let done = written.writer.and_then(|mut writer| {
            writer.roster(seen.threads)?;
            writer.objects(&objects(glass, &written.places))?;
            writer.finish(&ending)
        });
        if let Err(cause) = done {
            report.why.push(RunError::Record { path: self.path, cause }.to_string());
            (report.outcome, report.trace_lost) = (Outcome::Error, true);
        }
    }
}

/// What was seen of a run, beside what its report says.
pub(super) struct Seen<'s> {
    pub(super) threads: &'s [Thread],
    /// What of its trace has not been written yet.
    pub(super) trace: &'s Trace,
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

/// What a recording begins with.
pub(super) fn header(scenario: &str, variant: &str, seed: Option<u64>, host: &str, cpus: u32) -> Header {
    let umpire = env!("CARGO_PKG_VERSION").to_owned();
    let (scenario, variant, host) = (scenario.to_owned(), variant.to_owned(), host.to_owned());
    Header { umpire, scenario, variant, seed, host, cpus, whole_from_ns: 0 }
}

/// The records of what rings hold, and from when on they are whole. Of what is older only how a thread began to wait that is still seen on a
/// run queue, with the time that the kernel has for it: seen at `seen_ns` or later, which is told only if the records reach back so far.
pub(super) fn of_rings(held: Held, seen: &Snapshot, seen_ns: u64) -> (Vec<TraceRecord>, u64) {
    let whole_from_ns = held.whole_from_ns();
    let queues = seen.cpus.iter().map(|cpu| &cpu.queue).chain(&seen.kps);
    let waits = queues
        .flat_map(|queue| &queue.threads)
        .filter(|thread| thread.waitrq != 0 && thread.waitrq < whole_from_ns && whole_from_ns <= seen_ns);
    let began = |thread: &QueuedThread| {
        let is_it =
            |record: &&TraceRecord| record.kind == Kind::Enqueue && record.thread == u64::from(thread.index);
        let record = held.older.iter().rev().find(is_it).filter(|record| record.time_ns >= thread.waitrq)?;
        Some(TraceRecord { time_ns: thread.waitrq, ..*record })
    };
    let mut records: Vec<TraceRecord> = waits.filter_map(began).collect();
    records.sort_by_key(|record| (record.time_ns, record.cpu));
    records.extend(held.whole);
    (records, whole_from_ns)
}

/// What it ends with.
pub(super) fn ending(seen: &Seen<'_>, report: &VariantReport) -> Ending {
    // Bounds on records come behind those of monitors, and have no moment.
    let passed = seen.passed.iter().copied().chain(std::iter::repeat(None));
    let broken = report.bounds.iter().zip(passed).filter(|(bound, _)| !bound.held);
    let breach = |(bound, passed_ns): (&crate::BoundReport, Option<u64>)| {
        let (limit, worst) = bound.records.map_or((bound.limit_ns, bound.worst_ns), |r| (r.limit, r.worst));
        let (monitor, thread) = (bound.monitor.clone(), bound.thread.clone());
        let says = bound.says.clone();
        Breach { monitor, thread, limit, worst, is_count: bound.records.is_some(), passed_ns, says }
    };
    let lost_of = if seen.trace.lost > 0 { seen.trace.lost_of.clone() } else { Vec::new() };
    Ending {
        observed: report.observed.as_str().to_owned(),
        outcome: report.outcome.as_str().to_owned(),
        breaches: broken.map(breach).collect(),
        why: report.why.clone(),
        lost: seen.trace.lost,
        lost_of,
        gaps: seen.trace.gaps.iter().map(|&(cpu, from_ns, to_ns)| Gap { cpu, from_ns, to_ns }).collect(),
        steal_ns: report.steal_ns,
    }
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

/// Where threads slept.
pub(super) fn places(records: &[TraceRecord]) -> BTreeSet<u32> {
    let asleep = records.iter().filter(|record| record.kind == Kind::Sleep);
    asleep.map(|record| event::sleep_of(record.arg).2).collect()
}

/// What the places are called that threads slept on.
pub(super) fn objects(glass: &Glass, places: &BTreeSet<u32>) -> Vec<(u32, String)> {
    let arenas = glass.kernel_object().and_then(|kernel| kernel.at("k_places.arenas"));
    let name = |place: u32| {
        let (arena, offset) = (place as usize / PLACE_SPACING, place as usize % PLACE_SPACING);
        let base = arenas?.element(arena as u64)?.number_at("base").filter(|&base| base != 0)?;
        let object = glass.object_at(base.wrapping_add(offset as u64));
        Some((place, umpire_watch::why::object_name(&object)))
    };
    let known = places.iter().copied().filter(|&place| place != event::NO_PLACE).take(MOST_OBJECTS);
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
