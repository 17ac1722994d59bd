//! Spans of time that a file gives in seconds and the kernel counts in clock ticks.
//!
//! # Invariants
//! - A span keeps what the file says; ticks follow from it and from the variant's `hz`, also when `--set` changes that.
//! - Ticks are rounded up: no quantum becomes zero (`dispadmin` does the same).

use super::variant::Variant;
use umpire_shared::tunable;

/// A span of time: a number of units, and how many of them a second has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    /// How many units.
    pub units: u64,
    /// Units a second.
    pub per_second: u64,
}

impl Span {
    /// A span of so many ns.
    pub fn of_ns(ns: u64) -> Span {
        Span { units: ns, per_second: 1_000_000_000 }
    }

    /// How many ticks cover it.
    fn ticks(self, hz: u64) -> i32 {
        let ticks = (u128::from(self.units) * u128::from(hz)).div_ceil(u128::from(self.per_second.max(1)));
        i32::try_from(ticks).unwrap_or(i32::MAX)
    }
}

/// Where the ticks of a span are to be put: a place in one of the variant's lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The quantum of a thread.
    Thread(usize),
    /// The quantum that an event gives: its argument of this number.
    Event(usize, usize),
    /// The quantum of a dispatcher table's row.
    Row(usize),
}

impl Variant {
    /// Puts the ticks of every span into their place, by the `hz` that the variant has now.
    pub(super) fn count_ticks(&mut self) {
        let hz = self.tunables[tunable::HZ].max(1).cast_unsigned();
        for (place, span) in &self.spans {
            let ticks = span.ticks(hz);
            match *place {
                Place::Thread(n) => self.threads[n].quantum = ticks,
                Place::Event(n, arg) => self.events[n].event.args[arg] = i64::from(ticks),
                Place::Row(n) => self.tables[n].values[0] = i64::from(ticks),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_rounded_up_and_never_overflow() {
        let ms = |ms: u64| Span::of_ns(ms * 1_000_000);
        assert_eq!([ms(20).ticks(100), ms(21).ticks(100), ms(1).ticks(100)], [2, 3, 1]);
        assert_eq!(ms(20).ticks(1000), 20);
        assert_eq!(Span { units: 200, per_second: 1000 }.ticks(100), 20);
        assert_eq!(Span { units: u64::MAX, per_second: 1 }.ticks(10_000), i32::MAX);
    }
}
