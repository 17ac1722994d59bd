//! `taskq`: tasks that wait in a queue are taken, by some thread of the queue.
//!
//! Two things keep them where they are although no CPU is short. A thread that waits for tasks was not woken; or every thread is
//! asleep in a task, perhaps because that task waits for one behind it, and then it is for ever: Alice waits for Bob, who is next.
//!
//! # How it is charged
//! From the pass after which no task of the queue has been done and none of its threads was anything but asleep, with the least that
//! any online CPU had: whichever CPU could have helped had at least that.
//!
//! # Excuses
//! - `suspended`: the queue is suspended, and nothing is to be taken from it.
//! - `vcpu_away`: the host did not run one of the vCPUs, and it was not halted with nothing to do.
//!
//! # Invariants
//! - One task that has been done forgives everything, and so does one thread that is awake: that it does not get a CPU is for
//!   `starvation` to say. Tasks that come meanwhile renew nothing, wherever in the queue.
//! - A task that sleeps for a time of its own, alone with the tasks behind it, looks like one that waits for them: a limit has to be
//!   longer than any such sleep.

use super::evidence::ms;
use super::interval::{Interval, Ledger, Stretch, Subject};
use super::{Breach, Declaration, Evidence, Excuse, Exhibits, Judged, Monitor, Pass, Proof, Takes};
use crate::glass::{Needs, Snapshot, TaskqSample};
use crate::why::Why;
use umpire_shared::unpack_name;

pub(super) static TASKQ: Declaration = Declaration {
    name: "taskq",
    broken_when: "tasks have waited in a task queue for longer than `limit` while none was done and every thread of the queue was asleep: for want of a wake-up, or each in a task that waits",
    charged_with: "the least that any online CPU had",
    judges: "task queues in which tasks wait; not while they are suspended",
    takes_threads: false,
    takes: Takes::Limit,
    excuses: &[Excuse::Suspended, Excuse::VcpuAway],
    proof: Proof::Mutant("limit = \"1s\""),
    standing_ms: Some(1000),
    is_exact: false,
    new: |bound| Box::new(Taskq::new(bound.limit_ns)),
};

/// Watches one bound.
#[derive(Debug)]
struct Taskq {
    ledger: Ledger,
    interval: Interval,
    /// By place in the snapshot's list of queues; the key is the queue, and how many of its tasks have been done.
    stuck: Vec<Stretch<(u64, u64)>>,
    found: Option<TaskqSample>,
}

impl Taskq {
    /// A watch with this limit.
    fn new(limit_ns: u64) -> Taskq {
        Taskq { ledger: Ledger::new(limit_ns), interval: Interval::default(), stuck: Vec::new(), found: None }
    }
}

impl Monitor for Taskq {
    fn needs(&self) -> Needs {
        Needs { taskqs: true, ..Needs::default() }
    }

    fn observe(&mut self, seen: &Snapshot) -> Pass {
        self.interval.step(seen);
        self.stuck.resize(seen.taskqs.len(), Stretch::default());
        let had = self.interval.least_had(seen);
        if had == 0 && self.interval.wall_ns() > 0 {
            self.ledger.accept(Excuse::VcpuAway);
        }
        let (mut first, mut judged) = (None, Judged::NOTHING);
        for (queue, stuck) in seen.taskqs.iter().zip(&mut self.stuck) {
            let has_tasks = queue.has_tasks(seen.taskq_size);
            let is_held = has_tasks && queue.is_suspended();
            if is_held {
                self.ledger.accept(Excuse::Suspended);
            }
            if has_tasks && !is_held {
                judged.met(had);
            }
            let is_stuck = has_tasks && !is_held && queue.awake == 0 && queue.asleep > 0;
            let key = is_stuck.then_some((queue.addr, queue.executed));
            let Some(charged) = stuck.see(key, had) else { continue };
            let subject = Subject { thread: Some(queue.sleeper), cpu: None, part: None };
            let breach = self.ledger.enter(subject, charged, self.interval.wall_ns(), seen.now_ns);
            if breach.is_some() {
                self.found = Some(*queue);
            }
            first = first.or(breach);
        }
        judged.found(first)
    }

    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn exhibits(&self, _seen: &Snapshot, breach: &Breach) -> Exhibits {
        Exhibits::of(breach)
    }

    fn sentence(&self, breach: &Breach, evidence: &Evidence) -> String {
        let Some(found) = self.found else { return String::new() };
        let name = unpack_name(&found.name);
        let lasted = ms(breach.lasted_ns);
        let idle = found.nthreads.saturating_sub(found.active);
        if idle > 0 {
            return format!(
                "tasks have waited in task queue {name} for {lasted} ms while {idle} of its {} threads waited for tasks: \
                 nobody woke {}",
                found.asleep,
                evidence.thread(breach.thread)
            );
        }
        let why = evidence.why(breach.thread).map_or_else(|| "sleeps".to_owned(), Why::predicate);
        format!(
            "tasks have waited in task queue {name} for {lasted} ms while every one of its {} threads was asleep in a task: {} {why}; \
             what that waits for may be behind it in the same queue",
            found.asleep,
            evidence.thread(breach.thread)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::bench::{Bench, MS};
    use umpire_shared::pack_name;
    use umpire_shared::sys::taskq::tqflag;

    /// A queue with a task, whose only thread is asleep in another.
    fn bench() -> Bench {
        let mut bench = Bench::declared(&TASKQ, 20 * MS);
        bench.seen.taskq_size = 0x200;
        let queue = TaskqSample {
            addr: 0x5000,
            first: 0x9000,
            name: pack_name("pair"),
            sleeper: 4,
            ..TaskqSample::default()
        };
        bench.seen.taskqs = vec![TaskqSample { nthreads: 1, active: 1, asleep: 1, crtime: 1, ..queue }];
        bench
    }

    #[test]
    fn observe_queue_whose_threads_are_all_asleep_returns_one_breach_just_past_the_limit() {
        let mut bench = bench();

        let breaches = bench.passes(100, [1, 1]);

        assert_eq!(breaches.len(), 1);
        assert_eq!((breaches[0].thread, breaches[0].lasted_ns), (Some(4), 21 * MS));
        let said = bench.sentence(&breaches[0]);
        assert!(
            said.starts_with(
                "tasks have waited in task queue pair for 21.0 ms while every one of its 1 threads"
            ),
            "{said}"
        );
    }

    #[test]
    fn observe_idle_thread_beside_a_task_is_said_to_have_been_woken_by_nobody() {
        let mut bench = bench();
        bench.seen.taskqs[0].active = 0;

        let breaches = bench.passes(100, [1, 1]);

        let said = bench.sentence(&breaches[0]);
        assert!(said.contains("1 of its 1 threads waited for tasks: nobody woke"), "{said}");
    }

    #[test]
    fn observe_queue_that_gets_on_or_has_a_thread_awake_or_no_task_is_forgiven() {
        for n in 0..3 {
            let mut bench = bench();
            for pass in 0..200_u64 {
                let queue = &mut bench.seen.taskqs[0];
                match n {
                    0 => queue.executed = pass / 15,
                    1 => queue.awake = u32::from(pass % 15 == 0),
                    _ => queue.first = if pass % 15 == 0 { queue.addr + 8 } else { 0x9000 },
                }
                assert_eq!(bench.pass([1, 1]), None, "case {n} pass {pass}");
            }
        }
    }

    #[test]
    fn observe_new_tasks_renew_nothing() {
        let mut bench = bench();

        let breaches: Vec<Breach> = (0..100)
            .filter_map(|n| {
                bench.seen.taskqs[0].first = 0x9000 + n * 0x80;
                bench.pass([1, 1])
            })
            .collect();

        assert_eq!(breaches.len(), 1);
    }

    #[test]
    fn observe_each_excuse_is_counted_and_not_charged() {
        let mut away = bench();
        assert_eq!(away.passes(100, [1, 0]).len(), 0);
        assert_eq!(away.excused(Excuse::VcpuAway), 99);

        let mut suspended = bench();
        suspended.seen.taskqs[0].flags = tqflag::SUSPENDED;
        assert_eq!(suspended.passes(100, [1, 1]).len(), 0);
        assert_eq!(suspended.excused(Excuse::Suspended), 100);
    }
}
