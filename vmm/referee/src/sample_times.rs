//! When a run on KVM is sampled: once in every period, each time at another moment of it.
//!
//! A sampler with a steady beat keeps step with whatever the guest does at a multiple of it (its clock, its interrupts), and then
//! sees the same moment of that over and over: a queue that is just being changed, or never a handler that runs half of the time.
//! So each look comes later than the beginning of its period by a share of up to [`SPREAD_PERCENT`], and the shares are spread evenly.
//!
//! # Invariants
//! - There is at most one look in a period, and two looks are never closer together than three quarters of one.
//! - The same run is looked at at the same moments: nothing here is random.
//! - Periods that were missed are not made up for: the next look sees what they would have seen.

use std::time::Duration;

/// The part of a period over which looks are spread, in percent. At the default of 1000 looks a second a quarter meets every moment
/// of what repeats at 4 kHz or faster, and no interval between two looks is longer than one and a quarter of a period.
const SPREAD_PERCENT: u32 = 25;
/// The golden ratio's fraction, in 1/2^32: multiples of it fill the circle more evenly than those of any other number.
const GOLDEN: u32 = 0x9e37_79b9;

/// The moments of a run at which it is sampled.
#[derive(Debug, Clone)]
pub(super) struct SampleTimes {
    period: Duration,
    looks: u32,
}

impl SampleTimes {
    /// Looks in periods of this length, not 0.
    pub(super) fn every(period: Duration) -> SampleTimes {
        SampleTimes { period, looks: 0 }
    }

    /// How long to wait for the next look, `elapsed` after the beginning of the run. Never 0.
    pub(super) fn wait(&mut self, elapsed: Duration) -> Duration {
        let period = self.period.as_nanos().max(1);
        let begun = elapsed.as_nanos() / period;
        self.looks = self.looks.wrapping_add(1);
        let share = u128::from(GOLDEN.wrapping_mul(self.looks));
        let late = (period * u128::from(SPREAD_PERCENT) / 100 * share) >> 32;
        let next = (begun + 1) * period + late;
        Duration::from_nanos(u64::try_from(next - elapsed.as_nanos()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_micros(1000);

    /// The first looks of a run that is never late, as ns from its beginning.
    fn looks(n: usize) -> Vec<u64> {
        let mut times = SampleTimes::every(PERIOD);
        let mut now = Duration::ZERO;
        let mut next = || {
            now += times.wait(now);
            now.as_nanos() as u64
        };
        (0..n).map(|_| next()).collect()
    }

    #[test]
    fn every_period_has_one_look_and_two_looks_are_three_quarters_to_five_quarters_of_one_apart() {
        let looks = looks(10_000);

        assert!(looks.iter().zip(1..).all(|(at, period)| at / 1_000_000 == period));
        assert!(looks.windows(2).all(|w| (750_000..=1_250_000).contains(&(w[1] - w[0]))));
    }

    #[test]
    fn looks_meet_every_moment_of_what_keeps_step_with_the_period() {
        for guest_ns in [250_000, 125_000, 100_000, 50_000] {
            let mut met = [0; 10];
            for at in looks(1000) {
                met[(at % guest_ns * 10 / guest_ns) as usize] += 1;
            }
            assert!(met.iter().all(|n| (70..=130).contains(n)), "every {guest_ns} ns: {met:?}");
        }
    }

    #[test]
    fn wait_after_missed_periods_goes_on_in_the_next_one() {
        let mut times = SampleTimes::every(PERIOD);
        let late = Duration::from_micros(7300);

        let next = late + times.wait(late);

        assert!((8000..8250).contains(&next.as_micros()), "{next:?}");
    }

    #[test]
    fn wait_of_the_shortest_period_is_never_0() {
        let mut times = SampleTimes::every(Duration::from_nanos(1));
        assert!((0..1000).all(|n| !times.wait(Duration::from_nanos(n)).is_zero()));
    }
}
