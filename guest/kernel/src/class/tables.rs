//! Dispatcher tables that the scenario brings, in the place of the built-in ones (`dispadmin -s`).
//!
//! # Invariants
//! - A table has all rows of its class or none; the host checks that, and the values' ranges.
//! - Tables are written before the first thread exists, and never change.

use alloc::boxed::Box;

use super::CLASSES;
use crate::platform;
use umpire_shared::program::{Program, ROW_VALUES};

/// One class's replaced table: no rows if the built-in one is in force.
#[derive(Debug)]
pub struct ClassTable {
    rows: Box<[[i64; ROW_VALUES]]>,
}

impl ClassTable {
    /// Its rows, as the scenario has them.
    pub fn rows(&self) -> &[[i64; ROW_VALUES]] {
        &self.rows
    }
}

/// The scenario's tables by class number.
pub fn class_tables(program: &Program<'_>) -> Box<[ClassTable]> {
    let table = |cid| {
        let rows = program.tables().filter(|row| row.class as usize == cid).map(|row| row.values);
        ClassTable { rows: rows.collect() }
    };
    (0..CLASSES.len()).map(table).collect()
}

/// Row `n` of class `cid` as the scenario has it, if it has one.
pub(super) fn replaced(cid: u8, n: usize) -> Option<&'static [i64; ROW_VALUES]> {
    platform::kernel().k_class.class_tables[cid as usize].rows.get(n)
}

/// Row `n`'s quantum of a class whose rows are quanta: the scenario's, or `built_in`. In ticks.
pub(super) fn quantum(cid: u8, n: usize, built_in: i32) -> i32 {
    replaced(cid, n).map_or(built_in, |row| row[0] as i32)
}
