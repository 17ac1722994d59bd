//! `umpire list`: the built-in scenarios.
//!
//! # Invariants
//! - What is listed can be run by the ID that is listed.

use std::io;

use super::exit::Exit;
use super::streams::Streams;
use crate::scenario::builtin::BUILTIN;
use crate::show::json;
use crate::show::table::{Align, Column, Table};

/// Lists every built-in scenario, as a table or as JSON lines.
pub(super) fn list(json: bool, streams: &mut Streams<'_>) -> io::Result<Exit> {
    let mut exit = Exit::Pass;
    let mut scenarios = Vec::new();
    for builtin in BUILTIN {
        match builtin.scenario() {
            Ok(scenario) => scenarios.push((scenario, builtin.is_mutant)),
            Err(e) => {
                streams.say(&format!("umpire: {e}"));
                exit = Exit::Usage;
            }
        }
    }
    if json {
        for (scenario, is_mutant) in &scenarios {
            streams.line(&json::list(scenario, *is_mutant))?;
        }
        return Ok(exit);
    }
    let widest = |of: &dyn Fn(usize) -> usize| (0..scenarios.len()).map(of).max().unwrap_or(0);
    let columns = vec![
        Column::new("ID", widest(&|n| scenarios[n].0.id.len()), Align::Left),
        Column::new("SOURCE", widest(&|n| scenarios[n].0.source.len()), Align::Left),
        Column::new("TITLE", widest(&|n| scenarios[n].0.title.len()), Align::Left),
    ];
    let table = Table::new(columns, None);
    streams.line(&table.header())?;
    for (scenario, _) in &scenarios {
        let cells =
            [scenario.id.as_str().into(), scenario.source.as_str().into(), scenario.title.as_str().into()];
        streams.line(&table.row(&cells))?;
        if !scenario.teaches.is_empty() {
            streams.line(&format!("    {}", scenario.teaches))?;
        }
    }
    Ok(exit)
}
