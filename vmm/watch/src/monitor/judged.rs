//! What a bound had to judge: a bound that judged nothing has not held, it has said nothing.
//!
//! Each pass over a guest comes back from [`super::Monitor::observe`] as a [`Pass`], which cannot be made without saying what there was
//! to judge. What counts stands in the monitor's [`super::Declaration::judges`].
//!
//! # Invariants
//! - Time is counted as the monitor charges it: what the host kept from the guest, or what a monitor excuses, was not judged.
//! - Of several things that were watched at once the time counts once, so that no sum is longer than the run.

use super::Breach;

/// What there was to judge: of one pass, or of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Judged {
    /// Time in which at least one thing was watched, in ns of what the monitor charges with.
    pub ns: u64,
    /// Things that were watched at once: threads, CPUs, queues, locks, whatever the monitor is about; the most of any pass.
    pub subjects: u64,
}

impl Judged {
    /// Nothing.
    pub const NOTHING: Judged = Judged { ns: 0, subjects: 0 };

    /// So many things for so long; nothing if there are none.
    pub fn of(subjects: u64, ns: u64) -> Judged {
        if subjects == 0 { Judged::NOTHING } else { Judged { ns, subjects } }
    }

    /// One more thing in the same pass, which was watched for so long.
    pub fn met(&mut self, ns: u64) {
        *self = Judged { ns: self.ns.max(ns), subjects: self.subjects + 1 };
    }

    /// Also this, in the same pass.
    #[must_use]
    pub fn with(self, other: Judged) -> Judged {
        Judged { ns: self.ns.max(other.ns), subjects: self.subjects + other.subjects }
    }

    /// What a later pass had to judge, added up.
    pub fn add(&mut self, pass: Judged) {
        *self = Judged { ns: self.ns.saturating_add(pass.ns), subjects: self.subjects.max(pass.subjects) };
    }

    /// True if there was nothing: what was watched for no time was not judged.
    pub fn is_nothing(&self) -> bool {
        self.ns == 0
    }

    /// With what this pass found.
    pub fn found(self, breach: Option<Breach>) -> Pass {
        Pass { judged: self, breach }
    }
}

/// What one pass was to a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a breach is returned once"]
pub struct Pass {
    /// What there was to judge in it.
    pub judged: Judged,
    /// The breach of the bound; returned once.
    pub breach: Option<Breach>,
}

impl Pass {
    /// A pass in which there was nothing to judge.
    pub const NOTHING: Pass = Pass { judged: Judged::NOTHING, breach: None };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_counts_once_a_pass_and_adds_up_over_passes() {
        let mut pass = Judged::NOTHING;
        pass.met(3);
        pass.met(5);
        assert_eq!(pass, Judged { ns: 5, subjects: 2 });
        assert_eq!(pass.with(Judged::of(1, 9)), Judged { ns: 9, subjects: 3 });

        let mut all = Judged::NOTHING;
        all.add(pass);
        all.add(Judged::of(1, 4));
        assert_eq!(all, Judged { ns: 9, subjects: 2 });
    }

    #[test]
    fn nothing_is_what_no_time_was_spent_on() {
        assert!(Judged::of(0, 7).is_nothing());
        assert!(Judged::of(3, 0).is_nothing());
        assert!(!Judged::of(1, 1).is_nothing());
    }
}
