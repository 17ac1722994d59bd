//! `runq`: a run queue's map, counts and maxima agree with its lists.
//!
//! What must be true whenever the queue's lock is free (`disp/mod.rs`, invariants 1 to 4):
//!
//! - a level's bit is set iff its list is not empty iff its `dq_sruncnt` is greater than 0;
//! - `dq_sruncnt` is the number of threads on the list, `dq_last` the last of them, and the counts add up to
//!   `disp_nrunnable`;
//! - `disp_maxrunpri` is the highest level in use, or -1; `disp_max_unbound_pri` is not below the best unbound thread;
//! - each thread is `TS_RUN`, on the level of its priority, and knows that it is on this queue.
//!
//! # Excuses
//! - `torn`: the queue could not be read consistently. Nothing is said about it in that pass.
//!
//! # Invariants
//! - Only consistent reads are judged, so a disagreement is never the reader's fault.
//! - With a limit of 0 the first disagreement breaks the bound.

use super::disagreement::{Disagreement, disagreement};
use super::interval::{Ledger, Subject};
use super::{Breach, Declaration, Evidence, Excuse, Judged, Monitor, Pass, Proof, Takes};
use crate::glass::{Place, Snapshot};

pub(super) static RUNQ: Declaration = Declaration {
    name: "runq",
    broken_when: "a run queue's map, counts, maxima and lists disagree in a consistent read; with a limit above 0, for longer than that",
    charged_with: "wall time",
    judges: "run queues that are read consistently",
    takes_threads: false,
    takes: Takes::Limit,
    excuses: &[Excuse::Torn],
    proof: Proof::Mutant("limit = \"0s\""),
    standing_ms: Some(0),
    is_exact: true,
    new: |bound| Box::new(Runq::new(bound.limit_ns)),
};

/// Watches one bound over every queue.
#[derive(Debug)]
struct Runq {
    ledger: Ledger,
    /// By queue: since when it has disagreed.
    since_ns: Vec<Option<u64>>,
    last_pass_ns: u64,
    found: Option<Found>,
}

/// What broke the bound.
#[derive(Debug)]
struct Found {
    place: Place,
    disagreement: Disagreement,
    lbolt: u64,
}

impl Runq {
    /// A watch that lets a disagreement last `limit_ns`.
    fn new(limit_ns: u64) -> Runq {
        Runq { ledger: Ledger::new(limit_ns), since_ns: Vec::new(), last_pass_ns: 0, found: None }
    }
}

impl Monitor for Runq {
    fn observe(&mut self, seen: &Snapshot) -> Pass {
        self.since_ns.resize(seen.cpus.len() + seen.kps.len(), None);
        let interval = seen.now_ns.saturating_sub(self.last_pass_ns);
        self.last_pass_ns = seen.now_ns;
        let (mut first, mut judged) = (None, Judged::NOTHING);
        for (n, (place, queue)) in seen.queues().enumerate() {
            if !queue.verdict.is_trusted() {
                self.ledger.accept(Excuse::Torn);
                continue;
            }
            judged.met(interval);
            let Some(disagreement) = disagreement(queue) else {
                self.since_ns[n] = None;
                continue;
            };
            let lasted = seen.now_ns.saturating_sub(*self.since_ns[n].get_or_insert(seen.now_ns));
            // What was seen at all has lasted some time, which is more than a limit of 0. When it began is not known.
            let interval = if lasted == 0 { 0 } else { interval };
            let charged = (lasted.saturating_sub(interval), lasted.max(1));
            let subject = Subject { thread: None, cpu: place.cpu(), part: place.part() };
            let breach = self.ledger.enter(subject, charged, interval, seen.now_ns);
            if breach.is_some() {
                self.found = Some(Found { place, disagreement, lbolt: seen.lbolt });
            }
            first = first.or(breach);
        }
        judged.found(first)
    }

    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn sentence(&self, _breach: &Breach, _evidence: &Evidence) -> String {
        let Some(Found { place, disagreement, lbolt }) = &self.found else { return String::new() };
        format!("{place} disagrees with itself, consistently read at lbolt {lbolt}: {disagreement}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glass::{QueueSample, Verdict};

    /// An empty queue.
    fn sound() -> QueueSample {
        QueueSample { verdict: Verdict::Clean, maxrunpri: -1, max_unbound_pri: -1, ..QueueSample::default() }
    }

    fn pass(now_ns: u64, kp: QueueSample) -> Snapshot {
        Snapshot { now_ns, kps: vec![kp], ..Snapshot::default() }
    }

    fn broken() -> QueueSample {
        QueueSample { nrunnable: 7, ..sound() }
    }

    #[test]
    fn observe_limit_zero_breaks_at_once_and_once() {
        let mut runq = Runq::new(0);

        assert_eq!(runq.observe(&pass(10, sound())).breach, None);
        let breach = runq.observe(&pass(20, broken())).breach;
        assert_eq!(breach.map(|b| (b.cpu, b.part, b.at_ns)), Some((None, Some(0), 20)));
        assert_eq!(runq.observe(&pass(30, broken())).breach, None);
        assert_eq!(runq.ledger().worst_ns(), 10);
    }

    #[test]
    fn observe_disagreement_shorter_than_the_limit_returns_none() {
        let mut runq = Runq::new(10);

        assert_eq!(runq.observe(&pass(10, broken())).breach, None);
        assert_eq!(runq.observe(&pass(20, broken())).breach, None);
        assert_eq!(runq.observe(&pass(25, sound())).breach, None);
        assert_eq!(runq.observe(&pass(30, broken())).breach, None);
        assert!(runq.observe(&pass(41, broken())).breach.is_some());
    }

    #[test]
    fn observe_torn_queue_is_excused() {
        let mut runq = Runq::new(0);

        let pass = runq.observe(&pass(10, QueueSample { verdict: Verdict::Torn, ..broken() }));

        assert_eq!(pass, Pass::NOTHING);
        assert_eq!(runq.ledger().excuses().count(Excuse::Torn), 1);
    }
}
