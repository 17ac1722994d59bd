//! When a recording does not tell what happened: events of a CPU were overwritten before they were read.
//!
//! # Invariants
//! - Any thread may have been served by an event that is lost, so what lasts into such a time is told of nobody.
//! - Those times are in order, and do not overlap or touch.

use crate::recording::Recording;

/// The times of a recording of which it does not tell everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Unknown {
    times: Vec<(u64, u64)>,
}

impl Unknown {
    /// Those of a recording.
    pub(crate) fn of(recording: &Recording) -> Unknown {
        let gaps = recording.ending.iter().flat_map(|ending| &ending.gaps);
        let mut all: Vec<(u64, u64)> = gaps.map(|gap| (gap.from_ns, gap.to_ns.max(gap.from_ns))).collect();
        all.sort_unstable();
        let mut times: Vec<(u64, u64)> = Vec::new();
        for (from, to) in all {
            match times.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(to),
                _ => times.push((from, to)),
            }
        }
        Unknown { times }
    }

    /// True if what lasts from one moment to another may have been otherwise.
    pub(crate) fn reaches_into(&self, from_ns: u64, to_ns: u64) -> bool {
        let next = self.times.partition_point(|(_, to)| *to <= from_ns);
        self.times.get(next).is_some_and(|(from, _)| *from < to_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::{Ending, Gap};

    #[test]
    fn what_lasts_into_a_gap_of_any_cpu_is_unknown_and_what_ends_before_it_is_not() {
        let gap = |cpu, from_ns, to_ns| Gap { cpu, from_ns, to_ns };
        let gaps = vec![gap(1, 50, 60), gap(0, 10, 20), gap(1, 15, 30)];
        let recording =
            Recording { ending: Some(Ending { gaps, ..Ending::default() }), ..Recording::default() };

        let unknown = Unknown::of(&recording);

        assert_eq!(unknown.times, [(10, 30), (50, 60)]);
        let told = |from, to| !unknown.reaches_into(from, to);
        assert!(told(0, 10) && told(30, 50) && told(60, u64::MAX));
        assert!(!told(0, 11) && !told(29, 31) && !told(31, 100) && !told(12, 13));
    }
}
