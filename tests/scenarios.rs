//! Every variant of every built-in scenario, as a test of its own: on KVM, and in the simulator under many seeds.
//!
//! # Invariants
//! - A test passes only if the binary that users run says `pass`: neither `inconclusive` nor a skipped run does.
//! - On KVM, where a second takes a second, a run ends with the violation that its variant is about. In the simulator it goes on,
//!   so that what must not be violated besides is watched to the end.
//! - Names are `kvm::<scenario>::<variant>` and `sim::<scenario>::<variant>`, the variant in lower case and underscores.

mod binary;
mod trials;

use std::collections::BTreeSet;
use std::process::ExitCode;

use libtest_mimic::Trial;
use serde_json::Value;
use umpire_scenario::builtin::BUILTIN;
use umpire_scenario::{Expect, Scenario, Variant};

use binary::{Said, umpire};

/// Seeds of a variant in the simulator.
const SEEDS: usize = 200;
/// As above, for scenarios of many threads, which cost ten times as much.
const SEEDS_OF_A_CROWD: usize = 5;
/// Threads that make a crowd.
const CROWD: usize = 8;

fn main() -> ExitCode {
    // Those on KVM first: each has the host for itself, and one that had to wait for a simulation in between would keep a
    // CPU of the host waiting too.
    let (mut trials, mut simulations) = (Vec::new(), Vec::new());
    for builtin in BUILTIN {
        let scenario = builtin.scenario().unwrap_or_else(|e| panic!("{e}"));
        let mut slugs = BTreeSet::new();
        for variant in &scenario.variants {
            let slug = slug(&variant.name);
            assert!(slugs.insert(slug.clone()), "{}: two variants are called {slug} here", scenario.id);
            trials.push(on_kvm(&scenario, variant, &slug));
            simulations.push(simulated(&scenario, variant, &slug));
        }
    }
    trials.append(&mut simulations);
    trials::run(trials)
}

fn on_kvm(scenario: &Scenario, variant: &Variant, slug: &str) -> Trial {
    let (id, name) = (scenario.id.clone(), variant.name.clone());
    let lives = variant.expect != Expect::Panic;
    trials::kvm(&format!("{}::{slug}", scenario.id), move || {
        let said = umpire(&["run", &id, "--variant", &name, "--until-violated", "--json"]);
        let lines = lines(&said);
        assert_eq!(lines.len(), 1, "a line a run\n{}", said.err);
        assert_passed(&lines[0], &said);
        if lives {
            assert_eq!(lines[0]["exits"], 0, "the guest left its CPUs while it was watched: {}", said.out);
        }
        assert_eq!(said.code, Some(0), "{}", said.err);
    })
}

fn simulated(scenario: &Scenario, variant: &Variant, slug: &str) -> Trial {
    let (id, name) = (scenario.id.clone(), variant.name.clone());
    let seeds = if variant.threads.len() > CROWD { SEEDS_OF_A_CROWD } else { SEEDS };
    trials::anywhere(&format!("sim::{}::{slug}", scenario.id), move || {
        let count = seeds.to_string();
        let said =
            umpire(&["run", &id, "--variant", &name, "--sim", "--seed", "1", "--seeds", &count, "--json"]);
        let lines = lines(&said);
        assert_eq!(lines.len(), seeds, "a line a seed\n{}", said.err);
        for line in &lines {
            assert_passed(line, &said);
        }
        assert_eq!(said.code, Some(0), "{}", said.err);
    })
}

fn assert_passed(line: &Value, said: &Said) {
    let outcome = line["outcome"].as_str();
    assert_eq!(outcome, Some("pass"), "{line}\n{}", said.err);
    assert!(line["samples"].as_u64() > Some(0), "passed without a sample: {line}");
}

fn lines(said: &Said) -> Vec<Value> {
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}\n{}", said.err));
    said.out.lines().map(parse).collect()
}

/// A variant's name as part of a test's name: what is no letter or digit becomes an underscore.
fn slug(name: &str) -> String {
    let words: Vec<String> = name
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    words.join("_")
}
