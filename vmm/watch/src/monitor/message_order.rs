//! `message_order`: messages of one source come out of a stream in the order in which they went in (ORD-1).
//!
//! Each message of a scenario has a number, which the reader compares with that of the one before from the same thread. It does so where
//! it is the only reader.
//!
//! # Excuses
//! None: the kernel's own code counts what is wrong, where it happens.
//!
//! # Invariants
//! - With a limit of 0 the first one breaks the bound; with another one they have to go on for longer than that.
//! - What was counted before the first pass is found as well.

use super::interval::{Ledger, Subject};
use super::{Breach, Declaration, Evidence, Judged, Monitor, Pass, Proof, Takes};
use crate::glass::{Needs, Snapshot};
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
    new: |bound| Box::new(MessageOrder::new(bound.limit_ns)),
};

/// Watches one bound.
#[derive(Debug)]
struct MessageOrder {
    ledger: Ledger,
    /// What the last pass saw: how many were wrong, and how many there were in all.
    counted: (u64, u64),
    /// When the first that was wrong was seen.
    first_ns: Option<u64>,
    last_pass_ns: u64,
    found: String,
}

impl MessageOrder {
    /// A watch with this limit.
    fn new(limit_ns: u64) -> MessageOrder {
        MessageOrder {
            ledger: Ledger::new(limit_ns),
            counted: (0, 0),
            first_ns: None,
            last_pass_ns: 0,
            found: String::new(),
        }
    }
}

impl Monitor for MessageOrder {
    fn needs(&self) -> Needs {
        Needs { streams: true, ..Needs::default() }
    }

    fn observe(&mut self, seen: &Snapshot) -> Pass {
        let interval = if self.last_pass_ns == 0 { 0 } else { seen.now_ns.saturating_sub(self.last_pass_ns) };
        self.last_pass_ns = seen.now_ns;
        let (wrong, all) = counts(seen);
        let (wrong_before, all_before) = std::mem::replace(&mut self.counted, (wrong, all));
        let mut judged = Judged::NOTHING;
        if all > all_before {
            judged.met(interval);
        }
        if wrong <= wrong_before {
            return judged.found(None);
        }
        let lasted = seen.now_ns.saturating_sub(*self.first_ns.get_or_insert(seen.now_ns));
        let charged = (lasted.saturating_sub(interval), lasted.max(1));
        let breach = self.ledger.enter(Subject::default(), charged, interval, seen.now_ns);
        if breach.is_some() {
            self.found = {
                let stream = seen.streams.iter().find(|stream| stream.disorder != 0);
                let (name, n) =
                    stream.map_or(("?", 0), |stream| (unpack_name(&stream.name), stream.disorder));
                format!("{n} messages came out of stream {name} after later ones of the same source")
            };
        }
        judged.found(breach)
    }

    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn sentence(&self, _breach: &Breach, _evidence: &Evidence) -> String {
        self.found.clone()
    }
}

/// How many were wrong, and how many there were.
fn counts(seen: &Snapshot) -> (u64, u64) {
    let sum = |of: fn(&crate::glass::StreamSample) -> u64| seen.streams.iter().map(of).sum();
    (sum(|stream| stream.disorder), sum(|stream| stream.delivered))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::bench::{Bench, MS};

    fn bench(limit_ns: u64) -> Bench {
        let mut bench = Bench::declared(&MESSAGE_ORDER, limit_ns);
        bench.seen.streams = vec![crate::glass::StreamSample { delivered: 9, ..Default::default() }];
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
