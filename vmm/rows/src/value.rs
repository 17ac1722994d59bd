//! One cell: a value, what kind of value its column holds, and what it means to its reader.
//!
//! # Invariants
//! - A value is data: the unit of a number is its column's [`Kind`], and text comes from that.

use std::fmt;
use std::rc::Rc;

use anstyle::{AnsiColor, Style};

use super::number;

/// The value of a cell.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// There is none.
    Absent,
    /// Words.
    Text(String),
    /// A whole number, in the unit of its column.
    Int(u64),
    /// A whole number that may be negative, in the unit of its column.
    Signed(i64),
    /// A measured number, in the unit of its column or of its row.
    Float(f64),
    /// Yes or no.
    Flag(bool),
    /// Several of the same.
    List(Vec<Value>),
    /// A row of another table: keys and values, in their order.
    Record(Vec<(&'static str, Value)>),
    /// A value that is made when somebody asks: rows of another table, which people do not see.
    Later(Later),
}

/// How a value is made when somebody asks for it.
#[derive(Clone)]
pub struct Later(Rc<dyn Fn() -> Value>);

impl Later {
    /// The value.
    pub fn made(&self) -> Value {
        (self.0)()
    }
}

/// Two are alike if what they make is.
impl PartialEq for Later {
    fn eq(&self, other: &Later) -> bool {
        self.made() == other.made()
    }
}

impl fmt::Debug for Later {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.made().fmt(f)
    }
}

impl Value {
    /// The value that this makes, from what it owns, once somebody asks.
    pub fn later(make: impl Fn() -> Value + 'static) -> Value {
        Value::Later(Later(Rc::new(make)))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Value {
        Value::Int(number)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Signed(number)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Value {
        Value::Float(number)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Value {
        Value::Flag(flag)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Value {
        value.map_or(Value::Absent, Into::into)
    }
}

impl<T: Into<Value>> FromIterator<T> for Value {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Value {
        Value::List(values.into_iter().map(Into::into).collect())
    }
}

/// What the values of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Words.
    Text,
    /// One of a few words.
    State,
    /// Yes or no.
    Flag,
    /// How many.
    Count,
    /// Bytes.
    Bytes,
    /// A duration in nanoseconds.
    Ns,
    /// An address in the guest.
    Address,
    /// Per cent.
    Percent,
    /// A measured number whose unit its row tells.
    Measured,
    /// Rows of another table, or a list.
    Nested,
}

impl Kind {
    /// True if text of it goes to the right end of its column: numbers.
    pub fn is_number(self) -> bool {
        matches!(self, Kind::Count | Kind::Bytes | Kind::Ns | Kind::Percent | Kind::Measured)
    }

    /// How the key of such a column ends, if its unit has to be told.
    pub fn key_ending(self) -> Option<&'static str> {
        match self {
            Kind::Ns => Some("_ns"),
            Kind::Bytes => Some("_bytes"),
            Kind::Percent => Some("_percent"),
            _ => None,
        }
    }

    /// A value of this kind as people read it; `-` where there is none.
    pub fn text(self, value: &Value) -> String {
        match value {
            Value::Absent => "-".to_owned(),
            Value::Text(text) => text.clone(),
            Value::Flag(flag) => if *flag { "yes" } else { "no" }.to_owned(),
            Value::Signed(number) => number.to_string(),
            Value::Float(number) => number::measured(*number),
            Value::Int(number) => match self {
                Kind::Ns => number::rounded(*number),
                Kind::Bytes => number::bytes(*number),
                Kind::Address => format!("{number:016x}"),
                Kind::Percent => format!("{number}%"),
                _ => number.to_string(),
            },
            Value::List(values) => joined(values.iter().map(|value| self.text(value))),
            Value::Record(fields) => joined(fields.iter().map(|(_, value)| self.text(value))),
            Value::Later(later) => self.text(&later.made()),
        }
    }
}

fn joined(texts: impl Iterator<Item = String>) -> String {
    texts.collect::<Vec<_>>().join(", ")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_a_number_is_that_of_its_column_s_kind() {
        let cases = [
            (Kind::Count, "1536"),
            (Kind::Ns, "1.54us"),
            (Kind::Bytes, "1.50 KiB"),
            (Kind::Address, "0000000000000600"),
            (Kind::Percent, "1536%"),
        ];
        for (kind, text) in cases {
            assert_eq!(kind.text(&Value::Int(1536)), text, "{kind:?}");
        }
    }

    #[test]
    fn text_of_what_is_absent_is_a_dash_whatever_the_kind() {
        assert_eq!(Kind::Ns.text(&None::<u64>.into()), "-");
        assert_eq!(Kind::Text.text(&None::<String>.into()), "-");
    }

    #[test]
    fn text_of_a_list_and_of_a_row_names_each_value() {
        let row = Value::Record(vec![("a", 1_u64.into()), ("b", true.into())]);
        assert_eq!(Kind::Nested.text(&row), "1, yes");
        assert_eq!(Kind::Nested.text(&["x", "y"].into_iter().collect()), "x, y");
    }
    #[test]
    fn value_that_is_made_later_is_what_it_makes() {
        let later = Value::later(|| ["x", "y"].into_iter().collect());
        assert_eq!(Kind::Nested.text(&later), "x, y");
        assert_eq!(later, Value::later(|| Value::List(vec!["x".into(), "y".into()])));
        assert_ne!(later, Value::later(|| Value::Absent));
        assert_eq!(serde_json::to_string(&later).expect("JSON"), r#"["x","y"]"#);
    }
}
