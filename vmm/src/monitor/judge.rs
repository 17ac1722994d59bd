//! The judge: samples the guest, shows each pass to every monitor, and keeps what they found.
//!
//! # Invariants
//! - A pass that finds nothing new allocates and formats nothing, once every thread has been met.
//! - The picture of a breach is taken in the pass that found it, before the next look.
//! - A bound breaks once; its worst case goes on being measured.

use std::sync::Arc;

use super::{BoundSpec, Breach, CpuReading, Deadman, Excuses, Finding, MonitorKind, Runq, Starvation, blame};
use crate::glass::{Glass, GlassError, Picture, ReadCounts, Sampler, Snapshot};

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
    /// Everything about the reads.
    pub reads: ReadCounts,
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
        let bounds = bounds.into_iter().map(Bound::new).collect();
        Judge { sampler: Sampler::new(Arc::clone(&glass)), glass, bounds }
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

    /// The CPU of which the next pass should be told whether it is ready to run, if there is one.
    pub fn doubts(&self) -> Option<u32> {
        self.bounds.iter().find_map(|bound| match &bound.watch {
            Watch::Deadman(deadman) => deadman.doubts(),
            _ => None,
        })
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
        Counts {
            samples: reads.passes,
            torn: reads.torn + reads.stale,
            retried: reads.retried,
            reads,
            excuses,
        }
    }

    /// What the last pass saw.
    pub fn snapshot(&self) -> &Snapshot {
        self.sampler.snapshot()
    }
}

impl Bound {
    fn new(spec: BoundSpec) -> Bound {
        let watch = match spec.monitor {
            MonitorKind::Starvation => {
                Watch::Starvation(Box::new(Starvation::new(spec.threads.clone(), spec.limit_ns)))
            }
            MonitorKind::Deadman => Watch::Deadman(Deadman::new(spec.limit_ns)),
            MonitorKind::Runq => Watch::Runq(Runq::new(spec.limit_ns)),
        };
        Bound { spec, watch, verdict: None }
    }

    fn finding(&self, n: usize, seen: &Snapshot) -> Finding {
        let (worst_ns, nearest, nearest_cpu) = match &self.watch {
            Watch::Starvation(s) => (s.worst().charge_ns, s.worst().thread, s.worst().cpu),
            Watch::Deadman(d) => (d.worst_ns(), None, d.cpu()),
            Watch::Runq(r) => (r.worst_ns(), None, None),
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
    fn observe(&mut self, seen: &Snapshot) -> Option<Breach> {
        match self {
            Watch::Starvation(s) => s.observe(seen),
            Watch::Deadman(d) => d.observe(seen),
            Watch::Runq(r) => r.observe(seen),
        }
    }

    fn excuses(&self) -> &Excuses {
        match self {
            Watch::Starvation(s) => s.excuses(),
            Watch::Deadman(d) => d.excuses(),
            Watch::Runq(r) => r.excuses(),
        }
    }

    /// Words and picture for a breach, at once.
    fn verdict(&self, glass: &Glass, seen: &Snapshot, breach: Breach) -> Verdict {
        let mut cpus: Vec<u32> = breach.cpu.into_iter().collect();
        let mut with_kp = breach.on_kp;
        let (sentence, threads) = match self {
            Watch::Starvation(s) => {
                let starved = starved_with(s, seen, &breach);
                (blame::starvation(glass, seen, &breach), starved)
            }
            Watch::Deadman(_) => {
                // A clock may well stand still because it waits for a queue that another CPU has locked.
                let locked = seen.queues().filter(|(_, queue)| !queue.verdict.is_trusted());
                for (cpu, _) in locked {
                    with_kp |= cpu.is_none();
                    cpus.extend(cpu);
                }
                (blame::deadman(glass, seen, &breach), Vec::new())
            }
            Watch::Runq(r) => (blame::runq(seen, &breach, r), Vec::new()),
        };
        Verdict { breach, sentence, picture: glass.picture(seen, &cpus, with_kp, &threads) }
    }
}

/// The starved thread, then others that wait on the same queue and have been charged.
fn starved_with(starvation: &Starvation, seen: &Snapshot, breach: &Breach) -> Vec<u32> {
    let queue = match breach.cpu {
        Some(cpu) if !breach.on_kp => seen.cpus.get(cpu as usize).map(|c| &c.queue),
        _ => Some(&seen.kp),
    };
    let is_there = |t: u32| queue.is_some_and(|q| q.threads.iter().any(|queued| queued.index == t));
    let mut threads: Vec<u32> = breach.thread.into_iter().collect();
    let others = starvation.waiting(seen).filter(|&t| Some(t) != breach.thread && is_there(t));
    threads.extend(others);
    threads
}
