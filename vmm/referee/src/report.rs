//! What a run of a variant came to, as data that tables and JSON show; how to run one, and why it could not be run.
//!
//! # Invariants
//! - An outcome is never better than what was seen: what could not be judged is inconclusive or an error.
//! - A report is data: nothing in it is rendered but the sentences that say what happened.
//! - A report is complete on its own: it names its scenario, its host and the command that repeats it.

use std::path::PathBuf;

use umpire_machine::{HostAbsence, Written};
use umpire_record::Latency;
use umpire_scenario::{Expect, Scenario, Variant};
use umpire_watch::glass::{NicSample, Picture, ReaderSample, Target};
use umpire_watch::why::Why;

use crate::dump::CoreWish;
use crate::session::Openness;

/// What a run showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observed {
    /// At least one bound was violated.
    Violated,
    /// Every bound held.
    Held,
    /// The guest panicked, or died in another way.
    Panic,
    /// Nothing that could be judged: the guest never came up, or nothing was sampled.
    Nothing,
}

impl Observed {
    /// Whether this is what was expected.
    pub fn meets(self, expect: Expect) -> bool {
        self.as_str() == expect.as_str()
    }

    /// The word for it in results.
    pub fn as_str(self) -> &'static str {
        match self {
            Observed::Violated => "violated",
            Observed::Held => "held",
            Observed::Panic => "panic",
            Observed::Nothing => "nothing",
        }
    }
}

/// What a run means for its variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// As expected.
    Pass,
    /// The host was too noisy, or the run too short, to say.
    Inconclusive,
    /// Not as expected.
    Fail,
    /// The guest died unexpectedly, or there was no run.
    Error,
}

impl Outcome {
    /// The word for it in results.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Pass => "pass",
            Outcome::Fail => "fail",
            Outcome::Inconclusive => "inconclusive",
            Outcome::Error => "error",
        }
    }
}

/// What came of one bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundReport {
    /// The monitor's name.
    pub monitor: String,
    /// The thread that came nearest to the limit, or passed it; none if the monitor watches no threads.
    pub thread: Option<String>,
    /// The limit, in ns.
    pub limit_ns: u64,
    /// The worst seen, in ns.
    pub worst_ns: u64,
    /// Whether the limit was kept.
    pub held: bool,
    /// From the moment that the limit was passed to the verdict, in ns; none if it was kept.
    pub detect_after_ns: Option<u64>,
    /// For how long there was something to judge, in ns of what the monitor charges with.
    pub judged_ns: u64,
    /// How many things there were to judge at once.
    pub judged_count: u64,
    /// Why it says nothing that the limit was kept, if that is so.
    pub unjudged: Option<String>,
    /// Why it says little that the limit was kept, if it is below what sampling can see.
    pub weak: Option<String>,
    /// Worst and limit of a bound that counts the guest's records; they are not in ns then.
    pub records: Option<CountReport>,
    /// What the verdict says of it, if it was broken: those of the report's sentences that are about this bound.
    pub says: Vec<String>,
}

/// What came of a bound that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountReport {
    /// The limit.
    pub limit: u64,
    /// The worst.
    pub worst: u64,
}

/// What came of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventReport {
    /// What it does, and to what, in words.
    pub event: String,
    /// When it was due, in ns after boot.
    pub at_ns: u64,
    /// When it began, in ns after boot; none if it did not.
    pub began_ns: Option<u64>,
    /// When it was finished, in ns after boot; none if it was not.
    pub ended_ns: Option<u64>,
    /// The result that was expected: a name of [`umpire_shared::errno`].
    pub expect: String,
    /// The result; none if it was not finished.
    pub result: Option<String>,
    /// Whether that is as expected, and in time; none if the run ended before that could be said.
    pub met: Option<bool>,
}

/// Why the threads that stood still did not run, when a bound was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StallReport {
    /// The monitor's name.
    pub monitor: String,
    /// An answer a thread, the one that the bound was broken for first.
    pub whys: Vec<Why>,
}

/// What came of one run of one variant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VariantReport {
    /// The scenario's ID.
    pub scenario: String,
    /// The variant's name.
    pub variant: String,
    /// What was expected.
    pub expect: Expect,
    /// What was observed.
    pub observed: Observed,
    /// What that means.
    pub outcome: Outcome,
    /// Every bound, in the order of the file.
    pub bounds: Vec<BoundReport>,
    /// Every event, by time.
    pub events: Vec<EventReport>,
    /// The packets of the devices that bring some.
    pub nics: Vec<NicSample>,
    /// The streams that packets go up.
    pub readers: Vec<ReaderSample>,
    /// Sampler passes.
    pub samples: u64,
    /// Reads that stayed torn after all retries.
    pub torn: u64,
    /// Exits to the VMM between the first and the last sample.
    pub exits: u64,
    /// Time in which vCPUs wanted to run and the host did not let them, summed, in ns.
    pub steal_ns: u64,
    /// From the start of the machine to the first thread of the scenario, in ns.
    pub boot_ns: u64,
    /// How long it ran after that, in ns.
    pub run_ns: u64,
    /// The kind of KVM ("vmx", "svm", "pvm"), or "sim".
    pub host_kvm: String,
    /// CPUs of the host.
    pub host_cpus: u32,
    /// The simulator's seed; none on KVM.
    pub seed: Option<u64>,
    /// Sentences: which thread starved which, an epitaph's text, why it failed or is inconclusive, the guest's deadman.
    pub why: Vec<String>,
    /// Pictures of the moment of each violation: the guilty CPU, stacks of the starved.
    pub pictures: Vec<Picture>,
    /// For each bound that was broken, why the threads that stood still did not run at that moment.
    pub stalled: Vec<StallReport>,
    /// What the guest wrote to its console.
    pub console: String,
    /// What was written into the machine from outside, in order.
    pub writes: Vec<Written>,
    /// For how long the machine was held, which is no part of `run_ns` and charged to nobody, in ns.
    pub held_ns: u64,
    /// The core that was written of it.
    pub core: Option<String>,
    /// Whether a core could not be written that was due; its sentence is in `why`.
    pub core_lost: bool,
    /// How long threads and classes waited, if somebody wanted to know.
    pub latencies: Vec<Latency>,
    /// The recording of the time before its first violation, if one was written.
    pub flight: Option<String>,
    /// Why nobody could look into the run meanwhile, if that was wanted.
    pub unreachable: Option<String>,
    /// The one command line that repeats it.
    pub repeat: String,
    /// Whether Ctrl-C ended it early; then it is what was seen until then.
    pub interrupted: bool,
    /// Whether an inspector or gdb ended it early; then it is what was seen until then.
    pub is_cut: bool,
    /// Whether the trace of it could not be written; then the outcome is an error of the set-up, not of the guest.
    pub trace_lost: bool,
}

impl VariantReport {
    /// True if it ended before its time by somebody's wish: it is what was seen until then.
    pub fn was_ended_early(&self) -> bool {
        self.interrupted || self.is_cut
    }

    /// The report of a run that has shown nothing yet, for a runner to fill in or an error to be put in.
    pub fn nothing(scenario: &Scenario, variant: &Variant, options: &RunOptions) -> VariantReport {
        VariantReport {
            scenario: scenario.id.clone(),
            variant: variant.name.clone(),
            expect: variant.expect,
            observed: Observed::Nothing,
            outcome: Outcome::Error,
            bounds: Vec::new(),
            events: Vec::new(),
            nics: Vec::new(),
            readers: Vec::new(),
            samples: 0,
            torn: 0,
            exits: 0,
            steal_ns: 0,
            boot_ns: 0,
            run_ns: 0,
            host_kvm: "unknown".to_owned(),
            host_cpus: std::thread::available_parallelism().map_or(1, |n| n.get() as u32),
            seed: options.seed,
            why: Vec::new(),
            pictures: Vec::new(),
            stalled: Vec::new(),
            console: String::new(),
            writes: Vec::new(),
            held_ns: 0,
            core: None,
            core_lost: false,
            latencies: Vec::new(),
            flight: None,
            unreachable: None,
            repeat: options.repeat.clone(),
            interrupted: false,
            is_cut: false,
            trace_lost: false,
        }
    }
}

/// How to run a variant, beside what the scenario says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunOptions {
    /// The simulator's seed; none on KVM.
    pub seed: Option<u64>,
    /// Where to write a trace of the run, if anywhere.
    pub trace: Option<PathBuf>,
    /// Where to write a recording of the run, if anywhere.
    pub record: Option<PathBuf>,
    /// Into which directory what the rings held is written when a bound is broken, the guest dies or the run is ended; if anywhere.
    pub flight: Option<PathBuf>,
    /// True if a run ends with the violation that its variant is about, where nothing else is to be waited for.
    pub until_violated: bool,
    /// How often the host is to take a vCPU off on purpose; `None`: never. For tests of what a host can do to a verdict.
    pub absence: Option<HostAbsence>,
    /// What draws the moments for that on KVM; the simulator's seed draws its own.
    pub absence_seed: u64,
    /// True if a bound that judged nothing is a failure.
    pub is_strict: bool,
    /// True if a run ends with the first violation, whatever else was to come.
    pub until_first_violation: bool,
    /// The core that is to be written, if any.
    pub core: Option<CoreWish>,
    /// How it is open to others while it lasts; a simulated one is not.
    pub openness: Openness,
    /// The command line that repeats this run, for the report.
    pub repeat: String,
}

/// Why a variant could not be run at all. Whatever was sampled before a guest died is a report, not an error.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The machine, real or simulated, could not be set up.
    #[error("cannot set up the machine: {0}")]
    SetUp(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The guest image cannot be looked into.
    #[error("cannot look into the guest: {0}")]
    Glass(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The trace could not be written.
    #[error("cannot write the trace to {}: {cause}; give --trace a path that can be written", path.display())]
    Trace {
        /// Where it should have gone.
        path: PathBuf,
        /// What the operating system said.
        cause: std::io::Error,
    },
    /// The recording could not be written.
    #[error("cannot write the recording to {}: {cause}; give --record a path that can be written", path.display())]
    Record {
        /// Where it should have gone.
        path: PathBuf,
        /// What the operating system said.
        cause: std::io::Error,
    },
    /// What the rings hold could not be written.
    #[error("cannot write a recording into {}: {cause}; give --flight a folder that can be written", path.display())]
    Flight {
        /// Where it should have gone.
        path: PathBuf,
        /// What the operating system said.
        cause: std::io::Error,
    },
    /// What was asked for is not there in this build.
    #[error("cannot do this: {0}")]
    Unsupported(String),
}

/// Runs one variant to its end, or until Ctrl-C, and reports.
pub type Runner<'a> = dyn FnMut(&Scenario, &Variant, &RunOptions) -> Result<VariantReport, RunError> + 'a;

/// Looks at the machine of a run when it has stopped, and before it goes away.
pub type Look<'l> = dyn FnMut(&dyn Target, &VariantReport) + 'l;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expect_is_met_only_by_its_own_observation() {
        let all = [Observed::Violated, Observed::Held, Observed::Panic, Observed::Nothing];
        for expect in [Expect::Violated, Expect::Held, Expect::Panic] {
            assert_eq!(all.iter().filter(|o| o.meets(expect)).count(), 1);
        }
    }
}
