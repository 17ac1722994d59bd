//! One run of a variant, from its machine to its report, whatever drives the machine's time.
//!
//! ```text
//!   build      a MachineRun: a machine that is about to run
//!   play       the guest boots and runs; the Watcher, driven by the machine's TimeSource, over and over
//!              waits for the next moment, reads the clocks, has the judge look, takes the trace
//!   settle     how the guest died, what was found, what that means
//!   write      the trace file
//! ```
//! A [`MachineRun`] is a machine on KVM (`kvm.rs`) or a simulated one (`simulated.rs`). What differs between them stands there: what
//! drives time, and how a death is told.
//!
//! # Invariants
//! - What was sampled before anything went wrong is in the report.
//! - A run whose trace file cannot be created is not begun.

use std::sync::Arc;

use super::allocator;
use super::attendance::Attendance;
use super::death::Death;
use super::dump::Dumper;
use super::flight::{self, Flight};
use super::recorded::{self, RecordingFile};
use super::report::{Look, Outcome, RunError, RunOptions, VariantReport};
use super::settle::{Circumstances, settle};
use super::trace::TraceFile;
use super::watcher::{Sampled, Spent, Watcher};
use umpire_machine::Written;
use umpire_rows::number::rounded;
use umpire_scenario::{Scenario, Tracing, Variant};
use umpire_shared::event::{Kind, WANTED_RECORDS};
use umpire_shared::roster::script_thread;
use umpire_watch::glass::{CpuSample, Glass, Identity, Kinds, Needs, Target};
use umpire_watch::monitor::{CpuReading, Judge};
use umpire_watch::probes::{self, ProbeBound, Recorded};
use umpire_watch::why::Why;

/// Writes from outside that a sentence names; all are in the report.
const TOLD_WRITES: usize = 4;

/// What a machine is to be built for.
#[derive(Debug, Clone, Copy)]
pub(super) struct RunSpec<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) variant: &'a Variant,
    /// The encoded program.
    pub(super) program: &'a [u8],
    /// Whether the kernel writes trace records.
    pub(super) tracing: Tracing,
}

impl RunSpec<'_> {
    /// Records that each CPU's ring is to have room for; 0 if nobody keeps any.
    pub(super) fn records(&self) -> u64 {
        match (self.tracing, self.variant.kept_records()) {
            (Tracing::Off, _) => 0,
            // Somebody reads them as they come, whatever the tunable says.
            (_, 0) => WANTED_RECORDS,
            (_, records) => records,
        }
    }

    /// Which machine that is.
    pub(super) fn identity(&self, seed: Option<u64>) -> Identity {
        let (scenario, variant) = (self.scenario.id.clone(), self.variant.name.clone());
        Identity { scenario, variant, seed, cpus: self.scenario.cpus }
    }
}

/// A machine that can be run once, from its first instruction to its end.
pub(super) trait MachineRun {
    /// What is looked at.
    fn target(&self) -> &dyn Target;

    /// Lets the guest run and `watcher` look at it, until the run is over. The guest has stopped when this comes back.
    ///
    /// # Errors
    /// [`RunError`] if the machine cannot be run at all.
    fn play(&mut self, watcher: Watcher<'_>) -> Result<Sampled, RunError>;

    /// What was written into it from outside, in order.
    fn writes(&self) -> Vec<Written>;

    /// How the guest died, if it did.
    fn death(&self, glass: &Glass) -> Option<Death>;
}

/// Runs a variant on the machine that `build` makes, to its end or until Ctrl-C; then `look` sees the machine as it stands.
///
/// # Errors
/// [`RunError`] if the trace file cannot be created, or the machine not be built or run. A guest that dies is a report, not an
/// error.
pub(super) fn run<S: MachineRun>(
    scenario: &Scenario,
    variant: &Variant,
    options: &RunOptions,
    build: impl FnOnce(&RunSpec<'_>) -> Result<S, RunError>,
    look: &mut Look<'_>,
) -> Result<VariantReport, RunError> {
    let trace_file = options.trace.as_deref().map(TraceFile::create).transpose()?;
    let recording = options.record.as_deref().map(RecordingFile::create).transpose()?;
    let flight = options.flight.as_deref().map(Flight::into).transpose()?;
    let probes = &scenario.probes;
    let wants_all = trace_file.is_some() || recording.is_some();
    let is_kept = wants_all || !probes.is_empty();
    let is_simulated = options.seed.is_some();
    let judged = Kinds::of(probes.iter().flat_map(ProbeBound::kinds));
    let keep = if wants_all { Kinds::ALL } else { judged };
    let tracing = match (is_kept, is_simulated) {
        (true, _) if keep.has(Kind::StrPut) => Tracing::On,
        (true, _) => Tracing::Kept,
        // A simulated machine has no rings: what it tells is held for good, so it tells only what is wanted.
        (false, true) if flight.is_some() => Tracing::Kept,
        (false, true) => Tracing::Off,
        (false, false) if variant.kept_records() == 0 => Tracing::Off,
        (false, false) => Tracing::Kept,
    };
    if !is_simulated && (is_kept || flight.is_some()) {
        allocator::settle();
    }
    let is_timed = probes.iter().any(ProbeBound::is_timed);
    let program = variant.program(scenario, tracing);
    let mut machine = build(&RunSpec { scenario, variant, program: &program, tracing })?;
    let glass = Arc::new(Glass::new(machine.target()));
    let host = machine.target().name().to_owned();
    let header = recorded::header(&scenario.id, &variant.name, options.seed, &host, scenario.cpus);
    let is_recorded = recording.is_some() || flight.is_some();
    let needs = if is_recorded { recorded::NEEDS } else { Needs::default() };
    let sampled = machine.play(Watcher {
        judge: Judge::new(Arc::clone(&glass), scenario.bounds.clone(), scenario.period_ns()).reading(needs),
        readings: vec![CpuReading::default(); scenario.cpus as usize],
        ran_at_ns: vec![0; scenario.cpus as usize],
        until: options.until_violated.then_some(variant),
        until_first: options.until_first_violation,
        is_drained: is_kept,
        keep,
        text: trace_file.map(TraceFile::begin).transpose()?,
        judged: (judged, Vec::new()),
        tape: recording.map(|file| file.begin(&header)).transpose()?,
        flight,
        breaks: Vec::new(),
        dumper: options.core.clone().map(Dumper::of),
        attendance: is_timed.then(|| Attendance::of(scenario.cpus, scenario.period_ns())),
    })?;

    let mut report = VariantReport::nothing(scenario, variant, options);
    let Spent { boot_ns, run_ns, exits, steal_ns, held_ns, interrupted, is_cut } = sampled.spent;
    (report.held_ns, report.writes, report.unreachable) = (held_ns, machine.writes(), sampled.unreachable);
    report.host_kvm = machine.target().name().to_owned();
    (report.boot_ns, report.run_ns, report.exits, report.steal_ns) = (boot_ns, run_ns, exits, steal_ns);
    (report.interrupted, report.is_cut) = (interrupted, is_cut);
    // A target that keeps no console leaves the report's empty.
    report.console = machine.target().console().unwrap_or_default();
    (report.nics, report.readers) = glass.network();
    let seen = sampled.judge.snapshot();
    let ran = |cpu: &CpuSample| Some((cpu.id, glass.thread_card(seen, cpu.thread)?));
    let names = if probes.is_empty() { Vec::new() } else { glass.thread_names() };
    let mut judged_records = sampled.judged;
    judged_records.extend(sampled.trace.records.iter().filter(|record| judged.has(record.kind)));
    judged_records.sort_by_key(|record| (record.time_ns, record.cpu));
    let recorded = Recorded {
        records: &judged_records,
        total: sampled.trace.total,
        lost: sampled.trace.lost,
        names: &names,
        end_ns: sampled.trace.last_ns,
        absences: &sampled.absences,
    };
    let circumstances = Circumstances {
        probes: probes.iter().map(|bound| probes::judge(bound, &recorded)).collect(),
        script: glass.script(),
        ran: seen.cpus.iter().filter_map(ran).collect(),
        script_at: Why::of(&glass, seen, script_thread(scenario.cpus, variant.roster_threads(scenario)))
            .predicate(),
        death: machine.death(&glass),
        planned_samples: scenario.run_ns * u64::from(scenario.sample_hz) / 1_000_000_000,
        planned_ns: scenario.run_ns,
        period_ns: scenario.period_ns(),
        cpus: u64::from(scenario.cpus),
        most_kept_ns: sampled.most_kept_ns,
        sampling_error: sampled.sampling_error,
        is_strict: options.is_strict,
    };
    let core = sampled.core;
    let symbols = machine.target().symbols().ok();
    settle(&mut report, variant, &sampled.judge, symbols.as_deref(), &circumstances);
    if options.seed.is_some() {
        report.pictures.iter_mut().for_each(|picture| picture.place(seen));
    }
    report.why.extend(told_outside(&report));
    match core {
        Some(Ok(path)) => report.core = Some(path.display().to_string()),
        Some(Err(why)) => {
            report.why.push(why);
            report.core_lost = true;
        }
        None => {}
    }
    if sampled.trace.lost > 0 && wants_all {
        let of = sampled.trace.lost_of.iter().enumerate().filter(|(_, lost)| **lost > 0);
        let of: Vec<String> = of.map(|(cpu, lost)| format!("{lost} of cpu {cpu}")).collect();
        report.why.push(format!(
            "the trace lacks {} events that came faster than they were read ({}); raise --sample-hz",
            sampled.trace.lost,
            of.join(", ")
        ));
    }
    if let Some(text) = sampled.text {
        text.end(&sampled.trace.records, &mut report);
    }
    if is_recorded {
        let threads = &recorded::threads(&glass, seen);
        let passed = recorded::passed(&sampled.judge.findings(), &sampled.breaks);
        if let Some(flight) = sampled.flight {
            let told = flight::Told { header: &header, threads, passed: passed.clone() };
            flight.end(&glass, &machine.target().identity(), told, &mut report);
        }
        if let Some(tape) = sampled.tape {
            let seen_of_it = recorded::Seen { threads, trace: &sampled.trace, passed };
            tape.end(&glass, &seen_of_it, &mut report);
        }
    }
    look(machine.target(), &report);
    Ok(report)
}

/// What was written, and when.
fn written(Written { what, old, new, at_ns, .. }: &Written) -> String {
    let at = at_ns.map(|ns| format!(" at {}", rounded(ns))).unwrap_or_default();
    format!("{what} {old:#x} -> {new:#x}{at}")
}

/// What somebody did to the machine from outside, which the verdict has to say.
fn told_outside(report: &VariantReport) -> Vec<String> {
    let mut told = Vec::new();
    let (few, rest) = report.writes.split_at(TOLD_WRITES.min(report.writes.len()));
    if !few.is_empty() {
        let each: Vec<String> = few.iter().map(written).collect();
        let more = if rest.is_empty() { String::new() } else { format!(", and {} more", rest.len()) };
        told.push(format!("the machine was written to from outside while it ran: {}{more}", each.join(", ")));
    }
    if report.held_ns > 0 {
        let held = rounded(report.held_ns);
        told.push(format!("the machine was held for {held}, which is charged to nobody"));
    }
    // One that is inconclusive for it has said so.
    if report.is_cut && report.outcome != Outcome::Inconclusive {
        told.push(format!("the run was ended from outside after {}", rounded(report.run_ns)));
    }
    told
}
