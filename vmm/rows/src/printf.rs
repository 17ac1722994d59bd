//! Rows as mdb prints them: columns as wide as `printf` would make them, one blank apart, nothing cut.
//!
//! # Invariants
//! - A cell that is wider than its column pushes what follows to the right.
//! - No line ends with blanks.

use super::text::printable;
use super::{Column, Table};

/// The line of headings.
pub fn header<R>(table: &Table<R>) -> String {
    line(table, |_, title| title.to_owned())
}

/// The line of one row.
pub fn row<R>(table: &Table<R>, of: &R) -> String {
    line(table, |column, _| printable(&column.text(of)).replace('\n', " "))
}

fn line<R>(table: &Table<R>, cell: impl Fn(&Column<R>, &str) -> String) -> String {
    let columns = table.columns.iter().filter_map(|column| Some((column, column.shown?)));
    let cells = columns.map(|(column, shown)| {
        let (text, width) = (cell(column, shown.title), shown.width);
        if column.is_right_aligned() { format!("{text:>width$}") } else { format!("{text:<width$}") }
    });
    cells.collect::<Vec<_>>().join(" ").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    #[test]
    fn row_is_as_printf_would_print_it() {
        let table: Table<(u64, &str)> = Table::nested(vec![
            Column::new("addr", Kind::Address, |r: &(u64, &str)| r.0).titled("ADDR", 16),
            Column::new("yes", Kind::Text, |r: &(u64, &str)| r.1).titled("RNRN", 4).right(),
            Column::new("name", Kind::Text, |r: &(u64, &str)| r.1).titled("SWITCH", 6),
            Column::new("n", Kind::Count, |r: &(u64, &str)| r.0).titled("N", 3),
        ]);
        assert_eq!(header(&table), "ADDR             RNRN SWITCH   N");
        assert_eq!(row(&table, &(255, "no")), "00000000000000ff   no no     255");
        assert_eq!(row(&table, &(1, "t-6620600")), "0000000000000001 t-6620600 t-6620600   1");
    }
}
