//! `umpire list`: the built-in scenarios, and what is in one.
//!
//! # Invariants
//! - What is listed can be run by the ID that is listed.
//! - A scenario takes one line, so that thirty fit a screen; kernels that are broken on purpose come last.

use std::ffi::OsString;
use std::io;

use super::args::ListArgs;
use super::exit::Exit;
use super::streams::Streams;
use crate::contents;
use crate::load::{load, once};
use umpire_rows::{Column, Kind, Table, Value, json, text};
use umpire_scenario::builtin::{self, BUILTIN};
use umpire_scenario::{Scenario, ScenarioError};

/// The schema of a row.
const SCHEMA: &str = "umpire.list/1";

/// Lists every built-in scenario, or tells of those that are named; as text or as JSON lines.
pub(super) fn list(args: &ListArgs, streams: &mut Streams<'_>) -> io::Result<Exit> {
    if let Err(message) = once(&args.scenarios) {
        streams.say(&format!("umpire: {message}"));
        return Ok(Exit::Usage);
    }
    let mut exit = Exit::Pass;
    let mut scenarios = Vec::new();
    for (scenario, is_mutant) in wanted(&args.scenarios) {
        match scenario {
            Ok(scenario) => scenarios.push(Listed { scenario, is_mutant }),
            Err(e) => {
                streams.say(&format!("umpire: {e}"));
                exit = Exit::Usage;
            }
        }
    }
    if args.json {
        let table = table();
        for listed in &scenarios {
            streams.line(&json::line(&table, listed))?;
        }
    } else if args.scenarios.is_empty() {
        index(&scenarios, streams)?;
    } else {
        for listed in &scenarios {
            streams.line(&contents::contents(&listed.scenario))?;
        }
    }
    Ok(exit)
}

fn wanted(words: &[OsString]) -> Vec<(Result<Scenario, ScenarioError>, bool)> {
    if words.is_empty() {
        return BUILTIN.iter().map(|builtin| (builtin.scenario(), builtin.is_mutant)).collect();
    }
    let is_mutant =
        |word: &OsString| word.to_str().and_then(builtin::find).is_some_and(|builtin| builtin.is_mutant);
    words.iter().map(|word| (load(word), is_mutant(word))).collect()
}

/// A scenario of the list.
struct Listed {
    scenario: Scenario,
    /// True if its kernel has a rule switched off.
    is_mutant: bool,
}

fn table() -> Table<Listed> {
    Table::new(
        SCHEMA,
        vec![
            column("id", |s| s.id.clone()).titled("ID", usize::MAX),
            column("source", |s| s.source.clone()).titled("SOURCE", 40),
            column("title", |s| s.title.clone()),
            column("teaches", |s| s.teaches.clone())
                .titled("TEACHES", usize::MAX)
                .worded(|listed: &Listed| lesson(&listed.scenario).to_owned()),
            Column::new("mutant", Kind::Flag, |listed: &Listed| listed.is_mutant),
            Column::new("variants", Kind::Nested, |listed: &Listed| {
                listed.scenario.variants.iter().map(|v| v.name.as_str()).collect::<Value>()
            }),
            Column::new("bounds", Kind::Nested, |listed: &Listed| {
                contents::bounds(&listed.scenario).collect::<Value>()
            }),
            Column::new("events", Kind::Nested, |listed: &Listed| {
                let run_ns = listed.scenario.run_ns;
                listed.scenario.script().into_iter().map(|e| contents::event(e, run_ns)).collect::<Value>()
            }),
        ],
    )
}

/// A column of words about the scenario.
fn column(key: &'static str, value: impl Fn(&Scenario) -> String + 'static) -> Column<Listed> {
    Column::new(key, Kind::Text, move |listed: &Listed| value(&listed.scenario))
}

/// A line a scenario: ID, source, and what it teaches, each group by ID.
fn index(scenarios: &[Listed], streams: &mut Streams<'_>) -> io::Result<()> {
    let table = table().fitted(scenarios.iter());
    streams.line(&text::header(&table, None))?;
    for (group, heading) in [(false, ""), (true, "Mutants, kernels with one rule switched off:")] {
        let mut rows: Vec<&Listed> = scenarios.iter().filter(|listed| listed.is_mutant == group).collect();
        rows.sort_by(|a, b| a.scenario.id.cmp(&b.scenario.id));
        if !rows.is_empty() && !heading.is_empty() {
            streams.line(&format!("\n{heading}"))?;
        }
        for listed in rows {
            streams.line(text::row(&table, None, listed).trim_end())?;
        }
    }
    Ok(())
}

/// What a scenario teaches, or else what it shows.
fn lesson(scenario: &Scenario) -> &str {
    if scenario.teaches.is_empty() { &scenario.title } else { &scenario.teaches }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_of_the_list_is_declared_rightly() {
        assert_eq!(table().faults(), [""; 0]);
    }
}
