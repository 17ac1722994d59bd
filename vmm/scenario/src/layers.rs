//! A table of a scenario and the tables that variants lay over it, read as one.
//!
//! # Invariants
//! - The topmost table that has a key decides; nothing is merged below the level of a key.

use super::error::Fault;
use super::field::{Fields, Value};

/// Tables over each other, the undermost first; there is at least one.
#[derive(Debug, Clone)]
pub(super) struct Layers<'t> {
    tables: Vec<Fields<'t>>,
}

impl<'t> Layers<'t> {
    /// One table with nothing over it.
    pub fn of(base: Fields<'t>) -> Layers<'t> {
        Layers { tables: vec![base] }
    }

    /// The same with one more table on top.
    pub fn with(&self, top: Fields<'t>) -> Layers<'t> {
        let mut layers = self.clone();
        layers.tables.push(top);
        layers
    }

    /// The topmost value of a key, and how high its table lies.
    pub fn find(&self, key: &str) -> Option<(usize, Value<'t>)> {
        let tables = self.tables.iter().enumerate();
        tables.rev().find_map(|(height, fields)| Some((height, fields.get(key)?)))
    }

    /// The topmost value of a key, if there is one.
    pub fn get(&self, key: &str) -> Option<Value<'t>> {
        self.find(key).map(|(_, value)| value)
    }

    /// The topmost value of a key that must be there; `example` shows how it is written.
    pub fn need(&self, key: &str, example: &str) -> Result<Value<'t>, Box<Fault>> {
        self.get(key).map_or_else(|| self.tables[0].need(key, example), Ok)
    }

    /// The topmost value of a key, read, if there is one.
    pub fn optional<T>(
        &self,
        key: &str,
        read: impl Fn(&Value<'t>) -> Result<T, Box<Fault>>,
    ) -> Result<Option<T>, Box<Fault>> {
        self.get(key).map(|value| read(&value)).transpose()
    }
}
