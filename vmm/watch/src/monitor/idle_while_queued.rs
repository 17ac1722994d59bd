//! `idle_while_queued`: no CPU idles beside work that it may take.
//!
//! What it may take (`disp.c disp_getwork`, `disp_anywork`): whatever is on its own queue, whatever is on its partition's kp
//! queue, and the unbound threads on the queues of the partition's other CPUs that run something.
//!
//! # How idleness is charged
//! By idle CPU and queue, from one pass to the next, if at both the CPU was idle and could have ended the same wait, and has not
//! switched meanwhile. It is charged with the running time of its vCPU or, if it was halted at both ends, with the whole
//! interval, because the kernel should have woken it. But for work that others are asked to take, the CPU is charged with no more
//! than what each of those ran: the CPU whose queue it is, CPUs that have been called out of their halt or are looking for work, and a
//! CPU that was chosen for the best of a kp queue. If the host does not run one of them, nobody else owes. `starvation` does not charge a halted vCPU: a lost wake-up is seen here.
//!
//! # Excuses
//! - `torn`: the queue could not be read consistently. The wait on it goes on at the next pass if it is still the same; the waits on
//!   other queues are judged meanwhile.
//! - `too_young`: work on another's queue has not waited for `nosteal_nsec` yet.
//! - `interrupts`: the CPU handled an interrupt at both ends: its idle thread is pinned.
//! - `vcpu_away`: the host did not run the vCPU, and it was not halted, or had been called out of its halt; or it did not run one that
//!   was to take the work first.
//!
//! # Invariants
//! - A quiesced or offline CPU owes nothing. Other CPUs than its own owe a bound thread nothing, nor the last thread of a
//!   queue that its own CPU is about to pick (`DONTSTEAL`).

use umpire_shared::MAX_CPUS;

use super::evidence::ms;
use super::interval::{Dispatch, Interval, Ledger, Stretch, Subject};
use super::{Breach, Declaration, Evidence, Excuse, Judged, Monitor, Pass, Proof, Takes};
use crate::glass::{CpuSample, Needs, Place, QueueSample, QueuedThread, Snapshot, Wait};
use umpire_shared::sys::cpuvar::disp_flag;

pub(super) static IDLE_WHILE_QUEUED: Declaration = Declaration {
    name: "idle_while_queued",
    broken_when: "a CPU has been idle for longer than `limit` beside a wait that it could have ended: on its own queue, on its partition's kp queue, or unbound on the queue of a CPU of its partition that runs something",
    charged_with: "running time of the idle vCPU; wall time while it is halted and the host does not keep it waiting; for work that others are asked to take, at most what each of those ran",
    judges: "CPUs that are idle and take work",
    takes_threads: false,
    takes: Takes::Limit,
    excuses: &[Excuse::Torn, Excuse::TooYoung, Excuse::Interrupts, Excuse::VcpuAway],
    proof: Proof::Mutant("limit = \"100ms\""),
    standing_ms: Some(100),
    is_exact: false,
    new: |bound| Box::new(IdleWhileQueued::new(bound.limit_ns)),
};

/// Watches one bound.
#[derive(Debug)]
struct IdleWhileQueued {
    ledger: Ledger,
    interval: Interval,
    /// By CPU, and in that by queue: each CPU's, then the partitions'.
    idle: Vec<Vec<Missing>>,
    found: Option<Found>,
}

/// What broke the bound.
#[derive(Debug, Clone, Copy)]
struct Found {
    /// Where the work was.
    place: Place,
    /// Whether the CPU was halted.
    is_halted: bool,
    /// Whether it had been called out of its halt.
    is_called: bool,
}

/// What one CPU misses on one queue.
#[derive(Debug, Clone, Copy, Default)]
struct Missing {
    stretch: Stretch<Missed>,
    /// When it was first seen.
    since_ns: u64,
}

/// What an idle CPU does not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Missed {
    dispatch: Dispatch,
    work: Wait,
}

impl IdleWhileQueued {
    /// A watch with this limit.
    fn new(limit_ns: u64) -> IdleWhileQueued {
        IdleWhileQueued {
            ledger: Ledger::new(limit_ns),
            interval: Interval::default(),
            idle: Vec::new(),
            found: None,
        }
    }

    fn observe_cpu(&mut self, seen: &Snapshot, cpu: u32) -> Option<Breach> {
        let sample = &seen.cpus[cpu as usize];
        if sample.dispatch_pri >= 0 || !sample.takes_work() {
            self.idle[cpu as usize].clear();
            return None;
        }
        self.idle[cpu as usize].resize(seen.cpus.len() + seen.kps.len(), Missing::default());
        let queues = seen.queues().enumerate();
        queues
            .fold(None, |first, (n, (place, queue))| first.or(self.observe_queue(seen, cpu, n, place, queue)))
    }

    /// What an idle CPU misses on queue number `n`.
    fn observe_queue(
        &mut self,
        seen: &Snapshot,
        cpu: u32,
        n: usize,
        place: Place,
        queue: &QueueSample,
    ) -> Option<Breach> {
        let asked_ran = self.asked_ran(seen, cpu, place, queue.maxrunpri);
        let missing = &mut self.idle[cpu as usize][n];
        let before = missing.stretch.key();
        if !queue.verdict.is_trusted() {
            if before.is_some() {
                self.ledger.accept(Excuse::Torn);
            }
            return None;
        }
        let Some(work) = find(seen, cpu, place, queue, before.map(|b| b.work)) else {
            missing.stretch.see(None, 0);
            return None;
        };
        let missed = Missed { dispatch: self.interval.dispatch(cpu), work };
        if before != Some(missed) {
            missing.since_ns = seen.now_ns;
        }
        let is_others = place.cpu().is_some_and(|other| other != cpu);
        let is_young = is_others && seen.now_ns.saturating_sub(missing.since_ns) < seen.nosteal_ns;
        let elapsed = if is_young {
            self.ledger.accept(Excuse::TooYoung);
            0
        } else if self.interval.is_interrupted(cpu) {
            self.ledger.accept(Excuse::Interrupts);
            0
        } else {
            self.interval.had(cpu).min(asked_ran)
        };
        let charged = missing.stretch.see(Some(missed), elapsed)?;
        if elapsed == 0 && !is_young && !self.interval.is_interrupted(cpu) {
            self.ledger.accept(Excuse::VcpuAway);
        }
        let subject = Subject { thread: Some(work.thread()), cpu: Some(cpu), part: place.part() };
        let breach = self.ledger.enter(subject, charged, self.interval.wall_ns(), seen.now_ns);
        if breach.is_some() {
            let (is_halted, is_called) = (self.interval.is_halted(cpu), seen.cpus[cpu as usize].is_called);
            self.found = Some(Found { place, is_halted, is_called });
        }
        breach
    }
}

impl IdleWhileQueued {
    /// What those ran that are to take the work of a queue before an idle CPU is: the CPU whose queue it is, those that were called
    /// out of their halt or look for work already, and those that were asked to take the best of a kp queue. The least of them.
    fn asked_ran(&self, seen: &Snapshot, cpu: u32, place: Place, best: i16) -> u64 {
        if place == Place::Cpu(cpu) {
            return u64::MAX;
        }
        let part = seen.cpus[cpu as usize].part;
        let others = seen.cpus_of(part).filter(|&(n, other)| n != cpu && other.takes_work());
        let is_asked = |(n, other): &(u32, &CpuSample)| {
            let is_chosen = place.part().is_some() && other.is_chosen_for(best);
            place == Place::Cpu(*n) || other.looks_for_work() || is_chosen || self.interval.is_called(*n)
        };
        others.filter(is_asked).map(|(n, _)| self.interval.ran(n)).min().unwrap_or(u64::MAX)
    }
}

impl Monitor for IdleWhileQueued {
    fn needs(&self) -> Needs {
        Needs { runners: true, ..Needs::default() }
    }

    fn observe(&mut self, seen: &Snapshot) -> Pass {
        self.interval.step(seen);
        let queues = seen.cpus.len() + seen.kps.len();
        self.idle.resize_with(seen.cpus.len(), || Vec::with_capacity(queues));
        let (mut first, mut judged) = (None, Judged::NOTHING);
        for cpu in 0..seen.cpus.len() as u32 {
            let breach = self.observe_cpu(seen, cpu);
            first = first.or(breach);
            if !self.idle[cpu as usize].is_empty() && !self.interval.is_interrupted(cpu) {
                judged.met(self.interval.had(cpu));
            }
        }
        judged.found(first)
    }

    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn doubts(&self) -> u32 {
        let is_long = |missing: &Missing| missing.stretch.charge_ns() > self.ledger.limit_ns() / 8;
        if self.ledger.is_broken() {
            return 0;
        }
        let all = self.idle.iter().take(MAX_CPUS).enumerate();
        let doubtful =
            all.filter(|&(n, queues)| self.interval.is_halted(n as u32) && queues.iter().any(is_long));
        doubtful.fold(0, |bits, (n, _)| bits | 1 << n)
    }

    fn sentence(&self, breach: &Breach, evidence: &Evidence) -> String {
        let (Some(cpu), Some(Found { place, is_halted, is_called })) = (breach.cpu, self.found) else {
            return String::new();
        };
        let waits = evidence.thread(breach.thread);
        let how = match (is_halted, is_called) {
            (true, false) => "halted: nobody woke it",
            (true, true) => "halted: it was called out of its halt, and no poke has come",
            (false, _) => "awake: it does not look",
        };
        format!(
            "cpu {cpu} has been idle for {} ms beside {waits} on {place}; it is {how}",
            ms(breach.lasted_ns)
        )
    }
}

/// Work on this queue that the CPU may take: the same as before, if it is still there.
fn find(seen: &Snapshot, cpu: u32, place: Place, queue: &QueueSample, before: Option<Wait>) -> Option<Wait> {
    if !is_open(seen, cpu, place, queue) {
        return None;
    }
    let needs_unbound = place != Place::Cpu(cpu);
    let takeable = queue.threads.iter().filter(|thread| !(needs_unbound && thread.bound));
    let mut works = takeable.map(QueuedThread::wait);
    works.clone().find(|work| before == Some(*work)).or_else(|| works.next())
}

/// True if the CPU looks at this queue.
fn is_open(seen: &Snapshot, cpu: u32, place: Place, queue: &QueueSample) -> bool {
    let part = seen.cpus.get(cpu as usize).map_or(0, |sample| sample.part);
    match place {
        Place::Cpu(other) if other == cpu => true,
        Place::Part(kp) => kp == part,
        Place::Cpu(other) => seen.cpus.get(other as usize).is_some_and(|victim| {
            let keeps_last = victim.disp_flags & disp_flag::DONTSTEAL != 0 && queue.nrunnable == 1;
            victim.part == part && victim.dispatch_pri >= 0 && !keeps_last
        }),
    }
}

#[cfg(test)]
#[path = "idle_while_queued_tests.rs"]
mod tests;
