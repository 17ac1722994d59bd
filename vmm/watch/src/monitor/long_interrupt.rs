//! `long_interrupt`: no CPU stays in one interrupt.
//!
//! A handler that loops keeps everything waiting that is of its level or below, and every thread of its CPU. The kernel cannot
//! tell: what would look has to wait as well.
//!
//! # How it is charged
//! With the running time of the CPU's vCPU, from pass to pass, as long as each finds the CPU in an interrupt of the same level
//! on top of the same dispatch. Handlers that come and go between two passes look like one that stays, so a limit has to be
//! many times what a handler takes.
//!
//! # Excuses
//! - `vcpu_away`: the host did not run the vCPU.
//!
//! # Invariants
//! - One pass that finds the CPU in no interrupt forgives everything.
//!
//! The worked example of `docs/write-a-monitor.md`.

use super::evidence::{Chosen, ms};
use super::interval::{Dispatch, Interval, Ledger, Stretch, Subject};
use super::{Breach, Declaration, Evidence, Excuse, Exhibits, Judged, Monitor, Pass, Proof, Takes};
use crate::glass::{Needs, Snapshot};

pub(super) static LONG_INTERRUPT: Declaration = Declaration {
    name: "long_interrupt",
    broken_when: "a CPU has been in an interrupt of one level for longer than `limit` without a switch",
    charged_with: "running time of the CPU's vCPU",
    judges: "CPUs in an interrupt",
    takes_threads: false,
    takes: Takes::Limit,
    excuses: &[Excuse::VcpuAway],
    proof: Proof::Mutant("limit = \"1s\""),
    standing_ms: None,
    is_exact: false,
    new: |bound| Box::new(LongInterrupt::new(bound.limit_ns)),
};

/// Watches one bound.
#[derive(Debug)]
struct LongInterrupt {
    ledger: Ledger,
    interval: Interval,
    /// By CPU: the level of the interrupt that it is in, and on top of what.
    inside: Vec<Stretch<(u8, Dispatch)>>,
    found: Option<Found>,
}

/// What broke the bound.
#[derive(Debug, Clone, Copy)]
struct Found {
    level: u8,
    below: Chosen,
}

impl LongInterrupt {
    /// A watch with this limit.
    fn new(limit_ns: u64) -> LongInterrupt {
        LongInterrupt {
            ledger: Ledger::new(limit_ns),
            interval: Interval::default(),
            inside: Vec::new(),
            found: None,
        }
    }
}

impl Monitor for LongInterrupt {
    fn needs(&self) -> Needs {
        Needs { runners: true, ..Needs::default() }
    }

    fn observe(&mut self, seen: &Snapshot) -> Pass {
        self.interval.step(seen);
        self.inside.resize(seen.cpus.len(), Stretch::default());
        let (mut first, mut judged) = (None, Judged::NOTHING);
        for (cpu, n) in seen.cpus.iter().zip(0..) {
            let inside = cpu.handles.map(|level| (level, self.interval.dispatch(n)));
            let ran = self.interval.ran(n);
            if inside.is_some() {
                judged.met(ran);
            }
            let Some(charged) = self.inside[n as usize].see(inside, ran) else { continue };
            if ran == 0 {
                self.ledger.accept(Excuse::VcpuAway);
            }
            let subject = Subject { cpu: Some(n), ..Subject::default() };
            let breach = self.ledger.enter(subject, charged, self.interval.wall_ns(), seen.now_ns);
            if breach.is_some() {
                self.found = inside.map(|(level, _)| Found { level, below: Chosen::on(seen, cpu) });
            }
            first = first.or(breach);
        }
        judged.found(first)
    }

    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn exhibits(&self, _seen: &Snapshot, breach: &Breach) -> Exhibits {
        Exhibits::of(breach).naming(self.found.and_then(|found| found.below.thread()))
    }

    fn sentence(&self, breach: &Breach, evidence: &Evidence) -> String {
        let (Some(cpu), Some(Found { level, below })) = (breach.cpu, self.found) else {
            return String::new();
        };
        format!(
            "cpu {cpu} has been in an interrupt of level {level} for {} ms of its own time, on top of {}",
            ms(breach.lasted_ns),
            below.described(evidence)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::bench::{Bench, MS};

    /// CPU 1 runs thread 4 and is in an interrupt of level 6.
    fn bench() -> Bench {
        let mut bench = Bench::declared(&LONG_INTERRUPT, 20 * MS);
        bench.run(1, 4, 20);
        bench.seen.cpus[1].handles = Some(6);
        bench
    }

    #[test]
    fn observe_handler_that_stays_returns_one_breach_just_past_the_limit() {
        let mut bench = bench();

        let breaches = bench.passes(100, [1, 1]);

        assert_eq!(breaches.len(), 1);
        assert_eq!((breaches[0].cpu, breaches[0].lasted_ns), (Some(1), 21 * MS));
        let said = bench.sentence(&breaches[0]);
        assert!(said.starts_with("cpu 1 has been in an interrupt of level 6 for 21.0 ms"), "{said}");
    }

    #[test]
    fn observe_handler_that_returns_in_between_is_forgiven() {
        let mut bench = bench();

        for n in 0..200 {
            bench.seen.cpus[1].handles = (n % 15 != 0).then_some(6);
            assert_eq!(bench.pass([1, 1]), None, "pass {n}");
        }
    }

    #[test]
    fn observe_vcpu_that_the_host_did_not_run_is_excused() {
        let mut bench = bench();

        assert_eq!(bench.passes(100, [1, 0]).len(), 0);
        assert_eq!(bench.excused(Excuse::VcpuAway), 99);
    }
}
