//! `storm`: a CPU is poked because something changed, and once for that.
//!
//! A poke costs the sender a microsecond and the target an interrupt, and nothing in the kernel notices if there are too many: every
//! thread still runs. What explains a poke can be counted from outside.
//!
//! - **All CPUs together.** An enqueue pokes at most one CPU: the queue's, or a halted one that is to steal. A tick may ask a CPU to
//!   give way (`cpu_surrender`).
//! - **A CPU that does not switch.** It is asked once for user mode and once for the kernel; the flags stay up until it has
//!   switched, and nobody asks again. A tick may.
//!
//! Only the dispatcher's own pokes count (`cpu_pokes`, counted as they are sent): not those for soft calls, cross traps and timers.
//!
//! # How it is charged
//! With wall time, in stretches of [`STRETCH_NS`] or more, each of which has more pokes than its enqueues and ticks explain. No host
//! makes the guest send one, so it does not matter how long a vCPU was away.
//!
//! # Excuses
//! None. Some pokes are allowed for on top, [`SPARE`] a CPU: for a priority that was changed, and for what is counted a moment apart.
//!
//! # Invariants
//! - One stretch that is explained forgives everything.

use super::evidence::{Chosen, ms};
use super::interval::{Dispatch, Interval, Ledger, Subject};
use super::{Breach, Declaration, Evidence, Exhibits, Judged, Monitor, Pass, Proof, Takes};
use crate::glass::{CpuSample, Needs, Snapshot};

pub(super) static STORM: Declaration = Declaration {
    name: "storm",
    broken_when: "for longer than `limit` more pokes have been sent than enqueues and ticks explain: at all CPUs, or at one that has not switched",
    charged_with: "wall time",
    judges: "CPUs that were poked",
    takes_threads: false,
    takes: Takes::Limit,
    excuses: &[],
    proof: Proof::Mutant("limit = \"100ms\""),
    standing_ms: Some(100),
    is_exact: false,
    new: |bound| Box::new(Storm::new(bound.limit_ns)),
};

/// How long a stretch is at least, in ns.
const STRETCH_NS: u64 = 20_000_000;
/// Pokes a CPU and a stretch that need no explanation.
const SPARE: u64 = 4;

/// Watches one bound.
#[derive(Debug)]
struct Storm {
    ledger: Ledger,
    interval: Interval,
    begin: Mark,
    now: Mark,
    /// What the stretches in a row were charged in which the machine, or each CPU, had too many.
    machine_ns: u64,
    cpu_ns: Vec<u64>,
    found: Option<Found>,
}

/// What had been counted at a moment.
#[derive(Debug, Default)]
struct Mark {
    at_ns: u64,
    ticks: u64,
    enqueues: u64,
    cpus: Vec<Counts>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    pokes: u64,
    dispatch: Dispatch,
    runs: bool,
}

/// What broke the bound: what the last stretch had.
#[derive(Debug, Clone, Copy)]
struct Found {
    pokes: u64,
    explained: u64,
    enqueues: u64,
    stretch_ns: u64,
    chosen: Option<Chosen>,
}

impl Counts {
    fn of(cpu: &CpuSample) -> Counts {
        Counts {
            pokes: cpu.interrupts.pokes,
            dispatch: Dispatch::of(cpu),
            // What an interrupt thread pins may be the idle thread, which is poked for whatever it might steal.
            runs: !cpu.is_idle() && !cpu.is_halted() && cpu.dispthread != cpu.idle_thread,
        }
    }
}

impl Storm {
    /// A watch with this limit.
    fn new(limit_ns: u64) -> Storm {
        Storm {
            ledger: Ledger::new(limit_ns),
            interval: Interval::default(),
            begin: Mark::default(),
            now: Mark::default(),
            machine_ns: 0,
            cpu_ns: Vec::new(),
            found: None,
        }
    }

    fn mark(&mut self, seen: &Snapshot) {
        self.now.at_ns = seen.now_ns;
        self.now.ticks = seen.clock_ticks;
        self.now.enqueues = seen.enqueues;
        self.now.cpus.clear();
        self.now.cpus.extend(seen.cpus.iter().map(Counts::of));
    }

    /// Charges a stretch that had so many pokes.
    fn charge(&mut self, seen: &Snapshot, cpu: Option<u32>, had: Found) -> Option<Breach> {
        let before = match cpu {
            Some(n) => &mut self.cpu_ns[n as usize],
            None => &mut self.machine_ns,
        };
        if had.pokes <= had.explained {
            *before = 0;
            return None;
        }
        let charged = (*before, *before + had.stretch_ns);
        *before = charged.1;
        let subject = Subject { cpu, ..Subject::default() };
        let breach = self.ledger.enter(subject, charged, had.stretch_ns, seen.now_ns);
        if breach.is_some() {
            let chosen = cpu.and_then(|n| seen.cpus.get(n as usize)).map(|cpu| Chosen::on(seen, cpu));
            self.found = Some(Found { chosen, ..had });
        }
        breach
    }

    /// Judges the stretch that ends with this pass. Returns how many CPUs were poked in it beside the breach.
    fn judge(&mut self, seen: &Snapshot) -> (u64, Option<Breach>) {
        let stretch_ns = seen.now_ns.saturating_sub(self.begin.at_ns);
        let ticks = self.now.ticks.saturating_sub(self.begin.ticks);
        let enqueues = self.now.enqueues.saturating_sub(self.begin.enqueues);
        let (mut pokes, mut poked, mut first) = (0, 0, None);
        for n in 0..self.now.cpus.len() {
            let (then, now) = (self.begin.cpus[n], self.now.cpus[n]);
            let of_cpu = now.pokes.saturating_sub(then.pokes);
            (pokes, poked) = (of_cpu.saturating_add(pokes), poked + u64::from(of_cpu > 0));
            let stays = then.runs && now.runs && then.dispatch == now.dispatch;
            // Of a CPU that switched or idled, what the machine has is judged.
            let explained = if stays { ticks.saturating_add(SPARE) } else { u64::MAX };
            let had = Found { pokes: of_cpu, explained, enqueues, stretch_ns, chosen: None };
            let breach = self.charge(seen, Some(n as u32), had);
            first = first.or(breach);
        }
        let cpus = self.now.cpus.len() as u64;
        let explained = ticks.saturating_add(SPARE).saturating_mul(cpus).saturating_add(enqueues);
        let had = Found { pokes, explained, enqueues, stretch_ns, chosen: None };
        let breach = self.charge(seen, None, had);
        (poked, first.or(breach))
    }
}

impl Monitor for Storm {
    fn needs(&self) -> Needs {
        Needs { runners: true, interrupts: true, ..Needs::default() }
    }

    fn observe(&mut self, seen: &Snapshot) -> Pass {
        self.interval.step(seen);
        self.cpu_ns.resize(seen.cpus.len(), 0);
        self.mark(seen);
        let is_first = self.begin.cpus.len() != self.now.cpus.len();
        if !is_first && seen.now_ns.saturating_sub(self.begin.at_ns) < STRETCH_NS {
            return Pass::NOTHING;
        }
        let (poked, breach) = if is_first { (0, None) } else { self.judge(seen) };
        let stretch_ns = seen.now_ns.saturating_sub(self.begin.at_ns);
        std::mem::swap(&mut self.begin, &mut self.now);
        Judged::of(poked, stretch_ns).found(breach)
    }

    /// The counts go on in a gap, and the time does not.
    fn skip(&mut self) {
        self.begin.cpus.clear();
    }

    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn exhibits(&self, _seen: &Snapshot, breach: &Breach) -> Exhibits {
        let chosen = self.found.and_then(|found| found.chosen);
        Exhibits::of(breach).naming(chosen.and_then(Chosen::thread))
    }

    fn sentence(&self, breach: &Breach, evidence: &Evidence) -> String {
        let Some(Found { pokes, explained, enqueues, stretch_ns, chosen }) = self.found else {
            return String::new();
        };
        let (lasted, stretch) = (ms(breach.lasted_ns), ms(stretch_ns));
        match (breach.cpu, chosen) {
            (Some(cpu), Some(chosen)) => format!(
                "cpu {cpu} was poked again and again for {lasted} ms, {pokes} times in the last {stretch} ms, and did not switch: {} went on there, and its flags were up already",
                chosen.described(evidence)
            ),
            _ => format!(
                "for {lasted} ms more pokes were sent than there was reason for: {pokes} in the last {stretch} ms, where {enqueues} enqueues and the ticks explain {explained}"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::bench::{Bench, MS};

    /// CPU 1 runs thread 4 and does not switch.
    fn bench() -> Bench {
        let mut bench = Bench::new(Storm::new(50 * MS));
        bench.run(0, 3, 20);
        bench.run(1, 4, 20);
        bench
    }

    fn poke(bench: &mut Bench, cpu: usize, pokes: u64) {
        bench.seen.cpus[cpu].interrupts.pokes += pokes;
    }

    /// So many passes, each after this was done.
    fn passes(bench: &mut Bench, n: u32, each: &dyn Fn(&mut Bench)) -> Vec<Breach> {
        let pass = |_| {
            each(bench);
            bench.pass([1, 1])
        };
        (0..n).filter_map(pass).collect()
    }

    #[test]
    fn observe_cpu_that_is_poked_and_does_not_switch_returns_one_breach() {
        let mut bench = bench();

        let breaches = passes(&mut bench, 200, &|b| {
            poke(b, 1, 1);
            b.seen.enqueues += 1;
        });

        assert_eq!(breaches.len(), 1);
        assert_eq!((breaches[0].cpu, breaches[0].lasted_ns), (Some(1), 60 * MS));
        assert!(bench.sentence(&breaches[0]).contains("20 times in the last 20.0 ms, and did not switch"));
    }

    #[test]
    fn observe_more_pokes_than_enqueues_returns_one_breach() {
        let mut bench = bench();

        let breaches = passes(&mut bench, 200, &|b| {
            (0..2).for_each(|n| {
                poke(b, n, 1);
                b.seen.cpus[n].runner.pswitch += 1;
            });
            b.seen.enqueues += 1;
        });

        assert_eq!((breaches.len(), breaches[0].cpu), (1, None));
        assert!(bench.sentence(&breaches[0]).contains("40 in the last 20.0 ms, where 20 enqueues"));
    }

    #[test]
    fn observe_pokes_that_are_explained_return_none() {
        let check = |each: &dyn Fn(&mut Bench)| assert_eq!(passes(&mut bench(), 300, each), []);

        check(&|b| {
            poke(b, 1, 1);
            b.seen.cpus[1].runner.pswitch += 1;
            b.seen.enqueues += 1;
        });
        check(&|b| {
            poke(b, 1, 1);
            b.seen.clock_ticks += 1;
        });
        // An interrupt thread on top of the idle thread, each time that one looks.
        check(&|b| {
            poke(b, 1, 1);
            b.seen.cpus[1].dispthread = b.seen.cpus[1].idle_thread;
            b.seen.enqueues += 1;
        });
    }

    #[test]
    fn observe_stretch_that_is_explained_forgives_what_came_before() {
        let mut bench = bench();

        for n in 0..300 {
            if n % 60 < 40 {
                poke(&mut bench, 1, 1);
            }
            assert_eq!(bench.pass([1, 1]), None, "pass {n}");
        }
    }
}
