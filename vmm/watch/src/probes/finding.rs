//! What became of a bound on records.
//!
//! # Invariants
//! - A finding is held, or violated with a sentence that names the first records, or neither: then it says why not.

use super::{ProbeBound, Recorded};
use crate::glass::TraceRecord;
use umpire_rows::number::{exact, rounded};

/// Records that a sentence names.
const NAMED: usize = 3;

/// What a bound's values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// ns.
    Ns,
    /// Records.
    Records,
}

/// What became of a bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeFinding {
    /// The bound's name.
    pub name: String,
    /// True if it was not seen to be broken.
    pub held: bool,
    /// Why that proves nothing, if it does not.
    pub doubt: Option<String>,
    /// The limit.
    pub limit: u64,
    /// The worst.
    pub worst: u64,
    /// What both are.
    pub unit: Unit,
    /// How many records, or pairs of records, were judged.
    pub judged: u64,
    /// Over what time, in ns.
    pub judged_ns: u64,
    /// The thread of the first record that broke it.
    pub thread: Option<String>,
    /// What broke it, with the first records; empty if it held.
    pub sentence: String,
}

impl ProbeFinding {
    /// A finding of which nothing has been judged yet.
    pub(super) fn new(bound: &ProbeBound, unit: Unit, limit: u64) -> ProbeFinding {
        ProbeFinding {
            name: bound.name.clone(),
            held: true,
            doubt: None,
            limit,
            worst: 0,
            unit,
            judged: 0,
            judged_ns: 0,
            thread: None,
            sentence: String::new(),
        }
    }

    /// Broken: `said` is what is wrong, `first` the record that shows it.
    pub(super) fn broken(mut self, said: String, first: Option<&TraceRecord>, seen: &Recorded<'_>) -> Self {
        self.held = false;
        self.thread = first.map(|record| name(record.thread, seen.names));
        self.sentence = format!("{}: {said}", self.name);
        self
    }

    /// Neither held nor violated.
    pub(super) fn doubted(mut self, why: String) -> Self {
        self.doubt = Some(why);
        self
    }

    /// As it is, unless records were lost, any of which may have been what it wants or the reason for what it found; or unless
    /// there was nothing to judge.
    pub(super) fn unless_blind(mut self, what: &str, seen: &Recorded<'_>) -> Self {
        if seen.lost > 0 {
            (self.held, self.thread, self.sentence) = (true, None, String::new());
            return self.doubted(format!("{}; raise --sample-hz", lost(seen)));
        }
        if self.held && self.judged == 0 {
            return self.doubted(format!("there was nothing to judge: no record of {what}"));
        }
        self
    }
}

/// How many records are missing.
pub(super) fn lost(seen: &Recorded<'_>) -> String {
    format!("{} records of the guest's probes came faster than they were read", seen.lost)
}

/// A thread's name, or its number.
pub(super) fn name(thread: u64, names: &[String]) -> String {
    let name = usize::try_from(thread).ok().and_then(|n| names.get(n)).filter(|name| !name.is_empty());
    name.map_or_else(|| format!("thread {thread}"), Clone::clone)
}

/// A record in words: `poke at 12.3ms on cpu 0 by callout_taskq (98)`.
pub(super) fn told(record: &TraceRecord, names: &[String]) -> String {
    let TraceRecord { time_ns, cpu, kind, thread, pri, .. } = record;
    let at = rounded(*time_ns);
    format!("{} at {at} on cpu {cpu}, {} ({pri}){}", kind.name(), name(*thread, names), about(record, names))
}

/// What a record's argument says, if anything.
fn about(record: &TraceRecord, names: &[String]) -> String {
    let fields = super::fields::of_argument(record.kind);
    let number = |field: &super::fields::Field, none: &str| {
        field.number(record).map_or_else(|| none.to_owned(), |number| number.to_string())
    };
    let told = fields.iter().map(|field| {
        let value = match field.holds() {
            super::fields::Type::Name => name(field.thread(record), names),
            super::fields::Type::End => {
                if umpire_shared::event::at_head(record.arg) { "head" } else { "tail" }.to_owned()
            }
            super::fields::Type::Queue => number(field, "kp"),
            super::fields::Type::Number => number(field, "-"),
        };
        format!(", {} {value}", field.name())
    });
    told.collect()
}

/// The first of some records.
pub(super) fn first<'r>(records: impl Iterator<Item = &'r TraceRecord>, names: &[String]) -> String {
    let mut told: Vec<String> = records.take(NAMED + 1).map(|record| told(record, names)).collect();
    let more = if told.len() > NAMED { "; ..." } else { "" };
    told.truncate(NAMED);
    format!("{}{more}", told.join("; "))
}

/// A limit in words.
pub(super) fn limit(ns: u64) -> String {
    exact(ns)
}
