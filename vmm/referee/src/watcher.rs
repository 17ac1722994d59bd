//! What looks at a run: at every moment that the machine's time source gives it reads the clocks, has the judge look, hands on the
//! trace, and dumps what is to be dumped.
//!
//! # Invariants
//! - A look that the host interrupted between clocks and memory is taken back, and made once more.
//! - What was seen before anything went wrong is handed back.

use super::attendance::Attendance;
use super::dump::{CoreOn, Dumped, Dumper};
use super::flight::Flight;
use super::recorded::{self, Tape};
use super::session::verdicts;
use super::trace::TraceTape;
use umpire_machine::{VcpuState, Written};
use umpire_scenario::{Expect, Variant};
use umpire_watch::glass::{CpuClocks, Held, Kinds, Panic, Target, Trace, TraceRecord};
use umpire_watch::monitor::{CpuReading, Judge, MonitorKind, PassEnd};
use umpire_watch::probes::Absences;

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
    pub(super) judge: Judge,
    pub(super) readings: Vec<CpuReading>,
    /// When each vCPU's running time last grew.
    pub(super) ran_at_ns: Vec<u64>,
    /// The variant, if its violation ends the run.
    pub(super) until: Option<&'a Variant>,
    /// True if the first violation ends the run.
    pub(super) until_first: bool,
    /// True if the rings are read as they are written.
    pub(super) is_drained: bool,
    /// Writes the run's core, if one is wanted.
    pub(super) dumper: Option<Dumper>,
    /// The probes whose records are wanted.
    pub(super) keep: Kinds,
    /// What the host took, if a bound on records wants to know.
    pub(super) attendance: Option<Attendance>,
    /// The recording that is being written, if one is.
    pub(super) tape: Option<Tape>,
    /// The text of the records that is being written, if one is.
    pub(super) text: Option<TraceTape>,
    /// Of the records that are written meanwhile, those that bounds judge when the run is over.
    pub(super) judged: (Kinds, Vec<TraceRecord>),
    /// What becomes a recording of the time before a violation, if one does.
    pub(super) flight: Option<Flight>,
    /// When a pass found a bound broken: its moment as the judge counts, and what the guest's clock read.
    pub(super) breaks: Vec<(u64, u64)>,
}

/// What it brings back.
#[derive(Debug)]
pub(super) struct Sampled {
    pub(super) judge: Judge,
    /// Why sampling ended early, if it did.
    pub(super) sampling_error: Option<String>,
    pub(super) spent: Spent,
    /// The most that the host kept from one vCPU since that was started, in ns.
    pub(super) most_kept_ns: u64,
    pub(super) trace: Trace,
    pub(super) absences: Absences,
    pub(super) core: Option<Dumped>,
    /// Why nobody could look into it meanwhile, if that is so.
    pub(super) unreachable: Option<String>,
    pub(super) tape: Option<Tape>,
    pub(super) text: Option<TraceTape>,
    pub(super) judged: Vec<TraceRecord>,
    pub(super) flight: Option<Flight>,
    pub(super) breaks: Vec<(u64, u64)>,
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
            if clocks.state(cpu).is_ready { now_ns.saturating_sub(since_ns) } else { 0 }
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
            let state = if is_doubted { clocks.state(cpu) } else { VcpuState::default() };
            (reading.is_ready, reading.host_cpu) = (state.is_ready, state.host_cpu);
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
                let cpus = &self.judge.snapshot().cpus;
                attendance.look(time.now_ns(), time.guest_now_ns(), time.clocks(), cpus);
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
