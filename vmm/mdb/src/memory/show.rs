//! A format list, applied to memory, to the image, or to a value.
//!
//! # Invariants
//! - A string ends at its NUL or after [`MAX_TEXT`] bytes, a search after [`MAX_SEARCH`].

use super::letters::{Format, Layout};
use crate::disassembler;
use crate::lang::{Failure, FormatItem};
use crate::source::NO_MEMORY;
use crate::view::View;

/// Bytes that a string may have.
const MAX_TEXT: u64 = 1024;
/// Bytes that are searched.
const MAX_SEARCH: u64 = 64 << 20;
/// Characters from one tab stop to the next.
const TAB: usize = 16;

/// Where the bytes are from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    /// The target's memory.
    Memory,
    /// The image.
    Image,
    /// Dot itself.
    Value,
}

/// What came of a format list.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Shown {
    /// The lines.
    pub(crate) text: String,
    /// Bytes that were taken, which a loop goes on behind.
    pub(crate) increment: u64,
    /// The last number that was read.
    pub(crate) value: Option<u64>,
}

/// Applies the items, with their repeat counts worked out, at `dot`. `values` are what a letter writes or looks for. Without a view only
/// a value can be shown.
///
/// # Errors
/// [`Failure`] if memory cannot be read, or if a letter writes and the target is not open for that.
pub(crate) fn show(
    view: Option<&View<'_>>,
    from: From,
    dot: u64,
    items: &[(u64, &FormatItem)],
    values: &[u64],
    has_label: bool,
) -> Result<Shown, Failure> {
    let mut line = Line { view, from, dot, start: dot, increment: 0, text: String::new(), value: None };
    if from == From::Value {
        line.text += &" ".repeat(TAB);
    } else if has_label {
        line.label();
    }
    for (repeat, item) in items {
        let failed = |failure: Failure| failure.or_at(&item.at);
        let format = Format::of(item.letter).ok_or_else(|| {
            Failure::at(
                item.at.clone(),
                format!("unknown format character -- '{}' (::formats lists them)", item.letter),
            )
        })?;
        match format.layout {
            Layout::Forward => line.dot = line.dot.wrapping_add(*repeat),
            Layout::Back => line.dot = line.dot.wrapping_sub(*repeat),
            Layout::Again => line.dot = line.dot.wrapping_sub(line.increment.wrapping_mul(*repeat)),
            Layout::Search => return line.search(format, values).map_err(failed),
            Layout::Write => {
                return super::write::write(line.view()?, line.dot, format, values).map_err(failed);
            }
            _ => {
                for _ in 0..*repeat {
                    line.one(format).map_err(failed)?;
                }
            }
        }
    }
    let increment = line.dot.wrapping_sub(line.start);
    Ok(Shown { text: line.text.trim_end().to_owned(), increment, value: line.value })
}

struct Line<'l, 'v> {
    view: Option<&'l View<'v>>,
    from: From,
    dot: u64,
    start: u64,
    /// Bytes that the last letter took.
    increment: u64,
    text: String,
    value: Option<u64>,
}

impl<'l, 'v> Line<'l, 'v> {
    fn view(&self) -> Result<&'l View<'v>, Failure> {
        self.view.ok_or_else(|| Failure::new(NO_MEMORY))
    }

    /// `name:` or `0xaddr:` up to the next tab stop; a name stands on a line of its own as well.
    fn label(&mut self) {
        let name = self.name();
        let label = name.as_ref().map_or_else(|| format!("{:#x}:", self.dot), |name| format!("{name}:"));
        // A symbol stands on a line of its own as well, a distance from one does not.
        if name.is_some_and(|name| !name.contains('+')) {
            self.text = format!("{label}\n");
        }
        self.text += &label;
        self.text += &" ".repeat(TAB - label.chars().count() % TAB);
    }

    /// What dot is called: where the image is meant, by the image.
    fn name(&self) -> Option<String> {
        let view = self.view?;
        match (self.from, view.image().symbol_at(self.dot)) {
            (From::Image, Some(symbol)) if symbol.value == self.dot => Some(symbol.name.clone()),
            (From::Image, Some(symbol)) => Some(format!("{}+{:#x}", symbol.name, self.dot - symbol.value)),
            _ => view.name_of(self.dot),
        }
    }

    fn one(&mut self, format: &Format) -> Result<(), Failure> {
        let text = match format.layout {
            Layout::Newline => "\n".to_owned(),
            Layout::Blank => " ".to_owned(),
            Layout::Tab => {
                let column = self.text.rsplit('\n').next().unwrap_or_default().chars().count();
                " ".repeat(8 - column % 8)
            }
            Layout::Dot => {
                let name = self.name().unwrap_or_else(|| format!("{:#x}", self.dot));
                format!("{:<16}", name + ":")
            }
            Layout::Text | Layout::EscapedText => return self.string(format.layout == Layout::EscapedText),
            Layout::Instruction | Layout::AddressedInstruction => {
                let one = disassembler::one(self.view()?, self.dot)?;
                self.took(one.length);
                match format.layout {
                    Layout::Instruction => one.text,
                    _ => format!("{:<16x}{}", one.addr, one.text),
                }
            }
            _ => {
                let value = self.number(format.size)?;
                self.took(format.size as u64);
                self.value = Some(value);
                self.cell(format, value)
            }
        };
        self.text += &text;
        Ok(())
    }

    fn cell(&self, format: &Format, value: u64) -> String {
        match format.layout {
            Layout::Number { width, .. } => {
                let digits = format.digits(value).unwrap_or_default();
                // A full word would touch the next one.
                let width =
                    usize::from(width).max(if "JK".contains(format.letter) { digits.len() + 1 } else { 0 });
                format!("{digits:<width$}")
            }
            Layout::Bits => {
                let set = (0..64)
                    .rev()
                    .filter(|bit| value >> bit & 1 == 1)
                    .map(|bit| format!("{:#x}", 1_u64 << bit));
                format!("{value:064b}\n{}", set.collect::<Vec<_>>().join(" "))
            }
            Layout::Char => printable(value as u8 as char).to_string(),
            Layout::EscapedChar => (value as u8 as char).escape_default().to_string(),
            Layout::Symbol => {
                let name =
                    self.view.and_then(|view| view.name_of(value)).unwrap_or_else(|| format!("{value:#x}"));
                format!("{name:<19}")
            }
            Layout::Float if format.size == 4 => format!("{:<17e}", f32::from_bits(value as u32)),
            Layout::Float => format!("{:<24e}", f64::from_bits(value)),
            Layout::Time => format!("{:<24}", date(value)),
            _ => String::new(),
        }
    }

    fn took(&mut self, bytes: u64) {
        self.increment = bytes;
        self.dot = self.dot.wrapping_add(bytes);
    }

    fn number(&self, size: usize) -> Result<u64, Failure> {
        match self.from {
            From::Value => Ok(self.dot_value(size)),
            From::Memory => self.view()?.number(self.dot, size),
            From::Image => {
                let mut raw = [0; 8];
                let found = self.view()?.image().bytes_at(self.dot, &mut raw[..size]);
                let missing = || {
                    Failure::new(format!(
                        "failed to read data from the image: it has none at {:#x}",
                        self.dot
                    ))
                };
                found.then(|| u64::from_le_bytes(raw)).ok_or_else(missing)
            }
        }
    }

    /// The low bytes of dot, whose value is meant.
    fn dot_value(&self, size: usize) -> u64 {
        let unused = 64 - 8 * size.clamp(1, 8) as u32;
        self.start << unused >> unused
    }

    fn string(&mut self, is_escaped: bool) -> Result<(), Failure> {
        if self.from == From::Value {
            return Err(Failure::new("a value is no string; use / instead of ="));
        }
        let mut taken = 0;
        while taken < MAX_TEXT {
            let byte = self.number_at(taken)?;
            taken += 1;
            match byte {
                0 => break,
                byte if is_escaped => self.text.extend((byte as char).escape_default()),
                byte => self.text.push(printable(byte as char)),
            }
        }
        self.took(taken);
        Ok(())
    }

    fn number_at(&self, offset: u64) -> Result<u8, Failure> {
        let mut byte = [0];
        let addr = self.dot.wrapping_add(offset);
        match self.from {
            From::Image if self.view()?.image().bytes_at(addr, &mut byte) => Ok(byte[0]),
            _ => self.view()?.number(addr, 1).map(|byte| byte as u8),
        }
    }

    /// Goes on from dot until memory holds the value under the mask; that address is the answer.
    fn search(mut self, format: &Format, values: &[u64]) -> Result<Shown, Failure> {
        let &[value, ref mask @ ..] = values else {
            return Err(Failure::new("expected the value to look for behind the letter, and perhaps a mask"));
        };
        let mask = mask.first().copied().unwrap_or(u64::MAX);
        let step = format.size as u64;
        for n in 0..MAX_SEARCH / step {
            let addr = self.start.wrapping_add(n * step);
            let found = self.view()?.number(addr, format.size)?;
            if (found ^ value) & mask << (64 - 8 * step) >> (64 - 8 * step) == 0 {
                self.text = format!("{addr:x}");
                return Ok(Shown {
                    text: self.text,
                    increment: addr.wrapping_sub(self.start),
                    value: Some(addr),
                });
            }
        }
        Err(Failure::new(format!("value was not found in {} MiB", MAX_SEARCH >> 20)))
    }
}

fn printable(c: char) -> char {
    if c.is_ascii_graphic() || c == ' ' { c } else { '.' }
}

/// Seconds since 1970 as `2005 Dec  6 00:00:00`, UTC.
pub(crate) fn date(seconds: u64) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (year, month, day) = civil(seconds);
    format!("{year} {} {day:>2} {}", MONTHS[month as usize - 1], time(seconds))
}

/// Seconds since 1970 as `12/06/2005 00:00:00`, UTC.
pub(crate) fn numeric_date(seconds: u64) -> String {
    let (year, month, day) = civil(seconds);
    format!("{month:02}/{day:02}/{year} {}", time(seconds))
}

fn time(seconds: u64) -> String {
    let rest = seconds % 86_400;
    format!("{:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60)
}

/// Year, month from 1 and day from 1 (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn civil(seconds: u64) -> (u64, u64, u64) {
    // Counted from 1 March of year 0.
    let days = seconds / 86_400 % 146_097_000 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    (year_of_era + era * 400 + u64::from(month >= 10), (month + 2) % 12 + 1, day)
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn date_is_that_of_the_calendar() {
        assert_eq!(date(0), "1970 Jan  1 00:00:00");
        assert_eq!(date(1_133_827_200), "2005 Dec  6 00:00:00");
        assert_eq!(date(951_782_399), "2000 Feb 28 23:59:59");
        assert_eq!(date(951_868_799), "2000 Feb 29 23:59:59");
        assert_eq!(super::numeric_date(1_133_827_200), "12/06/2005 00:00:00");
        date(u64::MAX);
    }
}
