//! A table: its columns, declared once for every renderer.
//!
//! # Invariants
//! - Each column has a key. One that is only shown names the key of the data that it is taken from.
//! - Keys go out in the order of the columns, and so do titles.

use super::{Kind, Tone, Value};

/// A table of rows that are each made from an `R`.
pub struct Table<R> {
    /// The name of its contract with machines, which goes in front of each row; none for rows inside of others.
    pub schema: Option<&'static str>,
    /// Its columns.
    pub columns: Vec<Column<R>>,
}

type Take<R, T> = Box<dyn Fn(&R) -> T>;

/// A column.
pub struct Column<R> {
    /// The name of its data.
    pub(super) key: &'static str,
    /// What its values are.
    pub(super) kind: Kind,
    /// True if machines get its values.
    pub(super) is_data: bool,
    /// True if a machine gets no key where there is no value.
    pub(super) is_left_out: bool,
    /// How people see it, if they do.
    pub(super) shown: Option<Shown>,
    value: Take<R, Value>,
    text: Option<Take<R, String>>,
    tone: Option<Take<R, Tone>>,
}

/// How a column looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown {
    /// Its heading.
    pub(super) title: &'static str,
    /// Its width in characters; longer cells are cut.
    pub(super) width: usize,
    /// True if text of any kind goes to the right end.
    pub(super) is_right: bool,
}

impl<R> Table<R> {
    /// A table whose rows go to machines by this contract.
    pub fn new(schema: &'static str, columns: Vec<Column<R>>) -> Table<R> {
        Table { schema: Some(schema), columns }
    }

    /// A table whose rows are values in rows of others.
    pub fn nested(columns: Vec<Column<R>>) -> Table<R> {
        Table { schema: None, columns }
    }

    /// A row's keys and values, for machines.
    pub fn record(&self, of: &R) -> Vec<(&'static str, Value)> {
        let schema = self.schema.map(|schema| ("schema", schema.into()));
        let data = self.columns.iter().filter(|column| column.is_data);
        let fields = data.map(|column| (column.key, (column.value)(of), column.is_left_out));
        let given = fields.filter(|(_, value, is_left_out)| !is_left_out || *value != Value::Absent);
        schema.into_iter().chain(given.map(|(key, value, _)| (key, value))).collect()
    }

    /// Rows as one value of another table's row.
    pub fn records<'r>(&self, rows: impl IntoIterator<Item = &'r R>) -> Value
    where
        R: 'r,
    {
        Value::List(rows.into_iter().map(|row| Value::Record(self.record(row))).collect())
    }

    /// Makes each column that is shown as narrow as its title and these rows allow.
    #[must_use]
    pub fn fitted<'r>(mut self, rows: impl Iterator<Item = &'r R> + Clone) -> Table<R>
    where
        R: 'r,
    {
        for column in &mut self.columns {
            let widest = rows.clone().map(|row| super::text::width(&column.text(row))).max().unwrap_or(0);
            if let Some(shown) = &mut column.shown {
                shown.width = widest.min(shown.width).max(shown.title.chars().count());
            }
        }
        self
    }

    /// What is wrong with the declaration, in a sentence each; a test of each table asks.
    pub fn faults(&self) -> Vec<String> {
        let data: Vec<&str> = self.columns.iter().filter(|c| c.is_data).map(|c| c.key).collect();
        let mut faults = Vec::new();
        for (n, key) in data.iter().enumerate() {
            if key.is_empty() || data[..n].contains(key) {
                faults.push(format!("`{key}` is no name for one column"));
            }
        }
        for column in &self.columns {
            let (key, title) = (column.key, column.shown.map_or("", |shown| shown.title));
            if !column.is_data && !data.contains(&key) {
                faults.push(format!("column {title} is taken from `{key}`, which no machine gets"));
            }
            if let Some(ending) = column.kind.key_ending().filter(|e| column.is_data && !key.ends_with(e)) {
                faults.push(format!("`{key}` does not tell its unit: it should end with `{ending}`"));
            }
        }
        faults
    }
}

impl<R> Column<R> {
    /// A column for machines; [`Column::titled`] shows it to people too.
    pub fn new<V: Into<Value>>(
        key: &'static str,
        kind: Kind,
        value: impl Fn(&R) -> V + 'static,
    ) -> Column<R> {
        let value = Box::new(move |row: &R| value(row).into());
        let (is_data, is_left_out) = (true, false);
        Column { key, kind, is_data, is_left_out, shown: None, value, text: None, tone: None }
    }

    /// A column for people only, taken from the data under the key `of`.
    pub fn derived<V: Into<Value>>(
        of: &'static str,
        kind: Kind,
        value: impl Fn(&R) -> V + 'static,
    ) -> Column<R> {
        Column { is_data: false, ..Column::new(of, kind, value) }
    }

    /// Shown under a heading, so many characters wide at most and at least as wide as that.
    #[must_use]
    pub fn titled(mut self, title: &'static str, width: usize) -> Column<R> {
        self.shown = Some(Shown { title, width: width.max(title.chars().count()), is_right: false });
        self
    }

    /// Shown at the right end of its column, whatever its kind.
    #[must_use]
    pub fn right(mut self) -> Column<R> {
        if let Some(shown) = &mut self.shown {
            shown.is_right = true;
        }
        self
    }

    /// Shown in other words than those of its kind.
    #[must_use]
    pub fn worded(mut self, text: impl Fn(&R) -> String + 'static) -> Column<R> {
        self.text = Some(Box::new(text));
        self
    }

    /// Shown with a meaning.
    #[must_use]
    pub fn toned(mut self, tone: impl Fn(&R) -> Tone + 'static) -> Column<R> {
        self.tone = Some(Box::new(tone));
        self
    }

    /// Without its key, instead of null, where there is no value.
    #[must_use]
    pub fn left_out_if_absent(mut self) -> Column<R> {
        self.is_left_out = true;
        self
    }

    /// True if its cells go to the right end.
    pub(super) fn is_right_aligned(&self) -> bool {
        self.kind.is_number() || self.shown.is_some_and(|shown| shown.is_right)
    }

    /// The text of its cell in a row.
    pub(super) fn text(&self, row: &R) -> String {
        match &self.text {
            Some(text) => text(row),
            None => self.kind.text(&(self.value)(row)),
        }
    }

    /// The meaning of its cell in a row.
    pub(super) fn tone(&self, row: &R) -> Tone {
        self.tone.as_ref().map_or(Tone::Plain, |tone| tone(row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ints(columns: Vec<Column<u64>>) -> Table<u64> {
        Table::nested(columns)
    }

    #[test]
    fn table_without_a_key_for_what_it_shows_is_at_fault() {
        let shown = |of| Column::derived(of, Kind::Count, |n: &u64| *n).titled("N", 3);
        assert!(ints(vec![Column::new("n", Kind::Count, |n: &u64| *n), shown("n")]).faults().is_empty());

        let faults = ints(vec![shown("n")]).faults();
        assert_eq!(faults, ["column N is taken from `n`, which no machine gets"]);
    }

    #[test]
    fn table_with_a_key_twice_or_a_key_without_its_unit_is_at_fault() {
        let column = |key, kind| Column::new(key, kind, |n: &u64| *n);
        let twice = ints(vec![column("n", Kind::Count), column("n", Kind::Count)]).faults();
        assert_eq!(twice, ["`n` is no name for one column"]);

        let unit = ints(vec![column("wait", Kind::Ns), column("steal_ns", Kind::Ns)]).faults();
        assert_eq!(unit, ["`wait` does not tell its unit: it should end with `_ns`"]);
    }
}
