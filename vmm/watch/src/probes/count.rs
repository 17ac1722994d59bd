//! How many records there are.
//!
//! # Invariants
//! - Too many are too many even if some were lost; too few are doubted then, and where the host took more than
//!   [`MOST_TAKEN_PERCENT`] of the time in which there were to be more.

use super::finding::{self, ProbeFinding, Unit};
use super::{ProbeBound, Recorded};
use crate::glass::TraceRecord;
use umpire_rows::number::rounded;

/// What the host may have taken of the time, in per cent, before it may be why there are too few.
const MOST_TAKEN_PERCENT: u64 = 25;

pub(super) fn judge(bound: &ProbeBound, (min, max): (u64, Option<u64>), seen: &Recorded<'_>) -> ProbeFinding {
    let is_meant =
        |record: &&TraceRecord| record.time_ns >= bound.after_ns && bound.what.is(record, seen.names);
    let count = seen.records.iter().filter(is_meant).count() as u64;
    let found = ProbeFinding {
        worst: count,
        // That there is none is seen by looking at all.
        judged: if max.is_some() { seen.total } else { count },
        ..ProbeFinding::new(bound, Unit::Records, max.unwrap_or(min))
    };
    let what = bound.what.told();
    if let Some(max) = max.filter(|max| count > *max) {
        let first = finding::first(seen.records.iter().filter(is_meant), seen.names);
        let said = format!("{count} times `{what}`, {max} is the most: {first}");
        return found.broken(said, seen.records.iter().find(is_meant), seen);
    }
    if count < min {
        let all_ns = seen.end_ns.saturating_sub(bound.after_ns);
        let taken_ns = all_ns - seen.absences.charged(bound.after_ns, seen.end_ns);
        let said = format!("{count} times `{what}`, {min} is the least");
        if taken_ns > all_ns / 100 * MOST_TAKEN_PERCENT {
            let (taken, all) = (rounded(taken_ns), rounded(all_ns));
            return found.doubted(format!("{said}, and the host kept vCPUs waiting for {taken} of {all}"));
        }
        let first = seen.records.iter().find(is_meant);
        return found.broken(said, first, seen).unless_blind(&what, seen);
    }
    match max {
        Some(_) => found.unless_blind("any kind", seen),
        None => found,
    }
}
