//! `inheritance`: the owner of a lock is at least as good as the best thread that waits for it.
//!
//! A thread inherits only if the kernel knows that it is the owner: of a mutex, or of a reader/writer lock that is held for
//! writing (`turnstile.c pi_inherit`, `rwlock.c rw_owner`). A lock held by readers, a condition variable and a semaphore have
//! no such owner, and are not judged.
//!
//! # How it is charged
//! With the time that the CPU had on which the waiter went to sleep, because that CPU raises the owner. The condition lasts while
//! the best waiter and the owner are the same threads.
//!
//! # Excuses
//! - `torn`: a chain of turnstiles could not be read consistently.
//! - `vcpu_away`: the host did not run that CPU's vCPU, which may be on its way along the chain.
//!
//! Three gaps are Solaris's own:
//! - `raised_asleep`: the waiter's own priority was raised while it slept.
//! - `owner_sank`: the owner was as good as the waiter when the wait began, so that no loan was noted, and has
//!   lost its own priority since. If it lost that before the first look at the wait, the priority that it last had on a queue or
//!   a CPU counts.
//! - `upgraded`: the owner had been a reader when the wait began (`rw_tryupgrade`).
//!
//! # Invariants
//! - A pass looks at the turnstiles in use and at no others.

use super::evidence::ms;
use super::interval::{Interval, Ledger, Stretch, Subject};
use super::{Breach, Declaration, Evidence, Excuse, Exhibits, Judged, Monitor, Pass, Proof, Takes};
use crate::glass::{Needs, OwnerSample, Snapshot};
use umpire_shared::sys::sobject::sobj;

pub(super) static INHERITANCE: Declaration = Declaration {
    name: "inheritance",
    broken_when: "the owner of a mutex, or of a reader/writer lock held for writing, has been below its best waiter for longer than `limit`",
    charged_with: "time that the CPU had on which the waiter went to sleep",
    judges: "locks with an owner that is known and a waiter; not what is excused",
    takes_threads: false,
    takes: Takes::Limit,
    excuses: &[Excuse::Torn, Excuse::VcpuAway, Excuse::RaisedAsleep, Excuse::OwnerSank, Excuse::Upgraded],
    proof: Proof::Mutant("limit = \"50ms\""),
    standing_ms: Some(50),
    is_exact: false,
    new: |bound| Box::new(Inheritance::new(bound.limit_ns)),
};

/// Watches one bound.
#[derive(Debug)]
struct Inheritance {
    ledger: Ledger,
    interval: Interval,
    /// By turnstile.
    below: Vec<Stretch<Below>>,
    /// By turnstile: the pass that met it last.
    met: Vec<u64>,
    /// By turnstile: the wait that goes on, as it began.
    began: Vec<Option<Wait>>,
    /// By thread: the priority that it was last seen with on a queue or a CPU.
    last_pri: Vec<i16>,
    found: Option<OwnerSample>,
}

/// An owner below its best waiter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Below {
    sobj: u64,
    owner: u32,
    waiter: u32,
}

/// A wait for an owner, as the first look found it.
#[derive(Debug, Clone, Copy)]
struct Wait {
    key: (u64, Option<u32>, u32),
    owner_own: i16,
    waiter_own: i16,
    is_upgrade: bool,
}

impl Wait {
    /// The gap that makes the owner worse than the waiter, if one does.
    fn gap(&self, now: &OwnerSample) -> Option<Excuse> {
        if self.is_upgrade {
            return Some(Excuse::Upgraded);
        }
        if self.owner_own >= now.waiter_pri {
            return Some(Excuse::OwnerSank);
        }
        let was_raised = now.waiter_own > self.waiter_own && now.waiter_own == now.waiter_pri;
        (was_raised && now.owner_pri >= self.waiter_own).then_some(Excuse::RaisedAsleep)
    }
}

impl Inheritance {
    /// A watch with this limit.
    fn new(limit_ns: u64) -> Inheritance {
        Inheritance {
            ledger: Ledger::new(limit_ns),
            interval: Interval::default(),
            below: Vec::new(),
            met: Vec::new(),
            began: Vec::new(),
            last_pri: Vec::new(),
            found: None,
        }
    }

    fn observe_owner(
        &mut self,
        seen: &Snapshot,
        sample: &OwnerSample,
        judged: &mut Judged,
    ) -> Option<Breach> {
        let n = sample.turnstile as usize;
        if n >= self.below.len() {
            self.below.resize(n + 1, Stretch::default());
            self.met.resize(n + 1, 0);
            self.began.resize(n + 1, None);
        }
        // A turnstile that was not in use at the last pass has begun another life.
        if self.met[n] + 1 != seen.seq {
            self.below[n].see(None, 0);
            self.began[n] = None;
        }
        self.met[n] = seen.seq;
        let wait = self.wait(n, sample);
        let OwnerSample { sobj, waiter, .. } = *sample;
        let owner = sample.owner?;
        let cpu = seen.cpus.iter().position(|cpu| cpu.addr == sample.waiter_cpu)? as u32;
        let had = self.interval.had(cpu);
        let mut below = (sample.owner_pri < sample.waiter_pri).then_some(Below { sobj, owner, waiter });
        if below.is_some()
            && let Some(gap) = wait.gap(sample)
        {
            self.ledger.accept(gap);
            below = None;
        } else {
            judged.met(had);
        }
        let charged = self.below[n].see(below, had)?;
        if had == 0 {
            self.ledger.accept(Excuse::VcpuAway);
        }
        let subject = Subject { thread: Some(owner), cpu: Some(cpu), part: None };
        let breach = self.ledger.enter(subject, charged, self.interval.wall_ns(), seen.now_ns);
        if breach.is_some() {
            self.found = Some(*sample);
        }
        breach
    }
}

impl Inheritance {
    /// The wait that this pass sees at a turnstile, as it began.
    fn wait(&mut self, turnstile: usize, now: &OwnerSample) -> Wait {
        let key = (now.sobj, now.owner, now.waiter);
        let before = self.began[turnstile];
        if let Some(wait) = before.filter(|wait| wait.key == key) {
            return wait;
        }
        let seen_with = now.owner.and_then(|owner| self.last_pri.get(owner as usize)).copied();
        let wait = Wait {
            key,
            owner_own: seen_with.unwrap_or(i16::MIN).max(now.owner_own),
            waiter_own: now.waiter_own,
            is_upgrade: before.is_some_and(|wait| wait.key == (now.sobj, None, now.waiter)),
        };
        self.began[turnstile] = Some(wait);
        wait
    }

    /// Notes the priorities that this pass saw, for waits that begin before the next one.
    fn remember(&mut self, seen: &Snapshot) {
        let Some(arena) = seen.arena else { return };
        self.last_pri.resize(arena.count as usize, i16::MIN);
        let running =
            seen.cpus.iter().filter_map(|cpu| Some((arena.index_of(cpu.thread)?, cpu.dispatch_pri)));
        let queued = seen.queues().flat_map(|(_, queue)| queue.threads.iter().map(|t| (t.index, t.pri)));
        for (index, pri) in running.chain(queued) {
            if let Some(last) = self.last_pri.get_mut(index as usize) {
                *last = pri;
            }
        }
    }
}

impl Monitor for Inheritance {
    fn needs(&self) -> Needs {
        Needs { owners: true, ..Needs::default() }
    }

    fn observe(&mut self, seen: &Snapshot) -> Pass {
        self.interval.step(seen);
        for _ in 0..seen.torn_chains {
            self.ledger.accept(Excuse::Torn);
        }
        let (mut first, mut judged) = (None, Judged::NOTHING);
        for sample in &seen.owners {
            let breach = self.observe_owner(seen, sample, &mut judged);
            first = first.or(breach);
        }
        self.remember(seen);
        judged.found(first)
    }

    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Also the name of the thread that waits.
    fn exhibits(&self, _seen: &Snapshot, breach: &Breach) -> Exhibits {
        Exhibits::of(breach).naming(self.found.map(|found| found.waiter))
    }

    fn sentence(&self, breach: &Breach, evidence: &Evidence) -> String {
        let Some(found) = self.found else { return String::new() };
        let lock = if found.kind == sobj::MUTEX { "a mutex" } else { "a reader/writer lock" };
        format!(
            "{} owns {lock} at {:x} for which {} has waited {} ms, and has not inherited that thread's {}",
            evidence.thread(breach.thread),
            found.sobj,
            evidence.thread(Some(found.waiter)),
            ms(breach.lasted_ns),
            found.waiter_pri,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::bench::{Bench, MS};

    fn bench(owner_pri: i16) -> Bench {
        let mut bench = Bench::new(Inheritance::new(20 * MS));
        let waiter_cpu = bench.seen.cpus[1].addr;
        bench.seen.owners = vec![OwnerSample {
            turnstile: 3,
            sobj: 0x500,
            kind: sobj::MUTEX,
            owner: Some(2),
            owner_pri,
            owner_own: owner_pri,
            waiter: 4,
            waiter_pri: 60,
            waiter_own: 60,
            waiter_cpu,
        }];
        bench
    }

    #[test]
    fn observe_owner_below_its_waiter_returns_one_breach() {
        let breaches = bench(10).passes(100, [1, 1]);

        assert_eq!(breaches.len(), 1);
        assert_eq!((breaches[0].thread, breaches[0].lasted_ns), (Some(2), 21 * MS));
    }

    #[test]
    fn observe_owner_that_inherited_returns_none() {
        assert_eq!(bench(60).passes(100, [1, 1]).len(), 0);
    }

    #[test]
    fn observe_another_waiter_begins_anew() {
        let mut bench = bench(10);

        for n in 0..200 {
            bench.seen.owners[0].waiter = n / 15;
            assert_eq!(bench.pass([1, 1]), None);
        }
    }

    #[test]
    fn observe_turnstile_that_was_free_in_between_begins_anew() {
        let mut bench = bench(10);
        let owners = bench.seen.owners.clone();

        for n in 0..200 {
            bench.seen.owners = if n % 15 == 0 { Vec::new() } else { owners.clone() };
            assert_eq!(bench.pass([1, 1]), None);
        }
    }

    #[test]
    fn observe_gaps_that_solaris_has_are_excused() {
        let mut raised = bench(60);
        assert_eq!(raised.pass([1, 1]), None);
        (raised.seen.owners[0].waiter_pri, raised.seen.owners[0].waiter_own) = (80, 80);
        assert_eq!(raised.passes(100, [1, 1]).len(), 0);
        assert_eq!(raised.excused(Excuse::RaisedAsleep), 100);

        let mut sank = bench(60);
        assert_eq!(sank.pass([1, 1]), None);
        (sank.seen.owners[0].owner_pri, sank.seen.owners[0].owner_own) = (10, 10);
        assert_eq!(sank.passes(100, [1, 1]).len(), 0);
        assert_eq!(sank.excused(Excuse::OwnerSank), 100);

        let mut upgraded = bench(10);
        upgraded.seen.owners[0].owner = None;
        assert_eq!(upgraded.pass([1, 1]), None);
        upgraded.seen.owners[0].owner = Some(2);
        assert_eq!(upgraded.passes(100, [1, 1]).len(), 0);
        assert_eq!(upgraded.excused(Excuse::Upgraded), 100);
    }

    #[test]
    fn observe_owner_that_sank_before_the_first_look_is_excused_by_what_it_had() {
        let mut bench = bench(10);
        let owners = std::mem::take(&mut bench.seen.owners);
        bench.run(0, 2, 60);
        assert_eq!(bench.pass([1, 1]), None);
        bench.seen.owners = owners;
        bench.run(0, 5, 70);

        assert_eq!(bench.passes(100, [1, 1]).len(), 0);
        assert_eq!(bench.excused(Excuse::OwnerSank), 100);
    }

    #[test]
    fn observe_loan_that_is_taken_back_is_no_gap() {
        let mut bench = bench(60);
        bench.seen.owners[0].owner_own = 10;
        assert_eq!(bench.pass([1, 1]), None);
        bench.seen.owners[0].owner_pri = 10;

        assert_eq!(bench.passes(100, [1, 1]).len(), 1);
    }

    #[test]
    fn sentence_names_owner_lock_and_waiter() {
        let mut bench = bench(10);
        let breach = bench.passes(40, [1, 1])[0];

        assert_eq!(
            bench.sentence(&breach),
            "an unknown thread (SYS 0) owns a mutex at 500 for which an unknown thread (SYS 0) has waited 21.0 ms, \
             and has not inherited that thread's 60"
        );
    }

    #[test]
    fn observe_each_excuse_is_counted_and_not_charged() {
        let mut away = bench(10);
        assert_eq!(away.passes(100, [1, 0]).len(), 0);
        assert_eq!(away.excused(Excuse::VcpuAway), 99);

        let mut torn = bench(10);
        torn.seen.owners.clear();
        torn.seen.torn_chains = 2;
        assert_eq!(torn.passes(10, [1, 1]).len(), 0);
        assert_eq!(torn.excused(Excuse::Torn), 20);
    }
}
