//! Looks that took so long that what they saw was not seen at one moment.
//!
//! A look reads the vCPUs' clocks and then the guest's memory. If the host takes the sampler off in between, what a CPU did meanwhile
//! is in the memory and not in its clock: it falls into this interval by the one and into the next by the other.
//!
//! ```text
//!   sampler                    vCPU 2                 vCPU 3
//!   reads that 3 ran 40 ms
//!   the host takes it off      the host takes it off  spins 6 ms for vCPU 2's lock
//!   reads that 3 spun 6 ms     comes back             runs on
//! ```
//!
//! In the first interval 3 spun for 6 ms and ran for less, in the second it ran for 6 ms more than it spun: it seems to have
//! worked. And a thread that came to a queue while the sampler was off is charged with what the CPU ran before that.
//! So such a look is taken back, and made once more: who has just got its turn on the host keeps it for that long.
//!
//! # Invariants
//! - How long a look may take is taken from how long looks of this guest take: many threads make no look late.
//! - A moment at which [`MOST_TRIES`] looks were late is given up, and what was between its neighbours is one interval. If that
//!   gets long it is a gap ([`super::gap`]).

/// What a look may take in any case, in ns: an interval in which the host ran others is seldom shorter.
const LEAST_LATE_NS: u64 = 500_000;
/// How many times as long as the quickest look a look may take.
const TIMES: u64 = 4;
/// Looks in a row that may be late at one moment.
const MOST_TRIES: u32 = 3;

/// How long the looks take.
#[derive(Debug, Default)]
pub(super) struct Promptness {
    /// The quickest, in ns, once there was one.
    quickest_ns: Option<u64>,
    /// Late looks in a row, and the quickest of these.
    late: u32,
    late_ns: u64,
}

impl Promptness {
    /// True if a look that took so long is late.
    pub(super) fn is_late(&mut self, took_ns: u64) -> bool {
        let quickest_ns = self.quickest_ns.unwrap_or(took_ns);
        if took_ns <= LEAST_LATE_NS.max(quickest_ns.saturating_mul(TIMES)) {
            self.quickest_ns = Some(quickest_ns.min(took_ns));
            self.late = 0;
            return false;
        }
        self.late_ns = if self.late == 0 { took_ns } else { self.late_ns.min(took_ns) };
        self.late += 1;
        if self.late == MOST_TRIES {
            // A guest that has got many more threads is slow to look at for good.
            self.quickest_ns = Some(self.late_ns / TIMES + 1);
        }
        true
    }

    /// False once the moment is to be given up; then the next one begins.
    pub(super) fn may_try(&mut self) -> bool {
        let may = self.late < MOST_TRIES;
        if !may {
            self.late = 0;
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: u64 = 1000;

    #[test]
    fn is_late_measures_a_look_by_the_quickest_that_there_was() {
        let mut few = Promptness::default();
        assert!(!few.is_late(10 * US));
        assert!(!few.is_late(500 * US));
        assert!(few.is_late(501 * US));

        let mut many = Promptness::default();
        assert!(!many.is_late(1000 * US));
        assert!(!many.is_late(4000 * US));
        assert!(many.is_late(4001 * US));
    }

    #[test]
    fn may_try_gives_up_a_moment_after_some_looks_and_no_guest_is_late_for_ever() {
        let mut promptness = Promptness::default();
        assert!(!promptness.is_late(10 * US));
        for n in 1..=MOST_TRIES {
            assert!(promptness.is_late(3000 * US));
            assert_eq!(promptness.may_try(), n < MOST_TRIES);
        }
        assert!(!promptness.is_late(2900 * US));
    }
}
