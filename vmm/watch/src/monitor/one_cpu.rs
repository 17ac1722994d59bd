//! `one_cpu`: a thread is in one place: on one CPU, or on one run queue.
//!
//! - no thread is `cpu_thread` or `cpu_dispthread` of two CPUs;
//! - no thread is on a run queue while a CPU has it;
//! - no thread is on two run queues with the same wait.
//!
//! In a sound kernel the first two happen for some microseconds of a switch: a preempted thread is back on a queue, and may be
//! stolen, while it still runs `swtch` itself.
//!
//! # How it is charged
//! From pass to pass, while none of the CPUs concerned has switched, with the time that the CPU which has the thread had: what
//! its vCPU ran, or everything while it is halted. Of two CPUs the smaller counts. A sound kernel's switch is over
//! before its CPU has run for a millisecond, unless it spins for a dispatcher lock whose holder's vCPU the host has put
//! aside: on a host with fewer CPUs than the guest a limit of some ten milliseconds allows for that.
//!
//! # Excuses
//! - `torn`: a queue could not be read consistently.
//! - `vcpu_away`: the host did not run the vCPU, which may be in the middle of a switch.
//! - `interrupts`: so may a CPU that handles an interrupt, which pins the thread that was about to switch:
//!
//! ```text
//!   preempt(): setbackdq puts the thread on a queue, and the level goes down
//!                                     an interrupt of level 5, which does not end
//!   swtch() has to wait for that
//! ```
//!
//! # Invariants
//! - CPUs are not read at one moment. But `pswitch` grows before `cpu_thread` changes: a thread that is on two CPUs at two
//!   passes, while both counts stay the same, was on both at once.
//! - A pinned thread is `cpu_dispthread` of the CPU that it is pinned on, and of no other.

use umpire_shared::MAX_CPUS;

use super::evidence::ms;
use super::interval::{Dispatch, Interval, Ledger, Stretch, Subject};
use super::{Breach, Declaration, Evidence, Excuse, Judged, Monitor, Pass, Proof, Takes};
use crate::glass::{CpuSample, Needs, Place, Snapshot};

pub(super) static ONE_CPU: Declaration = Declaration {
    name: "one_cpu",
    broken_when: "a thread has been with two CPUs, with a CPU and on a run queue, or on two run queues, for longer than `limit`",
    charged_with: "time that the CPU had: its running time, or all while it is halted; of two CPUs the smaller",
    judges: "threads on CPUs and on run queues",
    takes_threads: false,
    takes: Takes::Limit,
    excuses: &[Excuse::Torn, Excuse::VcpuAway, Excuse::Interrupts],
    proof: Proof::Mutant("limit = \"5ms\""),
    standing_ms: Some(50),
    is_exact: false,
    new: |bound| Box::new(OneCpu::new(bound.limit_ns)),
};

/// Watches one bound.
#[derive(Debug)]
struct OneCpu {
    ledger: Ledger,
    interval: Interval,
    /// By CPU: the second place of a thread that it has.
    second: Vec<Stretch<Second>>,
    /// By queue: a thread on it that is on another as well.
    twice: Vec<Stretch<Second>>,
    /// By thread: the CPUs that have it, a bit each.
    claims: Vec<u32>,
    /// By thread: the queue of this pass that it is on, plus one.
    queued: Vec<usize>,
    found: Option<(Place, Option<Place>)>,
}

/// A thread's second place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Second {
    thread: u32,
    dispatch: Dispatch,
    place: Place,
    /// The other CPU's dispatch.
    other: Dispatch,
    /// True if the place is a queue.
    is_queued: bool,
}

impl OneCpu {
    /// A watch with this limit.
    fn new(limit_ns: u64) -> OneCpu {
        OneCpu {
            ledger: Ledger::new(limit_ns),
            interval: Interval::default(),
            second: Vec::new(),
            twice: Vec::new(),
            claims: Vec::new(),
            queued: Vec::new(),
            found: None,
        }
    }

    /// Notes which CPUs have which threads.
    fn register(&mut self, seen: &Snapshot) {
        for (cpu, n) in seen.cpus.iter().zip(0..MAX_CPUS as u32) {
            for thread in claimed(seen, cpu) {
                self.claims[thread as usize] |= 1 << n;
            }
        }
    }

    /// The second place of a thread that CPU `n` has: another CPU, or a queue.
    fn second_of(&self, seen: &Snapshot, n: u32, cpu: &CpuSample) -> Option<Second> {
        let dispatch = self.interval.dispatch(n);
        let on_cpu = claimed(seen, cpu).find_map(|thread| {
            let others = self.claims[thread as usize] & !(1 << n);
            (others != 0).then(|| {
                let other = others.trailing_zeros();
                let place = Place::Cpu(other);
                Second { thread, dispatch, place, other: self.interval.dispatch(other), is_queued: false }
            })
        });
        on_cpu.or_else(|| {
            claimed(seen, cpu).find_map(|thread| {
                let (place, queue) = seen.queues().nth(self.queued[thread as usize].checked_sub(1)?)?;
                let is_queued = queue.threads.iter().any(|t| t.index == thread);
                let other = Dispatch::default();
                is_queued.then_some(Second { thread, dispatch, place, other, is_queued })
            })
        })
    }

    /// Each thread with the time of the CPU that has it, or with all time on a queue.
    fn judged(&self, seen: &Snapshot) -> Judged {
        let mut judged = Judged::NOTHING;
        for (cpu, n) in seen.cpus.iter().zip(0..MAX_CPUS as u32) {
            claimed(seen, cpu).for_each(|_| judged.met(self.interval.had(n)));
        }
        let trusted = seen.queues().filter(|(_, queue)| queue.verdict.is_trusted());
        let queued = trusted.map(|(_, queue)| queue.threads.len() as u64).sum();
        judged.with(Judged::of(queued, self.interval.wall_ns()))
    }

    fn observe_cpus(&mut self, seen: &Snapshot) -> Option<Breach> {
        let mut first = None;
        for (cpu, n) in seen.cpus.iter().zip(0..MAX_CPUS as u32) {
            let second = self.second_of(seen, n, cpu);
            let is_queued = second.is_some_and(|s| s.is_queued);
            let other = match second.map(|s| s.place) {
                Some(Place::Cpu(other)) if !is_queued => other,
                _ => n,
            };
            let had = self.interval.had(n).min(self.interval.had(other));
            let is_kept = self.interval.is_interrupted(n) || self.interval.is_interrupted(other);
            let due = if is_kept { 0 } else { had };
            let Some(charged) = self.second[n as usize].see(second, due) else { continue };
            if due == 0 {
                self.ledger.accept(if had == 0 { Excuse::VcpuAway } else { Excuse::Interrupts });
            }
            let subject = Subject { thread: second.map(|s| s.thread), cpu: Some(n), part: None };
            let breach = self.ledger.enter(subject, charged, self.interval.wall_ns(), seen.now_ns);
            if breach.is_some() {
                self.found = second.map(|s| (s.place, is_queued.then_some(s.place)));
            }
            first = first.or(breach);
        }
        first
    }

    /// Looks for threads on two queues, and leaves in `queued` the last queue of each.
    fn observe_queues(&mut self, seen: &Snapshot) -> Option<Breach> {
        let mut first = None;
        for (n, (place, queue)) in seen.queues().enumerate() {
            if !queue.verdict.is_trusted() {
                self.ledger.accept(Excuse::Torn);
                continue;
            }
            let mut twice = None;
            for thread in &queue.threads {
                let Some(before) = self.queued.get_mut(thread.index as usize) else { continue };
                let other = std::mem::replace(before, n + 1);
                let Some((other, there)) = other.checked_sub(1).and_then(|other| seen.queues().nth(other))
                else {
                    continue;
                };
                let is_same = |t: &crate::glass::QueuedThread| t.wait() == thread.wait();
                if other != place && there.threads.iter().any(is_same) {
                    let (thread, none) = (thread.index, Dispatch::default());
                    twice =
                        Some(Second { thread, dispatch: none, place: other, other: none, is_queued: true });
                }
            }
            let Some(charged) = self.twice[n].see(twice, self.interval.wall_ns()) else { continue };
            let subject = Subject { thread: twice.map(|t| t.thread), cpu: place.cpu(), part: place.part() };
            let breach = self.ledger.enter(subject, charged, self.interval.wall_ns(), seen.now_ns);
            if breach.is_some() {
                self.found = twice.map(|t| (t.place, Some(place)));
            }
            first = first.or(breach);
        }
        first
    }
}

impl Monitor for OneCpu {
    fn needs(&self) -> Needs {
        Needs { runners: true, ..Needs::default() }
    }

    fn observe(&mut self, seen: &Snapshot) -> Pass {
        self.interval.step(seen);
        self.second.resize(seen.cpus.len(), Stretch::default());
        self.twice.resize(seen.cpus.len() + seen.kps.len(), Stretch::default());
        self.claims.clear();
        self.claims.resize(seen.names.len(), 0);
        self.queued.clear();
        self.queued.resize(seen.names.len(), 0);
        self.register(seen);
        let on_queues = self.observe_queues(seen);
        let breach = on_queues.or(self.observe_cpus(seen));
        self.judged(seen).found(breach)
    }

    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn sentence(&self, breach: &Breach, evidence: &Evidence) -> String {
        let thread = evidence.thread(breach.thread);
        let lasted = ms(breach.lasted_ns);
        match (breach.cpu, self.found) {
            (Some(cpu), Some((Place::Cpu(other), None))) => {
                format!("{thread} has been on cpu {cpu} and on cpu {other} at once for {lasted} ms")
            }
            (_, Some((other, Some(queue)))) if other != queue => {
                format!("{thread} has been on {other} and on {queue} at once for {lasted} ms")
            }
            (Some(cpu), Some((place, _))) => {
                format!("{thread} has been on {place} for {lasted} ms while cpu {cpu} has it")
            }
            _ => format!("{thread} has been in two places for {lasted} ms"),
        }
    }
}

/// The threads that a CPU has: the one that runs and the one that was chosen. Its idle thread does not count.
fn claimed(seen: &Snapshot, cpu: &CpuSample) -> impl Iterator<Item = u32> {
    let (thread, dispthread, idle) = (cpu.thread, cpu.dispthread, cpu.idle_thread);
    let both = [thread, if dispthread == thread { 0 } else { dispthread }];
    let arena = seen.arena;
    let known = seen.names.len();
    both.into_iter()
        .filter(move |&addr| addr != idle)
        .filter_map(move |addr| arena?.index_of(addr))
        .filter(move |&index| (index as usize) < known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::bench::{Bench, MS};
    use umpire_shared::sys::cpuvar::disp_flag;

    fn bench() -> Bench {
        let mut bench = Bench::new(OneCpu::new(5 * MS));
        bench.run(0, 2, 20);
        bench.run(1, 3, 20);
        bench
    }

    #[test]
    fn observe_everybody_in_one_place_returns_none() {
        let mut bench = bench();
        bench.queue(1, 4, 10, true);
        bench.queue_kp(5, 99);

        assert_eq!(bench.passes(100, [1, 1]).len(), 0);
        assert_eq!(bench.monitor.ledger().worst_ns(), 0);
    }

    #[test]
    fn observe_thread_on_two_cpus_returns_one_breach() {
        let mut bench = bench();
        bench.run(1, 2, 20);

        let breaches = bench.passes(100, [1, 1]);

        assert_eq!(breaches.len(), 1);
        assert_eq!((breaches[0].thread, breaches[0].lasted_ns), (Some(2), 6 * MS));
    }

    #[test]
    fn observe_stale_choice_of_a_halted_cpu_returns_breach() {
        let mut bench = bench();
        bench.run(1, 2, 20);
        bench.seen.cpus[1].thread = bench.seen.cpus[1].idle_thread;
        bench.seen.cpus[1].disp_flags = disp_flag::HALTED;

        assert_eq!(bench.passes(100, [1, 0]).len(), 1);
    }

    #[test]
    fn observe_running_thread_on_a_queue_returns_breach() {
        let mut bench = bench();
        bench.queue(1, 2, 20, false);

        assert_eq!(bench.passes(100, [1, 1]).len(), 1);
    }

    #[test]
    fn observe_thread_on_two_queues_returns_breach() {
        let mut bench = bench();
        bench.queue(1, 4, 10, false);
        bench.queue(0, 4, 10, false);

        assert_eq!(bench.passes(100, [1, 1]).len(), 1);
    }

    #[test]
    fn observe_cpus_that_switch_return_none() {
        let mut bench = bench();

        for n in 0..100 {
            bench.run(1, 2, 20);
            bench.seen.cpus[1].runner.pswitch = n;
            assert_eq!(bench.pass([1, 1]), None);
        }
    }

    #[test]
    fn observe_switch_that_the_host_interrupts_is_excused() {
        let mut bench = bench();
        bench.queue(1, 2, 20, false);

        assert_eq!(bench.passes(100, [0, 1]).len(), 0);
        assert_eq!(bench.excused(Excuse::VcpuAway), 99);
    }

    #[test]
    fn observe_switch_that_an_interrupt_interrupts_is_excused() {
        let mut bench = bench();
        bench.queue(1, 2, 20, false);
        bench.seen.cpus[0].handles = Some(5);

        assert_eq!(bench.passes(100, [1, 1]).len(), 0);
        assert_eq!(bench.excused(Excuse::Interrupts), 99);

        bench.seen.cpus[0].handles = None;
        assert_eq!(bench.passes(10, [1, 1]).len(), 1);
    }

    #[test]
    fn observe_torn_queue_is_excused() {
        let mut bench = bench();
        bench.queue(1, 2, 20, false);
        bench.seen.cpus[1].queue.verdict = crate::glass::Verdict::Torn;

        assert_eq!(bench.passes(100, [1, 1]).len(), 0);
        assert_eq!(bench.excused(Excuse::Torn), 100);
    }
}
