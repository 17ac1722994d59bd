//! `deadman`: the guest's clock stands still although its CPU runs.
//!
//! The in-guest deadman needs a CPU that still takes the highest interrupts; this one needs nothing of the guest.
//!
//! # How a stand-still is charged
//! From the last pass at which `k_clock_ticks` had moved, with the running time of the vCPU whose timer drives `clock()`.
//! A vCPU that is halted in its idle loop at both ends of an interval waits for its own timer: then the whole interval is
//! charged, unless the host says that it is ready to run and kept waiting.
//!
//! # Excuses
//! - `vcpu_away`: the host did not run the clock's vCPU, and it was not halted, or had been woken.
//!
//! # Invariants
//! - Judged while the clock stands still. One tick forgives everything.

use super::{Breach, Excuse, Excuses, since_crossing};
use crate::glass::Snapshot;

/// Watches one bound.
#[derive(Debug)]
pub struct Deadman {
    limit_ns: u64,
    last: Option<Seen>,
    charge_ns: u64,
    worst_ns: u64,
    excuses: Excuses,
    is_broken: bool,
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
    pub fn new(limit_ns: u64) -> Deadman {
        Deadman {
            limit_ns,
            last: None,
            charge_ns: 0,
            worst_ns: 0,
            excuses: Excuses::default(),
            is_broken: false,
        }
    }

    /// Looks at one pass; the first breach of the bound is returned, once.
    pub fn observe(&mut self, seen: &Snapshot) -> Option<Breach> {
        let cpu = seen.clock_cpu;
        let sample = seen.cpus.get(cpu as usize)?;
        let now = Seen {
            ticks: seen.clock_ticks,
            cpu,
            ran_ns: seen.readings.get(cpu as usize)?.ran_ns,
            now_ns: seen.now_ns,
            is_halted: sample.is_halted(),
            is_ready: seen.readings.get(cpu as usize)?.is_ready,
        };
        let before = self.last.replace(now)?;
        if before.ticks != now.ticks || before.cpu != now.cpu {
            self.charge_ns = 0;
            return None;
        }
        let interval = now.now_ns.saturating_sub(before.now_ns);
        let ran = now.ran_ns.saturating_sub(before.ran_ns);
        let is_asleep = before.is_halted && now.is_halted && !now.is_ready;
        let grown = if is_asleep { interval.max(ran) } else { ran };
        if grown == 0 {
            self.excuses.accept(Excuse::VcpuAway);
            return None;
        }
        let was = self.charge_ns;
        self.charge_ns += grown;
        self.worst_ns = self.worst_ns.max(self.charge_ns);
        if self.charge_ns <= self.limit_ns || self.is_broken {
            return None;
        }
        self.is_broken = true;
        Some(Breach {
            thread: None,
            cpu: Some(cpu),
            part: None,
            lasted_ns: self.charge_ns,
            detect_after_ns: since_crossing(was, self.charge_ns, self.limit_ns, interval),
            at_ns: now.now_ns,
        })
    }

    /// The CPU of which it should be known whether it is ready to run, before the charge comes near the limit.
    pub fn doubts(&self) -> Option<u32> {
        let seen = self.last.filter(|seen| seen.is_halted)?;
        (!self.is_broken && self.charge_ns > self.limit_ns / 8).then_some(seen.cpu)
    }

    /// The longest stand-still so far, in ns of the clock CPU's running time.
    pub fn worst_ns(&self) -> u64 {
        self.worst_ns
    }

    /// The CPU that was last seen to drive the clock.
    pub fn cpu(&self) -> Option<u32> {
        self.last.map(|seen| seen.cpu)
    }

    /// What was let pass.
    pub fn excuses(&self) -> &Excuses {
        &self.excuses
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
            readings: vec![CpuReading { ran_ns: ran * MS, is_ready: false }],
            cpus: vec![CpuSample { disp_flags, ..CpuSample::default() }],
            ..Snapshot::default()
        }
    }

    #[test]
    fn observe_clock_that_ticks_returns_none() {
        let mut deadman = Deadman::new(20 * MS);

        for n in 0..100 {
            assert_eq!(deadman.observe(&pass(n, n / 10, n, false)), None);
        }

        assert!(deadman.worst_ns() <= 10 * MS);
    }

    #[test]
    fn observe_clock_that_stops_returns_one_breach_past_the_limit() {
        let mut deadman = Deadman::new(20 * MS);

        let breaches: Vec<_> = (0..50).filter_map(|n| deadman.observe(&pass(n, 7, n, false))).collect();

        assert_eq!(breaches.len(), 1);
        assert_eq!(breaches[0].at_ns, 21 * MS);
        assert_eq!(breaches[0].detect_after_ns, MS);
        assert_eq!(deadman.worst_ns(), 49 * MS);
    }

    #[test]
    fn observe_vcpu_that_the_host_did_not_run_is_excused() {
        let mut deadman = Deadman::new(20 * MS);

        for n in 0..100 {
            assert_eq!(deadman.observe(&pass(n, 7, 3, false)), None);
        }

        assert_eq!(deadman.excuses().count(Excuse::VcpuAway), 99);
    }

    #[test]
    fn observe_halted_vcpu_that_no_timer_wakes_returns_breach() {
        let mut deadman = Deadman::new(20 * MS);

        let breach = (0..50).find_map(|n| deadman.observe(&pass(n, 7, 3, true)));

        assert_eq!(breach.map(|b| b.lasted_ns), Some(21 * MS));
    }

    #[test]
    fn observe_halted_vcpu_that_the_host_keeps_waiting_is_excused() {
        let mut deadman = Deadman::new(20 * MS);
        let mut asked = 0;

        for n in 0..200 {
            let mut seen = pass(n, 7, 3, true);
            seen.readings[0].is_ready = deadman.doubts() == Some(0);
            asked += u32::from(seen.readings[0].is_ready);
            assert_eq!(deadman.observe(&seen), None);
        }

        assert!(asked > 190, "asked {asked} times");
    }
}
