//! A variant: the scenario under one setting, and what is expected of it.
//!
//! # Invariants
//! - A variant is complete: defaults, the scenario's settings, its own and the command line's are merged.

use umpire_shared::program::Thread;
use umpire_shared::tunable::COUNT;

use super::outcome::Observed;

/// A scenario under one setting of tunables, mutants and threads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// Its name, unique in the scenario.
    pub name: String,
    /// What has to be observed for it to pass.
    pub expect: Expect,
    /// What the in-guest deadman has to do, if it matters.
    pub guest_deadman: Option<GuestDeadman>,
    /// Every tunable, by its number in [`umpire_shared::tunable::TUNABLES`].
    pub tunables: [i64; COUNT],
    /// Bits of [`umpire_shared::mutant`]; 0 is the honest kernel.
    pub mutants: u64,
    /// The threads, in the order of the file.
    pub threads: Vec<Thread>,
}

/// What a variant expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// At least one bound is violated: a bug, kept.
    Violated,
    /// Every bound is held.
    Held,
    /// The guest panics.
    Panic,
}

impl Expect {
    /// The words of scenario files, in the order of the variants.
    pub const WORDS: [&'static str; 3] = ["violated", "held", "panic"];

    /// The word for it in scenario files and results.
    pub fn as_str(self) -> &'static str {
        match self {
            Expect::Violated => "violated",
            Expect::Held => "held",
            Expect::Panic => "panic",
        }
    }

    /// Whether what was observed is what was expected.
    pub fn is_met_by(self, observed: Observed) -> bool {
        self.as_str() == observed.as_str()
    }

    pub(super) fn from_place(place: usize) -> Expect {
        [Expect::Violated, Expect::Held, Expect::Panic][place]
    }
}

/// What the in-guest deadman does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuestDeadman {
    /// It never fires.
    Silent,
    /// It fires at least once.
    Fired,
}

impl GuestDeadman {
    /// The words of scenario files, in the order of the variants.
    pub const WORDS: [&'static str; 2] = ["silent", "fired"];

    /// The word for it in scenario files.
    pub fn as_str(self) -> &'static str {
        match self {
            GuestDeadman::Silent => "silent",
            GuestDeadman::Fired => "fired",
        }
    }
}

/// Whether the kernel writes scheduler events into its rings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tracing {
    /// It does.
    On,
    /// It does not, which costs nothing.
    Off,
}
