//! Tables and values of a scenario file, each knowing where it stands, read strictly.
//!
//! # Invariants
//! - A table is opened with the keys it may have; any other key is a fault, before anything is read from it.
//! - Every value that is asked for is checked for type and range here, so that a fault points at it.

use std::borrow::Cow;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::duration;
use super::error::{Fault, Text, quoted};
use super::suggest::{choices, hint};
use umpire_rows::number;

/// One table of the file.
#[derive(Debug, Clone)]
pub(super) struct Fields<'t> {
    text: Text<'t>,
    what: &'static str,
    span: Range<usize>,
    table: &'t DeTable<'t>,
}

impl<'t> Fields<'t> {
    /// Opens a table that may have `keys` and no others. `what` is how messages call it.
    pub fn open(
        text: Text<'t>,
        what: &'static str,
        table: &'t Spanned<DeTable<'t>>,
        keys: &[&str],
    ) -> Result<Self, Box<Fault>> {
        Self::checked(text, what, (table.span(), table.get_ref()), keys)
    }

    fn checked(
        text: Text<'t>,
        what: &'static str,
        (span, table): (Range<usize>, &'t DeTable<'t>),
        keys: &[&str],
    ) -> Result<Self, Box<Fault>> {
        let fields = Fields { text, what, span, table };
        for entry in fields.entries() {
            if !keys.contains(&entry.key.as_ref()) {
                let message =
                    format!("{what} has no field `{}`{}", quoted(&entry.key), hint(&entry.key, keys));
                return Err(entry.key_fault(message).help(choices(keys)));
            }
        }
        Ok(fields)
    }

    /// Every entry, in the order of the file.
    pub fn entries(&self) -> Vec<Value<'t>> {
        let mut entries: Vec<Value<'t>> = self
            .table
            .iter()
            .map(|(key, item)| Value {
                text: self.text,
                key: Cow::Borrowed(key.get_ref().as_ref()),
                key_span: key.span(),
                item,
            })
            .collect();
        entries.sort_by_key(|entry| entry.key_span.start);
        entries
    }

    /// The value of a key, if it is there.
    pub fn get(&self, key: &str) -> Option<Value<'t>> {
        self.entries().into_iter().find(|entry| entry.key == key)
    }

    /// The value of a key that must be there; `example` shows how it is written.
    pub fn need(&self, key: &str, example: &str) -> Result<Value<'t>, Box<Fault>> {
        self.get(key).ok_or_else(|| {
            self.fault(format!("{} needs the field `{key}`", self.what))
                .help(format!("add: {key} = {example}"))
        })
    }

    /// The value of a key, read, if the key is there.
    pub fn optional<T>(
        &self,
        key: &str,
        read: impl Fn(&Value<'t>) -> Result<T, Box<Fault>>,
    ) -> Result<Option<T>, Box<Fault>> {
        self.get(key).map(|value| read(&value)).transpose()
    }

    /// The tables of an array of tables, read; none if the key is not there.
    pub fn tables<T>(
        &self,
        key: &str,
        read: impl Fn(&Value<'t>) -> Result<T, Box<Fault>>,
    ) -> Result<Vec<T>, Box<Fault>> {
        match self.get(key) {
            Some(list) => list.list_of_tables()?.iter().map(read).collect(),
            None => Ok(Vec::new()),
        }
    }

    /// A fault of the table as a whole.
    pub fn fault(&self, message: impl Into<String>) -> Box<Fault> {
        // A table's own span may be all of its lines: the first one is enough to find it.
        self.text.fault(self.span.clone(), message)
    }
}

/// One key and its value.
#[derive(Debug, Clone)]
pub(super) struct Value<'t> {
    text: Text<'t>,
    /// The key's name.
    pub key: Cow<'t, str>,
    key_span: Range<usize>,
    item: &'t Spanned<DeValue<'t>>,
}

impl<'t> Value<'t> {
    /// A fault of the value.
    pub fn fault(&self, message: impl Into<String>) -> Box<Fault> {
        self.text.fault(self.item.span(), message)
    }

    /// A fault at a character (from 0) of a string value.
    pub fn fault_inside(&self, offset: usize, message: impl Into<String>) -> Box<Fault> {
        let span = self.item.span();
        let raw = self.text.text.get(span.clone()).unwrap_or_default();
        // A character of the value can be found by counting only in a plain string.
        let plain =
            self.item.get_ref().as_str().is_some_and(|value| raw.get(1..1 + value.len()) == Some(value));
        let at = raw.char_indices().nth(1 + offset).map_or(span.end, |(n, _)| span.start + n);
        self.text.fault(if plain && at < span.end { at..at + 1 } else { span }, message)
    }

    /// A fault at some bytes of a string value that may have many lines.
    pub fn fault_at(&self, bytes: Range<usize>, message: impl Into<String>) -> Box<Fault> {
        let span = self.item.span();
        let raw = self.text.text.get(span.clone()).unwrap_or_default();
        // A text with escapes stands in the file otherwise than it is read: then the fault points at the whole value.
        let inside = self.item.get_ref().as_str().and_then(|value| raw.find(value)).map(|n| span.start + n);
        let place = inside.map_or(span, |start| start + bytes.start..start + bytes.end);
        self.text.fault(place, message)
    }

    /// A fault of the key.
    pub fn key_fault(&self, message: impl Into<String>) -> Box<Fault> {
        self.text.fault(self.key_span.clone(), message)
    }

    fn wrong_type(&self, expected: &str) -> Box<Fault> {
        let found = self.item.get_ref().type_str();
        self.fault(format!(
            "expected {expected} for `{}`, found {} {found}",
            quoted(&self.key),
            article(found)
        ))
    }

    /// Whether it is a string (where a table is allowed too).
    pub fn is_string(&self) -> bool {
        self.item.get_ref().is_str()
    }

    /// Whether it is a whole number (where a string or a table is allowed too).
    pub fn is_number(&self) -> bool {
        self.item.get_ref().is_integer()
    }

    /// Whether it is a table (where a number is allowed too).
    pub fn is_table(&self) -> bool {
        self.item.get_ref().is_table()
    }

    /// A string.
    pub fn string(&self) -> Result<&'t str, Box<Fault>> {
        self.item.get_ref().as_str().ok_or_else(|| self.wrong_type("a string"))
    }

    /// A string of one printable, non-empty line of at most `max` characters.
    pub fn line(&self, max: usize) -> Result<&'t str, Box<Fault>> {
        let line = self.string()?;
        let length = line.chars().count();
        if line.trim().is_empty() || length > max || line.chars().any(char::is_control) {
            let found = format!("`{}` must be one line of 1 to {max} characters, found {length}", self.key);
            return Err(self.fault(found));
        }
        Ok(line)
    }

    /// One of some words, as its place among them.
    pub fn word(&self, what: &str, words: &[&str]) -> Result<usize, Box<Fault>> {
        let found = self.string()?;
        words.iter().position(|word| *word == found).ok_or_else(|| self.unknown(what, found, words))
    }

    /// The fault of a key that is none of `names`.
    pub fn unknown_key(&self, what: &str, names: &[&str]) -> Box<Fault> {
        self.key_fault(format!("unknown {what} `{}`{}", quoted(&self.key), hint(&self.key, names)))
            .help(choices(names))
    }

    /// The fault of a name that is none of `names`.
    pub fn unknown(&self, what: &str, found: &str, names: &[&str]) -> Box<Fault> {
        self.fault(format!("unknown {what} `{}`{}", quoted(found), hint(found, names))).help(choices(names))
    }

    /// A whole number from `min` to `max`.
    pub fn number(&self, min: i64, max: i64) -> Result<i64, Box<Fault>> {
        let Some(integer) = self.item.get_ref().as_integer() else {
            return Err(self.wrong_type("a whole number"));
        };
        match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) if (min..=max).contains(&number) => Ok(number),
            _ => Err(self.fault(format!(
                "`{}` must be from {min} to {max}, found {}",
                quoted(&self.key),
                quoted(integer.as_str())
            ))),
        }
    }

    /// `true` or `false`.
    pub fn boolean(&self) -> Result<bool, Box<Fault>> {
        self.item.get_ref().as_bool().ok_or_else(|| self.wrong_type("true or false"))
    }

    /// A duration string, in ns, from `min_ns` to `max_ns`.
    pub fn duration(&self, min_ns: u64, max_ns: u64) -> Result<u64, Box<Fault>> {
        let text = self
            .item
            .get_ref()
            .as_str()
            .ok_or_else(|| self.wrong_type("a duration string like \"500ms\""))?;
        let ns = duration::parse(text).map_err(|e| self.fault(format!("`{}`: {e}", quoted(&self.key))))?;
        if !(min_ns..=max_ns).contains(&ns) {
            let (min, max) = (number::exact(min_ns), number::exact(max_ns));
            return Err(self.fault(format!("`{}` must be from {min} to {max}", self.key)));
        }
        Ok(ns)
    }

    /// A number of bytes with its unit (k, m), from `min` to `max`, which are whole KiB.
    pub fn bytes(&self, min: u64, max: u64) -> Result<u64, Box<Fault>> {
        const EXAMPLE: &str = "a string of bytes with a unit (k, m) like \"4m\"";
        let text = self.item.get_ref().as_str().ok_or_else(|| self.wrong_type(EXAMPLE))?;
        let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
        let shift = match unit {
            "k" => 10,
            "m" => 20,
            _ => {
                let found = super::error::quoted(text);
                return Err(self.fault(format!("expected {EXAMPLE} for `{}`, found `{found}`", self.key)));
            }
        };
        let bytes = number.parse::<u64>().ok().and_then(|n| n.checked_mul(1 << shift));
        match bytes.filter(|bytes| (min..=max).contains(bytes)) {
            Some(bytes) => Ok(bytes),
            None => {
                let (key, found) = (&self.key, super::error::quoted(text));
                Err(self.fault(format!(
                    "`{key}` must be from {}k to {}k, found `{found}`",
                    min >> 10,
                    max >> 10
                )))
            }
        }
    }

    /// A table with these keys and no others.
    pub fn table(&self, what: &'static str, keys: &[&str]) -> Result<Fields<'t>, Box<Fault>> {
        let table = self.item.get_ref().as_table().ok_or_else(|| self.wrong_type("a table"))?;
        Fields::checked(self.text, what, (self.item.span(), table), keys)
    }

    /// A table with any keys, in the order of the file: the caller knows which are right.
    pub fn map(&self) -> Result<Vec<Value<'t>>, Box<Fault>> {
        let table = self.item.get_ref().as_table().ok_or_else(|| self.wrong_type("a table"))?;
        Ok(Fields { text: self.text, what: "", span: self.item.span(), table }.entries())
    }

    /// As [`Value::list`], of an array of tables: a single table is told how to become one of several.
    pub fn list_of_tables(&self) -> Result<Vec<Value<'t>>, Box<Fault>> {
        self.list().map_err(|fault| match self.is_table() {
            true => fault.help(format!("each has a table of its own: write [[{0}]] for [{0}]", self.key)),
            false => fault,
        })
    }

    /// The elements of an array, each under the array's key.
    pub fn list(&self) -> Result<Vec<Value<'t>>, Box<Fault>> {
        let DeValue::Array(array) = self.item.get_ref() else {
            return Err(self.wrong_type("an array"));
        };
        let element =
            |item| Value { text: self.text, key: self.key.clone(), key_span: self.key_span.clone(), item };
        Ok(array.iter().map(element).collect())
    }
}

fn article(noun: &str) -> &'static str {
    if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}
