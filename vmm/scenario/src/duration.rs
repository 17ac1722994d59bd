//! Durations as scenario files and the command line write them. `umpire_rows::number` writes them back.
//!
//! # Invariants
//! - Text is a whole number and a unit; nothing is rounded on the way in.

use umpire_rows::number::UNITS;

/// Why a text is not a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a duration: a whole number and a unit (ns, us, ms, s, m), like \"500ms\"")]
pub struct DurationError;

/// Nanoseconds of a text like `2s`, `500ms`, `50us`, `10ns` or `1m`. A bare `0` needs no unit.
///
/// # Errors
/// [`DurationError`] if the text has another form or does not fit 64 bits of nanoseconds.
pub fn parse(text: &str) -> Result<u64, DurationError> {
    let text = text.trim();
    if text == "0" {
        return Ok(0);
    }
    let split = text.find(|c: char| !c.is_ascii_digit()).ok_or(DurationError)?;
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().map_err(|_| DurationError)?;
    let unit = unit.trim_start();
    let (_, length) = UNITS.iter().find(|(name, _)| *name == unit).ok_or(DurationError)?;
    number.checked_mul(*length).ok_or(DurationError)
}

#[cfg(test)]
mod tests {
    use super::*;
    use umpire_rows::number::exact;

    #[test]
    fn parse_of_each_unit_gives_nanoseconds() {
        let cases = [
            ("2s", 2_000_000_000),
            ("500ms", 500_000_000),
            ("50us", 50_000),
            ("7ns", 7),
            ("1m", 60_000_000_000),
            ("0", 0),
        ];
        for (text, ns) in cases {
            assert_eq!(parse(text), Ok(ns), "{text}");
        }
    }

    #[test]
    fn parse_of_other_forms_is_refused() {
        for text in
            ["", "s", "5", "1.5s", "-1s", "5 parsecs", "99999999999999999999s", "18446744073709551615s", "٣s"]
        {
            assert_eq!(parse(text), Err(DurationError), "{text}");
        }
    }

    #[test]
    fn exact_reads_back_as_the_same_number() {
        for ns in [0, 1, 999, 1_000, 1_500_000, 2_000_000_000, 90_000_000_000, u64::MAX] {
            assert_eq!(parse(&exact(ns)), Ok(ns));
        }
    }
}
