//! `umpire list`: the built-in scenarios, and what is in one.
//!
//! # Invariants
//! - What is listed can be run by the ID that is listed.
//! - A scenario takes one line, so that thirty fit a screen; kernels that are broken on purpose come last.

use std::io;

use super::args::ListArgs;
use super::exit::Exit;
use super::streams::Streams;
use crate::{contents, json};
use umpire_rows::table::{Align, Column, Table};
use umpire_scenario::builtin::{self, BUILTIN};
use umpire_scenario::{Scenario, ScenarioError, load};

/// Lists every built-in scenario, or tells of those that are named; as text or as JSON lines.
pub(super) fn list(args: &ListArgs, streams: &mut Streams<'_>) -> io::Result<Exit> {
    let mut exit = Exit::Pass;
    let mut scenarios = Vec::new();
    for (scenario, is_mutant) in wanted(&args.scenarios) {
        match scenario {
            Ok(scenario) => scenarios.push((scenario, is_mutant)),
            Err(e) => {
                streams.say(&format!("umpire: {e}"));
                exit = Exit::Usage;
            }
        }
    }
    if args.json {
        for (scenario, is_mutant) in &scenarios {
            streams.line(&json::list(scenario, *is_mutant))?;
        }
    } else if args.scenarios.is_empty() {
        index(&scenarios, streams)?;
    } else {
        for (scenario, _) in &scenarios {
            streams.line(&contents::contents(scenario))?;
        }
    }
    Ok(exit)
}

fn wanted(words: &[String]) -> Vec<(Result<Scenario, ScenarioError>, bool)> {
    if words.is_empty() {
        return BUILTIN.iter().map(|builtin| (builtin.scenario(), builtin.is_mutant)).collect();
    }
    let is_mutant = |word: &str| builtin::find(word).is_some_and(|builtin| builtin.is_mutant);
    words.iter().map(|word| (load(word), is_mutant(word))).collect()
}

/// A line a scenario: ID, source, and what it teaches, each group by ID.
fn index(scenarios: &[(Scenario, bool)], streams: &mut Streams<'_>) -> io::Result<()> {
    let widest = |of: &dyn Fn(&Scenario) -> usize| scenarios.iter().map(|(s, _)| of(s)).max().unwrap_or(0);
    let columns = vec![
        Column::new("ID", widest(&|s| s.id.chars().count()), Align::Left),
        Column::new("SOURCE", widest(&|s| s.source.chars().count()).min(40), Align::Left),
        Column::new("TEACHES", widest(&|s| lesson(s).chars().count()), Align::Left),
    ];
    let table = Table::new(columns, None);
    streams.line(&table.header())?;
    for (group, heading) in [(false, ""), (true, "Mutants, kernels with one rule switched off:")] {
        let mut rows: Vec<&Scenario> =
            scenarios.iter().filter(|(_, is_mutant)| *is_mutant == group).map(|(s, _)| s).collect();
        rows.sort_by(|a, b| a.id.cmp(&b.id));
        if !rows.is_empty() && !heading.is_empty() {
            streams.line(&format!("\n{heading}"))?;
        }
        for scenario in rows {
            let cells =
                [scenario.id.as_str().into(), scenario.source.as_str().into(), lesson(scenario).into()];
            streams.line(table.row(&cells).trim_end())?;
        }
    }
    Ok(())
}

/// What a scenario teaches, or else what it shows.
fn lesson(scenario: &Scenario) -> &str {
    if scenario.teaches.is_empty() { &scenario.title } else { &scenario.teaches }
}
