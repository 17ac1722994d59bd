//! `memory`: caches do not only grow, and nobody sleeps for memory that is there.
//!
//! A cache that gets its buffers back stops growing when it has as many as are wanted at a time. One whose buffers are forgotten goes on,
//! slab by slab, until nothing is left. And whoever sleeps for memory has to be woken when there is enough: `KM_SLEEP` never fails, so a
//! wake-up that is lost is a thread that is lost.
//!
//! # How it is charged
//! With the least that any online CPU had: whichever CPU could have freed something, or have gone on, had at least that. A cache is
//! charged from its growth on, until a quarter of the limit has passed without any, or it has shrunk. A sleeper is charged from the pass
//! after which there was as much free as any sleeper wants beside `throttlefree`, and no new one came.
//!
//! # Excuses
//! - `vcpu_away`: the host did not run one of the vCPUs, and it was not halted with nothing to do.
//!
//! # Invariants
//! - A cache is measured in the buffers of its slabs: what lies in magazines is the cache's own, and does not come and go with the load.
//! - A load that really grows for longer than the limit looks like one that forgets: the limit has to be longer than that.

use super::evidence::ms;
use super::interval::{Interval, Ledger, Stretch, Subject};
use super::{Breach, Declaration, Evidence, Excuse, Exhibits, Judged, Monitor, Pass, Proof, Takes};
use crate::glass::{CacheSample, MemorySample, Needs, Snapshot};
use umpire_shared::unpack_name;

pub(super) static MEMORY: Declaration = Declaration {
    name: "memory",
    broken_when: "a cache has grown again and again for longer than `limit` and never shrunk; or a thread has slept for memory for longer than `limit` while there was enough",
    charged_with: "the least that any online CPU had",
    judges: "caches that have slabs, and threads that sleep for memory",
    takes_threads: false,
    takes: Takes::Limit,
    excuses: &[Excuse::VcpuAway],
    proof: Proof::Mutant("limit = \"1s\""),
    standing_ms: Some(1000),
    is_exact: false,
    new: |bound| Box::new(Memory::new(bound.limit_ns)),
};

/// What a cache has been charged for growing.
#[derive(Debug, Clone, Copy, Default)]
struct Growth {
    addr: u64,
    /// Its buffers when it was seen first, and last.
    first: u64,
    last: u64,
    charge_ns: u64,
    /// Charged since it grew last.
    pause_ns: u64,
}

impl Growth {
    /// Takes a cache as this pass saw it. What it had been charged and has been now, if it grows.
    fn see(&mut self, cache: &CacheSample, had: u64, limit_ns: u64) -> Option<(u64, u64)> {
        if self.addr != cache.addr || cache.buftotal < self.first {
            *self = Growth { addr: cache.addr, first: cache.buftotal, ..Growth::default() };
            self.last = cache.buftotal;
            self.pause_ns = limit_ns;
            return None;
        }
        if cache.buftotal > self.last {
            self.pause_ns = 0;
        } else {
            self.pause_ns = self.pause_ns.saturating_add(had);
        }
        let has_stopped = cache.buftotal < self.last || self.pause_ns > limit_ns / 4;
        self.last = cache.buftotal;
        if has_stopped {
            (self.charge_ns, self.pause_ns) = (0, limit_ns);
            return None;
        }
        let before = self.charge_ns;
        self.charge_ns += had;
        Some((before, self.charge_ns))
    }
}

/// What a bound was broken by.
#[derive(Debug, Clone, Copy)]
enum Found {
    Cache { name: [u8; umpire_shared::NAME_LEN], from: u64, to: u64 },
    Sleeper(MemorySample),
}

/// Watches one bound.
#[derive(Debug)]
struct Memory {
    ledger: Ledger,
    interval: Interval,
    /// By place in the snapshot's list of caches.
    growth: Vec<Growth>,
    /// The key: how often an allocation had to wait.
    sleeper: Stretch<u64>,
    found: Option<Found>,
}

impl Memory {
    /// A watch with this limit.
    fn new(limit_ns: u64) -> Memory {
        Memory {
            ledger: Ledger::new(limit_ns),
            interval: Interval::default(),
            growth: Vec::new(),
            sleeper: Stretch::default(),
            found: None,
        }
    }
}

impl Monitor for Memory {
    fn needs(&self) -> Needs {
        Needs { memory: true, ..Needs::default() }
    }

    fn observe(&mut self, seen: &Snapshot) -> Pass {
        self.interval.step(seen);
        self.growth.resize(seen.caches.len(), Growth::default());
        let had = self.interval.least_had(seen);
        if had == 0 && self.interval.wall_ns() > 0 {
            self.ledger.accept(Excuse::VcpuAway);
        }
        let (mut first, mut judged) = (None, Judged::NOTHING);
        let (limit_ns, wall_ns) = (self.ledger.limit_ns(), self.interval.wall_ns());
        for (cache, growth) in seen.caches.iter().zip(&mut self.growth) {
            let charged = growth.see(cache, had, limit_ns);
            if cache.buftotal > 0 {
                judged.met(had);
            }
            let Some(charged) = charged else { continue };
            let breach = self.ledger.enter(Subject::default(), charged, wall_ns, seen.now_ns);
            if breach.is_some() {
                self.found = Some(Found::Cache { name: cache.name, from: growth.first, to: growth.last });
            }
            first = first.or(breach);
        }
        let memory = &seen.memory;
        if memory.sleepers > 0 {
            judged.met(had);
        }
        let has_enough =
            memory.sleepers > 0 && memory.freemem >= memory.throttlefree.saturating_add(memory.wanted);
        if let Some(charged) = self.sleeper.see(has_enough.then_some(memory.waits), had) {
            let breach = self.ledger.enter(Subject::default(), charged, wall_ns, seen.now_ns);
            if breach.is_some() {
                self.found = Some(Found::Sleeper(*memory));
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

    fn sentence(&self, breach: &Breach, _: &Evidence) -> String {
        let lasted = ms(breach.lasted_ns);
        match &self.found {
            Some(Found::Cache { name, from, to }) => format!(
                "cache {} has only grown for {lasted} ms, from {from} to {to} buffers: what is allocated is not freed",
                unpack_name(name)
            ),
            Some(Found::Sleeper(memory)) => format!(
                "{} threads have slept for memory for {lasted} ms although {} pages are free, and {} beside the {} that are kept \
                 would do: nobody woke them",
                memory.sleepers, memory.freemem, memory.wanted, memory.throttlefree
            ),
            None => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::bench::{Bench, MS};
    use umpire_shared::pack_name;

    fn bench() -> Bench {
        let mut bench = Bench::declared(&MEMORY, 20 * MS);
        bench.seen.caches = vec![CacheSample { addr: 0x5000, name: pack_name("leaker"), buftotal: 10 }];
        bench
    }

    /// So many passes, each with as many buffers as `of` says.
    fn grow(bench: &mut Bench, passes: u64, of: impl Fn(u64) -> u64) -> Vec<Breach> {
        let pass = |n| {
            bench.seen.caches[0].buftotal = of(n);
            bench.pass([1, 1])
        };
        (0..passes).filter_map(pass).collect()
    }

    #[test]
    fn observe_cache_that_only_grows_returns_one_breach_just_past_the_limit() {
        let mut bench = bench();

        let breaches = grow(&mut bench, 100, |n| 10 + n / 4);

        assert_eq!(breaches.len(), 1);
        assert_eq!(breaches[0].lasted_ns, 21 * MS);
        let said = bench.sentence(&breaches[0]);
        assert_eq!(
            said,
            "cache leaker has only grown for 21.0 ms, from 10 to 16 buffers: what is allocated is not freed"
        );
    }

    #[test]
    fn observe_cache_that_pauses_or_shrinks_is_forgiven_and_judged() {
        let shrinks = |n: u64| 10 + n % 15;
        let pauses = |n: u64| 10 + n / 20 * 4 + (n % 20).min(4);
        for (what, of) in [("shrinks", &shrinks as &dyn Fn(u64) -> u64), ("pauses", &pauses)] {
            let mut bench = bench();
            assert_eq!(grow(&mut bench, 200, of).len(), 0, "{what}");
            assert!(!bench.judged.is_nothing(), "{what}");
        }
    }

    #[test]
    fn observe_cache_without_slabs_is_not_judged() {
        let mut bench = bench();

        assert_eq!(grow(&mut bench, 100, |_| 0).len(), 0);

        assert!(bench.judged.is_nothing());
    }

    #[test]
    fn observe_sleeper_beside_enough_memory_is_told_and_one_beside_too_little_is_not() {
        let asleep = MemorySample { sleepers: 2, wanted: 3, waits: 7, freemem: 9, throttlefree: 6 };
        let mut bench = bench();
        bench.seen.memory = asleep;

        let breaches = bench.passes(100, [1, 1]);

        assert_eq!((breaches.len(), breaches[0].lasted_ns), (1, 21 * MS));
        let said = bench.sentence(&breaches[0]);
        assert!(
            said.starts_with("2 threads have slept for memory for 21.0 ms although 9 pages are free"),
            "{said}"
        );
        let mut short = self::bench();
        short.seen.memory = MemorySample { freemem: 8, ..asleep };
        assert_eq!(short.passes(100, [1, 1]).len(), 0);
        assert!(!short.judged.is_nothing());
    }

    #[test]
    fn observe_time_that_no_cpu_had_is_excused() {
        let mut bench = bench();
        bench.seen.memory = MemorySample { sleepers: 1, ..MemorySample::default() };

        assert_eq!(bench.passes(100, [1, 0]).len(), 0);

        assert_eq!(bench.excused(Excuse::VcpuAway), 99);
    }
}
