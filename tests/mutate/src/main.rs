//! `umpire-mutate`: puts faults into the kernel, one at a time, and counts which of them are seen, and by what.
//!
//! | file | what |
//! |---|---|
//! | `find/` | the operators: where a file can be made wrong, and how |
//! | `fault.rs`, `named.rs` | what a fault is; those that were written by hand, and those that are none |
//! | `splice.rs`, `tree.rs`, `compile.rs` | a copy of the workspace with all of them in it, and one build for all |
//! | `draw.rs` | a sample by a seed |
//! | `detect.rs`, `sighting.rs`, `process.rs`, `outcome.rs` | the cheap detectors, what they see, and what became of each fault |
//! | `memory.rs` | where each fault was seen the last time |
//! | `cover.rs` | which scenario and which test comes to its place at all |
//! | `rules.rs` | which scenario goes red when its rule is broken |
//! | `report.rs` | tables |
//!
//! # Invariants
//! - The sources of the workspace are read and never written: everything goes to `target/mutate`.

mod compile;
mod cover;
mod detect;
mod draw;
mod fault;
mod find;
mod memory;
mod named;
mod outcome;
mod process;
mod report;
mod rules;
mod sighting;
mod splice;
#[cfg(test)]
mod tests;
mod tree;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

use detect::{Detectors, Effort};
use fault::{Fault, Operator};
use outcome::Fate;
use tree::Tree;

/// Puts faults into the kernel and counts which of them the scenarios, the monitors and the tests see.
#[derive(Debug, Parser)]
#[command(name = "umpire-mutate")]
struct Args {
    /// Draws the sample.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many faults are drawn.
    #[arg(long, default_value_t = 100)]
    faults: usize,
    /// How many seeds of the simulator each variant is run with.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Workers side by side.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// Instead of a sample, the faults that were written by hand.
    #[arg(long)]
    named: bool,
    /// Instead of a sample, every fault whose name, key or number has this in it; equivalents as well.
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
    /// Instead of a sample, the faults of the functions that keep each scenario's rule, tried on that scenario.
    #[arg(long, num_args = 0.., value_name = "ID", conflicts_with_all = ["named", "only", "json"])]
    scenarios: Option<Vec<String>>,
    /// Asks only the scenarios, not the simulator's tests: ten times as fast.
    #[arg(long)]
    scenarios_only: bool,
    /// Shows the faults and tries none.
    #[arg(long)]
    list: bool,
    /// One JSON object a fault on stdout; tables and survivors go to stderr.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("mutate: {message}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> Result<(), String> {
    let root =
        Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("invariant: two folders above");
    let tree = Tree::read(root)?;
    let mut equivalent = named::equivalent()?;
    let all = tree.faults()?;
    if args.list {
        for fault in wanted(&all, args) {
            println!("{} {}\n{}", fault.id, report::place(fault), report::described(&tree, fault));
        }
        return Ok(());
    }
    let effort = Effort {
        seeds: args.seeds,
        asks_tests: !args.scenarios_only && args.scenarios.is_none(),
        wants_all: args.named || !args.only.is_empty(),
    };
    let built = compile::build(&tree, all, effort.asks_tests)?;
    let detectors = Detectors::new(&built, &tree.work, effort)?;
    if let Some(which) = &args.scenarios {
        let tried = rules::try_scenarios(&built.faults, which, &equivalent, &detectors, args.jobs)?;
        anstream::print!("{}", report::scenarios(&tried));
        return Ok(());
    }
    let faults = wanted(&built.faults, args);
    if !args.only.is_empty() {
        equivalent.clear();
    }
    let outcomes = outcome::try_all(&faults, &equivalent, &detectors, args.jobs)?;
    if args.json {
        outcomes.iter().for_each(|outcome| println!("{}", report::line(outcome)));
        eprint!("{}", report::summary(&tree, &outcomes));
        return Ok(());
    }
    anstream::print!("{}", report::summary(&tree, &outcomes));
    if args.named || !args.only.is_empty() {
        for outcome in &outcomes {
            if let Fate::Caught(seen) = &outcome.fate {
                println!("\n{}: {}", report::place(outcome.fault), outcome.fault.title());
                seen.iter().for_each(|sighting| println!("    {sighting}"));
            }
        }
    }
    Ok(())
}

fn wanted<'f>(all: &'f [Fault], args: &Args) -> Vec<&'f Fault> {
    let is_named = |fault: &&Fault| fault.change.operator == Operator::Named;
    let is_asked = |fault: &&Fault| {
        args.only.iter().any(|text| fault.key.contains(text) || fault.id.to_string() == *text)
    };
    if args.named {
        all.iter().filter(is_named).collect()
    } else if !args.only.is_empty() {
        all.iter().filter(is_asked).collect()
    } else {
        draw::draw(all, args.seed, args.faults)
    }
}
