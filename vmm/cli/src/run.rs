//! `umpire run`: scenarios, one variant after the other, printed as they come.
//!
//! # Invariants
//! - An error in the middle loses nothing: what came before it is printed, and what follows it still runs.
//! - What a variant expects is never changed by the command line.
//! - The exit code is the worst of all runs and errors.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use super::Backends;
use super::args::{Hold, RunArgs};
use super::exit::Exit;
use super::recorded::latency;
use super::streams::Streams;
use crate::confine;
use crate::load::{input, once};
use crate::misfit::misfit;
use crate::plan::{Plan, core, overrides, plan};
use crate::repeat::Repeats;
use crate::report::Reports;
use crate::shell::shell;
use crate::verdict::{self, Verdict};
use umpire_machine::{HostAbsence, signals};
use umpire_referee::{HoldAt, Openness, Outcome, RunOptions, Runner, TRACE_TO_STDOUT, Tell, VariantReport};
use umpire_rows::number::exact;
use umpire_rows::{Table, json, text};
use umpire_scenario::{Scenario, Variant};

/// Seeds that a sweep names when they did not pass.
const SEEDS_NAMED: usize = 10;

/// Runs what the arguments ask for.
pub(super) fn run(args: &RunArgs, backends: Backends<'_>, streams: &mut Streams<'_>) -> io::Result<Exit> {
    if let Err(message) = once(&args.scenarios) {
        streams.say(&format!("umpire: {message}"));
        return Ok(Exit::Usage);
    }
    let Plan { scenarios: plan, refused, exit } = plan(args, streams);
    let runs: usize = plan.iter().map(|scenario| scenario.variants.len()).sum();
    if let Some(message) = misfit(args, &plan, runs) {
        streams.say(&format!("umpire: {message}"));
        return Ok(Exit::Usage);
    }
    let reports = match Reports::of(args) {
        Ok(reports) => reports,
        Err(message) => {
            streams.say(&format!("umpire: {message}"));
            return Ok(Exit::Usage);
        }
    };
    let leaves_stdout = args.trace.as_deref() == Some(Path::new(TRACE_TO_STDOUT));
    if leaves_stdout {
        streams.leave_stdout();
    }
    let goes_nowhere = leaves_stdout && streams.is_quiet();
    let has_place = !args.json && !goes_nowhere;
    let names = plan.iter().flat_map(|s| s.variants.iter().map(|v| (s.id.as_str(), v.name.as_str())));
    let table = verdict::table(names);
    let scratch = args.latency.then(tempfile::tempdir).transpose()?;
    streams.detail(confine::told);
    let mut runner = if args.sim { backends.sim } else { backends.kvm };
    let mut session = Session {
        args,
        table,
        streams,
        exit,
        spreads: String::new(),
        has_place,
        reports,
        tally: Tally { planned: runs, ..Tally::default() },
        scratch,
    };
    for scenario in &plan {
        session.scenario(scenario, &mut *runner)?;
        if session.exit.is_interrupted() {
            break;
        }
    }
    session.summary();
    session.leave_reports(&plan, &refused);
    Ok(session.exit)
}

/// How a run went, beside what it found.
fn how(report: &VariantReport) -> String {
    let (boot, ran, steal) = (exact(report.boot_ns), exact(report.run_ns), exact(report.steal_ns));
    format!(
        "{} {}: booted in {boot}, ran for {ran} on {}; {} passes, {} reads of queues not consistent, {} exits, kept waiting for {steal}",
        report.scenario, report.variant, report.host_kvm, report.samples, report.torn, report.exits
    )
}

/// What to do after a variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Go on with the next one.
    Variant,
    /// Leave the rest of the scenario out.
    Stop,
}

/// What happened so far, for the summary.
#[derive(Debug, Default)]
struct Tally {
    planned: usize,
    done: usize,
    passed: usize,
    inconclusive: usize,
    last_error: Option<String>,
}

struct Session<'r, 's> {
    args: &'r RunArgs,
    table: Table<Verdict>,
    streams: &'r mut Streams<'s>,
    exit: Exit,
    /// What is to be said of several runs of a scenario's variants.
    spreads: String,
    /// Whether sentences and pictures have a place among the data: not in JSON, nor where the data go nowhere.
    has_place: bool,
    reports: Reports,
    tally: Tally,
    /// Where runs are recorded that nobody wants a recording of, to tell their latencies.
    scratch: Option<TempDir>,
}

impl Session<'_, '_> {
    /// Runs every variant of a scenario: rows as they come, then what there is to say about them.
    fn scenario(&mut self, scenario: &Scenario, runner: &mut Runner<'_>) -> io::Result<()> {
        let (count, time) = (scenario.variants.len(), exact(scenario.run_ns));
        let variants = if count == 1 { "variant" } else { "variants" };
        self.streams.narrate(&format!("{}: {} ({count} {variants} of {time})", scenario.id, scenario.title));
        if !self.args.json {
            let header = text::header(&self.table, self.streams.width);
            self.streams.line(&header)?;
        }
        let mut details = String::new();
        self.spreads.clear();
        for variant in &scenario.variants {
            let (report, next) = self.variant(scenario, variant, runner)?;
            // Where there is no place for sentences and pictures a failure's go to stderr.
            if self.has_place || report.outcome != Outcome::Pass {
                details += &verdict::details(&report);
            }
            if self.has_place && !report.latencies.is_empty() {
                details += &format!("  latencies of {}:\n{}", variant.name, latency::told(&report.latencies));
            }
            if next == Next::Stop {
                break;
            }
        }
        match self.has_place {
            true => self.streams.line(&format!("{}{details}", self.spreads))?,
            false if !details.is_empty() => self.streams.say_styled(&details),
            false => {}
        }
        Ok(())
    }

    /// Runs a variant under each seed or as often as asked, prints it, and returns the report that stands for all, and whether
    /// there is any use in going on with the scenario.
    fn variant(
        &mut self,
        scenario: &Scenario,
        variant: &Variant,
        runner: &mut Runner<'_>,
    ) -> io::Result<(VariantReport, Next)> {
        let (mut sweep, mut repeats) = (Sweep::default(), Repeats::default());
        let runs = if self.args.sim { self.args.seeds } else { self.args.repeat };
        let (mut next, mut failed) = (Next::Variant, false);
        for n in 0..runs {
            let number = self.tally.done + 1;
            let planned = self.tally.planned;
            // What is told of a hold must not stand behind a progress line.
            let is_shown = self.args.hold.is_none();
            let streams = &mut *self.streams;
            streams.progress_if(
                is_shown,
                &format!("running {} {} ({number} of {planned})", scenario.id, variant.name),
            );
            let run = (runs > 1).then(|| match self.args.sim {
                true => format!("seed {}", self.args.seed + n),
                false => format!("run {}", n + 1),
            });
            let (name, recording) = self.reports.name(&scenario.id, &variant.name, run.as_deref());
            let mut options = self.options(scenario, variant, self.args.seed + n);
            options.record = options
                .record
                .or(recording)
                .or_else(|| self.scratch.as_ref().map(|dir| dir.path().join("recording")));
            let report = match runner(scenario, variant, &options) {
                Ok(mut report) => {
                    if self.args.latency
                        && !report.trace_lost
                        && let Some(path) = &options.record
                    {
                        match latency::of_file(path) {
                            Ok(rows) => report.latencies = rows,
                            Err(why) => report.why.push(why),
                        }
                    }
                    self.exit = self.exit.worse(Exit::of(&report));
                    report
                }
                Err(e) => {
                    let (report, stop) =
                        self.error(e.to_string(), VariantReport::nothing(scenario, variant, &options));
                    next = stop;
                    failed = true;
                    report
                }
            };
            self.streams.detail(|| how(&report));
            if let Some(core) = &report.core {
                self.streams.narrate(&format!("{core}: a core of it; umpire mdb {}", shell(core)));
            }
            if let Some(flight) = &report.flight {
                self.streams.narrate(&format!("{flight}: the time before it; umpire why {}", shell(flight)));
            }
            if let Err(message) = self.reports.add(name, run.as_deref(), &report) {
                self.streams.say(&format!("umpire: {message}"));
                self.exit = self.exit.worse(Exit::Usage);
            }
            // One that came when the machine was gone counts as well.
            if signals::interrupted() {
                self.exit = self.exit.worse(Exit::interrupted());
                next = Next::Stop;
            }
            if let Some(why) = &report.unreachable {
                self.streams.narrate(&format!("umpire: {why}"));
            }
            let verdict = Verdict { report, seeds: None };
            if self.args.json {
                self.streams.line(&json::line(&self.table, &verdict))?;
            }
            if verdict.report.interrupted {
                next = Next::Stop;
            }
            repeats.add(&verdict.report);
            sweep.add(verdict.report);
            if failed || next == Next::Stop {
                break;
            }
        }
        if self.args.repeat > 1 && self.args.json {
            self.streams.line(&json::line(&Repeats::table(), &repeats))?;
        } else if self.args.repeat > 1 {
            self.spreads += &repeats.told();
        }
        let verdict = sweep.end();
        self.count(&verdict.report);
        if !self.args.json {
            let row = text::row(&self.table, self.streams.width, &verdict);
            self.streams.line(&row)?;
        }
        Ok((verdict.report, next))
    }

    fn options(&self, scenario: &Scenario, variant: &Variant, seed: u64) -> RunOptions {
        let absence_seed = seed;
        let seed = self.args.sim.then_some(seed);
        let mut repeat = format!("umpire run {} --variant {}", shell(&scenario.origin), shell(&variant.name));
        repeat += &overrides(self.args).arguments();
        if let Some(seed) = seed {
            repeat += &format!(" --sim --seed {seed}");
        }
        let until_violated = self.args.until_violated;
        if until_violated {
            repeat += " --until-violated";
        }
        let absence = self.args.host_absence;
        if let Some(HostAbsence { every_ns, most_ns }) = absence {
            repeat += &format!(" --host-absence {}:{}", exact(every_ns), exact(most_ns));
        }
        let is_strict = self.args.strict;
        if is_strict {
            repeat += " --strict";
        }
        repeat += &input(&scenario.origin);
        RunOptions {
            seed,
            trace: self.args.trace.clone(),
            record: self.args.record.clone(),
            flight: self.args.flight.clone(),
            until_violated,
            until_first_violation: false,
            absence,
            absence_seed,
            is_strict,
            core: core(self.args).ok().flatten(),
            openness: Openness {
                is_exposed: !self.args.sim,
                hold: self.args.hold.map(|hold| match hold {
                    Hold::Start => HoldAt::Start,
                    Hold::Violation => HoldAt::Violation,
                    Hold::End => HoldAt::End,
                }),
                gdb: self.args.gdb.clone(),
                tell: (!self.streams.is_quiet())
                    .then(|| -> Tell { Arc::new(|text| eprintln!("umpire: {text}")) }),
            },
            repeat,
        }
    }

    /// A run that could not be. What stopped it twice in a row would stop the next variant as well.
    fn error(&mut self, message: String, nothing: VariantReport) -> (VariantReport, Next) {
        self.exit = self.exit.worse(Exit::Usage);
        let again = self.tally.last_error.as_ref() == Some(&message);
        if again {
            return (nothing, Next::Stop);
        }
        self.streams.say(&format!("umpire: {} {}: {message}", nothing.scenario, nothing.variant));
        self.tally.last_error = Some(message.clone());
        (VariantReport { why: vec![message], ..nothing }, Next::Variant)
    }

    fn count(&mut self, report: &VariantReport) {
        self.tally.done += 1;
        match report.outcome {
            Outcome::Pass => self.tally.passed += 1,
            Outcome::Inconclusive => self.tally.inconclusive += 1,
            Outcome::Fail | Outcome::Error => {}
        }
    }

    /// Writes what was asked for beside the table: also of what could not be run, or was not run any more.
    fn leave_reports(&mut self, plan: &[Scenario], refused: &[(String, String)]) {
        for (word, why) in refused {
            self.reports.add_missing(word, why);
        }
        let why = if self.exit.is_interrupted() {
            "interrupted"
        } else {
            "what stopped the run before stopped it too"
        };
        for (scenario, variant) in plan.iter().flat_map(|s| s.variants.iter().map(move |v| (s, v))) {
            if !self.reports.has(&scenario.id, &variant.name) {
                self.reports.add_missing(&format!("{} {}", scenario.id, variant.name), why);
            }
        }
        match std::mem::take(&mut self.reports).end() {
            Ok(written) => {
                written.iter().for_each(|path| self.streams.narrate(&format!("{}", path.display())))
            }
            Err(message) => {
                self.streams.say(&format!("umpire: {message}"));
                self.exit = self.exit.worse(Exit::Usage);
            }
        }
    }

    fn summary(&mut self) {
        let Tally { planned, done, passed, inconclusive, .. } = self.tally;
        if planned == 0 {
            return;
        }
        let mut text = format!("{passed} of {planned} variants as expected");
        if inconclusive > 0 {
            text += &format!(", {inconclusive} inconclusive");
        }
        if done < planned {
            text += &format!(", {} not run", planned - done);
        }
        if self.exit.is_interrupted() {
            text += "; interrupted";
        }
        self.streams.remark(&text);
    }
}

/// The reports of one variant under several seeds.
#[derive(Debug, Default)]
struct Sweep {
    runs: usize,
    worst: Option<VariantReport>,
    failed: Vec<u64>,
    passed: usize,
}

impl Sweep {
    fn add(&mut self, report: VariantReport) {
        self.runs += 1;
        match report.outcome {
            Outcome::Pass => self.passed += 1,
            _ => self.failed.extend(report.seed),
        }
        if self.worst.as_ref().is_none_or(|worst| report.outcome > worst.outcome) {
            self.worst = Some(report);
        }
    }

    /// The first of the worst reports, which stands for all.
    fn end(self) -> Verdict {
        let mut report = self.worst.expect("invariant: a variant runs under at least one seed");
        if self.runs == 1 {
            return Verdict { report, seeds: None };
        }
        if !self.failed.is_empty() {
            let named: Vec<String> = self.failed.iter().take(SEEDS_NAMED).map(u64::to_string).collect();
            let more = if self.failed.len() > SEEDS_NAMED { ", ..." } else { "" };
            report.why.push(format!(
                "{} of {} seeds passed; these did not: {}{more}",
                self.passed,
                self.runs,
                named.join(", ")
            ));
        }
        Verdict { report, seeds: Some((self.passed, self.runs)) }
    }
}
