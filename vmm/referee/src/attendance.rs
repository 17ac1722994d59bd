//! When the host kept vCPUs waiting, noted as a run goes on, for bounds that hold records to a time.
//!
//! A host tells for how long a vCPU's thread waited for one of its CPUs. It does not tell for how long its own host took that CPU away,
//! nor for how long the thread slept in the host's kernel: the vCPU then neither ran nor waited, as in a halt. But a CPU that ran the
//! same thread at two looks, with no switch between them, did not halt between them.
//!
//! # Invariants
//! - What cannot be placed in the guest's time is taken off every time.
//! - A wait that the host has not told of by the end of the run, because it is not over, counts from when the vCPU last ran.
//! - A time in which a vCPU may have halted is taken off only as far as the host tells of a wait in it.

use umpire_watch::glass::{CpuClocks, CpuSample};
use umpire_watch::monitor::longest_without_gap_ns;
use umpire_watch::probes::{Absences, Span};

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
    spans: Vec<Span>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Vcpu {
    ran_ns: u64,
    /// When that last grew.
    ran_at_ns: u64,
    steal_ns: u64,
    /// Whether it ran for most of the time before the last look.
    attends: bool,
    /// Switches at the last look, if it ran no idle thread then.
    switches: Option<u64>,
    /// Whether it ran one thread at the last look but one and at the last.
    stays: bool,
    /// What it did not run of the time before the last look, with the guest's times of that look and the one before. Its memory was
    /// read before its clock, so that only the next look says whether it stayed until then.
    away: Option<(u64, u64, u64)>,
    /// What was noted without being told: the host may tell of it yet, when the wait is over.
    untold_ns: u64,
    /// What it ran beyond the time that passed: its clock is read a moment after the caller's.
    ahead_ns: u64,
}

impl Attendance {
    /// Of so many vCPUs, looked at every `period_ns`.
    pub(super) fn of(cpus: u32, period_ns: u64) -> Attendance {
        Attendance {
            most_ns: longest_without_gap_ns(period_ns),
            vcpus: vec![Vcpu::default(); cpus as usize],
            last: None,
            spans: Vec::new(),
        }
    }

    /// Looks at the caller's time `now_ns`, when the guest's clock reads `guest_ns`, if that is known. `cpus` were read before it.
    pub(super) fn look(
        &mut self,
        now_ns: u64,
        guest_ns: Option<u64>,
        clocks: &dyn CpuClocks,
        cpus: &[CpuSample],
    ) {
        let at_ns = guest_ns.unwrap_or(u64::MAX);
        let Some((last_now_ns, last_at_ns)) = self.last.replace((now_ns, at_ns)) else {
            for (cpu, vcpu) in self.vcpus.iter_mut().enumerate() {
                vcpu.ran_ns = clocks.ran_ns(cpu);
                vcpu.ran_at_ns = at_ns;
                vcpu.steal_ns = clocks.steal_ns(cpu);
            }
            // What was before the first look was not looked at.
            note(&mut self.spans, 0, at_ns, at_ns);
            return;
        };
        let from_ns = if guest_ns.is_some() { last_at_ns } else { 0 };
        let passed_ns = now_ns.saturating_sub(last_now_ns);
        if passed_ns > self.most_ns {
            note(&mut self.spans, from_ns, at_ns, passed_ns);
        }
        for (cpu, vcpu) in self.vcpus.iter_mut().enumerate() {
            let ran_ns = clocks.ran_ns(cpu);
            let grown_ns = ran_ns.saturating_sub(vcpu.ran_ns);
            if grown_ns > 0 {
                (vcpu.ran_ns, vcpu.ran_at_ns) = (ran_ns, at_ns);
            }
            let stayed = vcpu.stay(cpus.get(cpu));
            if let Some((from_ns, at_ns, away_ns)) = vcpu.away.take().filter(|_| stayed) {
                note(&mut self.spans, from_ns, at_ns, away_ns);
                vcpu.untold_ns += away_ns;
            }
            let away_ns = vcpu.away_ns(passed_ns, grown_ns);
            // A wait is told when it is over: the look after one asks as well.
            let attended =
                std::mem::replace(&mut vcpu.attends, grown_ns >= passed_ns / 100 * ATTENDS_PERCENT);
            if attended && vcpu.attends {
                continue;
            }
            let steal_ns = clocks.steal_ns(cpu);
            let told_ns = steal_ns.saturating_sub(std::mem::replace(&mut vcpu.steal_ns, steal_ns));
            let (within_ns, beyond_ns) = (told_ns.min(away_ns), away_ns.saturating_sub(told_ns));
            let earlier_ns = told_ns - within_ns;
            note(&mut self.spans, from_ns, at_ns, within_ns + earlier_ns.saturating_sub(vcpu.untold_ns));
            vcpu.untold_ns = if stayed { vcpu.untold_ns.saturating_sub(earlier_ns) } else { 0 };
            vcpu.away = (beyond_ns > 0).then_some((from_ns, at_ns, beyond_ns));
        }
    }

    /// What was noted until the end of the run.
    pub(super) fn end(mut self, clocks: &dyn CpuClocks) -> Absences {
        let at_ns = self.last.map_or(0, |(_, at_ns)| at_ns);
        for (cpu, vcpu) in self.vcpus.iter().enumerate() {
            if vcpu.ran_at_ns < at_ns && clocks.state(cpu).is_ready {
                note(&mut self.spans, at_ns, u64::MAX, at_ns - vcpu.ran_at_ns);
            }
        }
        Absences::of(&self.spans)
    }
}

/// Notes that between two looks a vCPU waited for so long.
fn note(spans: &mut Vec<Span>, last_look_ns: u64, look_ns: u64, took_ns: u64) {
    if took_ns > 0 {
        spans.push(Span::told(last_look_ns, look_ns, took_ns));
    }
}

impl Vcpu {
    /// True if it ran one thread, and not its idle thread, from the last look but one until now.
    fn stay(&mut self, cpu: Option<&CpuSample>) -> bool {
        let switches = cpu.filter(|cpu| cpu.dispatch_pri >= 0).map(|cpu| cpu.switches);
        let before = std::mem::replace(&mut self.switches, switches);
        let stays = switches.is_some() && before == switches;
        std::mem::replace(&mut self.stays, stays) && stays
    }

    /// What it did not run of a time, if it ran for `grown_ns` in it.
    fn away_ns(&mut self, passed_ns: u64, grown_ns: u64) -> u64 {
        let ran_ns = self.ahead_ns + grown_ns;
        self.ahead_ns = ran_ns.saturating_sub(passed_ns);
        passed_ns.saturating_sub(ran_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use umpire_machine::VcpuState;

    /// One vCPU: what it ran, what it waited, whether it is ready.
    struct Clocks(u64, u64, bool);

    impl CpuClocks for Clocks {
        fn ran_ns(&self, _: usize) -> u64 {
            self.0
        }
        fn steal_ns(&self, _: usize) -> u64 {
            self.1
        }
        fn state(&self, _: usize) -> VcpuState {
            VcpuState { is_ready: self.2, host_cpu: None }
        }
    }

    const MS: u64 = 1_000_000;

    /// A CPU that runs a thread and has switched so often.
    fn cpu(switches: u64) -> CpuSample {
        CpuSample { switches, ..CpuSample::default() }
    }

    fn idle() -> CpuSample {
        CpuSample { dispatch_pri: -1, ..CpuSample::default() }
    }

    /// The absences of one vCPU that was seen every ms from 10 ms on: what it had run and been told to have waited for, in ms.
    fn seen(looks: &[(u64, u64, CpuSample)]) -> Absences {
        let mut seen = Attendance::of(1, MS);
        for (at, (ran, waited, cpu)) in (10..).zip(looks) {
            let clocks = Clocks(ran * MS, waited * MS, false);
            seen.look(at * MS, Some(at * MS), &clocks, std::slice::from_ref(cpu));
        }
        let last = looks.last().map_or(0, |(ran, ..)| ran * MS);
        seen.end(&Clocks(last, 0, false))
    }

    #[test]
    fn time_that_a_thread_that_stayed_did_not_run_is_taken_off_though_no_wait_is_told() {
        let absences = seen(&[
            (5, 0, cpu(9)),
            (6, 0, cpu(9)),
            (6, 0, cpu(9)),
            (6, 0, cpu(9)),
            (7, 0, cpu(9)),
            (8, 0, cpu(9)),
        ]);
        assert_eq!(absences.charged(11 * MS, 15 * MS), 2 * MS);
        assert_eq!(absences.charged(14 * MS, 15 * MS), MS, "it was there");
    }

    #[test]
    fn time_in_which_a_cpu_may_have_halted_is_charged() {
        for halted in [
            [cpu(9), cpu(9), cpu(10), cpu(10), cpu(10), cpu(10)],
            [cpu(9), idle(), idle(), idle(), cpu(9), cpu(9)],
            [cpu(9), cpu(9), cpu(9), idle(), idle(), idle()],
        ] {
            let ran = [5, 6, 6, 6, 6, 7];
            let looks: Vec<_> = halted.into_iter().zip(ran).map(|(cpu, ran)| (ran, 0, cpu)).collect();
            let charged = seen(&looks[..4]).charged(11 * MS, 13 * MS);
            assert_eq!(charged, 2 * MS, "{looks:?}");
        }
    }

    #[test]
    fn wait_of_a_thread_that_stayed_is_taken_off_once_though_it_is_told_late() {
        let stays = |ran, waited| (ran, waited, cpu(9));
        let absences = seen(&[
            stays(5, 0),
            stays(6, 0),
            stays(6, 0),
            stays(6, 0),
            stays(7, 2),
            stays(8, 2),
            stays(9, 2),
        ]);
        assert_eq!(absences.charged(11 * MS, 16 * MS), 3 * MS);
    }

    #[test]
    fn wait_that_is_told_is_taken_off_whole_after_a_time_that_never_was() {
        let stays = |ran, waited| (ran, waited, cpu(9));
        let absences = seen(&[
            stays(5, 0),
            stays(6, 0),
            stays(6, 0),
            stays(7, 0),
            stays(7, 1),
            stays(8, 1),
            stays(9, 1),
        ]);
        assert_eq!(absences.charged(11 * MS, 16 * MS), 3 * MS);
        assert_eq!(absences.charged(13 * MS, 16 * MS), 2 * MS);
    }

    #[test]
    fn wait_is_taken_off_where_it_may_have_been_and_a_halt_is_not() {
        let mut seen = Attendance::of(1, MS);
        for (at, ran, waited) in [(10, 5, 0), (11, 6, 0), (12, 6, 0), (13, 6, 0), (14, 7, 2), (15, 8, 2)] {
            seen.look(at * MS, Some(at * MS), &Clocks(ran * MS, waited * MS, false), &[]);
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
            seen.look(at * MS, Some(at * MS), &Clocks(ran * MS, 0, false), &[]);
        }
        let absences = seen.end(&Clocks(8 * MS, 0, true));
        assert_eq!(absences.charged(11 * MS, 41 * MS), 0);
        assert_eq!(absences.charged(42 * MS, 45 * MS), 0);
    }

    #[test]
    fn wait_of_a_guest_whose_clock_is_not_known_is_taken_off_everything() {
        let mut seen = Attendance::of(1, MS);
        for (at, waited) in [(10, 0), (11, 0), (12, 1)] {
            seen.look(at * MS, None, &Clocks(0, waited * MS, false), &[]);
        }
        assert_eq!(seen.end(&Clocks(0, MS, false)).charged(5 * MS, 20 * MS), 0);
    }
}
