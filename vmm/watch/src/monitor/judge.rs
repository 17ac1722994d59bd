//! The judge: samples the guest, shows each pass to every monitor, and keeps what they found.
//!
//! # Invariants
//! - A pass that finds nothing new allocates and formats nothing, once every thread has been met.
//! - The picture of a breach is taken in the pass that found it, before the next look.
//! - A bound breaks once; its worst case goes on being measured.

use std::sync::Arc;

use super::{
    Behind, BoundSpec, Breach, CpuReading, Deadman, Excuses, Finding, IdleWhileQueued, Inheritance, Monitor,
    MonitorKind, OneCpu, Order, Pending, PreemptOwed, Progress, Promise, Runq, Share, Starvation, Waitrq,
    Words, blame,
};
use crate::glass::{Glass, GlassError, Picture, Sampler, Snapshot, Wants};

/// How a pass ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "whoever samples may want to act on a verdict at once"]
pub enum PassEnd {
    /// The kernel is not up yet; nothing was judged.
    NotUp,
    /// Nothing new.
    Quiet,
    /// At least one bound was broken in this pass.
    Violated,
}

/// What the judge has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Passes over a kernel that was up.
    pub samples: u64,
    /// Queues that could not be read consistently: they changed under every try, or were locked throughout.
    pub torn: u64,
    /// Queues that were consistent after retries.
    pub retried: u64,
    /// What the monitors let pass.
    pub excuses: Excuses,
}

/// Judges one guest.
#[derive(Debug)]
pub struct Judge {
    glass: Arc<Glass>,
    sampler: Sampler,
    bounds: Vec<Bound>,
}

#[derive(Debug)]
struct Bound {
    spec: BoundSpec,
    watch: Watch,
    verdict: Option<Verdict>,
}

#[derive(Debug)]
enum Watch {
    Starvation(Box<Starvation>),
    Deadman(Deadman),
    Runq(Runq),
    Ledgered(Box<dyn Monitor>),
}

#[derive(Debug)]
struct Verdict {
    breach: Breach,
    sentence: String,
    picture: Picture,
}

impl Judge {
    /// A judge over these bounds.
    pub fn new(glass: Arc<Glass>, bounds: Vec<BoundSpec>) -> Judge {
        let bounds: Vec<Bound> = bounds.into_iter().map(Bound::new).collect();
        let wants = bounds.iter().map(|bound| bound.watch.wants()).fold(Wants::default(), Wants::and);
        Judge { sampler: Sampler::new(Arc::clone(&glass), wants), glass, bounds }
    }

    /// Looks once and judges. `readings` are the vCPUs' running times, taken just before; `now_ns` is the caller's clock.
    ///
    /// # Errors
    /// [`GlassError::BadRoot`] if the guest's root object is not a kernel.
    pub fn pass(&mut self, readings: &[CpuReading], now_ns: u64) -> Result<PassEnd, GlassError> {
        let Some(seen) = self.sampler.pass(readings, now_ns)? else { return Ok(PassEnd::NotUp) };
        let mut end = PassEnd::Quiet;
        for bound in &mut self.bounds {
            if let Some(breach) = bound.watch.observe(seen) {
                end = PassEnd::Violated;
                bound.verdict = Some(bound.watch.verdict(&self.glass, seen, breach));
            }
        }
        Ok(end)
    }

    /// The CPUs of which the next pass should be told whether they are ready to run, a bit each.
    pub fn doubts(&self) -> u32 {
        self.bounds.iter().fold(0, |bits, bound| {
            bits | match &bound.watch {
                Watch::Deadman(deadman) => deadman.doubts().map_or(0, |cpu| 1 << cpu),
                Watch::Ledgered(monitor) => monitor.doubts(),
                Watch::Starvation(_) | Watch::Runq(_) => 0,
            }
        })
    }

    /// True if a bound of this monitor has been broken.
    pub fn has_broken(&self, kind: MonitorKind) -> bool {
        self.bounds.iter().any(|bound| bound.spec.monitor == kind && bound.verdict.is_some())
    }

    /// What became of each bound, in the order in which they were given.
    pub fn findings(&self) -> Vec<Finding> {
        self.bounds.iter().enumerate().map(|(n, bound)| bound.finding(n, self.sampler.snapshot())).collect()
    }

    /// What the judge has done so far.
    pub fn counts(&self) -> Counts {
        let reads = self.sampler.counts();
        let mut excuses = Excuses::default();
        for bound in &self.bounds {
            excuses.merge(bound.watch.excuses());
        }
        Counts { samples: reads.passes, torn: reads.torn + reads.stale, retried: reads.retried, excuses }
    }

    /// What the last pass saw.
    pub fn snapshot(&self) -> &Snapshot {
        self.sampler.snapshot()
    }
}

impl Bound {
    fn new(spec: BoundSpec) -> Bound {
        let limit = spec.limit_ns;
        let watch = match spec.monitor {
            MonitorKind::Starvation => Watch::waits(Behind::Worse, &spec),
            MonitorKind::Latency => Watch::waits(Behind::Anyone, &spec),
            MonitorKind::Deadman => Watch::Deadman(Deadman::new(spec.limit_ns)),
            MonitorKind::Runq => Watch::Runq(Runq::new(spec.limit_ns)),
            MonitorKind::IdleWhileQueued => Watch::Ledgered(Box::new(IdleWhileQueued::new(limit))),
            MonitorKind::Order => Watch::Ledgered(Box::new(Order::new(limit))),
            MonitorKind::PreemptOwed => Watch::Ledgered(Box::new(PreemptOwed::new(limit))),
            MonitorKind::OneCpu => Watch::Ledgered(Box::new(OneCpu::new(limit))),
            MonitorKind::Inheritance => Watch::Ledgered(Box::new(Inheritance::new(limit))),
            MonitorKind::Share => {
                let promise = spec.promise.unwrap_or(Promise::WHOLE);
                Watch::Ledgered(Box::new(Share::new(promise, spec.threads.clone())))
            }
            MonitorKind::Pending => Watch::Ledgered(Box::new(Pending::new(limit))),
            MonitorKind::Progress => Watch::Ledgered(Box::new(Progress::new(spec.threads.clone(), limit))),
            MonitorKind::Waitrq => Watch::Ledgered(Box::new(Waitrq::new(limit))),
        };
        Bound { spec, watch, verdict: None }
    }

    fn finding(&self, n: usize, seen: &Snapshot) -> Finding {
        let (worst_ns, nearest, nearest_cpu) = match &self.watch {
            Watch::Starvation(s) => (s.worst().charge_ns, s.worst().thread, s.worst().cpu),
            Watch::Deadman(d) => (d.worst_ns(), None, d.cpu()),
            Watch::Runq(r) => (r.worst_ns(), None, None),
            Watch::Ledgered(m) => {
                (m.ledger().worst_ns(), m.ledger().nearest().thread, m.ledger().nearest().cpu)
            }
        };
        let breach = self.verdict.as_ref().map(|v| &v.breach);
        let thread = breach.map_or(nearest, |b| b.thread);
        Finding {
            monitor: self.spec.monitor,
            bound: n,
            thread: thread.map(|t| seen.name_of(t)),
            cpu: breach.map_or(nearest_cpu, |b| b.cpu),
            limit_ns: self.spec.limit_ns,
            worst_ns,
            held: breach.is_none(),
            detect_after_ns: breach.map(|b| b.detect_after_ns),
            violated_at_ns: breach.map(|b| b.at_ns),
            sentence: self.verdict.as_ref().map(|v| v.sentence.clone()).unwrap_or_default(),
            picture: self.verdict.as_ref().map(|v| v.picture.clone()),
        }
    }
}

impl Watch {
    fn waits(behind: Behind, spec: &BoundSpec) -> Watch {
        Watch::Starvation(Box::new(Starvation::new(behind, spec.threads.clone(), spec.limit_ns)))
    }

    fn observe(&mut self, seen: &Snapshot) -> Option<Breach> {
        match self {
            Watch::Starvation(s) => s.observe(seen),
            Watch::Deadman(d) => d.observe(seen),
            Watch::Runq(r) => r.observe(seen),
            Watch::Ledgered(m) => m.observe(seen),
        }
    }

    fn excuses(&self) -> &Excuses {
        match self {
            Watch::Starvation(s) => s.excuses(),
            Watch::Deadman(d) => d.excuses(),
            Watch::Runq(r) => r.excuses(),
            Watch::Ledgered(m) => m.ledger().excuses(),
        }
    }

    fn wants(&self) -> Wants {
        match self {
            Watch::Ledgered(m) => m.wants(),
            _ => Wants::default(),
        }
    }

    /// Words and picture for a breach, at once.
    fn verdict(&self, glass: &Glass, seen: &Snapshot, breach: Breach) -> Verdict {
        let mut cpus: Vec<u32> = breach.cpu.into_iter().collect();
        let mut kp = breach.part;
        let (sentence, threads) = match self {
            Watch::Starvation(s) => {
                let starved = starved_with(s, seen, &breach);
                (blame::starvation(glass, seen, &breach), starved)
            }
            Watch::Deadman(_) => {
                // A clock may well stand still because it waits for a queue that another CPU has locked.
                let locked = seen.queues().filter(|(_, queue)| !queue.verdict.is_trusted());
                for (place, _) in locked {
                    kp = kp.or(place.part());
                    cpus.extend(place.cpu());
                }
                (blame::deadman(glass, seen, &breach), Vec::new())
            }
            Watch::Runq(r) => (blame::runq(seen, &breach, r), Vec::new()),
            Watch::Ledgered(m) => {
                let sentence = m.sentence(&Words::new(glass, seen), &breach);
                (sentence, breach.thread.into_iter().collect())
            }
        };
        Verdict { breach, sentence, picture: glass.picture(seen, &cpus, kp, &threads) }
    }
}

/// The starved thread, then others that wait on the same queue and have been charged.
fn starved_with(starvation: &Starvation, seen: &Snapshot, breach: &Breach) -> Vec<u32> {
    let queue = match (breach.part, breach.cpu) {
        (Some(part), _) => seen.kps.get(part as usize),
        (None, cpu) => cpu.and_then(|cpu| seen.cpus.get(cpu as usize)).map(|c| &c.queue),
    };
    let is_there = |t: u32| queue.is_some_and(|q| q.threads.iter().any(|queued| queued.index == t));
    let mut threads: Vec<u32> = breach.thread.into_iter().collect();
    let others = starvation.waiting(seen).filter(|&t| Some(t) != breach.thread && is_there(t));
    threads.extend(others);
    threads
}
