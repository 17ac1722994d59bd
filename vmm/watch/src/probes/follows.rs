//! What comes after each record: within a time, or before something else happens.
//!
//! # Invariants
//! - A record that still awaits its follower at the end of the run is judged only if its time was up by then.

use std::collections::HashMap;

use super::fields::cpu_of;
use super::finding::{self, ProbeFinding, Unit};
use super::{By, ProbeBound, Recorded, Sight};
use crate::glass::TraceRecord;
use umpire_rows::number::rounded;

pub(super) struct Follow<'b> {
    pub(super) then: &'b Sight,
    pub(super) by: By,
    pub(super) within_ns: Option<u64>,
    pub(super) before: Option<&'b Sight>,
}

/// Why a record's follower is not as it should be.
enum Fault<'r> {
    Late(&'r TraceRecord, &'r TraceRecord, u64),
    Never(&'r TraceRecord, u64),
    Overtaken(&'r TraceRecord, &'r TraceRecord),
}

impl By {
    fn key(self, record: &TraceRecord) -> u64 {
        match self {
            By::Thread => record.thread,
            By::Cpu => cpu_of(record),
            By::Any => 0,
        }
    }
}

pub(super) fn judge(bound: &ProbeBound, rule: &Follow<'_>, seen: &Recorded<'_>) -> ProbeFinding {
    let limit_ns = rule.within_ns.unwrap_or(u64::MAX);
    // What comes too early is not measured in time.
    let timed_ns = rule.within_ns.filter(|_| rule.before.is_none());
    let unit = if timed_ns.is_some() { Unit::Ns } else { Unit::Records };
    let mut found = ProbeFinding::new(bound, unit, timed_ns.unwrap_or(0));
    let mut waiting: HashMap<u64, Vec<&TraceRecord>> = HashMap::new();
    let mut faults: Vec<Fault<'_>> = Vec::new();
    let mut worst_ns = 0;
    for record in seen.records {
        let key = rule.by.key(record);
        if rule.then.is(record, seen.names) {
            for first in waiting.remove(&key).unwrap_or_default() {
                let took_ns = seen.absences.charged(first.time_ns, record.time_ns);
                found.judged += 1;
                worst_ns = worst_ns.max(took_ns);
                if took_ns > limit_ns {
                    faults.push(Fault::Late(first, record, took_ns));
                }
            }
        } else if rule.before.is_some_and(|before| before.is(record, seen.names)) {
            for first in waiting.remove(&key).unwrap_or_default() {
                found.judged += 1;
                faults.push(Fault::Overtaken(first, record));
            }
        }
        if record.time_ns >= bound.after_ns && bound.what.is(record, seen.names) {
            waiting.entry(key).or_default().push(record);
        }
    }
    let mut left: Vec<&TraceRecord> = waiting.into_values().flatten().collect();
    left.sort_by_key(|record| record.time_ns);
    for first in left {
        let took_ns = seen.absences.charged(first.time_ns, seen.end_ns);
        if took_ns > limit_ns {
            found.judged += 1;
            worst_ns = worst_ns.max(took_ns);
            faults.push(Fault::Never(first, took_ns));
        }
    }
    found.worst = if unit == Unit::Ns { worst_ns } else { faults.len() as u64 };
    let what = bound.what.told();
    let (Some(fault), count, judged) = (faults.first(), faults.len(), found.judged) else {
        return found.unless_blind(&what, seen);
    };
    let (first, wrong) = fault.told(rule, seen);
    let then = rule.then.told();
    let said = format!("{count} of {judged} times `{what}` was not followed by `{then}` as it must: {wrong}");
    found.broken(said, Some(first), seen).unless_blind(&what, seen)
}

impl<'r> Fault<'r> {
    fn told(&self, rule: &Follow<'_>, seen: &Recorded<'_>) -> (&'r TraceRecord, String) {
        let told = |record| finding::told(record, seen.names);
        let limit = finding::limit(rule.within_ns.unwrap_or(0));
        match *self {
            Fault::Late(first, record, took_ns) => {
                let took = rounded(took_ns);
                (
                    first,
                    format!(
                        "{}, then after {took}, where {limit} is the limit, {}",
                        told(first),
                        told(record)
                    ),
                )
            }
            Fault::Never(first, took_ns) => {
                let took = rounded(took_ns);
                (
                    first,
                    format!(
                        "{}, and none in the {took} to the end of the run, where {limit} is the limit",
                        told(first)
                    ),
                )
            }
            Fault::Overtaken(first, record) => {
                (first, format!("{}, and before it {}", told(first), told(record)))
            }
        }
    }
}
