//! `spin`: no CPU waits for another without giving itself up for long.
//!
//! A dispatcher lock, a spin mutex, a mutex whose owner runs, an answer to a cross call, a pause: who waits for these keeps its CPU
//! (`cpu_spin`). That is right for microseconds. Who holds such a lock for long holds up every CPU that wants it, and what waits there.
//!
//! # How it is charged
//! From pass to pass, while the same wait goes on, with the running time of the vCPU that waits or, if that is less, of the vCPU that it
//! waits for. A dispatcher lock does not name its holder: then of every other vCPU that is not halted the least counts, for any of them
//! may be the holder. So a host that puts a holder aside makes no breach.
//!
//! # Excuses
//! - `vcpu_away`: the host did not run the vCPU that waits.
//! - `holder_away`: it did not run the one that is waited for, or one that may be.
//! - `paused`: the CPU's pause thread waits for `start_cpus`.
//!
//! # Invariants
//! - Which wait it is follows from what is waited for and from how many waits have begun on the CPU: a second wait for the same
//!   lock is another. A handler's own wait on top of it begins it anew, so it is never charged too much.
//!
//! # What is not here
//! A level that is held and that nobody needs. What a raised level holds up is pending, and `heartbeat` judges that.

use super::evidence::{Chosen, ms};
use super::interval::{Interval, Ledger, Stretch, Subject};
use super::{Breach, Declaration, Evidence, Excuse, Exhibits, Judged, Monitor, Pass, Proof, Takes};
use crate::glass::{CpuSample, Needs, Snapshot};
use umpire_shared::MAX_CPUS;

pub(super) static SPIN: Declaration = Declaration {
    name: "spin",
    broken_when: "a CPU has waited for longer than `limit`, without giving itself up, for one lock or answer of another CPU",
    charged_with: "running time of the waiting vCPU, or of the one that it waits for if that is less; if that one is not known, of any that is not halted",
    judges: "CPUs",
    takes_threads: false,
    takes: Takes::Limit,
    excuses: &[Excuse::VcpuAway, Excuse::HolderAway, Excuse::Paused],
    proof: Proof::Mutant("limit = \"20ms\""),
    standing_ms: Some(50),
    is_exact: false,
    new: |bound| Box::new(Spin::new(bound.limit_ns)),
};

/// Watches one bound.
#[derive(Debug)]
struct Spin {
    ledger: Ledger,
    interval: Interval,
    /// By CPU: what it waits for, and how many waits had begun.
    waits: Vec<Stretch<(u64, u64)>>,
    /// By CPU: ns that its waits had taken at the last pass.
    spun: Vec<u64>,
    found: Option<Found>,
}

/// What broke the bound.
#[derive(Debug, Clone, Copy)]
struct Found {
    what: u64,
    /// The CPU in whose structure that is.
    of_cpu: Option<u32>,
    pil: u32,
    chosen: Chosen,
    /// The CPU that is waited for or, as a guess, the only one that may hold the lock.
    holder: Option<Holder>,
}

#[derive(Debug, Clone, Copy)]
struct Holder {
    cpu: u32,
    pil: u32,
    chosen: Chosen,
    is_known: bool,
}

impl Spin {
    /// A watch with this limit.
    fn new(limit_ns: u64) -> Spin {
        Spin {
            ledger: Ledger::new(limit_ns),
            interval: Interval::default(),
            waits: Vec::new(),
            spun: Vec::new(),
            found: None,
        }
    }

    /// What the interval was worth to a wait of CPU `n`.
    fn worth(&self, seen: &Snapshot, n: u32, cpu: &CpuSample) -> Result<u64, Excuse> {
        let ran = self.interval.ran(n);
        if ran == 0 {
            return Err(Excuse::VcpuAway);
        }
        let others = (0..seen.cpus.len() as u32).filter(|&other| other != n);
        let least = match cpu.spin_cpus {
            0 => others.filter(|&other| !self.interval.is_asleep(other)).map(|o| self.interval.ran(o)).min(),
            known => others.filter(|&o| known >> o & 1 == 1).map(|o| self.interval.had(o)).min(),
        };
        // If every other CPU sleeps nobody holds the lock who could let go of it.
        match least {
            Some(0) => Err(Excuse::HolderAway),
            least => Ok(least.unwrap_or(ran).min(ran)),
        }
    }

    fn observe_cpu(&mut self, seen: &Snapshot, n: u32, cpu: &CpuSample) -> Option<Breach> {
        let mut key = (cpu.spin_for != 0).then_some((cpu.spin_for, cpu.spin_waits));
        if key.is_some() && cpu.thread == cpu.interrupts.pause_thread {
            self.ledger.accept(Excuse::Paused);
            key = None;
        }
        let worth = if key.is_some() && self.waits[n as usize].key() == key {
            self.worth(seen, n, cpu).unwrap_or_else(|excuse| {
                self.ledger.accept(excuse);
                0
            })
        } else {
            0
        };
        // What a thread that was preempted in its wait leaves behind is none: no turn is made.
        let before = std::mem::replace(&mut self.spun[n as usize], cpu.spin_ns);
        let worth = if before == cpu.spin_ns { 0 } else { worth };
        let charged = self.waits[n as usize].see(key, worth)?;
        let subject = Subject { thread: cpu.runner.index, cpu: Some(n), part: None };
        let breach = self.ledger.enter(subject, charged, self.interval.wall_ns(), seen.now_ns);
        if breach.is_some() {
            self.found = Some(Found::on(seen, n, cpu));
        }
        breach
    }
}

impl Found {
    fn on(seen: &Snapshot, n: u32, cpu: &CpuSample) -> Found {
        Found {
            what: cpu.spin_for,
            of_cpu: owner_of(seen, cpu.spin_for),
            pil: cpu.interrupts.pil,
            chosen: Chosen::on(seen, cpu),
            holder: Holder::of(seen, n, cpu),
        }
    }
}

impl Holder {
    /// The CPU that CPU `n` waits for: the one that is known, or the only one that may be.
    fn of(seen: &Snapshot, n: u32, cpu: &CpuSample) -> Option<Holder> {
        let may_hold = |other: &CpuSample| match cpu.spin_cpus {
            0 => !other.is_halted() && other.spin_for != cpu.spin_for,
            known => known >> other.id & 1 == 1,
        };
        let mut holders = seen.cpus.iter().zip(0..).filter(|&(other, o)| o != n && may_hold(other));
        let (other, o) = holders.next()?;
        let is_one = holders.next().is_none();
        is_one.then(|| Holder {
            cpu: o,
            pil: other.interrupts.pil,
            chosen: Chosen::on(seen, other),
            is_known: cpu.spin_cpus != 0,
        })
    }
}

/// The CPU in whose structure an address lies.
fn owner_of(seen: &Snapshot, addr: u64) -> Option<u32> {
    let size = seen.cpus.get(1)?.addr.checked_sub(seen.cpus[0].addr)?;
    let n = addr.checked_sub(seen.cpus[0].addr)?.checked_div(size)?;
    (n < seen.cpus.len() as u64).then_some(n as u32)
}

impl Monitor for Spin {
    fn needs(&self) -> Needs {
        Needs { runners: true, interrupts: true, ..Needs::default() }
    }

    fn observe(&mut self, seen: &Snapshot) -> Pass {
        self.interval.step(seen);
        self.waits.resize(seen.cpus.len(), Stretch::default());
        self.spun.resize(seen.cpus.len(), 0);
        let (mut first, mut judged) = (None, Judged::NOTHING);
        for (cpu, n) in seen.cpus.iter().zip(0..MAX_CPUS as u32) {
            judged.met(self.interval.had(n));
            let breach = self.observe_cpu(seen, n, cpu);
            first = first.or(breach);
        }
        judged.found(first)
    }

    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn exhibits(&self, _seen: &Snapshot, breach: &Breach) -> Exhibits {
        let mut exhibits = Exhibits::of(breach).naming(self.found.and_then(|found| found.chosen.thread()));
        if let Some(holder) = self.found.and_then(|found| found.holder) {
            exhibits.cpus.push(holder.cpu);
            exhibits.stacks.extend(holder.chosen.thread());
            exhibits = exhibits.naming(holder.chosen.thread());
        }
        exhibits
    }

    fn sentence(&self, breach: &Breach, evidence: &Evidence) -> String {
        let (Some(cpu), Some(found)) = (breach.cpu, self.found) else { return String::new() };
        let place = found.of_cpu.map_or_else(String::new, |n| format!(" in cpu {n}'s structure"));
        let holder = match found.holder {
            Some(Holder { cpu, pil, chosen, is_known: true }) => {
                format!(
                    "it waits for cpu {cpu}, which is at level {pil} and runs {}",
                    chosen.described(evidence)
                )
            }
            Some(Holder { cpu, pil, chosen, is_known: false }) => format!(
                "the lock does not say who holds it; the only CPU that may is cpu {cpu}, which is at level {pil} and runs {}",
                chosen.described(evidence)
            ),
            None => "the lock does not say who holds it".to_owned(),
        };
        format!(
            "cpu {cpu} has waited at level {} for the word at {:#x}{place} for {} ms of its own time, without giving itself up, in {}: {holder}",
            found.pil,
            found.what,
            ms(breach.lasted_ns),
            found.chosen.described(evidence)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::bench::{Bench, MS, assert_excused};
    use umpire_shared::sys::cpuvar::disp_flag;

    /// CPU 1 runs thread 4 and waits for a lock; CPU 0 runs thread 3.
    fn bench() -> Bench {
        let mut bench = Bench::new(Spin::new(20 * MS));
        bench.run(0, 3, 20);
        bench.run(1, 4, 20);
        (bench.seen.cpus[1].spin_for, bench.seen.cpus[1].spin_waits) = (0x1010, 7);
        bench
    }

    /// So many passes in which CPU 1 makes turns of its wait, and the breaches that they found.
    fn spins(bench: &mut Bench, n: u32, ran: [u64; 2]) -> Vec<Breach> {
        let pass = |_| {
            bench.seen.cpus[1].spin_ns += MS;
            bench.pass(ran)
        };
        (0..n).filter_map(pass).collect()
    }

    #[test]
    fn observe_wait_that_makes_no_turn_is_what_a_preempted_thread_left() {
        assert_eq!(bench().passes(100, [1, 1]), []);
    }

    #[test]
    fn observe_wait_that_goes_on_returns_one_breach_just_past_the_limit() {
        let mut bench = bench();

        let breaches = spins(&mut bench, 100, [1, 1]);

        assert_eq!(breaches.len(), 1);
        assert_eq!((breaches[0].cpu, breaches[0].lasted_ns), (Some(1), 21 * MS));
        let said = bench.sentence(&breaches[0]);
        assert!(said.contains("0x1010 in cpu 0's structure for 21.0 ms of its own time"), "{said}");
        assert!(said.contains("the only CPU that may is cpu 0, which is at level 0"), "{said}");
    }

    #[test]
    fn observe_known_holder_is_named() {
        let mut bench = bench();
        bench.seen.cpus[1].spin_cpus = 1;

        let breaches = spins(&mut bench, 100, [1, 1]);

        assert!(bench.sentence(&breaches[0]).contains("it waits for cpu 0, which"));
    }

    #[test]
    fn observe_another_wait_for_the_same_lock_begins_anew() {
        let mut bench = bench();

        for n in 0..200 {
            bench.seen.cpus[1].spin_waits = n / 15;
            assert_eq!(spins(&mut bench, 1, [1, 1]), [], "pass {n}");
        }
    }

    #[test]
    fn observe_holder_that_the_host_runs_less_is_what_counts() {
        let mut bench = bench();

        let breaches: Vec<u32> =
            (0..100).filter(|n| !spins(&mut bench, 1, [u64::from(n % 4 == 0), 1]).is_empty()).collect();

        // 21 passes in which CPU 0 ran; the first pass is not charged.
        assert_eq!(breaches, [84]);
    }

    #[test]
    fn observe_lock_that_nobody_awake_can_hold_is_charged_to_who_waits() {
        let mut bench = bench();
        bench.seen.cpus[0].disp_flags = disp_flag::HALTED;

        assert_eq!(spins(&mut bench, 100, [0, 1]).len(), 1);
    }

    #[test]
    fn observe_each_excuse_is_counted_and_not_charged() {
        assert_excused(bench, Excuse::VcpuAway, [1, 0], |_| {});
        assert_excused(bench, Excuse::HolderAway, [0, 1], |_| {});
        assert_excused(bench, Excuse::HolderAway, [0, 1], |b| b.seen.cpus[1].spin_cpus = 1);
        assert_excused(bench, Excuse::Paused, [1, 1], |b| {
            b.seen.cpus[1].interrupts.pause_thread = b.seen.cpus[1].thread;
        });
    }
}
