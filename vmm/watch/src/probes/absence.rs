//! Time in which the host kept a vCPU from running.
//!
//! What a record waits for may have to be done by any CPU, so a time is charged only while none of them was kept waiting:
//!
//! ```text
//!   host tells        |       |       |   vCPU 1 has waited 3 ms  |
//!   vCPU 1 waited         ?===============?
//!                         ^ no earlier than 3 ms before the look before: all of it is taken off whatever overlaps this span
//! ```
//!
//! # Invariants
//! - What is charged is never more than the time in which every vCPU had its CPU or slept in its halt.
//! - A time is charged in the logarithm of the number of spans: a busy host leaves one at nearly every look.

/// A time in which the host kept a vCPU waiting, in ns of the guest's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    from_ns: u64,
    to_ns: u64,
    took_ns: u64,
}

impl Span {
    /// Between two looks a vCPU is told to have waited for so long; it may have begun before the first.
    pub fn told(last_look_ns: u64, look_ns: u64, took_ns: u64) -> Span {
        Span { from_ns: last_look_ns.saturating_sub(took_ns), to_ns: look_ns, took_ns }
    }
}

/// When the host kept vCPUs waiting.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Absences {
    begins: Sums,
    ends: Sums,
}

impl Absences {
    /// Of spans in any order.
    pub fn of(spans: &[Span]) -> Absences {
        Absences {
            begins: Sums::of(spans.iter().map(|span| (span.from_ns, span.took_ns))),
            ends: Sums::of(spans.iter().map(|span| (span.to_ns, span.took_ns))),
        }
    }

    /// The least that a time can have lasted without what the host took.
    pub fn charged(&self, from_ns: u64, to_ns: u64) -> u64 {
        // What overlaps it has begun before its end, and has not ended before it began.
        let taken = self.begins.before(to_ns).saturating_sub(self.ends.before(from_ns.saturating_add(1)));
        to_ns.saturating_sub(from_ns).saturating_sub(u64::try_from(taken).unwrap_or(u64::MAX))
    }
}

/// How much has been taken up to each of some times. A span may take all the time that a clock can tell, so sums are wider.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Sums(Vec<(u64, u128)>);

impl Sums {
    fn of(parts: impl Iterator<Item = (u64, u64)>) -> Sums {
        let mut sums: Vec<(u64, u128)> = parts.map(|(at_ns, took_ns)| (at_ns, took_ns.into())).collect();
        sums.sort_unstable_by_key(|(at_ns, _)| *at_ns);
        let mut sum = 0;
        for (_, took) in &mut sums {
            sum += *took;
            *took = sum;
        }
        Sums(sums)
    }

    /// The sum of what stands before a time.
    fn before(&self, at_ns: u64) -> u128 {
        let count = self.0.partition_point(|(part_ns, _)| *part_ns < at_ns);
        count.checked_sub(1).map_or(0, |last| self.0[last].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charged_is_without_what_overlaps_and_never_less_than_nothing() {
        let absences = Absences::of(&[Span::told(20, 30, 5), Span::told(50, 60, 30)]);
        assert_eq!(absences.charged(0, 10), 10);
        assert_eq!(absences.charged(0, 16), 11);
        assert_eq!(absences.charged(30, 100), 40);
        assert_eq!(absences.charged(0, 100), 65);
        assert_eq!(absences.charged(55, 58), 0);
        assert_eq!(absences.charged(60, 90), 30);
    }

    #[test]
    fn charged_is_what_each_span_by_itself_would_leave_whatever_their_order() {
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..2_000 {
            let spans: Vec<Span> = (0..rng.usize(..8))
                .map(|_| {
                    let last_ns = rng.u64(..40);
                    Span::told(last_ns, last_ns + rng.u64(1..10), rng.u64(1..20))
                })
                .collect();
            let (from_ns, to_ns) = (rng.u64(..30), rng.u64(30..60));
            let overlaps = |span: &&Span| span.from_ns < to_ns && span.to_ns > from_ns;
            let taken: u64 = spans.iter().filter(overlaps).map(|span| span.took_ns).sum();
            let charged = Absences::of(&spans).charged(from_ns, to_ns);
            assert_eq!(charged, (to_ns - from_ns).saturating_sub(taken), "{spans:?}, {from_ns} to {to_ns}");
        }
    }

    #[test]
    fn charged_of_a_time_that_no_clock_tells_is_nothing() {
        let absences = Absences::of(&[Span::told(0, u64::MAX, u64::MAX), Span::told(9, u64::MAX, u64::MAX)]);
        assert_eq!(absences.charged(5, 1_000), 0);
    }
}
