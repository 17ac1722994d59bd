//! The judge: samples one guest, shows each pass to every bound's monitor, and takes the evidence of what they find.
//!
//! # Invariants
//! - Of all that is in this folder only the judge looks through the glass, at a pass and at the evidence of a breach.
//! - What is judged was seen at one moment: a look that took long is taken back ([`Promptness`]).
//! - A gap in sampling is charged to nobody: its monitors see no time go by in it. Nor is what a CPU spins for one that is away.
//! - The evidence of a breach is taken in the pass that found it, before the next look.

use std::sync::Arc;

use super::absence::Absences;
use super::gap::{Clocks, Gaps};
use super::promptness::Promptness;
use super::{BoundSpec, Bounds, CpuReading, Evidence, Excuses, Exhibits, Finding, MonitorKind};
use crate::glass::{Glass, GlassError, Needs, QueueSample, QueuedThread, Sampler, Snapshot};
use crate::why::{Mode, Stall, Why};

/// Threads that stand still of which is said why, at most.
const MAX_STALLED: usize = 32;
/// Devices whose names are read at most.
const MAX_DEVICES: u64 = 256;

/// How a pass ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "the loop that samples may have to act on a verdict at once"]
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
    /// Passes that were cut, and not judged: they led further than any kernel does.
    pub cut: u64,
    /// Queues that were consistent after retries.
    pub retried: u64,
    /// What the monitors let pass.
    pub excuses: Excuses,
    /// When nobody looked.
    pub gaps: Gaps,
    /// What all vCPUs together spent spinning for one that the host did not run, in ns.
    pub kept_ns: u64,
}

/// With what clocks a look was taken.
#[derive(Debug, Default)]
struct Looked {
    readings: Vec<CpuReading>,
    now_ns: u64,
    is_up: bool,
}

/// Judges one guest.
#[derive(Debug)]
pub struct Judge {
    glass: Arc<Glass>,
    sampler: Sampler,
    promptness: Promptness,
    /// What the last look was given.
    looked: Looked,
    clocks: Clocks,
    absences: Absences,
    bounds: Bounds,
    doubts: u32,
}

impl Judge {
    /// A judge over these bounds, whose passes are planned to be `period_ns` apart.
    pub fn new(glass: Arc<Glass>, bounds: Vec<BoundSpec>, period_ns: u64) -> Judge {
        let bounds = Bounds::new(bounds);
        let sampler = Sampler::new(Arc::clone(&glass), bounds.needs());
        Judge {
            sampler,
            promptness: Promptness::default(),
            looked: Looked::default(),
            clocks: Clocks::for_passes_every(period_ns),
            absences: Absences::default(),
            glass,
            bounds,
            doubts: 0,
        }
    }

    /// The same with passes that read this as well, for who looks at the snapshots besides.
    #[must_use]
    pub fn reading(self, needs: Needs) -> Judge {
        let sampler = Sampler::new(Arc::clone(&self.glass), self.bounds.needs().and(needs));
        Judge { sampler, ..self }
    }

    /// Looks once and judges. `readings` are the vCPUs' running times, taken just before; `now_ns` is the caller's clock.
    ///
    /// # Errors
    /// [`GlassError::BadRoot`] if the guest's root object is not a kernel.
    pub fn pass(&mut self, readings: &[CpuReading], now_ns: u64) -> Result<PassEnd, GlassError> {
        self.look(readings, now_ns)?;
        Ok(self.judge())
    }

    /// Looks once, and judges nothing yet. `readings` and `now_ns` are as for [`Judge::pass`].
    ///
    /// # Errors
    /// As [`Judge::pass`].
    pub fn look(&mut self, readings: &[CpuReading], now_ns: u64) -> Result<(), GlassError> {
        self.looked.is_up = self.sampler.pass(readings, now_ns)?.is_some();
        self.looked.now_ns = now_ns;
        self.looked.readings.clear();
        self.looked.readings.extend_from_slice(readings);
        Ok(())
    }

    /// True if the last look took so long, from before its first clock was read, that it is no moment. It is taken back then, and
    /// there should be another, as long as [`Judge::may_look_again`].
    pub fn takes_back(&mut self, took_ns: u64) -> bool {
        let is_late = self.looked.is_up && self.promptness.is_late(took_ns);
        if is_late {
            self.sampler.take_back();
        }
        is_late
    }

    /// False once, if so many looks in a row were taken back that this moment is given up: the next one is looked at.
    pub fn may_look_again(&mut self) -> bool {
        self.promptness.may_try()
    }

    /// Judges what the last look saw.
    pub fn judge(&mut self) -> PassEnd {
        let is_after_gap = self.clocks.step(&self.looked.readings, self.looked.now_ns);
        if !self.looked.is_up {
            self.clocks.begin_anew();
            return PassEnd::NotUp;
        }
        if self.sampler.is_cut() {
            return PassEnd::Quiet;
        }
        let seen = self.sampler.snapshot_mut();
        seen.show(self.clocks.readings(), self.clocks.now_ns());
        let taken = self.absences.step(seen, self.doubts);
        self.bounds.forgive(taken);
        if is_after_gap {
            self.bounds.skip();
        }
        let seen = &*seen;
        let is_broken = self.bounds.observe(seen, |exhibits| Evidence::take(&self.glass, seen, exhibits));
        self.doubts = self.bounds.doubts() | self.absences.doubts(seen);
        if is_broken { PassEnd::Violated } else { PassEnd::Quiet }
    }

    /// The CPUs of which the next pass should be told whether they are ready to run, a bit each.
    pub fn doubts(&self) -> u32 {
        self.doubts
    }

    /// True if a bound of this monitor has been broken.
    pub fn has_broken(&self, kind: MonitorKind) -> bool {
        self.bounds.has_broken(kind)
    }

    /// What became of each bound, in the order in which they were given.
    pub fn findings(&self) -> Vec<Finding> {
        self.bounds.findings(self.sampler.snapshot())
    }

    /// What the judge has done so far.
    pub fn counts(&self) -> Counts {
        let reads = self.sampler.counts();
        Counts {
            samples: reads.passes,
            torn: reads.torn + reads.stale,
            cut: reads.cut,
            retried: reads.retried,
            excuses: self.bounds.excuses(),
            gaps: self.clocks.gaps(),
            kept_ns: self.absences.taken_ns(),
        }
    }

    /// What the last pass saw.
    pub fn snapshot(&self) -> &Snapshot {
        self.sampler.snapshot()
    }
}

impl Evidence {
    /// Takes from a guest what a monitor wants shown of the pass that saw this.
    pub fn take(glass: &Glass, seen: &Snapshot, exhibits: &Exhibits) -> Evidence {
        let card = |&thread: &u32| Some((thread, glass.thread_card(seen, seen.arena?.address_of(thread))?));
        let whys = Evidence::whys(glass, seen, exhibits);
        // Who is waited for has the answer on its stack.
        let mut stacks = exhibits.stacks.clone();
        for link in whys.iter().flat_map(|why| &why.links) {
            let is_idle = matches!(link.stall, Stall::Runs { mode: Mode::Idle, .. });
            if !stacks.contains(&link.thread) && !is_idle {
                stacks.push(link.thread);
            }
        }
        Evidence {
            cards: exhibits.named.iter().filter_map(card).collect(),
            picture: glass.picture(seen, &exhibits.cpus, exhibits.part, &stacks),
            devices: devices(glass),
            whys,
        }
    }

    /// Why the threads that stand still do not run. One that waits on a run queue is joined by those that have waited there for as
    /// long; where no thread is named, the CPU's
    /// interrupt threads that are stuck are, and what it runs.
    fn whys(glass: &Glass, seen: &Snapshot, exhibits: &Exhibits) -> Vec<Why> {
        let mut stalled = exhibits.stalled.clone();
        if let Some(&first) = stalled.first() {
            let on_queue = |queue: &&QueueSample| queue.threads.iter().any(|t| t.index == first);
            let queue = seen.queues().map(|(_, queue)| queue).find(on_queue);
            let threads = queue.map(|queue| &*queue.threads).unwrap_or_default();
            let since = threads.iter().find(|t| t.index == first).map_or(0, |t| t.waitrq);
            let waits_as_long = |t: &&QueuedThread| t.waitrq != 0 && t.waitrq <= since;
            stalled.extend(threads.iter().filter(waits_as_long).map(|t| t.index));
        } else {
            for cpu in exhibits.cpus.iter().filter_map(|&cpu| seen.cpus.get(cpu as usize)) {
                stalled.extend(glass.stuck_interrupts(seen, cpu));
                stalled.extend(seen.arena.and_then(|arena| arena.index_of(cpu.thread)));
            }
        }
        let mut whys: Vec<Why> = Vec::new();
        for thread in stalled {
            let is_told = whys.iter().any(|why| why.subject().is_some_and(|link| link.thread == thread));
            if whys.len() < MAX_STALLED && !is_told {
                whys.push(Why::of(glass, seen, thread));
            }
        }
        whys.retain(|why| why.subject().is_some());
        whys
    }
}

/// What the devices of a guest are called.
fn devices(glass: &Glass) -> Vec<String> {
    let all = glass.kernel_object().and_then(|kernel| kernel.at("k_intr.devices"));
    let count = all.and_then(|all| all.len()).unwrap_or(0).min(MAX_DEVICES);
    (0..count).filter_map(|n| all?.element(n)?.at("dev_name")?.text()).collect()
}

#[cfg(test)]
#[path = "hostile_tests.rs"]
mod hostile_tests;

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
