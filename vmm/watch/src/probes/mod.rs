//! Bounds on what the guest's probes recorded: how often, how far apart, what follows what, and in which order.
//!
//! A monitor looks at the guest now and then; a probe's record is there for each time that something happened. These bounds are
//! judged when the run is over, over the records of all CPUs in the order of their times.
//!
//! | file | what |
//! |---|---|
//! | `filter.rs`, `fields.rs` | which records are meant |
//! | `absence.rs` | time in which the host kept a vCPU from running |
//! | `finding.rs` | what became of a bound, and its sentence |
//! | `count.rs`, `gap.rs`, `follows.rs`, `fifo.rs` | one file a kind of bound |
//!
//! # Invariants
//! - Nothing here looks at a guest: records, names and absences come from the caller.
//! - Where records were lost, nothing is concluded from one that is missing: the bound is doubted, neither held nor violated. More
//!   records than a bound allows are more, whatever was lost.
//! - A time is charged without what the host took: see `absence.rs`.
//! - A bound that had nothing to judge is doubted.

mod absence;
mod count;
mod fields;
mod fifo;
mod filter;
mod finding;
mod follows;
mod gap;
#[cfg(test)]
mod tests;

use umpire_shared::event::Kind;

pub use absence::{Absences, Span};
pub use filter::RecordFilter;
pub use finding::{ProbeFinding, Unit};

use crate::glass::TraceRecord;

/// A bound on records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeBound {
    /// What it is called in results, and by `violates`.
    pub name: String,
    /// What it is about.
    pub what: Sight,
    /// What is not asked of records before this time, in ns after boot.
    pub after_ns: u64,
    /// What they are held to.
    pub rule: Rule,
}

/// Records of a probe, all or those that a filter leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    /// The probe.
    pub kind: Kind,
    /// Which of its records.
    pub filter: Option<RecordFilter>,
}

/// What records are held to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// There are so many.
    Count {
        /// At least.
        min: u64,
        /// At most; none if there is no limit.
        max: Option<u64>,
    },
    /// From one to the next, and from the first moment and to the last, it takes no longer than this, in ns.
    Gap(u64),
    /// After each there is one of another kind.
    Then {
        /// That one.
        then: Sight,
        /// What the two have in common.
        by: By,
        /// No later than this, in ns.
        within_ns: Option<u64>,
        /// And before this one.
        before: Option<Sight>,
    },
    /// Of those with the same queue and priority, what follows each, by its thread, comes in the order in which they came.
    Fifo(Sight),
}

/// What a record has in common with the one that must follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Its thread.
    Thread,
    /// The CPU that it is about: that of the poke or the flag, or else where it happened.
    Cpu,
    /// Nothing.
    Any,
}

impl By {
    /// The words of scenario files, in the order of the variants.
    pub const WORDS: [&'static str; 3] = ["thread", "cpu", "any"];
    /// Every one, in the order of the words.
    pub const ALL: [By; 3] = [By::Thread, By::Cpu, By::Any];
}

impl Sight {
    /// True if a record is meant; `names` are those of threads, by number.
    fn is(&self, record: &TraceRecord, names: &[String]) -> bool {
        record.kind == self.kind && self.filter.as_ref().is_none_or(|filter| filter.matches(record, names))
    }

    /// `poke where target == 1`.
    pub fn told(&self) -> String {
        let filter = self.filter.as_ref().map(|filter| format!(" where {}", filter.source()));
        format!("{}{}", self.kind.name(), filter.unwrap_or_default())
    }
}

impl ProbeBound {
    /// The probes of which it needs the records.
    pub fn kinds(&self) -> impl Iterator<Item = Kind> {
        let others = match &self.rule {
            Rule::Count { .. } | Rule::Gap(_) => [None, None],
            Rule::Then { then, before, .. } => [Some(then.kind), before.as_ref().map(|sight| sight.kind)],
            Rule::Fifo(then) => [Some(then.kind), None],
        };
        std::iter::once(self.what.kind).chain(others.into_iter().flatten())
    }

    /// True if it wants something to happen in a time, which the host may have taken.
    pub fn is_timed(&self) -> bool {
        match self.rule {
            Rule::Count { min, .. } => min > 0,
            Rule::Gap(_) => true,
            Rule::Then { within_ns, .. } => within_ns.is_some(),
            Rule::Fifo(_) => false,
        }
    }
}

/// What a run recorded.
#[derive(Debug)]
pub struct Recorded<'r> {
    /// The records, by time.
    pub records: &'r [TraceRecord],
    /// How many there were of all kinds.
    pub total: u64,
    /// Records that were overwritten before they were read.
    pub lost: u64,
    /// Names of threads, by number.
    pub names: &'r [String],
    /// The last moment of which anything is known, in ns after boot.
    pub end_ns: u64,
    /// What the host took.
    pub absences: &'r Absences,
}

/// Judges a bound.
pub fn judge(bound: &ProbeBound, seen: &Recorded<'_>) -> ProbeFinding {
    let found = match &bound.rule {
        Rule::Count { min, max } => count::judge(bound, (*min, *max), seen),
        Rule::Gap(limit_ns) => gap::judge(bound, *limit_ns, seen),
        Rule::Then { then, by, within_ns, before } => {
            let rule = follows::Follow { then, by: *by, within_ns: *within_ns, before: before.as_ref() };
            follows::judge(bound, &rule, seen)
        }
        Rule::Fifo(then) => fifo::judge(bound, then, seen),
    };
    let judged_ns = if found.judged > 0 { seen.end_ns.saturating_sub(bound.after_ns) } else { 0 };
    ProbeFinding { judged_ns, ..found }
}
