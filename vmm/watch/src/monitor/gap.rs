//! Gaps in sampling: time in which nobody looked, because the host stopped the sampler (SIGSTOP, a debugger, a suspended host).
//!
//! What happened in a gap is not known: a CPU that is halted at both ends may have run in between, and the guest's clocks may have
//! gone on or not. So a gap is charged to nobody. The judge's clocks, its wall time and the vCPUs' running times, stand still in it:
//! every monitor sees two passes between which no time went by, whatever it charges with.
//!
//! # Which gap
//! One that is longer than [`PERIODS`] of sampling and than [`LEAST_NS`]. A sampler that waits for its turn on a busy host is late by
//! a few periods and must go on charging: that is what `vcpu_away` and the share of samples are for. 20 ms are as much as the
//! shortest limit of a scenario: a shorter gap alone breaks no bound.
//!
//! # Invariants
//! - A vCPU that ran for longer than a gap between two passes proves one, whatever the wall clock says: the sampler may have been
//!   stopped between its reading of the one and of the other.
//! - Where passes come on time nothing is changed.
//! - Nothing here allocates once every CPU has been met.

use super::CpuReading;

/// Sampling periods that a look may be late by.
const PERIODS: u64 = 20;
/// What a look may be late by in any case, in ns.
const LEAST_NS: u64 = 20_000_000;

/// Gaps of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Gaps {
    /// How many there were.
    pub count: u64,
    /// How long they lasted together, in ns.
    pub total_ns: u64,
    /// How long the longest lasted, in ns.
    pub longest_ns: u64,
    /// When that began, in the caller's ns.
    pub longest_at_ns: u64,
}

/// How long two looks that are planned `period_ns` apart may be from each other without a gap, in ns.
pub fn longest_ns(period_ns: u64) -> u64 {
    period_ns.saturating_mul(PERIODS).max(LEAST_NS)
}

/// Clocks that stand still in gaps.
#[derive(Debug)]
pub(super) struct Clocks {
    most_ns: u64,
    /// The caller's clock at the last pass, if there was one.
    last_ns: Option<u64>,
    /// The vCPUs' running times then.
    last_ran_ns: Vec<u64>,
    skipped_ns: u64,
    /// What this pass shows: running times without the gaps.
    readings: Vec<CpuReading>,
    gaps: Gaps,
}

impl Clocks {
    /// Clocks for passes that are planned to be so far apart.
    pub(super) fn for_passes_every(period_ns: u64) -> Clocks {
        Clocks {
            most_ns: longest_ns(period_ns),
            last_ns: None,
            last_ran_ns: Vec::new(),
            skipped_ns: 0,
            readings: Vec::new(),
            gaps: Gaps::default(),
        }
    }

    /// Goes on to a pass at `now_ns`; true if there was a gap before it.
    pub(super) fn step(&mut self, readings: &[CpuReading], now_ns: u64) -> bool {
        let wall_ns = self.last_ns.map_or(0, |last_ns| now_ns.saturating_sub(last_ns));
        self.last_ran_ns.resize(readings.len(), 0);
        self.readings.resize(readings.len(), CpuReading::default());
        let grown =
            readings.iter().zip(&self.last_ran_ns).map(|(now, last)| now.ran_ns.saturating_sub(*last));
        let is_first = self.last_ns.is_none();
        let is_gap = !is_first && grown.fold(wall_ns, u64::max) > self.most_ns;
        if is_gap {
            self.skipped_ns += wall_ns;
            self.gaps.count += 1;
            self.gaps.total_ns += wall_ns;
            if wall_ns >= self.gaps.longest_ns {
                (self.gaps.longest_ns, self.gaps.longest_at_ns) = (wall_ns, now_ns - wall_ns);
            }
        }
        for ((shown, last), now) in self.readings.iter_mut().zip(&mut self.last_ran_ns).zip(readings) {
            let grown = if is_first { now.ran_ns } else { now.ran_ns.saturating_sub(*last) };
            *shown = CpuReading { ran_ns: shown.ran_ns + if is_gap { 0 } else { grown }, ..*now };
            *last = now.ran_ns;
        }
        self.last_ns = Some(now_ns);
        is_gap
    }

    /// Forgets what it saw: a guest that is not up yet is not looked at.
    pub(super) fn begin_anew(&mut self) {
        (self.last_ns, self.skipped_ns, self.gaps) = (None, 0, Gaps::default());
        self.readings.clear();
    }

    /// The vCPUs' running times at the last pass, without those in gaps.
    pub(super) fn readings(&self) -> &[CpuReading] {
        &self.readings
    }

    /// The time of the last pass, without the gaps.
    pub(super) fn now_ns(&self) -> u64 {
        self.last_ns.unwrap_or(0).saturating_sub(self.skipped_ns)
    }

    /// The gaps so far.
    pub(super) fn gaps(&self) -> Gaps {
        self.gaps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn step(clocks: &mut Clocks, at_ms: u64, ran_ms: u64) -> (bool, u64, u64) {
        let is_gap = clocks.step(&[CpuReading { ran_ns: ran_ms * MS, ..CpuReading::default() }], at_ms * MS);
        (is_gap, clocks.now_ns() / MS, clocks.readings()[0].ran_ns / MS)
    }

    #[test]
    fn step_in_time_or_a_few_periods_late_changes_nothing() {
        let mut clocks = Clocks::for_passes_every(MS);
        for (at, ran) in [(5, 3), (6, 4), (26, 24), (46, 25)] {
            assert_eq!(step(&mut clocks, at, ran), (false, at, ran));
        }
        assert_eq!(clocks.gaps(), Gaps::default());
    }

    #[test]
    fn step_shows_all_else_that_a_reading_says() {
        let mut clocks = Clocks::for_passes_every(MS);
        let said = CpuReading {
            is_ready: true,
            host_cpu: Some(3),
            steal_ns: 5,
            guest_ns: Some(7),
            ..CpuReading::default()
        };
        clocks.step(&[said], MS);
        assert_eq!(clocks.readings(), [said]);
    }

    #[test]
    fn step_after_a_gap_shows_no_time_and_goes_on_from_there() {
        let mut clocks = Clocks::for_passes_every(MS);
        assert_eq!(step(&mut clocks, 5, 3), (false, 5, 3));
        assert_eq!(step(&mut clocks, 1605, 1600), (true, 5, 3));
        assert_eq!(step(&mut clocks, 1606, 1601), (false, 6, 4));
        assert_eq!(step(&mut clocks, 1627, 1601), (true, 6, 4));
        let gaps = Gaps { count: 2, total_ns: 1621 * MS, longest_ns: 1600 * MS, longest_at_ns: 5 * MS };
        assert_eq!(clocks.gaps(), gaps);
    }

    #[test]
    fn step_with_a_vcpu_that_ran_for_longer_than_a_gap_is_one() {
        let mut clocks = Clocks::for_passes_every(MS);
        assert_eq!(step(&mut clocks, 5, 3), (false, 5, 3));
        assert_eq!(step(&mut clocks, 6, 1600), (true, 5, 3));
    }

    #[test]
    fn step_of_slow_sampling_allows_as_many_periods() {
        let mut clocks = Clocks::for_passes_every(100 * MS);
        assert_eq!(step(&mut clocks, 100, 3), (false, 100, 3));
        assert_eq!(step(&mut clocks, 2100, 1900), (false, 2100, 1900));
        assert_eq!(step(&mut clocks, 4101, 1900), (true, 2100, 1900));
    }
}
