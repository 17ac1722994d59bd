//! When the host kept vCPUs waiting, noted as a run goes on, for bounds that hold records to a time.
//!
//! # Invariants
//! - What cannot be placed in the guest's time is taken off every time.
//! - A wait that the host has not told of by the end of the run, because it is not over, counts from when the vCPU last ran.

use umpire_watch::glass::CpuClocks;
use umpire_watch::monitor::longest_without_gap_ns;
use umpire_watch::probes::Absences;

/// A vCPU that ran for so much of the time between two looks, in per cent, was not kept waiting for long enough to ask.
const ATTENDS_PERCENT: u64 = 98;

/// Notes who was there.
#[derive(Debug)]
pub(super) struct Attendance {
    /// A look that is later than this comes from a process that was stopped.
    most_ns: u64,
    vcpus: Vec<Vcpu>,
    /// The caller's and the guest's clock at the last look.
    last: Option<(u64, u64)>,
    absences: Absences,
}

#[derive(Debug, Clone, Copy, Default)]
struct Vcpu {
    ran_ns: u64,
    /// When that last grew.
    ran_at_ns: u64,
    steal_ns: u64,
    /// Whether it ran for most of the time before the last look.
    attends: bool,
}

impl Attendance {
    /// Of so many vCPUs, looked at every `period_ns`.
    pub(super) fn of(cpus: u32, period_ns: u64) -> Attendance {
        Attendance {
            most_ns: longest_without_gap_ns(period_ns),
            vcpus: vec![Vcpu::default(); cpus as usize],
            last: None,
            absences: Absences::default(),
        }
    }

    /// Looks at the caller's time `now_ns`, when the guest's clock reads `guest_ns`, if that is known.
    pub(super) fn look(&mut self, now_ns: u64, guest_ns: Option<u64>, clocks: &dyn CpuClocks) {
        let at_ns = guest_ns.unwrap_or(u64::MAX);
        let Some((last_now_ns, last_at_ns)) = self.last.replace((now_ns, at_ns)) else {
            for (cpu, vcpu) in self.vcpus.iter_mut().enumerate() {
                *vcpu = Vcpu {
                    ran_ns: clocks.ran_ns(cpu),
                    ran_at_ns: at_ns,
                    steal_ns: clocks.steal_ns(cpu),
                    attends: false,
                };
            }
            // What was before the first look was not looked at.
            self.absences.note(0, at_ns, at_ns);
            return;
        };
        let from_ns = if guest_ns.is_some() { last_at_ns } else { 0 };
        let passed_ns = now_ns.saturating_sub(last_now_ns);
        if passed_ns > self.most_ns {
            self.absences.note(from_ns, at_ns, passed_ns);
        }
        for (cpu, vcpu) in self.vcpus.iter_mut().enumerate() {
            let ran_ns = clocks.ran_ns(cpu);
            let grown_ns = ran_ns.saturating_sub(vcpu.ran_ns);
            if grown_ns > 0 {
                (vcpu.ran_ns, vcpu.ran_at_ns) = (ran_ns, at_ns);
            }
            // A wait is told when it is over: the look after one asks as well.
            let attended =
                std::mem::replace(&mut vcpu.attends, grown_ns >= passed_ns / 100 * ATTENDS_PERCENT);
            if !attended || !vcpu.attends {
                let steal_ns = clocks.steal_ns(cpu);
                self.absences.note(from_ns, at_ns, steal_ns.saturating_sub(vcpu.steal_ns));
                vcpu.steal_ns = steal_ns;
            }
        }
    }

    /// What was noted until the end of the run.
    pub(super) fn end(mut self, clocks: &dyn CpuClocks) -> Absences {
        let at_ns = self.last.map_or(0, |(_, at_ns)| at_ns);
        for (cpu, vcpu) in self.vcpus.iter().enumerate() {
            if vcpu.ran_at_ns < at_ns && clocks.is_ready(cpu) {
                self.absences.note(at_ns, u64::MAX, at_ns - vcpu.ran_at_ns);
            }
        }
        self.absences
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One vCPU: what it ran, what it waited, whether it is ready.
    struct Clocks(u64, u64, bool);

    impl CpuClocks for Clocks {
        fn ran_ns(&self, _: usize) -> u64 {
            self.0
        }
        fn steal_ns(&self, _: usize) -> u64 {
            self.1
        }
        fn is_ready(&self, _: usize) -> bool {
            self.2
        }
    }

    const MS: u64 = 1_000_000;

    #[test]
    fn wait_is_taken_off_where_it_may_have_been_and_a_halt_is_not() {
        let mut seen = Attendance::of(1, MS);
        for (at, ran, waited) in [(10, 5, 0), (11, 6, 0), (12, 6, 0), (13, 6, 0), (14, 7, 2), (15, 8, 2)] {
            seen.look(at * MS, Some(at * MS), &Clocks(ran * MS, waited * MS, false));
        }
        let absences = seen.end(&Clocks(8 * MS, 2 * MS, false));
        assert_eq!(absences.charged(10 * MS, 11 * MS), MS);
        assert_eq!(absences.charged(11 * MS, 15 * MS), 2 * MS);
        assert_eq!(absences.charged(14 * MS, 15 * MS), MS);
    }

    #[test]
    fn wait_that_is_not_over_at_the_end_and_a_stopped_process_are_taken_off() {
        let mut seen = Attendance::of(1, MS);
        for (at, ran) in [(10, 5), (11, 6), (41, 7), (42, 8), (45, 8)] {
            seen.look(at * MS, Some(at * MS), &Clocks(ran * MS, 0, false));
        }
        let absences = seen.end(&Clocks(8 * MS, 0, true));
        assert_eq!(absences.charged(11 * MS, 41 * MS), 0);
        assert_eq!(absences.charged(42 * MS, 45 * MS), 0);
    }

    #[test]
    fn wait_of_a_guest_whose_clock_is_not_known_is_taken_off_everything() {
        let mut seen = Attendance::of(1, MS);
        for (at, waited) in [(10, 0), (11, 0), (12, 1)] {
            seen.look(at * MS, None, &Clocks(0, waited * MS, false));
        }
        assert_eq!(seen.end(&Clocks(0, MS, false)).charged(5 * MS, 20 * MS), 0);
    }
}
