//! Which records of a probe a bound is about: `target == 1 and name ^= call`.
//!
//! ```text
//! filter := test { "and" test }
//! test   := field op value
//! field  := name | pri | cpu, and what the probe's argument holds
//! value  := a number, a word, "a quoted text", or a field that holds a number
//! ```
//!
//! # Invariants
//! - A filter asks only for fields that the probe has, each with an operator and a value that it can have.
//! - An error points at the column, counted in characters from 1, and says what was expected there.

use umpire_shared::event::{self, Kind};

use super::fields::{Field, Type, fields};
use crate::glass::TraceRecord;
use crate::monitor::FilterError;
use crate::monitor::filter::{Op, Tokens, operator};

/// A parsed filter of one probe's records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordFilter {
    tests: Vec<Test>,
    text: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Test {
    field: Field,
    op: Op,
    value: Value,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Number(i64),
    /// The number that another field holds.
    Field(Field),
    /// A name, with its byte in the text.
    Name(String, usize),
    /// True for `head`.
    End(bool),
    /// The kp queue.
    Kp,
}

impl RecordFilter {
    /// Parses a filter of the records of a probe.
    ///
    /// # Errors
    /// [`FilterError`] with the column of the first thing that does not fit.
    pub fn parse(kind: Kind, text: &str) -> Result<RecordFilter, FilterError> {
        let mut tokens = Tokens { text, at: 0 };
        let mut tests = vec![test(kind, &mut tokens)?];
        while let Some((at, word)) = tokens.next()? {
            if word != "and" {
                return Err(tokens.error(at, format!("found `{word}`, expected `and` or the end")));
            }
            tests.push(test(kind, &mut tokens)?);
        }
        Ok(RecordFilter { tests, text: text.into() })
    }

    /// The first name that fits none of these, with its column; a name with `!=` need not fit any.
    pub fn unknown_name(&self, names: &[&str]) -> Option<(&str, usize)> {
        self.tests.iter().find_map(|test| match &test.value {
            Value::Name(name, at) if test.op != Op::Ne => {
                let is_known = names.iter().any(|known| test.op.holds_for_name(known, name));
                (!is_known).then(|| (name.as_str(), self.text[..*at].chars().count() + 1))
            }
            _ => None,
        })
    }

    /// The text that was parsed.
    pub fn source(&self) -> &str {
        self.text.trim()
    }

    pub(super) fn matches(&self, record: &TraceRecord, names: &[String]) -> bool {
        self.tests.iter().all(|test| test.holds(record, names))
    }
}

impl Test {
    fn holds(&self, record: &TraceRecord, names: &[String]) -> bool {
        match &self.value {
            Value::Number(number) => self.holds_for(record, *number),
            Value::Field(other) => other.number(record).is_some_and(|number| self.holds_for(record, number)),
            Value::End(head) => self.op.holds(&event::at_head(record.arg), head),
            Value::Kp => self.op.holds(&self.field.number(record).is_none(), &true),
            Value::Name(name, _) => {
                let thread = usize::try_from(self.field.thread(record)).unwrap_or(usize::MAX);
                self.op.holds_for_name(names.get(thread).map_or("", String::as_str), name)
            }
        }
    }

    fn holds_for(&self, record: &TraceRecord, number: i64) -> bool {
        match self.field.number(record) {
            Some(found) => self.op.holds(&found, &number),
            None => self.op == Op::Ne,
        }
    }
}

fn test(kind: Kind, tokens: &mut Tokens<'_>) -> Result<Test, FilterError> {
    let known = fields(kind);
    let names: Vec<&str> = known.iter().map(|field| field.name()).collect();
    let all = names.join(", ");
    let Some((at, word)) = tokens.next()? else {
        return Err(tokens.error(tokens.at, format!("found the end, expected one of {all}")));
    };
    let Some(&field) = known.iter().find(|field| field.name() == word) else {
        let nearest = names
            .iter()
            .map(|name| (strsim::jaro_winkler(name, word), name))
            .filter(|(score, _)| *score > 0.6)
            .max_by(|a, b| a.0.total_cmp(&b.0));
        let hint = nearest.map(|(_, name)| format!("; did you mean `{name}`?")).unwrap_or_default();
        let message = format!("a record of `{}` has no `{word}`, expected one of {all}{hint}", kind.name());
        return Err(tokens.error(at, message));
    };
    let (op_at, op) = operator(tokens, field.name())?;
    let (fits, those) = match field.holds() {
        Type::Name => (matches!(op, Op::Eq | Op::Ne | Op::Begins), "==, != or ^="),
        Type::End => (matches!(op, Op::Eq | Op::Ne), "== or !="),
        Type::Number | Type::Queue => (op != Op::Begins, "==, !=, >=, <=, > or <"),
    };
    if !fits {
        let message = format!("`{}` can only be compared with {those}", field.name());
        return Err(tokens.error(op_at, message));
    }
    let Some((at, word)) = tokens.next()? else {
        let message = format!("found the end, expected what to compare `{}` with", field.name());
        return Err(tokens.error(tokens.at, message));
    };
    let wrong = |expected: &str| {
        tokens.error(at, format!("found `{word}`, expected {expected} for `{}`", field.name()))
    };
    let number = || word.parse().map(Value::Number).ok();
    let value = match field.holds() {
        Type::Name => Value::Name(word.to_owned(), at),
        Type::End => match word {
            "head" | "tail" => Value::End(word == "head"),
            _ => return Err(wrong("head or tail")),
        },
        Type::Queue if word == "kp" => Value::Kp,
        Type::Queue => number().ok_or_else(|| wrong("a CPU's number or kp"))?,
        Type::Number => {
            let others = known.iter().filter(|other| other.holds() == Type::Number && **other != field);
            let other = others.clone().find(|other| other.name() == word);
            let value = number().or_else(|| other.map(|other| Value::Field(*other)));
            value.ok_or_else(|| {
                let others: Vec<&str> = others.map(|other| other.name()).collect();
                wrong(&format!("a number or one of {}", others.join(", ")))
            })?
        }
    };
    Ok(Test { field, op, value })
}
