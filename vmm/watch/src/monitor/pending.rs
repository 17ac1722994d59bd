//! `pending`: what the timer owes a cyclic is worked off.
//!
//! The timer counts up `cy_pend` of a cyclic below its own level, and the cyclic's level counts it down before each run of the
//! handler (`cyclic.c cyclic_expire`, `cyclic_softint`). A count that only grows means that the level does not run.
//!
//! # How it is charged
//! From pass to pass, as long as the count is above 0 and has not become less, with the time that its CPU had. While that sleeps in
//! its halt, the interrupt thread that is to work it off may be blocked on what a thread on another CPU has, so that what the host
//! kept from another vCPU is not charged.
//!
//! # Excuses
//! - `vcpu_away`: the host did not run the vCPU, or another while it slept.
//!
//! # Invariants
//! - One step down forgives everything.

use super::evidence::ms;
use super::interval::{Interval, Ledger, Stretch, Subject};
use super::{Breach, Declaration, Evidence, Excuse, Judged, Monitor, Pass, Proof, Takes};
use crate::glass::{CyclicSample, Needs, Snapshot};
use umpire_shared::sys::callo::CALLOUT_NORMAL;
use umpire_shared::sys::cyclic::{handler, pil_of};

pub(super) static PENDING: Declaration = Declaration {
    name: "pending",
    broken_when: "a cyclic has been owed runs, never fewer, for longer than `limit`",
    charged_with: "time that its CPU had",
    judges: "cyclics",
    takes_threads: false,
    takes: Takes::Limit,
    excuses: &[Excuse::VcpuAway],
    proof: Proof::Mutant("limit = \"200ms\""),
    standing_ms: Some(200),
    is_exact: false,
    new: |bound| Box::new(Pending::new(bound.limit_ns)),
};

/// Watches one bound.
#[derive(Debug)]
struct Pending {
    ledger: Ledger,
    interval: Interval,
    /// By CPU and slot.
    owed: Vec<Vec<Owed>>,
    found: Option<CyclicSample>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Owed {
    pend: u32,
    stretch: Stretch<u8>,
}

impl Pending {
    /// A watch with this limit.
    fn new(limit_ns: u64) -> Pending {
        Pending {
            ledger: Ledger::new(limit_ns),
            interval: Interval::default(),
            owed: Vec::new(),
            found: None,
        }
    }

    fn observe_cyclic(&mut self, seen: &Snapshot, cpu: u32, cyclic: &CyclicSample) -> Option<Breach> {
        let slots = &mut self.owed[cpu as usize];
        let slot = cyclic.slot as usize;
        if slot >= slots.len() {
            slots.resize(slot + 1, Owed::default());
        }
        let owed = &mut slots[slot];
        if cyclic.pend < owed.pend {
            owed.stretch.see(None, 0);
        }
        owed.pend = cyclic.pend;
        let had = self.interval.had_for_others(cpu);
        let charged = owed.stretch.see((cyclic.pend > 0).then_some(cyclic.handler), had)?;
        if had == 0 {
            self.ledger.accept(Excuse::VcpuAway);
        }
        let subject = Subject { thread: None, cpu: Some(cpu), part: None };
        let breach = self.ledger.enter(subject, charged, self.interval.wall_ns(), seen.now_ns);
        if breach.is_some() {
            self.found = Some(*cyclic);
        }
        breach
    }
}

impl Monitor for Pending {
    fn needs(&self) -> Needs {
        Needs { cyclics: true, ..Needs::default() }
    }

    fn observe(&mut self, seen: &Snapshot) -> Pass {
        self.interval.step(seen);
        self.owed.resize_with(seen.cpus.len(), Vec::new);
        let (mut first, mut judged) = (None, Judged::NOTHING);
        for (cpu, n) in seen.cpus.iter().zip(0..) {
            for cyclic in &cpu.cyclics {
                judged.met(self.interval.had(n));
                first = first.or(self.observe_cyclic(seen, n, cyclic));
            }
        }
        judged.found(first)
    }

    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn sentence(&self, breach: &Breach, evidence: &Evidence) -> String {
        let (Some(cpu), Some(found)) = (breach.cpu, self.found) else { return String::new() };
        let CyclicSample { level, pend, .. } = found;
        let runs = if pend == 1 { "run" } else { "runs" };
        format!(
            "{} on cpu {cpu} is owed {pend} {runs} at level {} and has not had one for {} ms",
            called(&found, &evidence.devices),
            pil_of(level),
            ms(breach.lasted_ns)
        )
    }
}

/// What a cyclic runs, by name: `clock()`, `callout_expire() for the normal callouts of cpu 2`.
fn called(cyclic: &CyclicSample, devices: &[String]) -> String {
    let arg = cyclic.arg;
    match cyclic.handler {
        handler::CLOCK => "clock()".to_owned(),
        handler::DEADMAN => "deadman()".to_owned(),
        handler::HRES_TICK => "hres_tick()".to_owned(),
        handler::DEVICE => match devices.get(arg as usize) {
            Some(name) => format!("the timer of device {name}"),
            None => format!("the timer of device {arg}"),
        },
        handler::CALLOUT => {
            let table = if arg & 1 == CALLOUT_NORMAL { "normal" } else { "realtime" };
            format!("callout_expire() for the {table} callouts of cpu {}", arg >> 1)
        }
        handler::SIGNAL => format!("the sender of signal {arg}"),
        handler::DISK => "the disk".to_owned(),
        handler::CONSOLE => "the look at the console's key".to_owned(),
        other => format!("cyclic {} (handler {other})", cyclic.slot),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::bench::{Bench, MS};
    use umpire_shared::sys::cpuvar::disp_flag;
    use umpire_shared::sys::cyclic::CY_LOCK_LEVEL;

    fn bench() -> Bench {
        let mut bench = Bench::new(Pending::new(20 * MS));
        bench.seen.cpus[1].cyclics = vec![CyclicSample {
            slot: 2,
            handler: handler::CLOCK,
            level: CY_LOCK_LEVEL,
            pend: 1,
            ..CyclicSample::default()
        }];
        bench
    }

    #[test]
    fn observe_count_that_only_grows_returns_one_breach() {
        let mut bench = bench();
        let mut breaches = Vec::new();

        for n in 0..100 {
            bench.seen.cpus[1].cyclics[0].pend = 1 + n / 10;
            breaches.extend(bench.pass([1, 1]));
        }

        assert_eq!(breaches.len(), 1);
        assert_eq!((breaches[0].cpu, breaches[0].lasted_ns), (Some(1), 21 * MS));
    }

    #[test]
    fn sentence_names_function_cpu_and_object() {
        let told = |handler, arg| {
            let mut bench = bench();
            let cyclic = &mut bench.seen.cpus[1].cyclics[0];
            (cyclic.handler, cyclic.arg) = (handler, arg);
            let breach = bench.passes(30, [1, 1])[0];
            let evidence = Evidence { devices: vec!["nic0".to_owned()], ..Evidence::default() };
            bench.monitor.sentence(&breach, &evidence)
        };

        let rest = " on cpu 1 is owed 1 run at level 10 and has not had one for 21.0 ms";
        assert_eq!(told(handler::CLOCK, 0), format!("clock(){rest}"));
        assert_eq!(told(handler::DEVICE, 0), format!("the timer of device nic0{rest}"));
        assert_eq!(
            told(handler::CALLOUT, 5),
            format!("callout_expire() for the normal callouts of cpu 2{rest}")
        );
    }

    #[test]
    fn observe_one_step_down_forgives_everything() {
        let mut bench = bench();

        for n in 0..200 {
            bench.seen.cpus[1].cyclics[0].pend = 2 - u32::from(n % 15 == 0);
            assert_eq!(bench.pass([1, 1]), None);
        }
    }

    #[test]
    fn observe_sleeping_vcpu_while_the_host_keeps_another_from_running_is_excused() {
        let mut bench = bench();
        bench.seen.cpus[1].disp_flags = disp_flag::HALTED;

        assert_eq!(bench.passes(100, [0, 0]).len(), 0);
        assert_eq!(bench.passes(30, [1, 0]).len(), 1);
    }

    #[test]
    fn observe_vcpu_that_the_host_did_not_run_is_excused() {
        let mut bench = bench();

        assert_eq!(bench.passes(100, [1, 0]).len(), 0);
        assert_eq!(bench.excused(Excuse::VcpuAway), 99);
    }
}
