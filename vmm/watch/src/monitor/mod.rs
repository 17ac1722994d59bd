//! Monitors: one file a named invariant, judged from outside while the guest runs.
//!
//! What each watches stands at the head of its file and in its [`Declaration`]; `table.rs` lists them all. Beside them:
//!
//! | file | what |
//! |---|---|
//! | `table.rs` | the table of monitors, and what is to be known of each |
//! | `excuse.rs` | why a monitor does not accuse |
//! | `judged.rs` | what a pass had to judge |
//! | `interval.rs` | what the time between two passes is worth, and what a condition has been charged |
//! | `gap.rs`, `absence.rs` | what is charged to nobody: time without samples, time spent waiting for a vCPU that is away |
//! | `filter.rs` | which threads a bound is about |
//! | `evidence.rs` | what is taken from the glass at a breach, and what sentences are made of |
//! | `blame.rs` | why a CPU goes on with what it runs: the sentence of `starvation` and `latency` |
//! | `disagreement.rs` | what `runq` looks for in one queue |
//! | `bounds.rs` | shows each pass to all monitors, keeps what they found |
//! | `judge.rs` | samples a guest and takes the evidence |
//! | `long_interrupt.rs` | the worked example of docs/write-a-monitor.md, compiled for tests only |
//!
//! # Invariants
//! - A monitor is a pure function of the snapshots that it was shown: it reads no guest memory and no clock. What its sentence
//!   needs of the guest is taken by the judge in the pass of the breach, as [`Evidence`]; so a recording of both can be
//!   judged again.
//! - Nothing that was not consistently read is held against the guest. What a monitor lets pass it counts under
//!   a name, an [`Excuse`].
//! - A bound is judged while its condition lasts, not when it ends.
//! - A pass cannot be reported without what there was to judge in it ([`Pass`]).

mod absence;
#[cfg(test)]
mod bench;
mod binding;
mod blame;
mod bounds;
mod caps;
mod charge;
mod conservation;
mod counted;
mod deadman;
mod disagreement;
mod evidence;
mod excuse;
mod fifo;
pub(crate) mod filter;
mod gap;
mod heartbeat;
mod idle_while_queued;
mod inheritance;
mod interval;
mod judge;
mod judged;
mod lent;
#[cfg(test)]
mod long_interrupt;
mod memory;
mod message_order;
mod one_cpu;
mod order;
mod pending;
mod perimeter;
mod preempt_owed;
mod progress;
mod promptness;
mod runq;
mod share;
mod spin;
mod stack;
mod starvation;
mod storm;
mod stream;
mod table;
mod taskq;
mod waitrq;

use std::fmt;

use crate::glass::{Needs, Picture, Snapshot};
use crate::why::Why;
use umpire_rows::number::rounded;

pub use crate::glass::CpuReading;
pub use bounds::Bounds;
pub use disagreement::{Disagreement, disagreement};
pub use evidence::{Evidence, Exhibits};
pub use excuse::{Excuse, Excuses};
pub use filter::{Candidate, FilterError, Nobody, ThreadFilter, ThreadTraits, group};
pub use gap::{Gaps, longest_ns as longest_without_gap_ns};
pub use interval::{Ledger, Subject};
pub use judge::{Counts, Judge, PassEnd};
pub use judged::{Judged, Pass};
pub use share::Promise;
pub use table::{Declaration, MonitorKind, Proof, Takes};

/// What every monitor does. It has a [`Declaration`] beside this.
pub trait Monitor: fmt::Debug + Send {
    /// What it needs to see beyond the run queues.
    fn needs(&self) -> Needs {
        Needs::default()
    }

    /// Looks at one pass: what there was to judge in it, and the first breach of the bound, once. Allocates nothing once it is
    /// warm. What the sentence will need of this pass is copied at the breach.
    fn observe(&mut self, seen: &Snapshot) -> Pass;

    /// Told before a pass that follows a gap in sampling, which the pass shows as no time at all. What compares the guest's own
    /// clocks begins anew.
    fn skip(&mut self) {}

    /// Limit, worst case and excuses.
    fn ledger(&self) -> &Ledger;

    /// What should be shown of the pass that found the breach, which is the one given.
    fn exhibits(&self, _seen: &Snapshot, breach: &Breach) -> Exhibits {
        Exhibits::of(breach)
    }

    /// What did what to what, and which tunable or rule let it. It is made at any time, of what was copied at the breach and of what
    /// was taken then.
    fn sentence(&self, breach: &Breach, evidence: &Evidence) -> String;

    /// Why it proves nothing that the bound held, if the host can have kept it from being judged.
    fn doubt(&self) -> Option<String> {
        None
    }

    /// CPUs of which the next pass should be told whether they are ready to run, and what the host kept from them, a bit each.
    fn doubts(&self) -> u32 {
        0
    }
}

/// A bound that a scenario asserts.
#[derive(Debug, Clone)]
pub struct BoundSpec {
    /// What judges it.
    pub monitor: MonitorKind,
    /// Which threads it is about; all if `None`. See [`Declaration::takes_threads`].
    pub threads: Option<ThreadFilter>,
    /// How long the bad condition may last, in ns. For [`Takes::Promise`] it follows from the promise.
    pub limit_ns: u64,
    /// The promise, for [`Takes::Promise`].
    pub promise: Option<Promise>,
    /// True if it is one of the standing bounds, which may have nothing to judge.
    pub is_standing: bool,
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

/// What became of a bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What judged it.
    pub monitor: MonitorKind,
    /// The bound's place in the list given to the judge.
    pub bound: usize,
    /// The thread that it broke for first or, if it held, that came nearest.
    pub thread: Option<String>,
    /// The CPU concerned, if one is; for a thread on the kp queue the CPU that was charged.
    pub cpu: Option<u32>,
    /// True if it is one of the standing bounds, which may have nothing to judge.
    pub is_standing: bool,
    /// The limit, in ns.
    pub limit_ns: u64,
    /// The longest that the bad condition lasted, in ns; 0 if it never arose.
    pub worst_ns: u64,
    /// True if the limit was never exceeded.
    pub held: bool,
    /// What there was to judge.
    pub judged: Judged,
    /// Why it proves nothing that the bound held, if the host can have kept it from being judged.
    pub doubt: Option<String>,
    /// How long the guest was watched, in ns.
    pub watched_ns: u64,
    /// From the moment the limit was exceeded to the verdict, in ns.
    pub detect_after_ns: Option<u64>,
    /// When the verdict fell, in the sampler's ns.
    pub violated_at_ns: Option<u64>,
    /// What did what to what, and which tunable let it; empty if the bound held.
    pub sentence: String,
    /// Why the threads that stood still did not run, at that moment: that of `thread` first.
    pub whys: Vec<Why>,
    /// How it looked at that moment.
    pub picture: Option<Picture>,
}

impl Finding {
    /// Why it says nothing that the bound held, if that is so.
    pub fn unjudged(&self) -> Option<String> {
        if !self.held || self.is_standing {
            return None;
        }
        let (limit, watched) = (rounded(self.limit_ns), rounded(self.watched_ns));
        if self.limit_ns >= self.watched_ns {
            return Some(format!("the limit of {limit} is not below the {watched} for which it was watched"));
        }
        if self.was_bad_throughout() {
            let judged = rounded(self.judged.ns);
            return Some(format!(
                "it was so for all of the {judged} that there were to judge, and the limit of {limit} is not below that"
            ));
        }
        let judges = self.monitor.declaration().judges;
        self.judged
            .is_nothing()
            .then(|| format!("there was nothing to judge in {watched}: it judges {judges}"))
    }

    /// Why it says little that the bound held, if its limit is below the time from one look to the next: what lasts longer than the limit
    /// and less than that is not seen. Not where the guest itself has measured.
    pub fn weak(&self, period_ns: u64) -> Option<String> {
        let is_fine = self.monitor.declaration().is_exact || self.limit_ns >= period_ns;
        (self.held && !self.is_standing && !is_fine).then(|| {
            let (limit, period) = (rounded(self.limit_ns), rounded(period_ns));
            format!(
                "the limit of {limit} is below the {period} from one sample to the next: what lasts less than that may not be seen"
            )
        })
    }

    /// True if the bad condition lasted for all the time that there was, as the monitor charges it, and that was too short for the
    /// limit: a host that keeps much of a run leaves less of it than the run is long. A wait that is a small part of the run is one
    /// that was seen to end.
    fn was_bad_throughout(&self) -> bool {
        let judged_ns = self.judged.ns;
        let is_all = self.worst_ns > 0 && self.worst_ns >= judged_ns - judged_ns / 10;
        is_all && judged_ns <= self.limit_ns && judged_ns >= self.watched_ns / 10
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bound of `progress` of 100 ms that held.
    fn held() -> Finding {
        Finding {
            monitor: MonitorKind::Progress,
            bound: 0,
            thread: None,
            cpu: None,
            is_standing: false,
            limit_ns: 100_000_000,
            worst_ns: 0,
            held: true,
            judged: Judged::of(1, 1),
            doubt: None,
            watched_ns: 200_000_000,
            detect_after_ns: None,
            violated_at_ns: None,
            sentence: String::new(),
            whys: Vec::new(),
            picture: None,
        }
    }

    #[test]
    fn limit_below_the_period_is_weak_unless_the_guest_has_measured() {
        let weak = |monitor, limit_ns| Finding { monitor, limit_ns, ..held() }.weak(1_000_000).is_some();
        assert!(weak(MonitorKind::Progress, 999_999) && weak(MonitorKind::Starvation, 0));
        assert!(!weak(MonitorKind::Progress, 1_000_000));
        assert!(!weak(MonitorKind::Charge, 10_000) && !weak(MonitorKind::Runq, 0));
        assert_eq!(Finding { held: false, limit_ns: 1, ..held() }.weak(1_000_000), None);
    }

    #[test]
    fn bound_that_was_bad_for_all_the_time_that_the_host_left_is_not_judged() {
        let found = |worst_ms: u64, judged_ms: u64| Finding {
            worst_ns: worst_ms * 1_000_000,
            judged: Judged::of(1, judged_ms * 1_000_000),
            ..held()
        };
        for (worst_ms, judged_ms, is_judged) in
            [(92, 92, false), (40, 40, false), (5, 92, true), (0, 92, true), (99, 150, true), (3, 3, true)]
        {
            assert_eq!(
                found(worst_ms, judged_ms).unjudged().is_none(),
                is_judged,
                "{worst_ms} of {judged_ms}"
            );
        }
    }
}
