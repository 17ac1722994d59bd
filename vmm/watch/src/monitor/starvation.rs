//! `starvation`: no runnable thread waits longer than its bound while the CPU that owes it service runs something strictly
//! worse. `latency`: none waits longer than its bound, whatever the CPU runs.
//!
//! # How a wait is charged
//! A wait is one thread that has not run since ([`crate::glass::Wait`]): how often it has run tells its waits apart, not its `t_waitrq`,
//! which a faulty requeue renews. A thread that is requeued while it waits, to another queue or to another place there,
//! is in the same wait. Between two consistent reads of its queue that both show it there, it is
//! charged with the running time of the vCPU that owes it service, if at both reads that CPU ran something
//! worse: `cpu_dispatch_pri < PRI(t)`. The idle thread is worse than any, but an idle vCPU that halts does not run.
//! On a kp queue every CPU of the partition owes service, and the largest of their running times is charged. But `setkpdq` asks one
//! CPU for each thread: as long as some have been asked, have been called out of their halt or look for work by themselves, only those
//! owe it. If the host does not run them, the others, which nobody asked, are not to blame.
//! `latency` charges alike, whatever the CPU ran: a thread that waits behind its equals, or behind its betters, waits.
//! It is charged with no more than the time that the clock's CPU was not kept from running since the wait began: without ticks
//! nobody's quantum ends.
//! A thread that a CPU cap holds (`TS_WAIT`) is on no run queue: no CPU owes it service, so neither monitor sees it. When
//! the cap releases it a new wait begins.
//!
//! # Excuses
//! - `torn`: the queue could not be read consistently. The wait is kept, and charged at the next consistent read.
//! - `interrupts`: the owing CPU handled an interrupt at both ends of the interval (`starvation` only).
//! - `vcpu_away`: the host did not run the owing vCPU at all.
//! - `locked`: the owing CPU's queue, or the thread that runs there, was locked at either end (`starvation` only).
//!
//! # Invariants
//! - Judged while the thread waits: the pass that charges past the limit gives the verdict.
//! - The first interval, in which the wait began, is never charged: a verdict is never early.
//! - Observing allocates nothing once every thread has been met.

use umpire_shared::MAX_CPUS;

use super::blame::Blame;
use super::evidence::ms;
use super::filter::{ThreadFilter, ThreadTraits};
use super::interval::{Interval, Ledger, Subject};
use super::{Breach, Declaration, Evidence, Excuse, Exhibits, Judged, Monitor, Pass, Proof, Takes};
use crate::glass::{CpuSample, Needs, Place, QueueSample, Snapshot, Wait};

pub(super) static STARVATION: Declaration = Declaration {
    name: "starvation",
    broken_when: "a thread has been runnable for longer than `limit` while the CPU that owes it service ran something of strictly lower priority",
    charged_with: "running time of the owing vCPU; for a thread on the kp queue the largest of the owing vCPUs', of those that were asked if any was",
    judges: "threads that have run or waited, have not ended and are not stopped; the time is that of the CPU that had most",
    takes_threads: true,
    takes: Takes::Limit,
    excuses: &[Excuse::Torn, Excuse::Interrupts, Excuse::VcpuAway, Excuse::Locked],
    proof: Proof::Mutant("threads = \"pri >= 60\"\nlimit = \"50ms\""),
    standing_ms: None,
    is_exact: false,
    new: |bound| Box::new(Starvation::new(Behind::Worse, bound.threads.clone(), bound.limit_ns)),
};

pub(super) static LATENCY: Declaration = Declaration {
    name: "latency",
    broken_when: "a thread has been runnable for longer than `limit`, whatever the CPU that owes it service ran",
    charged_with: "as `starvation`, but with no more than what the clock's vCPU was not kept from running",
    judges: "threads that have run or waited, have not ended and are not stopped; the time is that of the CPU that had most",
    takes_threads: true,
    takes: Takes::Limit,
    excuses: &[Excuse::Torn, Excuse::VcpuAway],
    proof: Proof::As("starvation"),
    standing_ms: None,
    is_exact: false,
    new: |bound| Box::new(Starvation::new(Behind::Anyone, bound.threads.clone(), bound.limit_ns)),
};

/// How often it is looked at which threads have wanted a CPU, in ns.
const LOOK_NS: u64 = 100_000_000;

/// What a thread must not wait long behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behind {
    /// A thread that is worse: `starvation`.
    Worse,
    /// Any thread: `latency`.
    Anyone,
}

/// Watches one bound.
#[derive(Debug)]
struct Starvation {
    behind: Behind,
    filter: Option<ThreadFilter>,
    ledger: Ledger,
    /// By queue: each CPU's, then the partitions'.
    queues: Vec<Watched>,
    /// By thread number.
    waits: Vec<Waiting>,
    interval: Interval,
    /// Time for which the host has not kept the clock's CPU from running.
    clock_ns: u64,
    /// CPUs of which it is to be known whether they are ready to run.
    doubted: u32,
    /// Threads that are meant and have wanted a CPU, when that was last looked at.
    wanted: u64,
    /// Threads that are meant and that this pass met on a queue.
    queued: u64,
    /// How the CPU stood that broke the bound.
    found: Option<Blame>,
}

/// What is remembered of a queue between two consistent reads.
#[derive(Debug, Clone, Copy, Default)]
struct Watched {
    /// Consistent reads so far.
    reads: u64,
    now_ns: u64,
    ran_ns: [u64; MAX_CPUS],
    /// CPUs that handled an interrupt.
    interrupted: u32,
    /// CPUs whose queue, or whose thread, was locked.
    locked: u32,
}

/// What is remembered of a thread's wait.
#[derive(Debug, Clone, Copy, Default)]
struct Waiting {
    wait: Wait,
    charge_ns: u64,
    /// The clock's time when it began.
    clock_ns: u64,
    /// The queue, plus one; 0 before the thread was ever met.
    queue: usize,
    /// The queue's read at which it was last met.
    read: u64,
    /// CPUs that then ran something worse.
    worse: u32,
}

impl Monitor for Starvation {
    fn observe(&mut self, seen: &Snapshot) -> Pass {
        self.queues.resize(seen.cpus.len() + seen.kps.len(), Watched::default());
        self.waits.resize(seen.names.len(), Waiting::default());
        self.interval.step(seen);
        self.clock_ns += self.interval.wall_ns().saturating_sub(self.interval.kept(seen.clock_cpu));
        self.doubted = 0;
        self.queued = 0;
        let mut first = None;
        for (n, (place, queue)) in seen.queues().enumerate() {
            if !queue.verdict.is_trusted() {
                self.ledger.accept(Excuse::Torn);
                continue;
            }
            let breach = self.observe_queue(seen, n, place, queue);
            first = first.or(breach);
        }
        if let Some(cpu) = first.and_then(|breach| seen.cpus.get(breach.cpu? as usize)) {
            self.found = Some(Blame::of(seen, cpu));
        }
        self.judged(seen).found(first)
    }

    fn needs(&self) -> Needs {
        Needs { times_every_ns: LOOK_NS, ..Needs::default() }
    }

    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The clock's CPU if it is halted, long before a charge reaches the limit that it could lessen.
    fn doubts(&self) -> u32 {
        self.doubted
    }

    /// Also the stacks of others that wait on the same queue and have been charged, and the name of what runs.
    fn exhibits(&self, seen: &Snapshot, breach: &Breach) -> Exhibits {
        let queue = match (breach.part, breach.cpu) {
            (Some(part), _) => seen.kps.get(part as usize),
            (None, cpu) => cpu.and_then(|cpu| seen.cpus.get(cpu as usize)).map(|c| &c.queue),
        };
        let is_there = |t: u32| queue.is_some_and(|q| q.threads.iter().any(|queued| queued.index == t));
        let others = self.waiting(seen).filter(|&t| Some(t) != breach.thread && is_there(t));
        let mut exhibits = Exhibits::of(breach).naming(self.found.and_then(|blame| blame.thread()));
        exhibits.stacks.extend(others);
        exhibits
    }

    fn sentence(&self, breach: &Breach, evidence: &Evidence) -> String {
        match self.found {
            Some(blame) => blame.sentence(breach, evidence),
            None => format!("{} waited {} ms", evidence.thread(breach.thread), ms(breach.lasted_ns)),
        }
    }
}

impl Starvation {
    /// A watch over the threads that `filter` means, all if there is none.
    fn new(behind: Behind, filter: Option<ThreadFilter>, limit_ns: u64) -> Starvation {
        Starvation {
            behind,
            filter,
            ledger: Ledger::new(limit_ns),
            queues: Vec::new(),
            waits: Vec::new(),
            interval: Interval::default(),
            clock_ns: 0,
            doubted: 0,
            wanted: 0,
            queued: 0,
            found: None,
        }
    }

    /// What there was to judge: as long as a thread is meant that has run or waited. Which have is looked at now and then: a
    /// thread that is served well is met on a queue by chance only.
    fn judged(&mut self, seen: &Snapshot) -> Judged {
        if seen.has_times {
            let has_wanted = (0..).zip(&seen.times).filter(|(_, time)| time.has_wanted());
            let meant = has_wanted.filter(|&(index, time)| {
                let cpu = seen.cpus.iter().position(|cpu| cpu.addr == time.cpu).map(|cpu| cpu as u32);
                self.is_meant(seen, index, time.effective_pri(), time.class, cpu)
            });
            self.wanted = meant.count() as u64;
        }
        let had = (0..seen.cpus.len() as u32).map(|cpu| self.interval.had(cpu)).max().unwrap_or(0);
        Judged::of(self.wanted.max(self.queued), had)
    }

    /// Threads that are waiting at this pass, charged with anything at all, in queue order.
    fn waiting<'a>(&'a self, seen: &'a Snapshot) -> impl Iterator<Item = u32> + 'a {
        seen.queues().flat_map(|(_, queue)| &queue.threads).filter_map(|thread| {
            let wait = self.waits.get(thread.index as usize)?;
            (wait.charge_ns > 0 && wait.wait == thread.wait()).then_some(thread.index)
        })
    }

    fn observe_queue(
        &mut self,
        seen: &Snapshot,
        n: usize,
        place: Place,
        queue: &QueueSample,
    ) -> Option<Breach> {
        let cpu = place.cpu();
        let before = self.queues[n];
        let now = Watched::of(seen, before.reads + 1);
        self.queues[n] = now;
        let mut first = None;
        for thread in &queue.threads {
            if !self.is_meant(seen, thread.index, thread.effective_pri(), thread.class, cpu) {
                continue;
            }
            self.queued += 1;
            let Some(wait) = self.waits.get(thread.index as usize).copied() else { continue };
            let worse = self.owing_cpus(seen, place, thread.effective_pri());
            let is_same = wait.queue != 0 && wait.wait == thread.wait();
            let is_watched = is_same && wait.queue == n + 1 && wait.read == before.reads;
            let mut charge_ns = if is_same { wait.charge_ns } else { 0 };
            let mut charged = None;
            if is_watched {
                charged = self.charge(&before, &now, wait.worse & worse);
                let grown_ns = charged.map_or(0, |(ns, _)| ns);
                let had_ns = self.clock_ns.saturating_sub(wait.clock_ns);
                let grown_ns = match self.behind {
                    Behind::Worse => grown_ns,
                    Behind::Anyone => grown_ns.min(had_ns.saturating_sub(charge_ns)),
                };
                if charged.is_some() && grown_ns == 0 {
                    self.ledger.accept(Excuse::VcpuAway);
                }
                charged = charged.map(|(_, owing)| (grown_ns, owing)).filter(|_| grown_ns > 0);
                charge_ns += grown_ns;
            }
            let is_near = self.behind == Behind::Anyone && charge_ns > self.ledger.limit_ns() / 8;
            if is_near && self.interval.is_halted(seen.clock_cpu) {
                self.doubted |= 1 << seen.clock_cpu;
            }
            let clock_ns = if is_same { wait.clock_ns } else { self.clock_ns };
            self.waits[thread.index as usize] =
                Waiting { wait: thread.wait(), charge_ns, clock_ns, queue: n + 1, read: now.reads, worse };
            let Some((ns, owing)) = charged else { continue };
            let subject = Subject { thread: Some(thread.index), cpu: Some(owing), part: place.part() };
            let interval = now.now_ns.saturating_sub(before.now_ns);
            let breach = self.ledger.enter(subject, (charge_ns - ns, charge_ns), interval, now.now_ns);
            first = first.or(breach);
        }
        first
    }

    fn is_meant(&self, seen: &Snapshot, index: u32, pri: i16, class: u8, cpu: Option<u32>) -> bool {
        let Some(filter) = &self.filter else { return true };
        let name = seen.names.get(index as usize).map_or("", String::as_str);
        filter.matches(&ThreadTraits { pri, class, name, cpu })
    }

    /// The CPUs whose time is charged to a wait, a bit each: of those that owe the thread service, those that run something
    /// worse than `pri`, or all.
    fn owing_cpus(&self, seen: &Snapshot, place: Place, pri: i16) -> u32 {
        let owes = |sample: &CpuSample| u32::from(self.behind == Behind::Anyone || sample.dispatch_pri < pri);
        match place {
            Place::Cpu(n) => seen.cpus.get(n as usize).map_or(0, |sample| owes(sample) << n),
            Place::Part(part) => {
                let all = || seen.cpus_of(part).take(MAX_CPUS);
                let owing = all().fold(0, |bits, (n, sample)| bits | owes(sample) << n);
                let asked =
                    all().filter(|(_, sample)| is_asked(sample, pri)).fold(0, |bits, (n, _)| bits | 1 << n);
                if owing & asked == 0 { owing } else { owing & asked }
            }
        }
    }

    /// The running time to charge for an interval in which the CPUs in `owing` ran something worse, and the CPU
    /// it is taken from. Counts the excuse if it comes to nothing.
    fn charge(&mut self, before: &Watched, now: &Watched, owing: u32) -> Option<(u64, u32)> {
        if owing == 0 {
            return None;
        }
        let excused = match self.behind {
            Behind::Worse => before.interrupted & now.interrupted,
            Behind::Anyone => 0,
        };
        let locked = match self.behind {
            Behind::Worse => before.locked | now.locked,
            Behind::Anyone => 0,
        };
        let thread_time = owing & !excused & !locked;
        if thread_time == 0 {
            self.ledger.accept(if owing & !excused == 0 { Excuse::Interrupts } else { Excuse::Locked });
            return None;
        }
        let ran = |cpu: usize| now.ran_ns[cpu].saturating_sub(before.ran_ns[cpu]);
        let most = (0..MAX_CPUS).filter(|cpu| thread_time >> cpu & 1 == 1).max_by_key(|&cpu| ran(cpu))?;
        if ran(most) == 0 {
            self.ledger.accept(Excuse::VcpuAway);
            return None;
        }
        Some((ran(most), most as u32))
    }
}

/// True if the CPU has been asked to take a thread of this priority from its partition's kp queue, or looks for one by itself.
fn is_asked(sample: &CpuSample, pri: i16) -> bool {
    sample.is_chosen_for(pri) || sample.is_called || sample.looks_for_work()
}

impl Watched {
    fn of(seen: &Snapshot, reads: u64) -> Watched {
        let mut now = Watched { reads, now_ns: seen.now_ns, ..Watched::default() };
        for (to, from) in now.ran_ns.iter_mut().zip(&seen.readings) {
            *to = from.ran_ns;
        }
        for (n, cpu) in seen.cpus.iter().enumerate().take(MAX_CPUS) {
            now.interrupted |= u32::from(cpu.handles.is_some()) << n;
            now.locked |= u32::from(cpu.is_locked()) << n;
        }
        now
    }
}

#[cfg(test)]
#[path = "starvation_tests.rs"]
mod tests;
