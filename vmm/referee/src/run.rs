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
use super::dump::{CoreOn, Dumped, Dumper};
use super::flight::{self, Flight};
use super::recorded::{self, RecordingFile, Tape};
use super::report::{Look, Outcome, RunError, RunOptions, VariantReport};
use super::session::verdicts;
use super::settle::{Circumstances, settle};
use super::trace::{TraceFile, TraceTape};
use umpire_machine::Written;
use umpire_rows::number::rounded;
use umpire_scenario::{Expect, Scenario, Tracing, Variant};
use umpire_shared::event::{Kind, WANTED_RECORDS};
use umpire_shared::roster::script_thread;
use umpire_watch::glass::{
    CpuClocks, CpuSample, Glass, Held, Identity, Kinds, Needs, Panic, Target, Trace, TraceRecord,
};
use umpire_watch::monitor::{CpuReading, Judge, MonitorKind, PassEnd};
use umpire_watch::probes::{self, Absences, ProbeBound, Recorded};
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

/// The moments of a run, one after the other, and what can be read at each.
pub(super) trait TimeSource {
    /// Lets time pass up to the next moment; false if the run is over instead.
    ///
    /// # Errors
    /// A sentence, if the run cannot be sampled any longer.
    fn advance(&mut self) -> Result<bool, String>;

    /// The moment, in ns since sampling began.
    fn now_ns(&self) -> u64;

    /// What the guest's own clock reads then, in ns after boot, if that is known.
    fn guest_now_ns(&self) -> Option<u64>;

    /// The CPUs' clocks.
    fn clocks(&self) -> &dyn CpuClocks;

    /// Takes the trace records that are new, if that cannot wait until the end.
    fn drain_trace(&mut self);

    /// The trace records that the guest holds now, by time. Nothing is taken by that.
    fn held_trace(&self) -> Held;

    /// Hands out the trace records that were taken; they are kept no longer.
    fn hand_out_trace(&mut self) -> Vec<TraceRecord>;

    /// The moment, in the guest's ns, before which all records have been handed out.
    fn handed_out_until_ns(&self) -> u64;

    /// What was written into the machine from outside, but for the first so many.
    fn writes_after(&self, count: usize) -> Vec<Written>;

    /// The judge has looked: tells who has asked what was found, and holds the machine where that was asked for.
    fn passed(&mut self, judge: &Judge, end: PassEnd);

    /// The run is over: tells so, and holds the machine if that was asked for.
    fn over(&mut self, judge: &Judge);

    /// What is looked at.
    fn target(&self) -> &dyn Target;

    /// True if the guest has died.
    fn has_died(&self) -> bool;

    /// How the guest panicked, if it did and its memory does not say so.
    fn panic(&self) -> Option<Panic>;

    /// What the guest has written to its console, as far as that can be had meanwhile.
    fn console(&self) -> String;

    /// What the run took so far.
    fn spent(&self) -> Spent;

    /// The trace records.
    fn into_trace(self) -> Trace;
}

/// What a run took.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Spent {
    /// From the start of the machine to the first thread of the scenario, in ns.
    pub(super) boot_ns: u64,
    /// How long it ran after that, in ns.
    pub(super) run_ns: u64,
    /// Exits to the VMM in that time.
    pub(super) exits: u64,
    /// What the host kept from the vCPUs in that time, summed, in ns.
    pub(super) steal_ns: u64,
    /// For how long it was held beside that, in ns.
    pub(super) held_ns: u64,
    /// Whether Ctrl-C ended it.
    pub(super) interrupted: bool,
    /// Whether an inspector or gdb ended it.
    pub(super) is_cut: bool,
}

/// What looks at a run.
#[derive(Debug)]
pub(super) struct Watcher<'a> {
    judge: Judge,
    readings: Vec<CpuReading>,
    /// When each vCPU's running time last grew.
    ran_at_ns: Vec<u64>,
    /// The variant, if its violation ends the run.
    until: Option<&'a Variant>,
    /// True if the first violation ends the run.
    until_first: bool,
    /// True if the rings are read as they are written.
    is_drained: bool,
    /// Writes the run's core, if one is wanted.
    dumper: Option<Dumper>,
    /// The probes whose records are wanted.
    keep: Kinds,
    /// What the host took, if a bound on records wants to know.
    attendance: Option<Attendance>,
    /// The recording that is being written, if one is.
    tape: Option<Tape>,
    /// The text of the records that is being written, if one is.
    text: Option<TraceTape>,
    /// Of the records that are written meanwhile, those that bounds judge when the run is over.
    judged: (Kinds, Vec<TraceRecord>),
    /// What becomes a recording of the time before a violation, if one does.
    flight: Option<Flight>,
    /// When a pass found a bound broken: its moment as the judge counts, and what the guest's clock read.
    breaks: Vec<(u64, u64)>,
}

/// What it brings back.
#[derive(Debug)]
pub(super) struct Sampled {
    judge: Judge,
    /// Why sampling ended early, if it did.
    sampling_error: Option<String>,
    pub(super) spent: Spent,
    /// The most that the host kept from one vCPU since that was started, in ns.
    most_kept_ns: u64,
    trace: Trace,
    absences: Absences,
    core: Option<Dumped>,
    /// Why nobody could look into it meanwhile, if that is so.
    pub(super) unreachable: Option<String>,
    tape: Option<Tape>,
    text: Option<TraceTape>,
    judged: Vec<TraceRecord>,
    flight: Option<Flight>,
    breaks: Vec<(u64, u64)>,
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

impl Watcher<'_> {
    /// The probes whose records are wanted.
    pub(super) fn keep(&self) -> Kinds {
        self.keep
    }

    /// True if it may have to write a core of the machine.
    pub(super) fn writes_a_core(&self) -> bool {
        self.dumper.is_some()
    }

    /// Looks at every moment of the run.
    pub(super) fn look_until_over(mut self, mut time: impl TimeSource) -> Sampled {
        let sampling_error = self.sample(&mut time).err();
        let spent = time.spent();
        let most_kept_ns = self.most_kept_ns(&time);
        let attendance = self.attendance.take();
        let absences = attendance.map(|seen| seen.end(time.clocks())).unwrap_or_default();
        let has_died = time.has_died();
        self.dump(if has_died { CoreOn::Panic } else { CoreOn::End }, &time);
        // A guest that has died has come to its end too, and violates what it was to keep.
        if has_died {
            self.dump(CoreOn::End, &time);
            self.dump(CoreOn::Violation, &time);
        }
        let core = self.dumper.take().and_then(|dumper| dumper.dumped);
        if let Some(flight) = self.flight.as_mut().filter(|_| has_died || spent.interrupted || spent.is_cut) {
            flight.take(|| time.held_trace(), self.judge.snapshot());
        }
        time.over(&self.judge);
        let trace = if self.is_drained { time.into_trace() } else { Trace::default() };
        let (judge, unreachable, breaks, tape) = (self.judge, None, self.breaks, self.tape);
        let (text, judged) = (self.text, self.judged.1);
        let flight = self.flight;
        Sampled {
            judge,
            sampling_error,
            spent,
            most_kept_ns,
            trace,
            absences,
            core,
            unreachable,
            tape,
            text,
            judged,
            flight,
            breaks,
        }
    }

    /// What the host kept from the vCPU that fared worst, with a wait that is not over, which the host has not told of yet.
    fn most_kept_ns(&self, time: &impl TimeSource) -> u64 {
        let (now_ns, clocks) = (time.now_ns(), time.clocks());
        let waits = |cpu: usize, since_ns: u64| {
            if clocks.is_ready(cpu) { now_ns.saturating_sub(since_ns) } else { 0 }
        };
        let kept = |(cpu, &since_ns): (usize, &u64)| clocks.steal_ns(cpu) + waits(cpu, since_ns);
        self.ran_at_ns.iter().enumerate().map(kept).max().unwrap_or(0)
    }

    /// Writes the run's core, if it is due.
    fn dump(&mut self, on: CoreOn, time: &impl TimeSource) {
        if let Some(dumper) = &mut self.dumper {
            let verdicts = || verdicts(&self.judge, time.now_ns());
            dumper.at(on, time.target(), verdicts, (time.console(), time.panic()));
        }
    }

    /// Looks, once more where the host kept the sampler from its look; false if it was kept from every one.
    fn look(&mut self, time: &impl TimeSource) -> Result<bool, String> {
        loop {
            let begun_ns = time.now_ns();
            self.read_clocks(time);
            let now_ns = time.now_ns();
            self.judge.look(&self.readings, now_ns).map_err(|e| format!("sampling ended: {e}"))?;
            if !self.judge.takes_back(time.now_ns().saturating_sub(begun_ns)) {
                return Ok(true);
            }
            if !self.judge.may_look_again() {
                return Ok(false);
            }
        }
    }

    fn read_clocks(&mut self, time: &impl TimeSource) {
        let (doubts, clocks) = (self.judge.doubts(), time.clocks());
        let guest_ns = time.guest_now_ns();
        for (cpu, reading) in self.readings.iter_mut().enumerate() {
            reading.guest_ns = guest_ns;
            let ran_ns = clocks.ran_ns(cpu);
            if ran_ns > reading.ran_ns {
                self.ran_at_ns[cpu] = time.now_ns();
            }
            reading.ran_ns = ran_ns;
            let is_doubted = doubts >> cpu & 1 == 1;
            reading.is_ready = is_doubted && clocks.is_ready(cpu);
            if is_doubted {
                reading.steal_ns = clocks.steal_ns(cpu);
            }
        }
    }

    /// Gives the records of a pass to who writes them, so that none is kept for the length of the run but what bounds judge.
    fn hand_on(&mut self, time: &mut impl TimeSource) {
        // What a flight recorder will look for stays where it is.
        if self.tape.is_none() && self.text.is_none() || self.flight.is_some() {
            return;
        }
        let records = time.hand_out_trace();
        let (kinds, judged) = &mut self.judged;
        judged.extend(records.iter().filter(|record| kinds.has(record.kind)));
        if let Some(text) = &mut self.text {
            text.take(&records, time.writes_after(text.writes()), time.handed_out_until_ns());
        }
        if let Some(tape) = &mut self.tape {
            tape.take(records);
        }
    }

    fn sample(&mut self, time: &mut impl TimeSource) -> Result<(), String> {
        while time.advance()? {
            if !self.look(time)? {
                continue;
            }
            let end = self.judge.judge();
            if self.is_drained {
                time.drain_trace();
            }
            self.hand_on(time);
            if let Some(at_ns) = time.guest_now_ns() {
                let seen = self.judge.snapshot();
                if let Some(tape) = &mut self.tape {
                    tape.sample(recorded::sample(seen, at_ns));
                }
                if let Some(flight) = &mut self.flight {
                    flight.pass(seen, at_ns);
                }
                if end == PassEnd::Violated {
                    self.breaks.push((seen.now_ns, at_ns));
                }
            }
            if let (Some(flight), PassEnd::Violated) = (&mut self.flight, end) {
                flight.take(|| time.held_trace(), self.judge.snapshot());
            }
            if let Some(attendance) = &mut self.attendance {
                attendance.look(time.now_ns(), time.guest_now_ns(), time.clocks());
            }
            if end == PassEnd::Violated {
                self.dump(CoreOn::Violation, time);
            }
            time.passed(&self.judge, end);
            let is_last =
                self.until_first || self.until.is_some_and(|v| nothing_else_is_to_come(v, &self.judge));
            if end == PassEnd::Violated && is_last {
                break;
            }
        }
        Ok(())
    }
}

/// True if only more of the same is left to be seen: every violation that the variant is about has happened, and neither an
/// event nor the guest's deadman is to be waited for.
fn nothing_else_is_to_come(variant: &Variant, judge: &Judge) -> bool {
    let has_all = match &*variant.violates {
        [] => MonitorKind::ALL.into_iter().any(|kind| judge.has_broken(kind)),
        named => named.iter().all(|&kind| judge.has_broken(kind)),
    };
    let awaits_nothing = variant.events.is_empty() && variant.guest_deadman.is_none();
    // What was recorded is judged when the run is over.
    variant.expect == Expect::Violated && variant.violates_probes.is_empty() && awaits_nothing && has_all
}
