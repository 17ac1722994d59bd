//! `idle_while_queued`: a CPU idles beside work that it may take.
//!
//! What it may take (`disp.c disp_getwork`, `disp_anywork`): whatever is on its own queue, whatever is on its partition's kp
//! queue, and the unbound threads on the queues of the partition's other CPUs that run something.
//!
//! # How idleness is charged
//! By idle CPU and queue, from one pass to the next, if at both the CPU was idle, has not switched, and one and the same wait could have
//! been ended by it. It is charged with the running time of its vCPU; while it is halted at both ends with the whole interval, for
//! somebody should have woken it. `starvation` does not charge a halted vCPU: a lost wake-up is seen here.
//!
//! # Excuses
//! - `torn`: the queue could not be read consistently. Its wait goes on at the next pass if it is still the same; those of other queues
//!   are judged meanwhile.
//! - `too_young`: work on another's queue has not waited for `nosteal_nsec` yet.
//! - `interrupts`: the CPU handled an interrupt at both ends: its idle thread is pinned.
//! - `vcpu_away`: the host did not run the vCPU, and it was not halted, or had been woken.
//!
//! # Invariants
//! - A quiesced or offline CPU owes nothing, a bound thread is owed nothing by other CPUs, and a queue whose last thread its
//!   own CPU is about to pick (`DONTSTEAL`) has nothing to take.

use umpire_shared::MAX_CPUS;

use super::evidence::ms;
use super::interval::{Dispatch, Interval, Ledger, Stretch, Subject};
use super::{Breach, Declaration, Evidence, Excuse, Monitor, Proof, Takes};
use crate::glass::{Needs, Place, QueueSample, Snapshot};
use umpire_shared::sys::cpuvar::disp_flag;

pub(super) static IDLE_WHILE_QUEUED: Declaration = Declaration {
    name: "idle_while_queued",
    broken_when: "a CPU has been idle for longer than `limit` beside a wait that it could have ended: on its own queue, on its partition's kp queue, or unbound on the queue of a CPU of its partition that runs something",
    charged_with: "running time of the idle vCPU; wall time while it is halted and the host does not keep it waiting",
    takes_threads: false,
    takes: Takes::Limit,
    excuses: &[Excuse::Torn, Excuse::TooYoung, Excuse::Interrupts, Excuse::VcpuAway],
    proof: Proof::Mutant("limit = \"100ms\""),
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
    stay: Dispatch,
    work: Work,
}

/// A wait that the CPU could end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Work {
    thread: u32,
    waitrq: u64,
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
        let missed = Missed { stay: self.interval.dispatch(cpu), work };
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
            self.interval.had(cpu)
        };
        let charged = missing.stretch.see(Some(missed), elapsed)?;
        if self.interval.had(cpu) == 0 {
            self.ledger.accept(Excuse::VcpuAway);
        }
        let subject = Subject { thread: Some(work.thread), cpu: Some(cpu), part: place.part() };
        let breach = self.ledger.enter(subject, charged, self.interval.wall_ns(), seen.now_ns);
        if breach.is_some() {
            self.found = Some(Found { place, is_halted: self.interval.is_halted(cpu) });
        }
        breach
    }
}

impl Monitor for IdleWhileQueued {
    fn needs(&self) -> Needs {
        Needs { runners: true, ..Needs::default() }
    }

    fn observe(&mut self, seen: &Snapshot) -> Option<Breach> {
        self.interval.step(seen);
        let queues = seen.cpus.len() + seen.kps.len();
        self.idle.resize_with(seen.cpus.len(), || Vec::with_capacity(queues));
        (0..seen.cpus.len() as u32).fold(None, |first, cpu| first.or(self.observe_cpu(seen, cpu)))
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
        let (Some(cpu), Some(Found { place, is_halted })) = (breach.cpu, self.found) else {
            return String::new();
        };
        let waits = evidence.thread(breach.thread);
        let how = if is_halted { "halted: nobody woke it" } else { "awake: it does not look" };
        format!(
            "cpu {cpu} has been idle for {} ms beside {waits} on {place}; it is {how}",
            ms(breach.lasted_ns)
        )
    }
}

/// Work on this queue that the CPU may take: what it was before, if that is still there.
fn find(seen: &Snapshot, cpu: u32, place: Place, queue: &QueueSample, before: Option<Work>) -> Option<Work> {
    if !is_open(seen, cpu, place, queue) {
        return None;
    }
    let needs_unbound = place != Place::Cpu(cpu);
    let takeable = queue.threads.iter().filter(|thread| !(needs_unbound && thread.bound));
    let mut works = takeable.map(|thread| Work { thread: thread.index, waitrq: thread.waitrq });
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
mod tests {
    use super::*;
    use crate::glass::Verdict;
    use crate::monitor::bench::{Bench, MS};

    /// CPU 0 runs something at 20, CPU 1 is idle and halted.
    fn bench() -> Bench {
        let mut bench = Bench::new(IdleWhileQueued::new(20 * MS));
        bench.seen.cpus[0].dispatch_pri = 20;
        bench.seen.cpus[1].dispatch_pri = -1;
        bench.seen.cpus[1].disp_flags = disp_flag::HALTED;
        bench
    }

    #[test]
    fn observe_halted_cpu_with_work_of_its_own_returns_one_breach() {
        let mut bench = bench();
        bench.queue(1, 2, 60, true);

        let breaches = bench.passes(100, [1, 0]);

        assert_eq!(breaches.len(), 1);
        assert_eq!((breaches[0].cpu, breaches[0].thread, breaches[0].lasted_ns), (Some(1), Some(2), 21 * MS));
    }

    #[test]
    fn observe_unbound_work_elsewhere_returns_breach_and_bound_work_none() {
        let mut unbound = bench();
        unbound.queue(0, 2, 10, false);
        let mut bound = bench();
        bound.queue(0, 2, 10, true);

        assert_eq!(unbound.passes(100, [1, 0]).len(), 1);
        assert_eq!(bound.passes(100, [1, 0]).len(), 0);
    }

    #[test]
    fn observe_kp_work_of_another_partition_returns_none() {
        let mut bench = bench();
        bench.queue_kp(2, 99);
        assert_eq!(bench.passes(50, [1, 0]).len(), 1);

        let mut other = self::bench();
        other.queue_kp(2, 99);
        other.seen.cpus[1].part = 1;
        assert_eq!(other.passes(50, [1, 0]).len(), 0);
    }

    #[test]
    fn observe_interrupt_thread_that_is_met_now_and_then_ends_nothing() {
        let mut bench = bench();
        bench.queue(1, 2, 60, true);

        assert_eq!(bench.passes_with_interrupts(100, [1, 1]).len(), 1);
    }

    #[test]
    fn observe_cpu_that_switches_begins_anew() {
        let mut bench = bench();
        bench.queue(1, 2, 60, true);

        for n in 0..100 {
            bench.seen.cpus[1].runner.pswitch = n / 10;
            assert_eq!(bench.pass([1, 0]), None);
        }
    }

    #[test]
    fn observe_offline_cpu_owes_nothing() {
        let mut bench = bench();
        bench.queue(0, 2, 10, false);
        bench.seen.cpus[1].flags = 0x20;

        assert_eq!(bench.passes(100, [1, 0]).len(), 0);
    }

    #[test]
    fn observe_each_excuse_is_counted_and_not_charged() {
        let mut young = bench();
        young.seen.nosteal_ns = 1000 * MS;
        young.queue(0, 2, 10, false);
        assert_eq!(young.passes(100, [1, 0]).len(), 0);
        assert_eq!(young.excused(Excuse::TooYoung), 100);

        let mut pinned = bench();
        pinned.queue(1, 2, 60, true);
        pinned.seen.cpus[1].handles = Some(6);
        assert_eq!(pinned.passes(100, [1, 1]).len(), 0);
        assert_eq!(pinned.excused(Excuse::Interrupts), 99);

        let mut away = bench();
        away.queue(1, 2, 60, true);
        away.seen.cpus[1].disp_flags = 0;
        assert_eq!(away.passes(100, [1, 0]).len(), 0);
        assert_eq!(away.excused(Excuse::VcpuAway), 99);

        let mut torn = bench();
        torn.queue(1, 2, 60, true);
        torn.pass([1, 0]);
        torn.seen.cpus[1].queue.verdict = Verdict::Torn;
        assert_eq!(torn.passes(100, [1, 0]).len(), 0);
        assert_eq!(torn.excused(Excuse::Torn), 100);
    }

    #[test]
    fn observe_queues_that_are_torn_in_turn_end_no_wait() {
        let mut bench = bench();
        bench.queue(0, 2, 10, false);
        bench.queue_kp(3, 10);

        let mut breaches = 0;
        for pass in 0..100 {
            let verdict = |turn| if pass % 4 == turn { Verdict::Torn } else { Verdict::Clean };
            bench.seen.cpus[0].queue.verdict = verdict(0);
            bench.seen.kps[0].verdict = verdict(2);
            breaches += usize::from(bench.pass([1, 0]).is_some());
        }

        assert_eq!(breaches, 1);
        assert_eq!(bench.excused(Excuse::Torn), 49);
    }

    #[test]
    fn sentence_after_a_thread_left_a_queue_that_is_torn_since_names_where_it_waits() {
        let mut bench = bench();
        bench.queue(0, 2, 10, false);
        bench.pass([1, 0]);
        bench.seen.cpus[0].queue.verdict = Verdict::Torn;
        bench.queue_kp(2, 10);

        let breaches = bench.passes(100, [1, 0]);

        let sentence = bench.sentence(&breaches[0]);
        assert!(sentence.contains(" on the kp queue; "), "{sentence}");
    }

    #[test]
    fn observe_woken_vcpu_that_the_host_keeps_waiting_is_excused() {
        let mut bench = bench();
        bench.queue(1, 2, 60, true);

        for _ in 0..200 {
            bench.seen.readings[1].is_ready = bench.monitor.doubts() == 0b10;
            assert_eq!(bench.pass([1, 0]), None);
        }
    }
}
