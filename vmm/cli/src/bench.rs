//! `umpire bench`: the promised numbers, measured here and now.
//!
//! # Invariants
//! - A measurement is printed as soon as it is there, so that an error later on loses nothing.
//! - Goals are shown beside what was measured; a missed goal is marked, not an error.

use std::io;

use serde::Serialize;

use super::Backends;
use super::exit::Exit;
use super::streams::Streams;
use crate::json;
use umpire_referee::RunError;
use umpire_referee::bench::{BenchRow, Better};
use umpire_rows::table::{Align, Cell, Column, Table, Tone};

/// Takes all measurements, handing out each as it comes.
pub type Bench<'a> = dyn FnMut(&mut dyn FnMut(BenchRow)) -> Result<(), RunError> + 'a;

#[derive(Serialize)]
struct Line<'r> {
    schema: &'static str,
    what: &'r str,
    value: f64,
    goal: f64,
    unit: &'static str,
    met: bool,
    note: &'r str,
    host: &'r str,
}

/// Runs the benchmark, as a table or as JSON lines.
pub(super) fn bench(json: bool, mut backends: Backends<'_>, streams: &mut Streams<'_>) -> io::Result<Exit> {
    let host = super::doctor::host_name();
    let table = Table::new(
        vec![
            Column::new("WHAT", 57, Align::Left),
            Column::new("MEASURED", 14, Align::Right),
            Column::new("GOAL", 14, Align::Right),
            Column::new("MET", 3, Align::Left),
            Column::new("NOTE", 110, Align::Left),
        ],
        None,
    );
    streams.narrate("umpire bench: this takes a minute; a busy host spoils it");
    if !json {
        streams.line(&format!("host: {host}"))?;
        streams.line(&table.header())?;
    }
    let mut written = Ok(());
    let result = (backends.bench)(&mut |row| {
        let line = if json { json_line(&row, &host) } else { table.row(&cells(&row)) };
        if written.is_ok() {
            written = streams.line(&line);
        }
    });
    written?;
    match result {
        Ok(()) => Ok(Exit::Pass),
        Err(e) => {
            streams.say(&format!("umpire: {e}"));
            Ok(Exit::Usage)
        }
    }
}

/// `umpire boot-probe`: one boot, two numbers.
pub(super) fn boot_probe(spawned_at_ns: u64, streams: &mut Streams<'_>) -> io::Result<Exit> {
    match umpire_referee::bench::boot_probe(spawned_at_ns) {
        Ok((total_ns, create_ns)) => {
            streams.line(&format!("{total_ns} {create_ns}"))?;
            Ok(Exit::Pass)
        }
        Err(e) => {
            streams.say(&format!("umpire: {e}"));
            Ok(Exit::Usage)
        }
    }
}

fn cells(row: &BenchRow) -> Vec<Cell> {
    let sign = if row.better == Better::Less { "<=" } else { ">=" };
    let met = if row.is_met() { ("yes", Tone::Good) } else { ("NO", Tone::Bad) };
    vec![
        row.what.as_str().into(),
        format!("{} {}", number(row.value), row.unit).into(),
        format!("{sign} {} {}", number(row.goal), row.unit).into(),
        Cell { text: met.0.to_owned(), tone: met.1 },
        row.note.as_str().into(),
    ]
}

fn number(value: f64) -> String {
    match value.abs() {
        v if v == v.trunc() || v >= 1000.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn json_line(row: &BenchRow, host: &str) -> String {
    json::line(&Line {
        schema: "umpire.bench/1",
        what: &row.what,
        value: row.value,
        goal: row.goal,
        unit: row.unit,
        met: row.is_met(),
        note: &row.note,
        host,
    })
}
