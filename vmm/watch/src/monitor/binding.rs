//! `binding`: a thread is only where its binding and its processor set let it be.
//!
//! - A thread with a weak binding is on that CPU or on its queue; one with a strong binding alone, on that one's (`disp.c setbackdq`).
//!   Neither is ever on a kp queue.
//! - A thread without either is on a CPU of its partition or on a queue of it.
//! - A thread that has pinned itself (`t_nomigrate` above 0) has a weak binding.
//!
//! A locality group is no bound: a thread runs in its home if it can, and elsewhere if it cannot.
//! The kernel's own threads go where their CPU goes; interrupt threads and idle threads are not judged.
//!
//! # How it is charged
//! With the running time of the CPU that has the thread, or on whose queue it is; with wall time on a kp queue, which no CPU owes.
//! The condition lasts while the same thread is in the same wrong place. A sound kernel moves a thread that waits under its lock, and
//! one that runs leaves at its next preemption point.
//!
//! # Excuses
//! - `torn`: the queue could not be read consistently.
//! - `vcpu_away`: the host did not run the vCPU.
//! - `preempt_off`: the thread that runs has `t_preempt` raised, and cannot leave.
//! - `interrupts`: its CPU handled an interrupt at both ends of the interval.
//! - `in_motion`: the CPU is being taken offline or to another partition, and what is there is moved when the CPUs are paused.
//!
//! # Invariants
//! - What is wrong on a queue was read under the queue's generation.

use umpire_shared::sys::thread::tflag;

use super::evidence::ms;
use super::interval::{Interval, Ledger, Stretch, Subject};
use super::{Breach, Declaration, Evidence, Excuse, Judged, Monitor, Pass, Proof, Takes};
use crate::glass::{CpuSample, Needs, Place, Placement, Snapshot};

pub(super) static BINDING: Declaration = Declaration {
    name: "binding",
    broken_when: "a thread has been on a CPU or a run queue for longer than `limit` where its strong binding, its weak binding or \
                  its processor set does not let it be, or has pinned itself and has no weak binding",
    charged_with: "running time of the vCPU that has it or its queue; wall time on a kp queue",
    judges: "threads on CPUs and on run queues, but for interrupt threads and idle threads",
    takes_threads: false,
    takes: Takes::Limit,
    excuses: &[Excuse::Torn, Excuse::VcpuAway, Excuse::PreemptOff, Excuse::Interrupts, Excuse::InMotion],
    proof: Proof::Mutant("limit = \"20ms\""),
    standing_ms: Some(50),
    is_exact: false,
    new: |bound| Box::new(Binding::new(bound.limit_ns)),
};

/// Watches one bound.
#[derive(Debug)]
struct Binding {
    ledger: Ledger,
    interval: Interval,
    /// By thread: where it should not be.
    misplaced: Vec<Stretch<Misplaced>>,
    /// By thread: the pass that found it misplaced last.
    met: Vec<u64>,
    found: Option<Misplaced>,
}

/// A thread where it may not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Misplaced {
    at: At,
    rule: Rule,
}

/// Where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// On this CPU.
    Cpu(u32),
    /// On this run queue.
    Queue(Place),
}

/// What does not let it be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// Its weak binding to this CPU.
    Weak(u32),
    /// Its strong binding to this CPU.
    Strong(u32),
    /// Its partition.
    Part(u32),
    /// It has pinned itself, and is bound to nothing.
    Pinned,
}

impl Binding {
    /// A watch with this limit.
    fn new(limit_ns: u64) -> Binding {
        Binding {
            ledger: Ledger::new(limit_ns),
            interval: Interval::default(),
            misplaced: Vec::new(),
            met: Vec::new(),
            found: None,
        }
    }

    /// Judges one thread in one place; `worth` is what the interval is charged with.
    fn judge(&mut self, seen: &Snapshot, thread: u32, wrong: Misplaced, worth: u64) -> Option<Breach> {
        let n = thread as usize;
        let (misplaced, met) = (self.misplaced.get_mut(n)?, self.met.get_mut(n)?);
        if *met + 1 != seen.seq {
            misplaced.see(None, 0);
        }
        *met = seen.seq;
        let charged = misplaced.see(Some(wrong), worth)?;
        let (cpu, part) = match wrong.at {
            At::Cpu(cpu) => (Some(cpu), None),
            At::Queue(place) => (place.cpu(), place.part()),
        };
        let subject = Subject { thread: Some(thread), cpu, part };
        let breach = self.ledger.enter(subject, charged, self.interval.wall_ns(), seen.now_ns);
        if breach.is_some() {
            self.found = Some(wrong);
        }
        breach
    }

    fn observe_queues(&mut self, seen: &Snapshot, judged: &mut Judged) -> Option<Breach> {
        let mut first = None;
        for (place, queue) in seen.queues() {
            if !queue.verdict.is_trusted() {
                self.ledger.accept(Excuse::Torn);
                // What was misplaced there is still known, as far as it was charged.
                queue.threads.iter().for_each(|thread| self.stay(seen, thread.index));
                continue;
            }
            let cpu = place.cpu().and_then(|n| seen.cpus.get(n as usize));
            for (thread, placement) in queue.threads.iter().zip(&queue.placements) {
                if placement.flag & tflag::INTR_THREAD != 0 {
                    continue;
                }
                judged.met(place.cpu().map_or(self.interval.wall_ns(), |n| self.interval.had(n)));
                let Some(rule) = broken(seen, place, placement) else { continue };
                let worth = self.worth(seen, place.cpu(), cpu, None);
                let wrong = Misplaced { at: At::Queue(place), rule };
                first = first.or(self.judge(seen, thread.index, wrong, worth));
            }
        }
        first
    }

    fn observe_cpus(&mut self, seen: &Snapshot, judged: &mut Judged) -> Option<Breach> {
        let mut first = None;
        for (cpu, n) in seen.cpus.iter().zip(0..) {
            let Some(thread) = seen.arena.and_then(|arena| arena.index_of(cpu.thread)) else { continue };
            if cpu.is_idle() || cpu.is_pinning() || cpu.placement.flag & tflag::INTR_THREAD != 0 {
                continue;
            }
            judged.met(self.interval.had(n));
            let Some(rule) = broken(seen, Place::Cpu(n), &cpu.placement) else { continue };
            let worth = self.worth(seen, Some(n), Some(cpu), Some(cpu.runner.preempt));
            first = first.or(self.judge(seen, thread, Misplaced { at: At::Cpu(n), rule }, worth));
        }
        first
    }

    /// What the interval is worth in this place; `preempt` is the runner's `t_preempt`.
    fn worth(
        &mut self,
        seen: &Snapshot,
        n: Option<u32>,
        cpu: Option<&CpuSample>,
        preempt: Option<u8>,
    ) -> u64 {
        let (Some(n), Some(cpu)) = (n, cpu) else { return self.interval.wall_ns() };
        let had = self.interval.had(n);
        let excuse = if cpu.addr == seen.inmotion {
            Excuse::InMotion
        } else if preempt.is_some_and(|depth| depth > 0) {
            Excuse::PreemptOff
        } else if preempt.is_some() && self.interval.is_interrupted(n) {
            Excuse::Interrupts
        } else if had == 0 {
            Excuse::VcpuAway
        } else {
            return had;
        };
        self.ledger.accept(excuse);
        0
    }

    /// Keeps what is known of a thread whose queue could not be read.
    fn stay(&mut self, seen: &Snapshot, thread: u32) {
        if let Some(met) = self.met.get_mut(thread as usize)
            && *met + 1 == seen.seq
        {
            *met = seen.seq;
        }
    }
}

impl Monitor for Binding {
    fn needs(&self) -> Needs {
        Needs { runners: true, placements: true, ..Needs::default() }
    }

    fn observe(&mut self, seen: &Snapshot) -> Pass {
        self.interval.step(seen);
        self.misplaced.resize(seen.names.len(), Stretch::default());
        self.met.resize(seen.names.len(), 0);
        let mut judged = Judged::NOTHING;
        let on_queues = self.observe_queues(seen, &mut judged);
        let breach = on_queues.or(self.observe_cpus(seen, &mut judged));
        judged.found(breach)
    }

    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn sentence(&self, breach: &Breach, evidence: &Evidence) -> String {
        let Some(Misplaced { at, rule }) = self.found else { return String::new() };
        let (thread, lasted) = (evidence.thread(breach.thread), ms(breach.lasted_ns));
        let at = match at {
            At::Cpu(cpu) => format!("cpu {cpu}"),
            At::Queue(place) => place.to_string(),
        };
        let why = match rule {
            Rule::Weak(cpu) => format!("it has a weak binding to cpu {cpu}"),
            Rule::Strong(cpu) => format!("it is bound to cpu {cpu}"),
            Rule::Part(0) => "it is in no processor set, and that is another's".to_owned(),
            Rule::Part(part) => format!("it is in processor set {part}, and that is not"),
            Rule::Pinned => "it has pinned itself there, but has no weak binding".to_owned(),
        };
        format!("{thread} has been on {at} for {lasted} ms: {why}")
    }
}

/// The rule that does not let a thread be in this place.
fn broken(seen: &Snapshot, place: Place, placement: &Placement) -> Option<Rule> {
    if placement.nomigrate > 0 && placement.weakbound.is_none() {
        return Some(Rule::Pinned);
    }
    if let Some(cpu) = placement.fixed_cpu() {
        let is_weak = placement.weakbound.is_some();
        let rule = if is_weak { Rule::Weak(cpu) } else { Rule::Strong(cpu) };
        return (place != Place::Cpu(cpu)).then_some(rule);
    }
    let part = placement.part?;
    let there = match place {
        Place::Part(there) => there,
        Place::Cpu(cpu) => seen.cpus.get(cpu as usize)?.part,
    };
    // A partition without a CPU sends its threads where they were.
    let has_cpu = seen.cpus_of(part).any(|(_, cpu)| cpu.takes_work());
    (part != there && has_cpu).then_some(Rule::Part(part))
}

#[cfg(test)]
#[path = "binding_tests.rs"]
mod tests;
