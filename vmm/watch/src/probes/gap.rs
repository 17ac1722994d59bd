//! How far records are apart.
//!
//! # Invariants
//! - The time before the first and after the last counts as well.

use super::finding::{self, ProbeFinding, Unit};
use super::{ProbeBound, Recorded};
use umpire_rows::number::rounded;

pub(super) fn judge(bound: &ProbeBound, limit_ns: u64, seen: &Recorded<'_>) -> ProbeFinding {
    let mut found = ProbeFinding::new(bound, Unit::Ns, limit_ns);
    let (mut last_ns, mut last) = (bound.after_ns, None);
    let mut first_long = None;
    let meant = seen
        .records
        .iter()
        .filter(|record| record.time_ns >= bound.after_ns && bound.what.is(record, seen.names));
    for (at_ns, record) in meant.map(|record| (record.time_ns, Some(record))).chain([(seen.end_ns, None)]) {
        let gap_ns = seen.absences.charged(last_ns, at_ns);
        found.worst = found.worst.max(gap_ns);
        if gap_ns > limit_ns && first_long.is_none() {
            first_long = Some((gap_ns, last_ns, last, record));
        }
        found.judged += u64::from(record.is_some());
        (last_ns, last) = (at_ns, record);
    }
    let what = bound.what.told();
    let Some((gap_ns, from_ns, before, after)) = first_long else { return found.unless_blind(&what, seen) };
    let told = |record| finding::told(record, seen.names);
    let before = before.map_or_else(|| format!("the beginning ({})", rounded(from_ns)), told);
    let after = after.map_or_else(|| "the end of the run".to_owned(), told);
    let (gap, limit) = (rounded(gap_ns), finding::limit(limit_ns));
    let said = format!("{gap} without `{what}`, where {limit} is the limit: from {before} to {after}");
    found.broken(said, last, seen).unless_blind(&what, seen)
}
