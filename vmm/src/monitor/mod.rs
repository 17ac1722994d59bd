//! Monitors: one file a named invariant, judged from outside while the guest runs.
//!
//! | file | invariant |
//! |---|---|
//! | `starvation.rs` | no runnable thread waits too long while its CPU runs something worse |
//! | `deadman.rs` | the guest's clock advances while its CPU runs |
//! | `runq.rs` | a run queue's map, counts and maxima agree with its lists |
//! | `judge.rs` | samples, shows each pass to all monitors, keeps what they found |
//! | `blame.rs` | the sentence that says who did what to whom |
//! | `filter.rs` | which threads a bound is about |
//!
//! # Invariants
//! - A monitor is a pure function of the snapshots it was shown: it reads no guest memory and no clock.
//! - Nothing that was not consistently read is held against the guest. What a monitor lets pass it counts under
//!   a name, an [`Excuse`].
//! - A bound is judged while its condition lasts, not when it ends.

mod blame;
mod deadman;
mod filter;
mod judge;
mod runq;
mod starvation;

use std::fmt;

use crate::glass::Picture;

pub use crate::glass::CpuReading;
pub use deadman::Deadman;
pub use filter::{FilterError, ThreadFilter, ThreadTraits};
pub use judge::{Counts, Judge, PassEnd};
pub use runq::{Disagreement, Runq, disagreement};
pub use starvation::Starvation;

/// The monitors by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MonitorKind {
    /// A runnable thread waits while its CPU runs something worse.
    Starvation,
    /// The guest's clock stands still.
    Deadman,
    /// A run queue disagrees with itself.
    Runq,
}

impl MonitorKind {
    /// Every monitor.
    pub const ALL: [MonitorKind; 3] = [MonitorKind::Starvation, MonitorKind::Deadman, MonitorKind::Runq];

    /// Its name in scenario files and reports.
    pub fn name(self) -> &'static str {
        match self {
            MonitorKind::Starvation => "starvation",
            MonitorKind::Deadman => "deadman",
            MonitorKind::Runq => "runq",
        }
    }
}

/// A bound that a scenario asserts.
#[derive(Debug, Clone)]
pub struct BoundSpec {
    /// Who judges it.
    pub monitor: MonitorKind,
    /// Which threads it is about; all if `None`. Only `starvation` looks at it.
    pub threads: Option<ThreadFilter>,
    /// How long the bad condition may last, in ns.
    pub limit_ns: u64,
}

/// What became of a bound.
#[derive(Debug, Clone)]
pub struct Finding {
    /// Who judged it.
    pub monitor: MonitorKind,
    /// The bound's place in the list given to the judge.
    pub bound: usize,
    /// The thread that it broke for first or, if it held, that came nearest.
    pub thread: Option<String>,
    /// The CPU concerned, if one is; for a thread on the kp queue the CPU that was charged.
    pub cpu: Option<u32>,
    /// The limit, in ns.
    pub limit_ns: u64,
    /// The longest that the bad condition lasted, in ns; 0 if it never arose.
    pub worst_ns: u64,
    /// True if the limit was never exceeded.
    pub held: bool,
    /// From the moment the limit was exceeded to the verdict, in ns.
    pub detect_after_ns: Option<u64>,
    /// When the verdict fell, in the sampler's ns.
    pub violated_at_ns: Option<u64>,
    /// Who did what to whom, and which tunable let it; empty if the bound held.
    pub sentence: String,
    /// How it looked at that moment.
    pub picture: Option<Picture>,
}

/// Why a monitor does not accuse although its condition seems to be met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excuse {
    /// The queue could not be read consistently.
    Torn,
    /// The CPU that owed service handled interrupts, which are better than any thread, at both ends of the interval.
    Interrupts,
    /// The host did not run the vCPU that owed service.
    VcpuAway,
}

impl Excuse {
    /// Every excuse, in the order in which they are counted.
    pub const ALL: [Excuse; 3] = [Excuse::Torn, Excuse::Interrupts, Excuse::VcpuAway];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Excuse::Torn => "torn",
            Excuse::Interrupts => "interrupts",
            Excuse::VcpuAway => "vcpu_away",
        }
    }
}

/// How often each excuse was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Excuses([u64; Excuse::ALL.len()]);

impl Excuses {
    /// How often this excuse was accepted.
    pub fn count(&self, excuse: Excuse) -> u64 {
        self.0[excuse as usize]
    }

    pub(crate) fn accept(&mut self, excuse: Excuse) {
        self.0[excuse as usize] += 1;
    }

    pub(crate) fn merge(&mut self, other: &Excuses) {
        self.0.iter_mut().zip(other.0).for_each(|(to, from)| *to += from);
    }
}

impl fmt::Display for Excuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, excuse) in Excuse::ALL.into_iter().enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            write!(f, "{comma}{} {}", excuse.name(), self.count(excuse))?;
        }
        Ok(())
    }
}

/// The moment at which a monitor found its bound broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breach {
    /// The thread that suffers.
    pub thread: Option<u32>,
    /// The CPU that owes it service; for a thread on the kp queue the one that was charged.
    pub cpu: Option<u32>,
    /// True if the kp queue is concerned.
    pub on_kp: bool,
    /// How long the bad condition had lasted, in ns.
    pub lasted_ns: u64,
    /// From the moment the limit was exceeded to the verdict, in ns.
    pub detect_after_ns: u64,
    /// When the verdict fell.
    pub at_ns: u64,
}

/// How long ago a charge that grew from `before` to `after` within `interval_ns` passed `limit`.
pub(crate) fn since_crossing(before: u64, after: u64, limit: u64, interval_ns: u64) -> u64 {
    let over = u128::from(after.saturating_sub(limit));
    let grown = u128::from(after.saturating_sub(before)).max(1);
    (over.min(grown) * u128::from(interval_ns) / grown) as u64
}
