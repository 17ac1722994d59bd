//! Rows as people read them: lines of a plain table, each printed as its row comes.
//!
//! # Invariants
//! - A row never wraps: columns that do not fit the width are left out, from the right.
//! - Colour carries no meaning of its own; every styled cell says the same in words.
//! - A guest's text cannot drive the terminal.

use std::borrow::Cow;
use std::fmt::Write;

use anstyle::Style;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::table::Shown;
use super::{Column, Table};

/// Blanks between two columns.
const GAP: usize = 2;

/// The line of headings, with as many columns as fit `width` characters (all if there is no limit).
pub fn header<R>(table: &Table<R>, width: Option<usize>) -> String {
    let bold = Style::new().bold();
    line(table, width, |_, shown| (shown.title.to_owned(), bold))
}

/// The line of one row, with the same columns.
pub fn row<R>(table: &Table<R>, width: Option<usize>, of: &R) -> String {
    line(table, width, |column, _| (column.text(of), column.tone(of).style()))
}

fn line<R>(
    table: &Table<R>,
    width: Option<usize>,
    cell: impl Fn(&Column<R>, Shown) -> (String, Style),
) -> String {
    let (mut line, mut end, mut pending) = (String::new(), 0, 0);
    let columns = table.columns.iter().filter_map(|column| Some((column, column.shown?)));
    for (n, (column, shown)) in columns.enumerate() {
        end += shown.width;
        if n > 0 && width.is_some_and(|width| end > width) {
            break;
        }
        end += GAP;
        let (text, style) = cell(column, shown);
        let text = cut(&text, shown.width);
        let pad = shown.width.saturating_sub(text.width());
        let before = if column.is_right_aligned() { pad } else { 0 };
        line.extend(std::iter::repeat_n(' ', pending + before));
        // A String takes everything; there is no error to handle.
        let _ = write!(line, "{style}{text}{style:#}");
        pending = pad - before + GAP;
    }
    line
}

/// Columns of a terminal that a text takes once it is [`printable`].
pub fn width(text: &str) -> usize {
    printable(text).width()
}

/// True for a character that a terminal does not show but obeys: controls, and what turns the direction of writing or hides itself.
fn is_obeyed(c: char) -> bool {
    let turns_or_hides = matches!(
        c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    );
    c.is_control() || turns_or_hides
}

/// Text as a terminal may see it: newlines as they are, tabs as blanks, and what a terminal would obey as its number, `\u{1b}`.
pub fn printable(text: &str) -> Cow<'_, str> {
    // Nearly all of it is plain, and then there is nothing to be made anew.
    // Whole pieces are looked at, which takes a tenth of the time of byte after byte.
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~' | b'\n');
    if text.as_bytes().chunks(64).all(|piece| piece.iter().fold(true, |all, byte| all & is_plain(byte))) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\n' => shown.push('\n'),
            '\r' if chars.peek() == Some(&'\n') => {}
            '\t' => shown.push(' '),
            c if is_obeyed(c) => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

fn cut(text: &str, width: usize) -> String {
    let text = printable(text).replace('\n', " ");
    if text.width() <= width {
        return text;
    }
    let mut left = width.saturating_sub(1);
    let fits = |c: &char| {
        let wide = c.width().unwrap_or(0);
        let fits = wide <= left;
        left = left.saturating_sub(wide);
        fits
    };
    let mut short: String = text.chars().take_while(fits).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kind, Tone};

    /// A name, a number and a reason.
    type Row = (&'static str, u64, &'static str);

    fn table() -> Table<Row> {
        Table::nested(vec![
            Column::new("name", Kind::Text, |r: &Row| r.0).titled("NAME", 6),
            Column::new("hidden", Kind::Count, |r: &Row| r.1),
            Column::new("n", Kind::Count, |r: &Row| r.1).titled("N", 3),
            Column::new("why", Kind::Text, |r: &Row| r.2).titled("WHY", 3),
        ])
    }

    #[test]
    fn row_aligns_and_cuts_its_cells() {
        assert_eq!(row(&table(), None, &("longer name", 7, "x")), "longe…    7  x");
    }

    #[test]
    fn row_and_header_leave_out_columns_beyond_the_width() {
        let of = ("a", 7, "x");
        assert_eq!(row(&table(), Some(11), &of), "a         7");
        assert_eq!(row(&table(), Some(1), &of), "a");
        assert_eq!(row(&table(), Some(16), &of), "a         7  x");
        assert_eq!(header(&table(), Some(11)).matches('N').count(), 2);
    }

    #[test]
    fn row_of_a_fitted_table_is_as_narrow_as_its_widest_cell_and_its_title() {
        let rows = [("ab", 7, "because"), ("abc", 8, "so")];
        let table = table().fitted(rows.iter());
        assert_eq!(row(&table, None, &rows[0]), "ab    7  be…");
    }

    #[test]
    fn row_says_in_words_what_it_styles_and_in_other_words_what_it_is_told_to() {
        let column = Column::new("met", Kind::Flag, |_: &()| false).titled("MET", 3);
        let column = column.toned(|()| Tone::Bad).worded(|()| "NO".to_owned());
        let style = Tone::Bad.style();
        assert_eq!(row(&Table::nested(vec![column]), None, &()), format!("{style}NO{style:#}"));
    }

    #[test]
    fn text_of_a_guest_cannot_drive_the_terminal() {
        assert_eq!(printable("a\u{1b}[2J\r\nb\tc\u{7}\rd"), "a\\u{1b}[2J\nb c\\u{7}\\u{d}d");
        // What turns the direction of writing would show another name than the one that is there.
        assert_eq!(printable("x\u{202e}gpj\u{2069}\u{200b}é漢"), "x\\u{202e}gpj\\u{2069}\\u{200b}é漢");
    }

    #[test]
    fn cells_count_the_columns_of_a_terminal() {
        assert_eq!(row(&table(), None, &("漢字", 7, "x")), "漢字      7  x");
        assert_eq!(row(&table(), None, &("漢字漢字", 7, "x")), "漢字…     7  x");
        // An accent that joins the letter before it takes no column.
        assert_eq!(row(&table(), None, &("e\u{301}a", 7, "x")), "e\u{301}a        7  x");
    }
}
