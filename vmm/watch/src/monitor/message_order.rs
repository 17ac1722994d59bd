//! `message_order`: messages of one source come out of a stream in the order in which they went in (ORD-1).
//!
//! Each message of a scenario has a number, which the reader compares with that of the one before from the same thread. It does so where
//! it is the only reader.
//!
//! # Excuses
//! None: the kernel's own code counts what is wrong, where it happens.
//!
//! # Invariants
//! - As of all that the kernel counts itself ([`super::counted`]).

use super::counted::{Counted, Counts};
use super::{Declaration, Proof, Takes};
use crate::glass::{Needs, StreamSample};
use umpire_shared::unpack_name;

pub(super) static MESSAGE_ORDER: Declaration = Declaration {
    name: "message_order",
    broken_when: "a reader got a message after a later one of the same source",
    charged_with: "wall time from the first to the last",
    judges: "messages that readers get",
    takes_threads: false,
    takes: Takes::Limit,
    excuses: &[],
    proof: Proof::Mutant("limit = \"0s\""),
    standing_ms: Some(0),
    is_exact: true,
    new: |bound| Box::new(Counted::new(bound.limit_ns, COUNTS)),
};

/// What readers have counted.
const COUNTS: Counts = Counts {
    needs: || Needs { streams: true, ..Needs::default() },
    of: |seen| {
        let sum = |of: fn(&StreamSample) -> u64| seen.streams.iter().map(of).fold(0, u64::wrapping_add);
        (sum(|stream| stream.disorder), sum(|stream| stream.delivered))
    },
    sentence: |seen| {
        let stream = seen.streams.iter().find(|stream| stream.disorder != 0);
        let (name, n) = stream.map_or(("?", 0), |stream| (unpack_name(&stream.name), stream.disorder));
        format!("{n} messages came out of stream {name} after later ones of the same source")
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::bench::{Bench, MS};

    fn bench(limit_ns: u64) -> Bench {
        let mut bench = Bench::declared(&MESSAGE_ORDER, limit_ns);
        bench.seen.streams = vec![StreamSample { delivered: 9, ..Default::default() }];
        bench
    }

    #[test]
    fn observe_first_one_breaks_a_limit_of_zero_at_once_and_once() {
        let mut bench = bench(0);
        assert_eq!(bench.passes(10, [1, 1]).len(), 0);
        bench.seen.streams[0].disorder += 1;
        let breaches = bench.passes(10, [1, 1]);
        assert_eq!((breaches.len(), breaches[0].at_ns), (1, 11 * MS));
        assert!(!bench.sentence(&breaches[0]).is_empty());
    }

    #[test]
    fn observe_one_alone_is_below_a_limit_that_is_not_zero() {
        let mut bench = bench(5 * MS);
        assert_eq!(bench.passes(1, [1, 1]).len(), 0);
        bench.seen.streams[0].disorder += 1;
        assert_eq!(bench.passes(50, [1, 1]).len(), 0);
        bench.seen.streams[0].disorder += 1;
        assert_eq!(bench.passes(1, [1, 1]).len(), 1);
    }

    #[test]
    fn observe_nothing_new_judges_nothing() {
        let mut bench = bench(0);
        assert_eq!(bench.passes(10, [1, 1]).len(), 0);
        assert!(bench.judged.is_nothing());
    }
}
