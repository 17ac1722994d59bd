//! `progress`: every workload gets on, whatever its thread waits for: a queue, a lock, an interrupt above it.
//!
//! The other monitors each know one way to stand still. This one knows none: `t_progress` does not move.
//!
//! # How it is charged
//! From the last pass at which `t_progress` had moved, with the least that any online CPU had: whichever CPU
//! could have helped had at least that. CPUs that are offline run nothing, and are halted all the time.
//!
//! # Excuses
//! - `vcpu_away`: the host did not run one of the vCPUs, and it was not halted with nothing to do.
//! - `capped`: at the end of the interval a CPU cap held the thread (`TS_WAIT`), and no other thread has been let go from the same
//!   queue twice since this one came there: then it is not the cap that keeps it waiting (`caps.rs`). What was charged before
//!   stays.
//!
//! # Invariants
//! - Judged while the workload stands still. One turn forgives everything.
//! - A thread that has ended, or has not begun, is not watched. One that was stopped by somebody is: it stands still, and the sentence
//!   says by whom.

use super::caps::CapQueues;
use super::evidence::ms;
use super::filter::{ThreadFilter, ThreadTraits};
use super::interval::{Interval, Ledger, Stretch, Subject};
use super::{Breach, Declaration, Evidence, Excuse, Exhibits, Judged, Monitor, Pass, Proof, Takes};
use crate::glass::{Needs, Snapshot, WorkerSample};
use crate::why::Why;

pub(super) static PROGRESS: Declaration = Declaration {
    name: "progress",
    broken_when: "the workload of a thread that has begun and not ended has done no turn (`t_progress`) for longer than `limit`, whatever keeps it; it may be stopped",
    charged_with: "the least that any online CPU had",
    judges: "workloads of threads that have begun and not ended; not while it is excused",
    takes_threads: true,
    takes: Takes::Limit,
    excuses: &[Excuse::VcpuAway, Excuse::Capped],
    proof: Proof::Mutant("limit = \"3s\""),
    standing_ms: None,
    is_exact: false,
    new: |bound| Box::new(Progress::new(bound.threads.clone(), bound.limit_ns)),
};

/// Watches one bound.
#[derive(Debug)]
struct Progress {
    ledger: Ledger,
    interval: Interval,
    filter: Option<ThreadFilter>,
    caps: CapQueues,
    /// By place in the snapshot's list of workers; the key is `t_progress`.
    stands: Vec<Stretch<u64>>,
    /// Likewise: what the filter said of the thread when it was last asked.
    meant: Vec<Option<Meant>>,
    found: Option<WorkerSample>,
}

/// Whether a thread is meant. The filter is asked again only if what it goes by is another.
#[derive(Debug, Clone, Copy)]
struct Meant {
    pri: i16,
    class: u8,
    cpu: Option<u32>,
    is_named: bool,
    is_meant: bool,
}

impl Progress {
    /// A watch over the workloads of the threads that `filter` means, of all if there is none.
    fn new(filter: Option<ThreadFilter>, limit_ns: u64) -> Progress {
        Progress {
            ledger: Ledger::new(limit_ns),
            interval: Interval::default(),
            filter,
            caps: CapQueues::default(),
            stands: Vec::new(),
            meant: Vec::new(),
            found: None,
        }
    }

    /// True if the thread at this place in the list of workers is meant.
    fn is_meant(&mut self, seen: &Snapshot, n: usize, worker: &WorkerSample) -> bool {
        let Some(filter) = &self.filter else { return true };
        let &WorkerSample { pri, class, cpu, .. } = worker;
        let name = seen.names.get(worker.index as usize).map_or("", String::as_str);
        let is_named = !name.is_empty();
        let is_same = |m: &Meant| (m.pri, m.class, m.cpu, m.is_named) == (pri, class, cpu, is_named);
        match self.meant[n].filter(is_same) {
            Some(known) => known.is_meant,
            None => {
                let is_meant = filter.matches(&ThreadTraits { pri, class, name, cpu });
                self.meant[n] = Some(Meant { pri, class, cpu, is_named, is_meant });
                is_meant
            }
        }
    }
}

impl Monitor for Progress {
    fn needs(&self) -> Needs {
        Needs { workers: true, ..Needs::default() }
    }

    fn observe(&mut self, seen: &Snapshot) -> Pass {
        self.interval.step(seen);
        self.stands.resize(seen.workers.len(), Stretch::default());
        self.meant.resize(seen.workers.len(), None);
        self.caps.see(&seen.workers);
        let had = self.interval.least_had(seen);
        if had == 0 && self.interval.wall_ns() > 0 {
            self.ledger.accept(Excuse::VcpuAway);
        }
        let (mut first, mut judged) = (None, Judged::NOTHING);
        for (n, worker) in seen.workers.iter().enumerate() {
            let stand = (worker.is_at_work() || worker.was_stopped()).then_some(worker.progress);
            let is_held = worker.is_held_by_cap() && !self.caps.is_passed_over(n);
            let is_meant = self.is_meant(seen, n, worker);
            if is_held && is_meant {
                self.ledger.accept(Excuse::Capped);
            }
            if stand.is_some() && is_meant && !is_held {
                judged.met(had);
            }
            let owed = if is_held { 0 } else { had };
            let Some(charged) = self.stands[n].see(stand, owed) else { continue };
            if charged.1 <= self.ledger.worst_ns() || !is_meant {
                continue;
            }
            let subject = Subject { thread: Some(worker.index), cpu: worker.cpu, part: None };
            let breach = self.ledger.enter(subject, charged, self.interval.wall_ns(), seen.now_ns);
            if breach.is_some() {
                self.found = Some(*worker);
            }
            first = first.or(breach);
        }
        judged.found(first)
    }

    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The thread, and others that have stood still for half as long as is allowed.
    fn exhibits(&self, seen: &Snapshot, breach: &Breach) -> Exhibits {
        let half_ns = self.ledger.limit_ns() / 2;
        let is_meant = |n: usize| match (&self.filter, self.meant.get(n)) {
            (None, _) => true,
            (Some(_), meant) => meant.copied().flatten().is_some_and(|meant| meant.is_meant),
        };
        let stands = seen.workers.iter().zip(&self.stands).enumerate();
        let others = stands
            .filter(|(n, (_, stand))| stand.charge_ns() >= half_ns && is_meant(*n))
            .map(|(_, (worker, _))| worker.index);
        let mut exhibits = Exhibits::of(breach);
        exhibits.stalled.extend(others);
        exhibits
    }

    fn sentence(&self, breach: &Breach, evidence: &Evidence) -> String {
        let Some(found) = self.found else { return String::new() };
        let why = evidence.why(breach.thread).map_or_else(|| found.doing().to_owned(), Why::predicate);
        format!(
            "the workload of {} has stood still for {} ms at turn {}: the thread {why}",
            evidence.thread(breach.thread),
            ms(breach.lasted_ns),
            found.progress,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::bench::{Bench, MS};
    use umpire_shared::sys::cpuvar::disp_flag;
    use umpire_shared::sys::thread::{pflag, ts};

    fn bench(filter: &str) -> Bench {
        let filter = ThreadFilter::parse(filter).expect("invariant: the test's filter is right");
        let mut bench = Bench::new(Progress::new(Some(filter), 50 * MS));
        let worker = WorkerSample { index: 3, state: ts::RUN, pri: 60, ..WorkerSample::default() };
        bench.seen.workers = vec![worker, WorkerSample { index: 4, ..worker }];
        bench.seen.names[3] = "stands".to_owned();
        bench.seen.names[4] = "goes".to_owned();
        bench
    }

    /// Passes in which the second workload gets on.
    fn breaches(bench: &mut Bench, passes: u32, ran: [u64; 2]) -> Vec<Breach> {
        (0..passes)
            .filter_map(|_| {
                bench.seen.workers[1].progress += 1;
                bench.pass(ran)
            })
            .collect()
    }

    #[test]
    fn observe_workload_that_stands_still_returns_one_breach_at_the_limit() {
        let found = breaches(&mut bench("pri == 60"), 100, [1, 1]);

        assert_eq!(found.len(), 1);
        let Breach { thread, lasted_ns, detect_after_ns, .. } = found[0];
        assert_eq!((thread, lasted_ns, detect_after_ns), (Some(3), 51 * MS, MS));
    }

    #[test]
    fn observe_workload_that_gets_on_now_and_then_is_forgiven() {
        let mut bench = bench("name == stands");

        for n in 0..300 {
            bench.seen.workers[0].progress = n / 40;
            assert_eq!(bench.pass([1, 1]), None, "pass {n}");
        }
        assert_eq!(bench.monitor.ledger().worst_ns(), 39 * MS);
    }

    #[test]
    fn observe_thread_that_is_not_meant_or_has_ended_is_not_watched() {
        assert_eq!(breaches(&mut bench("name == goes"), 100, [1, 1]).len(), 0);

        let mut ended = bench("name == stands");
        ended.seen.workers[0].state = 0x08;
        assert_eq!(breaches(&mut ended, 100, [1, 1]).len(), 0);
    }

    #[test]
    fn observe_time_in_which_a_cap_holds_the_thread_is_excused_and_what_was_charged_before_stays() {
        let mut bench = bench("name == stands");
        assert_eq!(breaches(&mut bench, 41, [1, 1]).len(), 0);
        bench.seen.workers[0].state = ts::WAIT;
        assert_eq!(breaches(&mut bench, 500, [1, 1]).len(), 0);
        assert_eq!(bench.excused(Excuse::Capped), 500);
        assert_eq!(bench.monitor.ledger().worst_ns(), 40 * MS);

        bench.seen.workers[0].state = ts::RUN;
        assert_eq!(breaches(&mut bench, 20, [1, 1]).len(), 1);
    }

    #[test]
    fn observe_time_in_which_others_have_the_cap_again_and_again_is_charged() {
        let mut bench = bench("name == stands");
        let queue = 0x1000;
        for n in 0..200 {
            let goes = if n % 10 == 9 { ts::ONPROC } else { ts::WAIT };
            for (worker, state) in bench.seen.workers.iter_mut().zip([ts::WAIT, goes]) {
                worker.state = state;
                worker.waitq = if state == ts::WAIT { queue } else { 0 };
            }
            let breach = bench.pass([1, 1]);
            // The second turn of the other is in pass 19.
            assert_eq!(breach.is_some(), n == 19 + 50, "pass {n}");
        }
        assert_eq!(bench.excused(Excuse::Capped), 19);
    }

    #[test]
    fn observe_time_in_which_a_vcpu_did_not_run_is_excused_unless_it_is_halted() {
        let mut bench = bench("name == stands");
        assert_eq!(breaches(&mut bench, 100, [1, 0]).len(), 0);
        assert_eq!(bench.excused(Excuse::VcpuAway), 99);

        bench.seen.cpus[1].disp_flags = disp_flag::HALTED;
        assert_eq!(breaches(&mut bench, 100, [1, 0]).len(), 1);
    }

    #[test]
    fn thread_that_was_stopped_stands_still_and_one_that_has_not_begun_does_not() {
        for (proc_flag, count) in [(pflag::PRSTOP, 1), (0, 0)] {
            let mut bench = bench("name == stands");
            bench.seen.workers[0].state = ts::STOPPED;
            bench.seen.workers[0].proc_flag = proc_flag;
            assert_eq!(breaches(&mut bench, 60, [1, 1]).len(), count, "{proc_flag:#x}");
        }
    }

    #[test]
    fn sentence_says_what_the_thread_is_at() {
        let mut bench = bench("name == stands");
        let breach = breaches(&mut bench, 60, [1, 1])[0];

        let sentence = bench.sentence(&breach);

        assert_eq!(
            sentence,
            "the workload of an unknown thread (SYS 0) has stood still for 51.0 ms at turn 0: the thread waits on a run queue"
        );
    }
}
