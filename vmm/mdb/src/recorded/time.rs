//! Moments of a recording as text: `55.123456ms`, and what may be typed for one.
//!
//! # Invariants
//! - Nothing is rounded: what is printed can be typed, and means the same.

use umpire_rows::number::duration;

/// What may be typed for a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Time {
    /// So many ns after boot.
    At(u64),
    /// So many later than the moment that is looked at.
    Later(u64),
    /// So many earlier.
    Earlier(u64),
}

impl Time {
    /// The time that a text means: `1.5s`, `+20us`, `-3ms`.
    pub(crate) fn parse(text: &str) -> Option<Time> {
        match text.as_bytes().first()? {
            b'+' => duration(&text[1..]).map(Time::Later),
            b'-' => duration(&text[1..]).map(Time::Earlier),
            _ => duration(text).map(Time::At),
        }
    }

    /// The moment that it means, seen from `from_ns`.
    pub(crate) fn from(self, from_ns: u64) -> u64 {
        match self {
            Time::At(ns) => ns,
            Time::Later(ns) => from_ns.saturating_add(ns),
            Time::Earlier(ns) => from_ns.saturating_sub(ns),
        }
    }
}

/// A moment, to the nanosecond.
pub(crate) fn exact_ms(ns: u64) -> String {
    let text = format!("{}.{:06}", ns / 1_000_000, ns % 1_000_000);
    format!("{}ms", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_a_number_with_a_unit_and_perhaps_a_fraction_and_a_sign() {
        let cases = [
            ("1.5s", Some(Time::At(1_500_000_000))),
            ("55.123456ms", Some(Time::At(55_123_456))),
            ("+20us", Some(Time::Later(20_000))),
            ("-3ms", Some(Time::Earlier(3_000_000))),
            ("7ns", Some(Time::At(7))),
            ("1.5ns", None),
            ("5", None),
            ("", None),
            ("++1s", None),
        ];
        for (text, time) in cases {
            assert_eq!(Time::parse(text), time, "{text}");
        }
    }

    #[test]
    fn what_is_printed_can_be_typed() {
        for ns in [0, 1, 999_999, 1_000_000, 55_123_400, u64::MAX] {
            assert_eq!(Time::parse(&exact_ms(ns)), Some(Time::At(ns)), "{}", exact_ms(ns));
        }
        assert_eq!(exact_ms(55_123_400), "55.1234ms");
    }

    #[test]
    fn moment_before_the_boot_is_the_boot() {
        assert_eq!((Time::Earlier(9).from(5), Time::Later(9).from(u64::MAX)), (0, u64::MAX));
    }
}
