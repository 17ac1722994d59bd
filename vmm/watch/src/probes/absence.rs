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

/// When the host kept vCPUs waiting, in ns of the guest's clock.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Absences {
    /// By their ends.
    spans: Vec<Span>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    from_ns: u64,
    to_ns: u64,
    took_ns: u64,
}

impl Absences {
    /// Notes that between two looks a vCPU is told to have waited for so long; it may have begun before the first.
    pub fn note(&mut self, last_look_ns: u64, look_ns: u64, took_ns: u64) {
        if took_ns > 0 {
            self.spans.push(Span { from_ns: last_look_ns.saturating_sub(took_ns), to_ns: look_ns, took_ns });
        }
    }

    /// The least that a time can have lasted without what the host took.
    pub fn charged(&self, from_ns: u64, to_ns: u64) -> u64 {
        let first = self.spans.partition_point(|span| span.to_ns <= from_ns);
        let overlapping = self.spans.get(first..).unwrap_or_default().iter();
        let taken = overlapping
            .filter(|span| span.from_ns < to_ns)
            .fold(0_u64, |sum, span| sum.saturating_add(span.took_ns));
        to_ns.saturating_sub(from_ns).saturating_sub(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charged_is_without_what_overlaps_and_never_less_than_nothing() {
        let mut absences = Absences::default();
        absences.note(10, 20, 0);
        absences.note(20, 30, 5);
        absences.note(50, 60, 30);
        assert_eq!(absences.charged(0, 10), 10);
        assert_eq!(absences.charged(0, 16), 11);
        assert_eq!(absences.charged(30, 100), 40);
        assert_eq!(absences.charged(0, 100), 65);
        assert_eq!(absences.charged(55, 58), 0);
        assert_eq!(absences.charged(60, 90), 30);
    }
}
