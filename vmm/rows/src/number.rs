//! Durations, sizes and measured numbers as text.
//!
//! # Invariants
//! - [`exact`] loses nothing: it is what a scenario file would say.
//! - [`duration`] rounds nothing, and reads whatever the others write with a unit of time.

/// Units of durations and their length in nanoseconds, shortest first.
const UNITS: [(&str, u64); 5] =
    [("ns", 1), ("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000), ("m", 60_000_000_000)];

/// Nanoseconds in the longest unit that they are a whole number of, as scenario files write them.
pub fn exact(ns: u64) -> String {
    if ns == 0 {
        return "0s".to_owned();
    }
    // Minutes are for writing, not for reading: 60 s stays 60s.
    let (unit, length) =
        UNITS[..4].iter().rev().find(|(_, length)| ns.is_multiple_of(*length)).unwrap_or(&UNITS[0]);
    format!("{}{unit}", ns / length)
}

/// Nanoseconds of a number and a unit, like `2s`, `55.123ms` or `10 us`. None if the text has another form, is not a whole number of
/// nanoseconds, or does not fit 64 bits of them.
pub fn duration(text: &str) -> Option<u64> {
    let unit = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(unit);
    let (_, length) = UNITS.iter().find(|(name, _)| *name == unit.trim_start())?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let whole = whole.parse::<u64>().ok()?.checked_mul(*length)?;
    let scale = 10_u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let fraction = fraction.parse::<u64>().ok()?.checked_mul(*length)?;
    fraction.is_multiple_of(scale).then(|| whole.checked_add(fraction / scale))?
}

/// Nanoseconds as a person wants them: three significant digits.
pub fn rounded(ns: u64) -> String {
    // What three digits would make a thousand of is one of the next unit.
    let is_long_enough = |length: u64| ns >= length || ns as f64 >= ALMOST_THOUSAND * (length / 1000) as f64;
    let (unit, length) =
        UNITS[..4].iter().rev().find(|(_, length)| is_long_enough(*length)).unwrap_or(&UNITS[0]);
    let value = ns as f64 / *length as f64;
    match ns.is_multiple_of(*length) {
        true => format!("{value:.0}{unit}"),
        false => format!("{}{unit}", three_digits(value)),
    }
}

/// From here on three digits say 1000.
const ALMOST_THOUSAND: f64 = 999.5;

/// Milliseconds with one decimal, as sentences have them; the rest is cut off.
pub fn ms(ns: u64) -> String {
    format!("{}.{}", ns / 1_000_000, ns / 100_000 % 10)
}

/// Bytes in the longest unit of which there is one, three significant digits.
pub fn bytes(bytes: u64) -> String {
    let units = [("GiB", 1_u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.iter().find(|(_, length)| bytes >= *length) {
        Some((unit, length)) => format!("{} {unit}", three_digits(bytes as f64 / *length as f64)),
        None => format!("{bytes} B"),
    }
}

/// A measured number: three significant digits, whole numbers whole.
pub fn measured(value: f64) -> String {
    match value.abs() {
        v if v == v.trunc() || v >= 1000.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn three_digits(value: f64) -> String {
    let digits = match value {
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_is_a_number_with_a_unit_and_perhaps_a_fraction() {
        let cases = [
            ("2s", Some(2_000_000_000)),
            ("500ms", Some(500_000_000)),
            ("7ns", Some(7)),
            ("1m", Some(60_000_000_000)),
            ("10 us", Some(10_000)),
            ("1.5s", Some(1_500_000_000)),
            ("0.5m", Some(30_000_000_000)),
            ("55.123456ms", Some(55_123_456)),
            ("55.1234567ms", None),
            ("1.5ns", None),
            ("1.s", None),
            (".5s", None),
            ("1.2.3s", None),
            ("5", None),
            ("s", None),
            ("", None),
            ("-1s", None),
            ("5 parsecs", None),
            ("18446744073709551615s", None),
            ("18446744073709551615.5ns", None),
            ("99999999999999999999s", None),
            ("1.00000000000000000000000000s", None),
            ("\u{663}s", None),
        ];
        for (text, ns) in cases {
            assert_eq!(duration(text), ns, "{text}");
        }
        for ns in [0, 1, 999, 1_500_000, 52_340_000, 90_000_000_000, u64::MAX] {
            assert_eq!(duration(&exact(ns)), Some(ns));
            assert!(duration(&rounded(ns)).is_some() || ns == u64::MAX, "{}", rounded(ns));
        }
    }

    #[test]
    fn rounded_keeps_three_digits() {
        let shown: Vec<String> = [0, 999, 1_234, 52_340_000, 1_953_000_000].map(rounded).to_vec();
        assert_eq!(shown, ["0ns", "999ns", "1.23us", "52.3ms", "1.95s"]);
    }

    #[test]
    fn rounded_never_says_a_thousand_where_there_is_a_longer_unit() {
        let shown: Vec<String> = [9_999, 99_960, 999_499, 999_500, 999_999_999].map(rounded).to_vec();
        assert_eq!(shown, ["10.0us", "100us", "999us", "1.00ms", "1.00s"]);
        assert_eq!(rounded(3_600_000_000_000), "3600s");
    }

    #[test]
    fn bytes_keeps_three_digits_of_the_longest_unit() {
        let shown: Vec<String> = [1023, 1536, 22 << 10, 300 << 20, 5 << 30].map(bytes).to_vec();
        assert_eq!(shown, ["1023 B", "1.50 KiB", "22.0 KiB", "300 MiB", "5.00 GiB"]);
    }

    #[test]
    fn ms_is_cut_after_one_decimal() {
        assert_eq!([49_999, 50_549_999, 1_000_000].map(ms), ["0.0", "50.5", "1.0"]);
    }

    #[test]
    fn measured_has_as_many_decimals_as_mean_something() {
        assert_eq!([0.0, 4.504, 22.46, 342.61, 1769.4].map(measured), ["0", "4.50", "22.5", "342.6", "1769"]);
    }
}
