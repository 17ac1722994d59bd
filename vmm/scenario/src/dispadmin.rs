//! Dispatcher tables in the format that `dispadmin -g -c CLASS` prints and `-s` reads.
//!
//! ```text
//! # Time Sharing Dispatcher Configuration
//! RES=1000
//! # ts_quantum  ts_tqexp  ts_slpret  ts_maxwait ts_lwait  PRIORITY LEVEL
//!        200         0        50           0        50        #     0
//! ```
//!
//! # Invariants
//! - A table has exactly the rows and columns of its class; otherwise it is refused, and the fault points at the wrong place.
//! - A quantum keeps the unit of the file, a RES-th of a second: ticks are counted when `hz` is known.

use std::ops::Range;

use umpire_shared::program::{ROW_VALUES, TableRow, class};

use super::error::quoted;
use super::ticks::Span;

/// Bytes that a table may have.
pub(super) const MAX_BYTES: u64 = 1 << 16;
/// The range of RES, in parts of a second.
const RES: Range<i64> = 1..1_000_000_001;
/// The range of a quantum, in RES-ths of a second.
const QUANTUM: Range<i64> = 1..i32::MAX as i64;
/// The range of `maxwait`, in seconds; a short.
const MAXWAIT: Range<i64> = 0..32_768;
/// The range of a priority of TS and IA.
const LEVEL: Range<i64> = 0..60;

/// What is wrong with a table, and where in its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slip {
    /// Bytes of the text.
    pub at: Range<usize>,
    /// What was found, and what was expected.
    pub message: String,
}

/// A line's bytes in the text, without its comment and the blanks around it.
struct Line<'x> {
    start: usize,
    text: &'x str,
}

impl Line<'_> {
    fn slip(&self, message: String) -> Slip {
        Slip { at: self.start..self.start + self.text.len(), message }
    }

    /// Its words, each with its place.
    fn words(&self) -> Vec<Line<'_>> {
        let place = |word: &str| word.as_ptr().addr() - self.text.as_ptr().addr();
        self.text
            .split_ascii_whitespace()
            .map(|text| Line { start: self.start + place(text), text })
            .collect()
    }

    fn number(&self, what: &str, range: &Range<i64>) -> Result<i64, Slip> {
        let number = self.text.parse::<i64>().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| {
            let (min, max) = (range.start, range.end - 1);
            self.slip(format!(
                "{what} must be a whole number from {min} to {max}, found `{}`",
                quoted(self.text)
            ))
        })
    }

    /// The number behind `KEY=`.
    fn setting(&self, key: &str, range: &Range<i64>) -> Result<i64, Slip> {
        let expected = || self.slip(format!("expected {key}=NUMBER, found `{}`", quoted(self.text)));
        let (name, _) = self.text.split_once('=').ok_or_else(expected)?;
        if name.trim() != key {
            return Err(expected());
        }
        let value = &self.text[name.len() + 1..];
        let blanks = value.len() - value.trim_start().len();
        let start = self.start + name.len() + 1 + blanks;
        Line { start, text: value.trim() }.number(key, range)
    }
}

/// Rows that a class's table has; none if the class has no table.
pub(super) fn rows_of(class: u32) -> Option<usize> {
    Some(class::rows(class)).filter(|&rows| rows > 0)
}

/// The columns of a class's table: names and ranges.
fn columns(class: u32) -> Vec<(&'static str, Range<i64>)> {
    match class {
        class::TS | class::IA => vec![
            ("the quantum", QUANTUM),
            ("tqexp", LEVEL),
            ("slpret", LEVEL),
            ("maxwait", MAXWAIT),
            ("lwait", LEVEL),
        ],
        _ => vec![("the quantum", QUANTUM)],
    }
}

/// Reads the table of a class: its rows, whose quantum is still 0, and the quantum of each.
pub(super) fn read(class: u32, text: &str) -> Result<Vec<(TableRow, Span)>, Slip> {
    let mut lines = lines(text).into_iter();
    let end = text.trim_end().len();
    let at_end = |message: String| Slip { at: end.saturating_sub(1)..end, message };
    let first = lines.next().ok_or_else(|| at_end("expected RES=NUMBER, found nothing".to_owned()))?;
    let res = first.setting("RES", &RES)?.cast_unsigned();
    let (count, columns) = (rows_of(class).unwrap_or(0), columns(class));
    let mut rows = Vec::with_capacity(count);
    for line in lines {
        if rows.len() == count {
            return Err(line.slip(format!("the table of {} has {count} rows, found more", name(class))));
        }
        let mut values = [0; ROW_VALUES];
        if class == class::FSS {
            values[0] = line.setting("QUANTUM", &QUANTUM)?;
        } else {
            let words = line.words();
            if words.len() != columns.len() {
                let (wanted, found) = (columns.len(), words.len());
                let message = format!("a row of {} has {wanted} numbers, found {found}", name(class));
                return Err(line.slip(message));
            }
            for ((word, (what, range)), value) in words.iter().zip(&columns).zip(&mut values) {
                *value = word.number(what, range)?;
            }
        }
        let span = Span { units: values[0].cast_unsigned(), per_second: res };
        values[0] = 0;
        rows.push((TableRow { class, values }, span));
    }
    if rows.len() < count {
        return Err(at_end(format!("the table of {} has {count} rows, found {}", name(class), rows.len())));
    }
    Ok(rows)
}

fn name(class: u32) -> &'static str {
    class::NAMES[class as usize]
}

/// The lines that are not blank without their comments.
fn lines(text: &str) -> Vec<Line<'_>> {
    let mut start = 0;
    let mut lines = Vec::new();
    for line in text.split_inclusive('\n') {
        let said = line.split('#').next().unwrap_or_default();
        let text = said.trim();
        if !text.is_empty() {
            lines.push(Line { start: start + said.len() - said.trim_start().len(), text });
        }
        start += line.len();
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table as `dispadmin -g` prints it: `row` so many times.
    fn table(row: &str, count: usize) -> String {
        let mut text = "# Dispatcher Configuration\nRES=1000\n\n# columns   PRIORITY LEVEL\n".to_owned();
        (0..count).for_each(|n| text += &format!("{row}        #   {n:3}\n"));
        text
    }

    fn message(class: u32, text: &str) -> (String, String) {
        let slip = read(class, text).expect_err("a table with a mistake");
        (slip.message, text[slip.at].to_owned())
    }

    const TS_ROW: &str = "       200         0        50           0        50";

    #[test]
    fn table_of_each_class_is_read_as_dispadmin_prints_it() {
        let row = |class, text: &str| read(class, text).unwrap_or_else(|e| panic!("{e:?}"));
        for class in [class::TS, class::IA] {
            let rows = row(class, &table(TS_ROW, 60));
            let (last, quantum) = rows[59];
            assert_eq!(last.values, [0, 0, 50, 0, 50]);
            assert_eq!((last.class, quantum), (class, Span { units: 200, per_second: 1000 }));
        }
        assert_eq!(row(class::FX, &table("       200", 61)).len(), 61);
        assert_eq!(row(class::RT, &table("       100", 60)).len(), 60);
        let fss = row(class::FSS, "# Fair Share\nRES=1000\n#\n# Time Quantum\n#\nQUANTUM=110\n");
        assert_eq!(fss[0].1, Span { units: 110, per_second: 1000 });
        assert_eq!(row(class::FSS, " RES = 100 # a comment\r\nQUANTUM = 11\r\n")[0].1.per_second, 100);
    }

    #[test]
    fn table_with_a_mistake_is_refused_at_its_place() {
        let good = table(TS_ROW, 60);
        let cases = [
            (good.replacen("RES=1000\n", "", 1), "expected RES=NUMBER", TS_ROW.trim()),
            (good.replacen("RES=1000", "RES=0", 1), "RES must be a whole number from 1 to 1000000000", "0"),
            (good.replacen("RES=1000", "RES=ms", 1), "RES must be a whole number", "ms"),
            (good.replacen("200", "0", 1), "the quantum must be a whole number from 1", "0"),
            (
                good.replacen(" 50 ", " 60 ", 1),
                "slpret must be a whole number from 0 to 59, found `60`",
                "60",
            ),
            (good.replacen(" 0 ", " x ", 1), "tqexp must be", "x"),
            (good.replacen("        50        #", "  #", 1), "a row of TS has 5 numbers, found 4", ""),
            (table(TS_ROW, 59), "the table of TS has 60 rows, found 59", "8"),
            (table(TS_ROW, 61), "the table of TS has 60 rows, found more", TS_ROW.trim()),
            (String::new(), "expected RES=NUMBER, found nothing", ""),
        ];
        for (text, expected, place) in cases {
            let (found, at) = message(class::TS, &text);
            assert!(found.contains(expected), "{found}, expected {expected}");
            assert!(place.is_empty() || at == place, "{found}: at `{at}`");
        }
        let (found, _) = message(class::FSS, "RES=1000\n110\n");
        assert!(found.contains("expected QUANTUM=NUMBER, found `110`"), "{found}");
    }
}
