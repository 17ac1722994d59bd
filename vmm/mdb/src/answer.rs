//! An answer: the rows that a command came back with, each as data, as text and as what it is worth to a pipe.
//!
//! # Invariants
//! - A row says the same to every reader: its text is made of its data when the row is made.
//! - A command that ends early, at corrupt memory, keeps the rows that it has and says why it ended.

use umpire_rows::{Table, Value, printf};

use crate::lang::Failure;

/// A row.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Row {
    /// What it is worth: an address, for the next command of the pipeline.
    pub value: Option<u64>,
    /// How people see it: a line, or several.
    pub text: String,
    /// Keys and values, for machines.
    pub data: Vec<(&'static str, Value)>,
}

/// What a command came back with.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answer {
    /// The line of headings, which people see once in front of the rows of a loop.
    pub header: Option<String>,
    /// The rows.
    pub rows: Vec<Row>,
    /// Why the rows end before they should, if they do.
    pub ended: Option<Failure>,
}

impl Row {
    /// A line of text, which is its own data.
    pub fn line(text: impl Into<String>) -> Row {
        let text = text.into();
        Row { value: None, data: vec![("text", text.as_str().into())], text }
    }

    /// A value by itself, as walkers give it.
    pub fn address(value: u64) -> Row {
        Row { value: Some(value), text: format!("0x{value:x}"), data: vec![("addr", value.into())] }
    }

    /// The same row, worth so much to a pipe.
    #[must_use]
    pub fn worth(mut self, value: u64) -> Row {
        self.value = Some(value);
        self
    }

    /// The same row with one more value for machines.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl Into<Value>) -> Row {
        self.data.push((key, value.into()));
        self
    }
}

impl Answer {
    /// An answer of rows without headings.
    pub fn rows(rows: impl IntoIterator<Item = Row>) -> Answer {
        Answer { rows: rows.into_iter().collect(), ..Answer::default() }
    }

    /// An answer of one line of text.
    pub fn line(text: impl Into<String>) -> Answer {
        Answer::rows([Row::line(text)])
    }

    /// An answer of addresses.
    pub fn addresses(all: impl IntoIterator<Item = u64>) -> Answer {
        Answer::rows(all.into_iter().map(Row::address))
    }

    /// The rows of a table; `worth` says what each is worth to a pipe.
    pub fn table<R>(table: &Table<R>, rows: &[R], worth: impl Fn(&R) -> Option<u64>) -> Answer {
        let row = |of: &R| Row { value: worth(of), text: printf::row(table, of), data: table.record(of) };
        Answer { header: Some(printf::header(table)), rows: rows.iter().map(row).collect(), ended: None }
    }

    /// The same answer, which ends before it should.
    #[must_use]
    pub fn ended(mut self, why: Option<Failure>) -> Answer {
        self.ended = why;
        self
    }
}
