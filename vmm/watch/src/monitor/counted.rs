//! A monitor of what the kernel's own code counts where it happens: so many went wrong, of so many.
//!
//! # Invariants
//! - With a limit of 0 the first one that went wrong breaks the bound; with another one they have to go on for longer than that.
//! - What was counted before the first pass is found as well.
//! - A pass in which nothing was counted judges nothing.

use super::interval::{Ledger, Since, Subject};
use super::{Breach, Evidence, Judged, Monitor, Pass};
use crate::glass::{Needs, Snapshot};

/// What is counted, and what is said of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counts {
    /// What is read for it.
    pub needs: fn() -> Needs,
    /// How many went wrong, and how many there were.
    pub of: fn(&Snapshot) -> (u64, u64),
    /// The sentence of a breach, from the pass that found it.
    pub sentence: fn(&Snapshot) -> String,
}

/// Watches one bound.
#[derive(Debug)]
pub(super) struct Counted {
    ledger: Ledger,
    counts: Counts,
    /// What the last pass saw.
    counted: (u64, u64),
    since: Since,
    found: String,
}

impl Counted {
    /// A watch over these with this limit.
    pub(super) fn new(limit_ns: u64, counts: Counts) -> Counted {
        Counted {
            ledger: Ledger::new(limit_ns),
            counts,
            counted: (0, 0),
            since: Since::default(),
            found: String::new(),
        }
    }
}

impl Monitor for Counted {
    fn needs(&self) -> Needs {
        (self.counts.needs)()
    }

    fn observe(&mut self, seen: &Snapshot) -> Pass {
        let interval = self.since.step(seen);
        let (wrong, all) = (self.counts.of)(seen);
        let (wrong_before, all_before) = std::mem::replace(&mut self.counted, (wrong, all));
        let mut judged = Judged::NOTHING;
        if all > all_before {
            judged.met(interval);
        }
        if wrong <= wrong_before {
            return judged.found(None);
        }
        let charged = self.since.see(seen, interval);
        let breach = self.ledger.enter(Subject::default(), charged, interval, seen.now_ns);
        if breach.is_some() {
            self.found = (self.counts.sentence)(seen);
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
