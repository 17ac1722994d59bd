//! `preempt_owed`: a CPU that was asked to think again does.
//!
//! The kernel has to look at `cpu_kprunrun` at the next return from an interrupt to the kernel, at the end of `kpreempt_disable`
//! and when a dispatcher lock is released. It has to look at `cpu_runrun` on the way to user mode, and a poke brings a thread
//! in user mode there (`disp.c`, `trap.c kpreempt`).
//!
//! # How it is charged
//! With the running time of the CPU's vCPU while the flag stays set and the CPU neither switches nor preempts. A pass that finds an
//! interrupt thread there charges nothing and ends nothing: the thread that it pins goes on afterwards.
//!
//! # Excuses
//! - `preempt_off`: the thread has `t_preempt` raised.
//! - `interrupts`: the CPU handled an interrupt at both ends, or an interrupt thread pins what should be preempted.
//! - `vcpu_away`: the host did not run the vCPU.
//! - `locked`: its queue, or the thread that runs there, was locked: whoever set the flag pokes before it unlocks.
//!
//! # Invariants
//! - In the kernel nothing has to answer `cpu_runrun` alone: that is what `kpreemptpri` is for.

use super::evidence::{Chosen, ms};
use super::interval::{Dispatch, Interval, Ledger, Stretch, Subject};
use super::{Breach, Declaration, Evidence, Excuse, Exhibits, Judged, Monitor, Pass, Proof, Takes};
use crate::glass::{CpuSample, Needs, Snapshot};

pub(super) static PREEMPT_OWED: Declaration = Declaration {
    name: "preempt_owed",
    broken_when: "`cpu_kprunrun` in the kernel, or `cpu_runrun` in user mode, has been set for longer than `limit` without a switch or preemption",
    charged_with: "running time of the CPU's vCPU",
    judges: "CPUs that run a thread; not what is excused",
    takes_threads: false,
    takes: Takes::Limit,
    excuses: &[Excuse::PreemptOff, Excuse::Interrupts, Excuse::VcpuAway, Excuse::Locked],
    proof: Proof::Mutant("limit = \"50ms\""),
    standing_ms: Some(50),
    is_exact: false,
    new: |bound| Box::new(PreemptOwed::new(bound.limit_ns)),
};

/// Watches one bound.
#[derive(Debug)]
struct PreemptOwed {
    ledger: Ledger,
    interval: Interval,
    /// By CPU.
    owed: Vec<Stretch<Dispatch>>,
    found: Option<Found>,
}

/// The CPU that broke the bound.
#[derive(Debug, Clone, Copy)]
struct Found {
    id: u32,
    is_user: bool,
    chosen: Chosen,
}

impl PreemptOwed {
    /// A watch with this limit.
    fn new(limit_ns: u64) -> PreemptOwed {
        PreemptOwed {
            ledger: Ledger::new(limit_ns),
            interval: Interval::default(),
            owed: Vec::new(),
            found: None,
        }
    }

    fn excuse(&self, n: u32, cpu: &CpuSample) -> Option<Excuse> {
        if cpu.runner.preempt > 0 {
            Some(Excuse::PreemptOff)
        } else if self.interval.is_interrupted(n) {
            Some(Excuse::Interrupts)
        } else if self.interval.ran(n) == 0 && self.interval.wall_ns() > 0 {
            Some(Excuse::VcpuAway)
        } else if self.interval.is_locked(n) {
            Some(Excuse::Locked)
        } else {
            None
        }
    }
}

impl Monitor for PreemptOwed {
    fn needs(&self) -> Needs {
        Needs { runners: true, ..Needs::default() }
    }

    fn observe(&mut self, seen: &Snapshot) -> Pass {
        self.interval.step(seen);
        self.owed.resize(seen.cpus.len(), Stretch::default());
        let (mut first, mut judged) = (None, Judged::NOTHING);
        for (cpu, n) in seen.cpus.iter().zip(0..) {
            if cpu.is_pinning() {
                if cpu.runrun || cpu.kprunrun {
                    self.ledger.accept(Excuse::Interrupts);
                }
                continue;
            }
            let owed = is_owed(cpu).then(|| self.interval.dispatch(n));
            let excuse = owed.and_then(|_| self.excuse(n, cpu));
            let ran = match excuse {
                Some(excuse) => {
                    self.ledger.accept(excuse);
                    0
                }
                None => self.interval.ran(n),
            };
            if cpu.dispatch_pri >= 0 && self.excuse(n, cpu).is_none() {
                judged.met(self.interval.ran(n));
            }
            let Some(charged) = self.owed[n as usize].see(owed, ran) else { continue };
            let subject = Subject { thread: cpu.runner.index, cpu: Some(n), part: None };
            first = first.or(self.ledger.enter(subject, charged, self.interval.wall_ns(), seen.now_ns));
        }
        if let Some(cpu) = first.and_then(|breach| seen.cpus.get(breach.cpu? as usize)) {
            let is_user = cpu.runner.is_user();
            self.found = Some(Found { id: cpu.id, is_user, chosen: Chosen::on(seen, cpu) });
        }
        judged.found(first)
    }

    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn exhibits(&self, _seen: &Snapshot, breach: &Breach) -> Exhibits {
        Exhibits::of(breach).naming(self.found.and_then(|found| found.chosen.thread()))
    }

    fn sentence(&self, breach: &Breach, evidence: &Evidence) -> String {
        let Some(Found { id, is_user, chosen }) = self.found else { return String::new() };
        let (flag, at) = if is_user {
            ("cpu_runrun", "on the way to user mode")
        } else {
            ("cpu_kprunrun", "on return from an interrupt; perhaps its priority level stays raised")
        };
        format!(
            "cpu {id} has had {flag} set for {} ms of its own time and still runs {}: nothing looked at the flag {at}",
            ms(breach.lasted_ns),
            chosen.described(evidence),
        )
    }
}

fn is_owed(cpu: &CpuSample) -> bool {
    cpu.dispatch_pri >= 0 && if cpu.runner.is_user() { cpu.runrun } else { cpu.kprunrun }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::bench::{Bench, MS, assert_excused};
    use umpire_shared::sys::klwp::lwp;
    use umpire_shared::sys::thread::tflag;

    /// CPU 1 runs something in the kernel and has `cpu_kprunrun` set.
    fn bench() -> Bench {
        let mut bench = Bench::new(PreemptOwed::new(20 * MS));
        bench.run(1, 1, 20);
        bench.seen.cpus[1].kprunrun = true;
        bench
    }

    #[test]
    fn observe_flag_whose_setter_has_the_thread_or_the_queue_locked_is_excused() {
        let mut thread = bench();
        thread.seen.cpus[1].thread_lock = 7;
        let mut queue = bench();
        queue.seen.cpus[1].queue.verdict = crate::glass::Verdict::Stale;
        for bench in [&mut thread, &mut queue] {
            assert_eq!(bench.passes(100, [1, 1]).len(), 0);
            assert_eq!(bench.excused(Excuse::Locked), 99);
        }
    }

    #[test]
    fn observe_flag_that_is_ignored_returns_one_breach() {
        let breaches = bench().passes(100, [1, 1]);

        assert_eq!(breaches.len(), 1);
        assert_eq!((breaches[0].cpu, breaches[0].lasted_ns), (Some(1), 21 * MS));
    }

    #[test]
    fn observe_flag_that_is_answered_returns_none() {
        let mut bench = bench();

        for n in 0..200 {
            bench.seen.cpus[1].runner.inv_swtch = n / 15;
            assert_eq!(bench.pass([1, 1]), None);
        }
    }

    #[test]
    fn observe_interrupt_thread_that_is_met_now_and_then_ends_nothing() {
        let mut bench = bench();
        bench.seen.cpus[1].kprunrun = false;
        bench.seen.cpus[1].runrun = true;
        bench.seen.cpus[1].runner.lwp_state = lwp::USER;

        assert_eq!(bench.passes_with_interrupts(200, [1, 1]).len(), 1);
    }

    #[test]
    fn observe_runrun_is_owed_in_user_mode_only() {
        let mut kernel = bench();
        kernel.seen.cpus[1].kprunrun = false;
        kernel.seen.cpus[1].runrun = true;
        assert_eq!(kernel.passes(100, [1, 1]).len(), 0);

        kernel.seen.cpus[1].runner.lwp_state = lwp::USER;
        assert_eq!(kernel.passes(100, [1, 1]).len(), 1);
    }

    #[test]
    fn observe_each_excuse_is_counted_and_not_charged() {
        assert_excused(bench, Excuse::PreemptOff, [1, 1], |b| b.seen.cpus[1].runner.preempt = 1);
        assert_excused(bench, Excuse::Interrupts, [1, 1], |b| b.seen.cpus[1].handles = Some(6));
        assert_excused(bench, Excuse::Interrupts, [1, 1], |b| {
            b.seen.cpus[1].runner.flag = tflag::INTR_THREAD;
            b.seen.cpus[1].dispthread = 0;
        });
        assert_excused(bench, Excuse::VcpuAway, [1, 0], |_| {});
    }
}
