//! `waitrq`: a thread that waits for a CPU has the stamp of that wait in `t_waitrq`, and a thread that runs has none.
//!
//! The stamp says since when a thread waits. A CPU that steals work goes by it (`nosteal_nsec`), and the enqueue that gives it
//! begins the wait's microstate. It is written once a wait: a thread that is requeued meanwhile, because its priority changed or
//! its CPU goes offline, waits since then, and not since the requeue. A thread that runs with an old stamp gets no new one when it waits next, and its microstates
//! say that it ran meanwhile (6840801).
//!
//! # How it is charged
//! - A thread on a CPU with a stamp: from pass to pass, while both stay the same, with the running time of the vCPU. Whether the CPU
//!   switched meanwhile does not matter: each wait has a stamp of its own. A sound kernel's thread has one there only from
//!   `preempt` to the end of `swtch`; that is over in microseconds, unless it waits for a dispatcher lock whose holder's
//!   vCPU the host has put aside.
//! - A thread on a run queue without a stamp: from pass to pass, with wall time. A sound kernel sets the stamp before
//!   the thread is on the queue and clears it after the thread was taken off, so no consistent read of it shows one without.
//!
//! - A thread on a run queue whose stamp is younger than its wait: with the time that the new stamp hides. The wait is known by what
//!   the kernel cannot renew, how often the thread has run ([`crate::glass::Wait`]), and the stamp by what the first
//!   consistent read of the wait found. A sound kernel's stamp stays, so that the charge is 0 in each pass.
//!
//! # Excuses
//! - `torn`: a queue could not be read consistently.
//! - `vcpu_away`: the host did not run the vCPU, which may be in the middle of a switch.
//!
//! # Invariants
//! - A wait that began with a stamp of 0 is charged for that alone; the stamp that it gets then is its first.
//! - Thread and stamp of a CPU are not read at one moment. But if both are the same at two passes, the thread had the stamp at
//!   some moment of each.

use umpire_shared::MAX_CPUS;

use super::evidence::ms;
use super::interval::{Interval, Ledger, Stretch, Subject};
use super::{Breach, Declaration, Evidence, Excuse, Judged, Monitor, Pass, Proof, Takes};
use crate::glass::{Needs, Place, QueuedThread, Snapshot, Wait};

pub(super) static WAITRQ: Declaration = Declaration {
    name: "waitrq",
    broken_when: "a thread on a CPU has had one and the same stamp of a wait (`t_waitrq`) for longer than `limit`, or a thread on a run queue none, or one that was renewed more than `limit` into the wait",
    charged_with: "running time of the CPU's vCPU; wall time for a thread on a queue without one; the guest's time that a renewed one hides",
    judges: "threads on CPUs and on run queues",
    takes_threads: false,
    takes: Takes::Limit,
    excuses: &[Excuse::Torn, Excuse::VcpuAway],
    proof: Proof::Mutant("limit = \"20ms\""),
    standing_ms: Some(50),
    is_exact: false,
    new: |bound| Box::new(Waitrq::new(bound.limit_ns)),
};

/// Watches one bound.
#[derive(Debug)]
struct Waitrq {
    ledger: Ledger,
    interval: Interval,
    /// By CPU: the thread that runs there, and its stamp.
    runs: Vec<Stretch<(u32, u64)>>,
    /// By queue: a thread that waits there without a stamp.
    waits: Vec<Stretch<u32>>,
    /// By thread: the wait that it was last met in, the first stamp of that wait, and what later ones hide of it.
    first: Vec<First>,
    found: Option<Found>,
}

/// How a wait was first seen.
#[derive(Debug, Clone, Copy, Default)]
struct First {
    wait: Wait,
    stamp: u64,
    hidden_ns: u64,
}

/// What is wrong with a thread on a queue.
#[derive(Debug, Clone, Copy)]
enum Found {
    Unstamped(Place),
    Renewed(Place),
}

impl Waitrq {
    /// A watch with this limit.
    fn new(limit_ns: u64) -> Waitrq {
        Waitrq {
            ledger: Ledger::new(limit_ns),
            interval: Interval::default(),
            runs: Vec::new(),
            waits: Vec::new(),
            first: Vec::new(),
            found: None,
        }
    }

    fn observe_cpus(&mut self, seen: &Snapshot, judged: &mut Judged) -> Option<Breach> {
        let mut first = None;
        for (cpu, n) in seen.cpus.iter().zip(0..MAX_CPUS as u32) {
            if cpu.is_pinning() {
                // The pinned thread is not read now, and goes on with the stamp that it had.
                continue;
            }
            let stamp = cpu.runner.waitrq;
            let stamped = cpu.runner.index.filter(|_| stamp != 0 && !cpu.is_idle()).map(|t| (t, stamp));
            let ran = self.interval.ran(n);
            if !cpu.is_idle() {
                judged.met(ran);
            }
            let Some(charged) = self.runs[n as usize].see(stamped, ran) else { continue };
            if ran == 0 {
                self.ledger.accept(Excuse::VcpuAway);
            }
            let subject = Subject { thread: stamped.map(|s| s.0), cpu: Some(n), part: None };
            first = first.or(self.ledger.enter(subject, charged, self.interval.wall_ns(), seen.now_ns));
        }
        first
    }

    fn observe_queues(&mut self, seen: &Snapshot, judged: &mut Judged) -> Option<Breach> {
        let mut first = None;
        for (n, (place, queue)) in seen.queues().enumerate() {
            if !queue.verdict.is_trusted() {
                self.ledger.accept(Excuse::Torn);
                continue;
            }
            *judged = judged.with(Judged::of(queue.threads.len() as u64, self.interval.wall_ns()));
            for thread in &queue.threads {
                let breach = self.observe_waiter(seen, place, thread);
                first = first.or(breach);
            }
            let unstamped = queue.threads.iter().find(|t| t.waitrq == 0).map(|t| t.index);
            let Some(charged) = self.waits[n].see(unstamped, self.interval.wall_ns()) else { continue };
            let subject = Subject { thread: unstamped, cpu: place.cpu(), part: place.part() };
            let breach = self.ledger.enter(subject, charged, self.interval.wall_ns(), seen.now_ns);
            if breach.is_some() {
                self.found = Some(Found::Unstamped(place));
            }
            first = first.or(breach);
        }
        first
    }

    /// Compares the stamp of a thread on a queue with the first that its wait was seen with.
    fn observe_waiter(&mut self, seen: &Snapshot, place: Place, thread: &QueuedThread) -> Option<Breach> {
        let known = self.first.get_mut(thread.index as usize)?;
        if known.stamp == 0 || known.wait != thread.wait() {
            *known = First { wait: thread.wait(), stamp: thread.waitrq, hidden_ns: 0 };
            return None;
        }
        let hidden_ns = thread.waitrq.saturating_sub(known.stamp);
        if hidden_ns == known.hidden_ns {
            return None;
        }
        let charged = (known.hidden_ns, hidden_ns);
        known.hidden_ns = hidden_ns;
        let subject = Subject { thread: Some(thread.index), cpu: place.cpu(), part: place.part() };
        let breach = self.ledger.enter(subject, charged, self.interval.wall_ns(), seen.now_ns);
        if breach.is_some() {
            self.found = Some(Found::Renewed(place));
        }
        breach
    }
}

impl Monitor for Waitrq {
    fn needs(&self) -> Needs {
        Needs { runners: true, ..Needs::default() }
    }

    fn observe(&mut self, seen: &Snapshot) -> Pass {
        self.interval.step(seen);
        self.runs.resize(seen.cpus.len(), Stretch::default());
        self.waits.resize(seen.cpus.len() + seen.kps.len(), Stretch::default());
        self.first.resize(seen.names.len(), First::default());
        let mut judged = Judged::NOTHING;
        let on_queues = self.observe_queues(seen, &mut judged);
        let breach = on_queues.or(self.observe_cpus(seen, &mut judged));
        judged.found(breach)
    }

    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn sentence(&self, breach: &Breach, evidence: &Evidence) -> String {
        let (thread, lasted) = (evidence.thread(breach.thread), ms(breach.lasted_ns));
        match (self.found, breach.cpu) {
            (Some(Found::Renewed(place)), _) => {
                format!(
                    "{thread} has waited on {place} for {lasted} ms longer than t_waitrq says: it was stamped anew before it ran"
                )
            }
            (Some(Found::Unstamped(place)), _) => {
                format!("{thread} has waited on {place} for {lasted} ms without a stamp in t_waitrq")
            }
            (None, Some(cpu)) => {
                format!("{thread} has run on cpu {cpu} for {lasted} ms with the stamp of a wait in t_waitrq")
            }
            (None, None) => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glass::Verdict;
    use crate::monitor::bench::{Bench, MS};

    fn bench() -> Bench {
        Bench::new(Waitrq::new(20 * MS))
    }

    /// Thread 4 runs on CPU 1 with this stamp.
    fn running(stamp: u64) -> Bench {
        let mut bench = bench();
        bench.run(1, 4, 20);
        bench.seen.cpus[1].runner.waitrq = stamp;
        bench
    }

    #[test]
    fn observe_runner_without_a_stamp_and_waiter_with_one_return_none() {
        let mut bench = running(0);
        bench.queue(1, 5, 10, false);

        assert_eq!(bench.passes(100, [1, 1]).len(), 0);
        assert_eq!(bench.monitor.ledger().worst_ns(), 0);
    }

    #[test]
    fn observe_runner_that_keeps_a_stamp_returns_one_breach() {
        let mut bench = running(7);

        let breaches = bench.passes(100, [1, 1]);
        assert_eq!(breaches.len(), 1);
        assert_eq!((breaches[0].thread, breaches[0].cpu, breaches[0].lasted_ns), (Some(4), Some(1), 21 * MS));
        let said = bench.sentence(&breaches[0]);
        assert_eq!(
            said,
            "an unknown thread (SYS 0) has run on cpu 1 for 21.0 ms with the stamp of a wait in t_waitrq"
        );
    }

    #[test]
    fn observe_runner_that_switches_and_keeps_its_stamp_returns_breach() {
        let mut bench = running(7);
        let mut breaches = 0;

        for n in 0..100 {
            bench.seen.cpus[1].runner.pswitch = n;
            breaches += usize::from(bench.pass([1, 1]).is_some());
        }

        assert_eq!(breaches, 1);
    }

    #[test]
    fn observe_interrupt_thread_that_is_met_now_and_then_ends_nothing() {
        assert_eq!(running(7).passes_with_interrupts(100, [1, 1]).len(), 1);
    }

    #[test]
    fn observe_runner_with_a_stamp_for_each_of_its_waits_returns_none() {
        let mut bench = running(7);

        for n in 1..100 {
            bench.seen.cpus[1].runner.waitrq = n;
            assert_eq!(bench.pass([1, 1]), None);
        }
    }

    #[test]
    fn observe_runner_whose_vcpu_the_host_did_not_run_is_excused() {
        let mut bench = running(7);

        assert_eq!(bench.passes(100, [1, 0]).len(), 0);
        assert_eq!(bench.excused(Excuse::VcpuAway), 99);
    }

    #[test]
    fn observe_waiter_without_a_stamp_returns_one_breach() {
        let mut bench = bench();
        bench.queue(1, 5, 10, false);
        bench.seen.cpus[1].queue.threads[0].waitrq = 0;

        let breaches = bench.passes(100, [0, 0]);
        assert_eq!(breaches.len(), 1);
        assert_eq!((breaches[0].thread, breaches[0].cpu), (Some(5), Some(1)));
        let said = bench.sentence(&breaches[0]);
        assert!(
            said.ends_with("on the run queue of cpu 1 for 21.0 ms without a stamp in t_waitrq"),
            "{said}"
        );
    }

    /// Passes at which thread 5 waits with these stamps, having run so often before.
    fn waiting(stamps: impl IntoIterator<Item = (u64, u32)>) -> (Bench, Vec<Breach>) {
        let mut bench = bench();
        bench.queue(1, 5, 10, false);
        let mut breaches = Vec::new();
        for (stamp, runs) in stamps {
            let thread = &mut bench.seen.cpus[1].queue.threads[0];
            (thread.waitrq, thread.runs) = (stamp, runs);
            breaches.extend(bench.pass([1, 1]));
        }
        (bench, breaches)
    }

    #[test]
    fn observe_stamp_that_is_renewed_while_the_thread_waits_returns_one_breach() {
        let (bench, breaches) = waiting((1..100).map(|n| (n * 15 * MS, 7)));

        assert_eq!(breaches.len(), 1);
        assert_eq!((breaches[0].thread, breaches[0].cpu, breaches[0].lasted_ns), (Some(5), Some(1), 30 * MS));
        let said = bench.sentence(&breaches[0]);
        assert!(
            said.ends_with("30.0 ms longer than t_waitrq says: it was stamped anew before it ran"),
            "{said}"
        );
    }

    #[test]
    fn observe_new_stamp_of_a_thread_that_has_run_returns_none() {
        let (bench, breaches) = waiting((1..100).map(|n| (u64::from(n) * 15 * MS, n)));

        assert_eq!((breaches.len(), bench.monitor.ledger().worst_ns()), (0, 0));
    }

    #[test]
    fn observe_torn_queue_is_excused() {
        let mut bench = bench();
        bench.queue(1, 5, 10, false);
        bench.seen.cpus[1].queue.threads[0].waitrq = 0;
        bench.seen.cpus[1].queue.verdict = Verdict::Torn;

        assert_eq!(bench.passes(100, [1, 1]).len(), 0);
        assert_eq!(bench.excused(Excuse::Torn), 100);
    }
}
