//! First in, first out: what follows records comes in their order.
//!
//! # Invariants
//! - Records of two CPUs that are less than [`TOGETHER_NS`] apart have no order: a clock is read a little before or after the lock
//!   that decides is taken.
//! - A record stands in the line of its queue and priority until its thread's follower comes, or until its thread has a newer
//!   record of the same probe, whether that one is meant or not.

use std::collections::HashMap;

use super::finding::{self, ProbeFinding, Unit};
use super::{ProbeBound, Recorded, Sight};
use crate::glass::TraceRecord;

/// Records of two CPUs that are nearer to each other than this have no order, in ns.
const TOGETHER_NS: u64 = 1000;

/// A queue and a priority.
type Line = (u64, i32);

/// True if a record is known to be earlier than the next.
fn is_before(record: &TraceRecord, next: &TraceRecord) -> bool {
    record.cpu == next.cpu || next.time_ns.saturating_sub(record.time_ns) >= TOGETHER_NS
}

pub(super) fn judge(bound: &ProbeBound, then: &Sight, seen: &Recorded<'_>) -> ProbeFinding {
    let mut found = ProbeFinding::new(bound, Unit::Records, 0);
    let mut lines: HashMap<Line, Vec<&TraceRecord>> = HashMap::new();
    let mut stands: HashMap<u64, Line> = HashMap::new();
    let mut first = None;
    for record in seen.records {
        if then.is(record, seen.names)
            && let Some(line) = stands.remove(&record.thread)
        {
            let line = lines.entry(line).or_default();
            let place = line.iter().position(|other| other.thread == record.thread).unwrap_or(0);
            found.judged += u64::from(line.len() > 1);
            if let Some(waits) = line[..place].iter().find(|waits| is_before(waits, line[place])) {
                found.worst += 1;
                first.get_or_insert((*waits, line[place], record));
            }
            line.remove(place);
        }
        if record.kind == bound.what.kind {
            if let Some(line) = stands.remove(&record.thread) {
                lines.entry(line).or_default().retain(|other| other.thread != record.thread);
            }
            if record.time_ns >= bound.after_ns && bound.what.is(record, seen.names) {
                let line = (record.arg >> 32, record.pri);
                lines.entry(line).or_default().push(record);
                stands.insert(record.thread, line);
            }
        }
    }
    let what = bound.what.told();
    let Some((waits, came, goes)) = first else {
        return found.unless_blind(&format!("{what} behind another"), seen);
    };
    let [waits_told, came, goes] = [waits, came, goes].map(|record| finding::told(record, seen.names));
    let (count, judged) = (found.worst, found.judged);
    let said = format!(
        "{count} of {judged} times one that came later went first: {waits_told}; {came}; but then {goes}"
    );
    found.broken(said, Some(waits), seen).unless_blind(&what, seen)
}
