//! Durations as scenario files and the command line write them, `umpire_rows::number::duration` with the error that says so.
//!
//! # Invariants
//! - Nothing is rounded on the way in.

use umpire_rows::number::duration;

/// Why a text is not a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a duration: a number and a unit (ns, us, ms, s, m), no finer than a nanosecond, like \"500ms\" or \"1.5s\""
)]
pub struct DurationError;

/// Nanoseconds of a text like `2s`, `1.5ms`, `50us`, `10ns` or `1m`. A bare `0` needs no unit.
///
/// # Errors
/// [`DurationError`] if the text has another form, is no whole number of nanoseconds, or does not fit 64 bits of them.
pub fn parse(text: &str) -> Result<u64, DurationError> {
    match text.trim() {
        "0" => Ok(0),
        text => duration(text).ok_or(DurationError),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_gives_nanoseconds_and_takes_a_bare_zero() {
        for (text, ns) in [("2s", 2_000_000_000), (" 1.5ms ", 1_500_000), ("0", 0)] {
            assert_eq!(parse(text), Ok(ns), "{text}");
        }
        for text in ["", "5", "0.0", "1.5ns", "5 parsecs"] {
            assert_eq!(parse(text), Err(DurationError), "{text}");
        }
    }
}
