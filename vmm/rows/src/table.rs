//! Plain tables of fixed columns, printed row by row as results come in.
//!
//! # Invariants
//! - A row never wraps: columns that do not fit the width are left out, from the right.
//! - Colour carries no meaning of its own; every styled cell says the same in words.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};

/// Blanks between two columns.
const GAP: usize = 2;

/// Where a cell's text goes in its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// To the left: words.
    Left,
    /// To the right: numbers.
    Right,
}

/// One column.
#[derive(Debug, Clone)]
pub struct Column {
    /// Its heading.
    pub title: &'static str,
    /// Its width in characters; longer cells are cut.
    pub width: usize,
    /// Where its cells' text goes.
    pub align: Align,
}

impl Column {
    /// A column at least as wide as its title.
    pub fn new(title: &'static str, width: usize, align: Align) -> Column {
        Column { title, width: width.max(title.len()), align }
    }
}

/// One cell: its text, and what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// What it says.
    pub text: String,
    /// How it is shown.
    pub tone: Tone,
}

/// What a cell means to its reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Nothing in particular.
    Plain,
    /// As it should be.
    Good,
    /// To be taken with care.
    Doubtful,
    /// Not as it should be.
    Bad,
}

impl Tone {
    /// The style that a terminal gives it.
    pub fn style(self) -> Style {
        match self {
            Tone::Plain => Style::new(),
            Tone::Good => AnsiColor::Green.on_default(),
            Tone::Doubtful => AnsiColor::Yellow.on_default(),
            Tone::Bad => AnsiColor::Red.on_default().bold(),
        }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Cell {
        Cell { text, tone: Tone::Plain }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        text.to_owned().into()
    }
}

/// A table's columns.
#[derive(Debug, Clone)]
pub struct Table {
    columns: Vec<Column>,
    shown: usize,
}

impl Table {
    /// A table of these columns, as many as fit `width` characters (all if there is no limit).
    pub fn new(columns: Vec<Column>, width: Option<usize>) -> Table {
        let mut end = 0;
        let fits = columns.iter().take_while(|column| {
            end += column.width + GAP;
            width.is_none_or(|width| end - GAP <= width)
        });
        let shown = fits.count().max(1).min(columns.len());
        Table { columns, shown }
    }

    /// The line of headings.
    pub fn header(&self) -> String {
        let bold = Style::new().bold();
        let titles = self.columns.iter().map(|column| (column.title, bold));
        self.line(titles)
    }

    /// One line of cells.
    pub fn row(&self, cells: &[Cell]) -> String {
        self.line(cells.iter().map(|cell| (cell.text.as_str(), cell.tone.style())))
    }

    fn line<'c>(&self, cells: impl Iterator<Item = (&'c str, Style)>) -> String {
        let mut line = String::new();
        let mut pending = 0;
        for (column, (text, style)) in self.columns.iter().take(self.shown).zip(cells) {
            let text = cut(text, column.width);
            let pad = column.width - text.chars().count();
            let before = if column.align == Align::Right { pad } else { 0 };
            line.extend(std::iter::repeat_n(' ', pending + before));
            // A String takes everything; there is no error to handle.
            let _ = write!(line, "{style}{text}{style:#}");
            pending = pad - before + GAP;
        }
        line
    }
}

/// Text as a terminal may see it: no control characters but newlines, and tabs as blanks.
pub fn printable(text: &str) -> String {
    let mapped = text.chars().filter(|c| *c != '\r').map(|c| match c {
        '\n' => '\n',
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    });
    mapped.collect()
}

fn cut(text: &str, width: usize) -> String {
    let text = printable(text).replace('\n', " ");
    if text.chars().count() <= width {
        return text;
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Vec<Column> {
        vec![
            Column::new("NAME", 6, Align::Left),
            Column::new("N", 3, Align::Right),
            Column::new("WHY", 3, Align::Left),
        ]
    }

    #[test]
    fn row_aligns_and_cuts_its_cells() {
        let row = Table::new(columns(), None).row(&["longer name".into(), "7".into(), "x".into()]);
        assert_eq!(row, "longe…    7  x");
    }

    #[test]
    fn row_leaves_out_columns_beyond_the_width() {
        let cells = ["a".into(), "7".into(), "x".into()];
        assert_eq!(Table::new(columns(), Some(11)).row(&cells), "a         7");
        assert_eq!(Table::new(columns(), Some(1)).row(&cells), "a");
        assert_eq!(Table::new(columns(), Some(16)).row(&cells), "a         7  x");
    }

    #[test]
    fn text_of_a_guest_cannot_drive_the_terminal() {
        assert_eq!(printable("a\u{1b}[2J\r\nb\tc\u{7}"), "a\u{fffd}[2J\nb c\u{fffd}");
    }
}
