//! The bounds of a run, each under its monitor: shown one snapshot after the other, live or from a recording.
//!
//! # Invariants
//! - Nothing here looks at a guest: snapshots and evidence come from the caller.
//! - A pass that finds nothing new allocates and formats nothing, once every thread has been met.
//! - Evidence is asked for in the pass that found the breach, before the next snapshot.
//! - A bound breaks once; its worst case goes on being measured.

use super::absence::Taken;
use super::{BoundSpec, Breach, Evidence, Excuse, Excuses, Exhibits, Finding, Judged, Monitor, MonitorKind};
use crate::glass::{Needs, Snapshot};

/// The bounds of a run, and what became of each so far.
#[derive(Debug)]
pub struct Bounds {
    bounds: Vec<Bound>,
    /// What is let pass for all of them.
    excuses: Excuses,
    /// When the first pass was, and the last, if there was one.
    watched: Option<(u64, u64)>,
}

#[derive(Debug)]
struct Bound {
    spec: BoundSpec,
    monitor: Box<dyn Monitor>,
    verdict: Option<Verdict>,
    judged: Judged,
}

#[derive(Debug)]
struct Verdict {
    breach: Breach,
    evidence: Evidence,
}

impl Bounds {
    /// Bounds of which nothing has been seen.
    pub fn new(specs: Vec<BoundSpec>) -> Bounds {
        Bounds {
            bounds: specs.into_iter().map(Bound::new).collect(),
            excuses: Excuses::default(),
            watched: None,
        }
    }

    /// What their monitors need to see beyond the run queues.
    pub fn needs(&self) -> Needs {
        self.bounds.iter().map(|bound| bound.monitor.needs()).fold(Needs::default(), Needs::and)
    }

    /// Says that there was a gap in sampling before the next pass: it is worth nothing to any of them.
    pub fn skip(&mut self) {
        self.excuses.accept(Excuse::SamplingGap);
        self.bounds.iter_mut().for_each(|bound| bound.monitor.skip());
    }

    /// Says what vCPUs ran before the next pass that is worth nothing to any of them.
    pub(super) fn forgive(&mut self, taken: Taken) {
        if taken.spun_ns > 0 {
            self.excuses.accept(Excuse::HolderAway);
        }
        if taken.deaf_ns > 0 {
            self.excuses.accept(Excuse::HostDeaf);
        }
    }

    /// Shows them one pass; true if it broke a bound. What a monitor then wants shown is asked of `take`, at once.
    pub fn observe(&mut self, seen: &Snapshot, mut take: impl FnMut(&Exhibits) -> Evidence) -> bool {
        self.watched = Some((self.watched.map_or(seen.now_ns, |(first, _)| first), seen.now_ns));
        let mut is_broken = false;
        for bound in &mut self.bounds {
            let pass = bound.monitor.observe(seen);
            bound.judged.add(pass.judged);
            if let Some(breach) = pass.breach {
                is_broken = true;
                let evidence = take(&bound.monitor.exhibits(seen, &breach));
                bound.verdict = Some(Verdict { breach, evidence });
            }
        }
        is_broken
    }

    /// The CPUs of which the next pass should be told whether they are ready to run, a bit each.
    pub fn doubts(&self) -> u32 {
        self.bounds.iter().fold(0, |bits, bound| bits | bound.monitor.doubts())
    }

    /// True if a bound of this monitor has been broken.
    pub fn has_broken(&self, kind: MonitorKind) -> bool {
        self.bounds.iter().any(|bound| bound.spec.monitor == kind && bound.verdict.is_some())
    }

    /// What the monitors let pass.
    pub fn excuses(&self) -> Excuses {
        let mut all = self.excuses;
        self.bounds.iter().for_each(|bound| all.merge(bound.monitor.ledger().excuses()));
        all
    }

    /// What became of each bound, in the order in which they were given. The last snapshot says what threads are called.
    pub fn findings(&self, last: &Snapshot) -> Vec<Finding> {
        let watched_ns = self.watched.map_or(0, |(first, last)| last.saturating_sub(first));
        self.bounds.iter().enumerate().map(|(n, bound)| bound.finding(n, last, watched_ns)).collect()
    }
}

impl Bound {
    fn new(spec: BoundSpec) -> Bound {
        let monitor = (spec.monitor.declaration().new)(&spec);
        Bound { spec, monitor, verdict: None, judged: Judged::NOTHING }
    }

    fn finding(&self, n: usize, last: &Snapshot, watched_ns: u64) -> Finding {
        let ledger = self.monitor.ledger();
        let breach = self.verdict.as_ref().map(|v| &v.breach);
        let thread = breach.map_or(ledger.nearest().thread, |b| b.thread);
        Finding {
            monitor: self.spec.monitor,
            bound: n,
            thread: thread.map(|t| last.name_of(t)),
            cpu: breach.map_or(ledger.nearest().cpu, |b| b.cpu),
            is_standing: self.spec.is_standing,
            limit_ns: self.spec.limit_ns,
            worst_ns: ledger.worst_ns(),
            held: breach.is_none(),
            judged: self.judged,
            doubt: self.monitor.doubt().filter(|_| breach.is_none()),
            watched_ns,
            detect_after_ns: breach.map(|b| b.detect_after_ns),
            violated_at_ns: breach.map(|b| b.at_ns),
            sentence: self
                .verdict
                .as_ref()
                .map_or_else(String::new, |v| self.monitor.sentence(&v.breach, &v.evidence)),
            whys: self.verdict.as_ref().map_or_else(Vec::new, |v| v.evidence.whys.clone()),
            picture: self.verdict.as_ref().map(|v| v.evidence.picture.clone()),
        }
    }
}
