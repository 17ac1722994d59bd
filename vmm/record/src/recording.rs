//! A recording in memory.
//!
//! # Invariants
//! - Records are in the order of their times, those of one moment in the order of their CPUs.
//! - A thread that the roster does not name is shown by its number.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use umpire_shared::event;
use umpire_watch::glass::TraceRecord;

/// What a run said of itself while it ran.
#[derive(Debug, Clone, Default)]
pub struct Recording {
    /// What was run.
    pub header: Header,
    /// The guest's threads.
    pub threads: Vec<Thread>,
    /// What its probes wrote.
    pub records: Vec<TraceRecord>,
    /// What the sampler saw, by time.
    pub samples: Vec<Sample>,
    /// What the places are called that threads slept on, as `sleep` records have them.
    pub objects: Vec<(u32, String)>,
    /// How it ended; none if the file ends sooner.
    pub ending: Option<Ending>,
    /// Why the rest of the file could not be read, if there is one.
    pub damage: Option<String>,
}

/// One of what a recording has by time.
#[derive(Debug, Clone, Copy)]
pub enum Seen<'s> {
    /// What a probe wrote.
    Record(&'s TraceRecord),
    /// What the sampler saw.
    Sample(&'s Sample),
}

/// What was run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The version of Umpire that wrote the file.
    pub umpire: String,
    /// The scenario's ID.
    pub scenario: String,
    /// The variant's name.
    pub variant: String,
    /// The simulator's seed; none on KVM.
    pub seed: Option<u64>,
    /// The kind of KVM, or `sim`.
    pub host: String,
    /// CPUs of the guest.
    pub cpus: u32,
    /// From when on the records of every CPU are there, in ns after boot: of what rings hold that nobody drained. Before it there is no more
    /// than how threads that still wait began to.
    #[serde(default)]
    pub whole_from_ns: u64,
}

/// A thread of the guest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thread {
    /// Its number, `t_did`.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Its class, like `TS`.
    pub class: String,
    /// The CPU that it is bound to.
    pub bound_cpu: Option<u32>,
    /// True if it is what a CPU runs when it has nothing to run.
    pub is_idle: bool,
    /// True if it has an LWP, and so a user mode.
    #[serde(default)]
    pub has_lwp: bool,
}

/// The run queues, as one pass of the sampler saw them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// The guest's clock, in ns after boot.
    pub at_ns: u64,
    /// The CPUs' queues, by number.
    pub cpus: Vec<QueueState>,
    /// The kp queues, the default partition's first.
    pub kps: Vec<QueueState>,
    /// What the CPUs ran, by number.
    #[serde(default)]
    pub stands: Vec<StandState>,
    /// `kpreemptpri` in force.
    #[serde(default)]
    pub kpreemptpri: Option<i32>,
}

/// What a CPU ran.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandState {
    /// The thread that runs, unless that is an interrupt thread on top of it: then the one that it interrupted.
    pub thread: Option<u64>,
    /// `cpu_dispatch_pri`: the priority of what the dispatcher chose, -1 for the idle thread.
    pub dispatch_pri: i16,
    /// The level of the interrupt that it handles.
    pub handles: Option<u8>,
    /// `t_preempt` of what runs.
    pub preempt: u8,
    /// True if what runs is in user mode.
    pub is_user: bool,
    /// How long the host has run the vCPU, in ns.
    pub ran_ns: u64,
}

/// A run queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueState {
    /// `disp_nrunnable`: threads on it.
    pub nrunnable: u32,
    /// `disp_maxrunpri`: its best level, -1 if it is empty.
    pub maxrunpri: i16,
    /// True if it could be read consistently.
    pub is_trusted: bool,
}

/// How a run ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// What was observed, and what that means.
    pub observed: String,
    /// `pass`, `fail`, `inconclusive` or `error`.
    pub outcome: String,
    /// The bounds that were broken.
    pub breaches: Vec<Breach>,
    /// What the referee said.
    pub why: Vec<String>,
    /// Records that came faster than they were read.
    pub lost: u64,
    /// Of these the ones of each CPU, by number; nothing if none were.
    #[serde(default)]
    pub lost_of: Vec<u64>,
    /// Between which records of its CPU each of them was lost.
    #[serde(default)]
    pub gaps: Vec<Gap>,
    /// ns in which vCPUs wanted to run and the host did not let them.
    pub steal_ns: u64,
}

/// A time of which records of a CPU are not there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The CPU.
    pub cpu: u32,
    /// The record before it, in ns after boot; 0 if there is none.
    pub from_ns: u64,
    /// The record after it.
    pub to_ns: u64,
}

/// A bound that was broken.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breach {
    /// The monitor.
    pub monitor: String,
    /// The thread, if it is one's.
    pub thread: Option<String>,
    /// The limit, in ns or in records.
    pub limit: u64,
    /// The worst, in the same unit.
    pub worst: u64,
    /// True if limit and worst are numbers of records.
    #[serde(default)]
    pub is_count: bool,
    /// When the limit was passed, in ns after boot, if the judge could tell.
    #[serde(default)]
    pub passed_ns: Option<u64>,
    /// What the verdict says of it; nothing in a recording of an older Umpire.
    #[serde(default)]
    pub says: Vec<String>,
}

impl Recording {
    /// The thread of this number, if the roster has it.
    pub fn thread(&self, id: u64) -> Option<&Thread> {
        // Numbers are places in the roster as it is written; a roster from elsewhere is searched.
        let at_its_place = usize::try_from(id).ok().and_then(|n| self.threads.get(n));
        at_its_place.filter(|t| t.id == id).or_else(|| self.threads.iter().find(|t| t.id == id))
    }

    /// The same with no other records and samples than those of an interval, in ns after boot.
    pub fn within(&self, interval: &RangeInclusive<u64>) -> Recording {
        Recording {
            header: self.header.clone(),
            threads: self.threads.clone(),
            records: self
                .records
                .iter()
                .filter(|record| interval.contains(&record.time_ns))
                .copied()
                .collect(),
            samples: self.samples.iter().filter(|sample| interval.contains(&sample.at_ns)).cloned().collect(),
            objects: self.objects.clone(),
            ending: self.ending.clone(),
            damage: self.damage.clone(),
        }
    }

    /// True if it tells what threads there were, and what the sampler saw of the CPUs, if it saw anything.
    pub(crate) fn tells_stands(&self) -> bool {
        !self.threads.is_empty() && (!self.samples.is_empty() || self.ending.is_some())
    }

    /// Shows its records and samples by time, of one moment samples first.
    pub fn each(&self, mut see: impl FnMut(Seen<'_>)) {
        let mut samples = self.samples.iter().peekable();
        for record in &self.records {
            while let Some(sample) = samples.next_if(|sample| sample.at_ns <= record.time_ns) {
                see(Seen::Sample(sample));
            }
            see(Seen::Record(record));
        }
        samples.for_each(|sample| see(Seen::Sample(sample)));
    }

    /// What to call the thread of this number.
    pub fn name(&self, id: u64) -> String {
        match self.thread(id) {
            Some(thread) if !thread.name.is_empty() => thread.name.clone(),
            _ => format!("t{id}"),
        }
    }

    /// What a thread sleeps on that a `sleep` record has told: `mutex 3`.
    pub fn object(&self, on: u64) -> String {
        let (kind, _, place) = event::sleep_of(on);
        let found = self.objects.iter().find(|(known, _)| *known == place);
        let kind = || event::SLEEP_KINDS.get(usize::from(kind)).copied().unwrap_or("something");
        found.map_or_else(|| format!("a {}", kind()), |(_, name)| name.clone())
    }

    /// What the run had and the recording has not, in a sentence each; nothing if it is whole.
    pub fn lacks(&self) -> Vec<String> {
        let mut lacks: Vec<String> = self.damage.iter().cloned().collect();
        if self.damage.is_none() && self.ending.is_none() {
            lacks.push("it ends before the run did".to_owned());
        }
        if let Some(ending) = self.ending.as_ref().filter(|ending| ending.lost > 0) {
            let of = ending.lost_of.iter().enumerate().filter(|(_, lost)| **lost > 0);
            let of: Vec<String> = of.map(|(cpu, lost)| format!("{lost} of cpu {cpu}")).collect();
            let of = if of.is_empty() { String::new() } else { format!(" ({})", of.join(", ")) };
            lacks.push(format!(
                "{} events{of} came faster than they were read, and are not there: of waits that last into such a time nothing is told",
                ending.lost
            ));
        }
        if self.header.whole_from_ns > 0 {
            lacks.push(format!(
                "it is what rings held: whole from {} on, and before that no more than how threads that still waited began to",
                umpire_rows::number::rounded(self.header.whole_from_ns)
            ));
        }
        lacks
    }

    /// From when to when everything is known that the guest did, in ns after boot: from the first record on, or from where those of all CPUs
    /// are there, to the last; 0 of none.
    pub fn interval(&self) -> (u64, u64) {
        let ends = |record: Option<&TraceRecord>| record.map_or(0, |record| record.time_ns);
        let (first, last) = (ends(self.records.first()), ends(self.records.last()));
        (first.max(self.header.whole_from_ns).min(last), last)
    }
}
