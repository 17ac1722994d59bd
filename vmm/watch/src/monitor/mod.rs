//! Monitors: one file a named invariant, judged from outside while the guest runs.
//!
//! | file | invariant |
//! |---|---|
//! | `starvation.rs` | no runnable thread waits too long while its CPU runs something worse; `latency`: whatever it runs |
//! | `deadman.rs` | the guest's clock advances while its CPU runs |
//! | `runq.rs` | a run queue's map, counts and maxima agree with its lists |
//! | `idle_while_queued.rs` | no CPU idles beside work that it may take |
//! | `order.rs` | no CPU runs something worse than what it was never asked to run |
//! | `preempt_owed.rs` | a CPU that was asked to think again does |
//! | `one_cpu.rs` | a thread is on one CPU, or on one queue |
//! | `inheritance.rs` | an owner is as good as the best that waits for its lock |
//! | `share.rs` | projects get their shares, threads their duty cycles |
//! | `pending.rs` | what the timer owes a cyclic is worked off |
//! | `progress.rs` | a workload gets on, whatever may keep its thread |
//! | `waitrq.rs` | who waits has the stamp of that wait, and who runs has none |
//! | `interval.rs` | what the time between two passes is worth, and what a condition has been charged |
//! | `judge.rs` | samples, shows each pass to all monitors, keeps what they found |
//! | `blame.rs` | the sentence that says who did what to whom |
//! | `words.rs` | what sentences are made of |
//! | `filter.rs` | which threads a bound is about |
//!
//! # Invariants
//! - A monitor is a pure function of the snapshots it was shown: it reads no guest memory and no clock.
//! - Nothing that was not consistently read is held against the guest. What a monitor lets pass it counts under
//!   a name, an [`Excuse`].
//! - A bound is judged while its condition lasts, not when it ends.

#[cfg(test)]
mod bench;
mod blame;
mod deadman;
mod filter;
mod idle_while_queued;
mod inheritance;
mod interval;
mod judge;
mod one_cpu;
mod order;
mod pending;
mod preempt_owed;
mod progress;
mod runq;
mod share;
mod starvation;
mod waitrq;
mod words;

use std::fmt;

use crate::glass::{Picture, Snapshot, Wants};

pub use crate::glass::CpuReading;
pub use deadman::Deadman;
pub use filter::{FilterError, ThreadFilter, ThreadTraits};
pub use idle_while_queued::IdleWhileQueued;
pub use inheritance::Inheritance;
pub use interval::{Ledger, Who};
pub use judge::{Counts, Judge, PassEnd};
pub use one_cpu::OneCpu;
pub use order::Order;
pub use pending::Pending;
pub use preempt_owed::PreemptOwed;
pub use progress::Progress;
pub use runq::{Disagreement, Runq, disagreement};
pub use share::{Promise, Share};
pub use starvation::{Behind, Starvation};
pub use waitrq::Waitrq;
pub use words::Words;

/// The monitors by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MonitorKind {
    /// A runnable thread waits while its CPU runs something worse.
    Starvation,
    /// A runnable thread waits, whatever its CPU runs.
    Latency,
    /// The guest's clock stands still.
    Deadman,
    /// A run queue disagrees with itself.
    Runq,
    /// A CPU idles beside work.
    IdleWhileQueued,
    /// A CPU runs something worse, and nobody asked it to stop.
    Order,
    /// A CPU was asked to think again and does not.
    PreemptOwed,
    /// A thread is in two places.
    OneCpu,
    /// An owner is below its best waiter.
    Inheritance,
    /// A project or thread does not get its share.
    Share,
    /// A cyclic is owed more and more.
    Pending,
    /// A workload does not get on.
    Progress,
    /// A thread that runs is stamped as one that waits, or the other way round.
    Waitrq,
}

impl MonitorKind {
    /// Every monitor.
    pub const ALL: [MonitorKind; 13] = [
        MonitorKind::Starvation,
        MonitorKind::Latency,
        MonitorKind::Deadman,
        MonitorKind::Runq,
        MonitorKind::IdleWhileQueued,
        MonitorKind::Order,
        MonitorKind::PreemptOwed,
        MonitorKind::OneCpu,
        MonitorKind::Inheritance,
        MonitorKind::Share,
        MonitorKind::Pending,
        MonitorKind::Progress,
        MonitorKind::Waitrq,
    ];

    /// Its name in scenario files and reports.
    pub fn name(self) -> &'static str {
        match self {
            MonitorKind::Starvation => "starvation",
            MonitorKind::Latency => "latency",
            MonitorKind::Deadman => "deadman",
            MonitorKind::Runq => "runq",
            MonitorKind::IdleWhileQueued => "idle_while_queued",
            MonitorKind::Order => "order",
            MonitorKind::PreemptOwed => "preempt_owed",
            MonitorKind::OneCpu => "one_cpu",
            MonitorKind::Inheritance => "inheritance",
            MonitorKind::Share => "share",
            MonitorKind::Pending => "pending",
            MonitorKind::Progress => "progress",
            MonitorKind::Waitrq => "waitrq",
        }
    }

    /// True if a bound of it may say which threads it is about.
    pub fn takes_threads(self) -> bool {
        matches!(
            self,
            MonitorKind::Starvation | MonitorKind::Latency | MonitorKind::Share | MonitorKind::Progress
        )
    }
}

/// A bound that a scenario asserts.
#[derive(Debug, Clone)]
pub struct BoundSpec {
    /// Who judges it.
    pub monitor: MonitorKind,
    /// Which threads it is about; all if `None`. See [`MonitorKind::takes_threads`].
    pub threads: Option<ThreadFilter>,
    /// How long the bad condition may last, in ns. For `share` it follows from the promise.
    pub limit_ns: u64,
    /// What `share` judges; `None` for every other.
    pub promise: Option<Promise>,
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
    /// Work on another CPU's queue has not waited for `nosteal_nsec` yet.
    TooYoung,
    /// The CPU is in the kernel, and the better thread is below `kpreemptpri`.
    BelowKpreemptpri,
    /// The thread has `t_preempt` raised.
    PreemptOff,
    /// The CPU is in the middle of a switch.
    Switching,
    /// It wanted less than it was entitled to.
    NoDemand,
    /// It had more than its duty cycle, and nobody else wanted it.
    Uncontended,
    /// The priority of who waits was raised while he slept: nobody passes that on.
    RaisedAsleep,
    /// The owner was as good when the wait began, so nothing was lent to him, and has become worse.
    OwnerSank,
    /// The owner held the lock as a reader before: nobody lends when that changes (`rw_tryupgrade`).
    Upgraded,
    /// A CPU cap holds it: its project or zone has had what it may have.
    Capped,
}

impl Excuse {
    /// Every excuse, in the order in which they are counted.
    pub const ALL: [Excuse; 13] = [
        Excuse::Torn,
        Excuse::Interrupts,
        Excuse::VcpuAway,
        Excuse::TooYoung,
        Excuse::BelowKpreemptpri,
        Excuse::PreemptOff,
        Excuse::Switching,
        Excuse::NoDemand,
        Excuse::Uncontended,
        Excuse::RaisedAsleep,
        Excuse::OwnerSank,
        Excuse::Upgraded,
        Excuse::Capped,
    ];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Excuse::Torn => "torn",
            Excuse::Interrupts => "interrupts",
            Excuse::VcpuAway => "vcpu_away",
            Excuse::TooYoung => "too_young",
            Excuse::BelowKpreemptpri => "below_kpreemptpri",
            Excuse::PreemptOff => "preempt_off",
            Excuse::Switching => "switching",
            Excuse::NoDemand => "no_demand",
            Excuse::Uncontended => "uncontended",
            Excuse::RaisedAsleep => "raised_asleep",
            Excuse::OwnerSank => "owner_sank",
            Excuse::Upgraded => "upgraded",
            Excuse::Capped => "capped",
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
    /// The partition whose kp queue is concerned, if one is.
    pub part: Option<u32>,
    /// How long the bad condition had lasted, in ns.
    pub lasted_ns: u64,
    /// From the moment the limit was exceeded to the verdict, in ns.
    pub detect_after_ns: u64,
    /// When the verdict fell.
    pub at_ns: u64,
}

/// What every monitor with a [`Ledger`] does.
pub trait Monitor: fmt::Debug + Send {
    /// What it needs to see beyond the run queues.
    fn wants(&self) -> Wants;
    /// Looks at one pass; the first breach of the bound is returned, once. Allocates nothing once it is warm.
    fn observe(&mut self, seen: &Snapshot) -> Option<Breach>;
    /// Limit, worst case and excuses.
    fn ledger(&self) -> &Ledger;
    /// Who did what to whom: the sentence of the breach, in the pass that found it.
    fn sentence(&self, words: &Words<'_>, breach: &Breach) -> String;
    /// CPUs of which the next pass should be told whether they are ready to run, a bit each.
    fn doubts(&self) -> u32 {
        0
    }
}

/// How long ago a charge that grew from `before` to `after` within `interval_ns` passed `limit`.
pub(crate) fn since_crossing(before: u64, after: u64, limit: u64, interval_ns: u64) -> u64 {
    let over = u128::from(after.saturating_sub(limit));
    let grown = u128::from(after.saturating_sub(before)).max(1);
    (over.min(grown) * u128::from(interval_ns) / grown) as u64
}
