//! `perimeter`: at a perimeter that puts do not share, one thread is inside a put procedure at a time.
//!
//! Two threads that overlap for some instructions are seen by nobody from outside. So the module `solo` watches, and the multiplexor `mux`, above and below: each
//! counts itself in and out, and counts an overlap when it finds another thread inside.
//!
//! # Excuses
//! None: the kernel's own code counts what is wrong, where it happens.
//!
//! # Invariants
//! - As of all that the kernel counts itself ([`super::counted`]).

use super::counted::{Counted, Counts};
use super::{Declaration, Proof, Takes};
use crate::glass::Needs;

pub(super) static PERIMETER: Declaration = Declaration {
    name: "perimeter",
    broken_when: "two threads were inside put procedures of `solo` or `mux` at once, at a perimeter that puts do not share",
    charged_with: "wall time from the first to the last",
    judges: "puts into `solo` and `mux`",
    takes_threads: false,
    takes: Takes::Limit,
    excuses: &[],
    proof: Proof::Mutant("limit = \"0s\""),
    standing_ms: Some(0),
    is_exact: true,
    new: |bound| Box::new(Counted::new(bound.limit_ns, COUNTS)),
};

/// What the modules have counted.
const COUNTS: Counts = Counts {
    needs: || Needs { streams: true, ..Needs::default() },
    of: |seen| (seen.solo_overlaps, seen.solo_entries),
    sentence: |seen| {
        format!(
            "{} of {} puts into solo or mux found another thread inside a perimeter that puts do not share (SQ_EXCL)",
            seen.solo_overlaps, seen.solo_entries
        )
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::bench::{Bench, MS};

    fn bench(limit_ns: u64) -> Bench {
        let mut bench = Bench::declared(&PERIMETER, limit_ns);
        bench.seen.solo_entries = 100;
        bench
    }

    #[test]
    fn observe_first_one_breaks_a_limit_of_zero_at_once_and_once() {
        let mut bench = bench(0);
        assert_eq!(bench.passes(10, [1, 1]).len(), 0);
        bench.seen.solo_overlaps += 1;
        let breaches = bench.passes(10, [1, 1]);
        assert_eq!((breaches.len(), breaches[0].at_ns), (1, 11 * MS));
        assert!(!bench.sentence(&breaches[0]).is_empty());
    }

    #[test]
    fn observe_one_alone_is_below_a_limit_that_is_not_zero() {
        let mut bench = bench(5 * MS);
        assert_eq!(bench.passes(1, [1, 1]).len(), 0);
        bench.seen.solo_overlaps += 1;
        assert_eq!(bench.passes(50, [1, 1]).len(), 0);
        bench.seen.solo_overlaps += 1;
        assert_eq!(bench.passes(1, [1, 1]).len(), 1);
    }

    #[test]
    fn observe_nothing_new_judges_nothing() {
        let mut bench = bench(0);
        assert_eq!(bench.passes(10, [1, 1]).len(), 0);
        assert!(bench.judged.is_nothing());
    }
}
