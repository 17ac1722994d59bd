//! `deadman`: the guest's clock advances while its CPU runs.
//!
//! The in-guest deadman needs a CPU that still takes the highest interrupts; this one needs nothing of the guest.
//!
//! # How a stand-still is charged
//! From the last pass at which `clock_ticks` had moved, with the running time of the vCPU whose timer drives `clock()`.
//! A vCPU that is halted in its idle loop at both ends of an interval waits for its own timer: then the whole interval is
//! charged, unless the host says that it is ready to run and keeps it waiting, less what the host kept from another vCPU: the clock
//! thread may be blocked on what a thread there has.
//!
//! # Excuses
//! - `vcpu_away`: the host did not run the clock's vCPU, and it was not halted, or had been woken.
//!
//! # Invariants
//! - Judged while the clock stands still. One tick forgives everything.

use super::evidence::{ms, number};
use super::interval::{Interval, Ledger, Subject};
use super::{Breach, Declaration, Evidence, Excuse, Exhibits, Judged, Monitor, Pass, Proof, Takes};
use crate::glass::{CpuSample, Place, Snapshot, Verdict};

pub(super) static DEADMAN: Declaration = Declaration {
    name: "deadman",
    broken_when: "`clock()` has not run for longer than `limit`",
    charged_with: "running time of the clock's vCPU; while it sleeps in its halt, wall time in which no other vCPU was kept from running",
    judges: "the clock, while its CPU has time",
    takes_threads: false,
    takes: Takes::Limit,
    excuses: &[Excuse::VcpuAway],
    proof: Proof::Mutant("limit = \"500ms\""),
    standing_ms: Some(500),
    is_exact: false,
    new: |bound| Box::new(Deadman::new(bound.limit_ns)),
};

/// Watches one bound.
#[derive(Debug)]
struct Deadman {
    ledger: Ledger,
    interval: Interval,
    last: Option<Seen>,
    charge_ns: u64,
    found: Option<Standstill>,
}

/// What the clock's CPU did when the bound broke.
#[derive(Debug)]
struct Standstill {
    id: u32,
    is_halted: bool,
    /// `cpu_thread`.
    thread: Option<u32>,
    handles: Option<u8>,
    lbolt: u64,
    deadman_panics: u32,
    /// Queues whose locks were held throughout their reads.
    locked: Vec<Place>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    ticks: u64,
    cpu: u32,
    ran_ns: u64,
    now_ns: u64,
    is_halted: bool,
    is_ready: bool,
}

impl Deadman {
    /// A watch with this limit.
    fn new(limit_ns: u64) -> Deadman {
        Deadman {
            ledger: Ledger::new(limit_ns),
            interval: Interval::default(),
            last: None,
            charge_ns: 0,
            found: None,
        }
    }
}

impl Monitor for Deadman {
    fn observe(&mut self, seen: &Snapshot) -> Pass {
        self.interval.step(seen);
        let cpu = seen.clock_cpu;
        let at = cpu as usize;
        let (Some(sample), Some(reading)) = (seen.cpus.get(at), seen.readings.get(at)) else {
            return Pass::NOTHING;
        };
        let now = Seen {
            ticks: seen.clock_ticks,
            cpu,
            ran_ns: reading.ran_ns,
            now_ns: seen.now_ns,
            is_halted: sample.is_halted(),
            is_ready: reading.is_ready,
        };
        let Some(before) = self.last.replace(now).filter(|before| before.cpu == cpu) else {
            self.charge_ns = 0;
            return Pass::NOTHING;
        };
        let interval = now.now_ns.saturating_sub(before.now_ns);
        let ran = now.ran_ns.saturating_sub(before.ran_ns);
        let is_asleep = before.is_halted && now.is_halted && !now.is_ready;
        let kept = self.interval.kept_from_others(cpu);
        let grown = if is_asleep { interval.max(ran).saturating_sub(kept) } else { ran };
        let judged = Judged::of(1, grown);
        if before.ticks != now.ticks {
            self.charge_ns = 0;
            return judged.found(None);
        }
        if grown == 0 {
            self.ledger.accept(Excuse::VcpuAway);
            return Pass::NOTHING;
        }
        let was = self.charge_ns;
        self.charge_ns += grown;
        let subject = Subject { cpu: Some(cpu), ..Subject::default() };
        let breach = self.ledger.enter(subject, (was, self.charge_ns), interval, now.now_ns);
        if breach.is_some() {
            self.found = Some(Standstill::of(seen, sample));
        }
        judged.found(breach)
    }

    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Also the queues that could not be read: a clock may stand still because `clock()` waits for a queue that another CPU has
    /// locked.
    fn exhibits(&self, seen: &Snapshot, breach: &Breach) -> Exhibits {
        let mut exhibits = Exhibits::of(breach).naming(self.found.as_ref().and_then(|found| found.thread));
        for (place, _) in seen.queues().filter(|(_, queue)| !queue.verdict.is_trusted()) {
            exhibits.part = exhibits.part.or(place.part());
            exhibits.cpus.extend(place.cpu());
        }
        exhibits
    }

    fn sentence(&self, breach: &Breach, evidence: &Evidence) -> String {
        let Some(found) = &self.found else { return String::new() };
        let there = if found.is_halted {
            "the CPU is halted in its idle loop".to_owned()
        } else {
            format!("{} is there", evidence.thread(found.thread))
        };
        let level =
            found.handles.map_or_else(String::new, |pil| format!(", inside an interrupt of level {pil}"));
        let inside = match found.deadman_panics {
            0 => "the in-guest deadman is silent".to_owned(),
            n => format!("the in-guest deadman fired {n} times"),
        };
        let locked: String = found.locked.iter().map(|place| format!("; {place} is locked")).collect();
        format!(
            "clock() has not run for {} ms of cpu {}'s own time (lbolt stands at {}): {there}{level}{locked}; {inside}",
            ms(breach.lasted_ns),
            found.id,
            found.lbolt
        )
    }

    /// The clock's CPU if it is halted, long before the charge reaches the limit.
    fn doubts(&self) -> u32 {
        let is_near = !self.ledger.is_broken() && self.charge_ns > self.ledger.limit_ns() / 8;
        self.last.filter(|seen| seen.is_halted && is_near).map_or(0, |seen| 1 << seen.cpu)
    }
}

impl Standstill {
    fn of(seen: &Snapshot, cpu: &CpuSample) -> Standstill {
        let locked = seen.queues().filter(|(_, queue)| queue.verdict == Verdict::Stale);
        Standstill {
            id: cpu.id,
            is_halted: cpu.is_halted(),
            thread: number(seen, cpu.thread),
            handles: cpu.handles,
            lbolt: seen.lbolt,
            deadman_panics: seen.deadman_panics,
            locked: locked.map(|(place, _)| place).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glass::{CpuReading, CpuSample};
    use umpire_shared::sys::cpuvar::disp_flag;

    const MS: u64 = 1_000_000;

    /// A pass at `now` ms, with the clock at `ticks` and its vCPU having run for `ran` ms.
    fn pass(now: u64, ticks: u64, ran: u64, is_halted: bool) -> Snapshot {
        let disp_flags = if is_halted { disp_flag::HALTED } else { 0 };
        Snapshot {
            now_ns: now * MS,
            clock_ticks: ticks,
            readings: vec![CpuReading { ran_ns: ran * MS, ..CpuReading::default() }],
            cpus: vec![CpuSample { disp_flags, ..CpuSample::default() }],
            ..Snapshot::default()
        }
    }

    #[test]
    fn observe_clock_that_ticks_returns_none() {
        let mut deadman = Deadman::new(20 * MS);

        for n in 0..100 {
            assert_eq!(deadman.observe(&pass(n, n / 10, n, false)).breach, None);
        }

        assert!(deadman.ledger().worst_ns() <= 10 * MS);
    }

    #[test]
    fn observe_clock_that_stops_returns_one_breach_past_the_limit() {
        let mut deadman = Deadman::new(20 * MS);

        let breaches: Vec<_> =
            (0..50).filter_map(|n| deadman.observe(&pass(n, 7, n, false)).breach).collect();

        assert_eq!(breaches.len(), 1);
        assert_eq!(breaches[0].at_ns, 21 * MS);
        assert_eq!(breaches[0].detect_after_ns, MS);
        assert_eq!(deadman.ledger().worst_ns(), 49 * MS);
    }

    #[test]
    fn observe_vcpu_that_the_host_did_not_run_is_excused() {
        let mut deadman = Deadman::new(20 * MS);

        for n in 0..100 {
            assert_eq!(deadman.observe(&pass(n, 7, 3, false)), Pass::NOTHING);
        }

        assert_eq!(deadman.ledger().excuses().count(Excuse::VcpuAway), 99);
    }

    #[test]
    fn observe_halted_vcpu_that_no_timer_wakes_returns_breach() {
        let mut deadman = Deadman::new(20 * MS);

        let breach = (0..50).find_map(|n| deadman.observe(&pass(n, 7, 3, true)).breach);

        assert_eq!(breach.map(|b| b.lasted_ns), Some(21 * MS));
    }

    #[test]
    fn observe_halted_vcpu_while_the_host_keeps_another_from_running_is_excused() {
        let mut deadman = Deadman::new(20 * MS);
        let mut ran = 0;
        let mut step = |n, other_runs: bool| {
            ran += u64::from(other_runs);
            let mut seen = pass(n, 7, 3, true);
            seen.cpus.push(CpuSample::default());
            seen.readings.push(CpuReading { ran_ns: ran * MS, ..CpuReading::default() });
            deadman.observe(&seen).breach
        };

        assert_eq!((1..100).find_map(|n| step(n, false)), None);
        assert_eq!((100..200).find_map(|n| step(n, true)).map(|b| b.lasted_ns), Some(21 * MS));
    }

    #[test]
    fn observe_halted_vcpu_that_the_host_keeps_waiting_is_excused() {
        let mut deadman = Deadman::new(20 * MS);
        let mut asked = 0;

        for n in 0..200 {
            let mut seen = pass(n, 7, 3, true);
            seen.readings[0].is_ready = deadman.doubts() == 0b1;
            asked += u32::from(seen.readings[0].is_ready);
            assert_eq!(deadman.observe(&seen).breach, None);
        }

        assert!(asked > 190, "asked {asked} times");
    }
}
