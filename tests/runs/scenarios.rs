//! Every variant of every built-in scenario, as a test of its own: on KVM, and in the simulator under many seeds.
//!
//! # Invariants
//! - A test passes only if the binary that users run says `pass`: neither `inconclusive` nor a skipped run does.
//! - On KVM, where a second takes a second, a run ends with the violation that its variant is about. In the simulator it goes on,
//!   so that the other bounds, which must not be violated, are watched to the end.
//! - A run on KVM goes beside others if it leaves them room: how busy its CPUs are in the simulator says how much it needs.
//! - Names are `kvm::<scenario>::<variant>` and `sim::<scenario>::<variant>`, the variant in lower case and underscores.

use std::collections::BTreeSet;

use libtest_mimic::Trial;
use serde_json::Value;
use umpire_scenario::builtin::BUILTIN;
use umpire_scenario::{Expect, Scenario, Tracing, Variant};
use umpire_shared::tunable;
use umpire_sim::{Sim, SimConfig, SimState};

use crate::binary::{Said, umpire};
use crate::budget::CPU;
use crate::choice::Choice;
use crate::trials::{self, Run};

/// Seeds of a variant in the simulator.
const SEEDS: usize = 200;
/// Seeds of a variant of a scenario of many threads, which costs ten times as much.
const SEEDS_OF_A_CROWD: usize = 5;
/// Seeds of a variant of a scenario with streams, each of whose messages is a hundred steps, or with a pool and its forty threads.
const SEEDS_OF_LONG: usize = 20;
/// Threads that make a crowd.
const CROWD: usize = 8;

/// The number of parts of a run, of which the busiest counts.
const PARTS: u64 = 10;
/// A load that is smaller is no reason to keep two runs apart: interrupts on a CPU that otherwise idles.
const LITTLE: u64 = CPU / 10;

/// Every variant on KVM; those that are not chosen are ignored.
pub fn on_kvm(choice: Choice) -> Vec<Trial> {
    of_every_variant(|scenario, variant, name| {
        let is_chosen = choice.takes(scenario, variant);
        variant_on_kvm(scenario, variant, Run { name, is_chosen })
    })
}

/// Every variant in the simulator.
pub fn simulated() -> Vec<Trial> {
    of_every_variant(|scenario, variant, name| variant_simulated(scenario, variant, &name))
}

/// A test `<scenario>::<variant>` for each.
fn of_every_variant(test: impl Fn(&Scenario, &Variant, String) -> Trial) -> Vec<Trial> {
    let mut trials = Vec::new();
    for builtin in BUILTIN {
        let scenario = builtin.scenario().unwrap_or_else(|e| panic!("{e}"));
        let mut slugs = BTreeSet::new();
        for variant in &scenario.variants {
            let slug = slug(&variant.name);
            trials.push(test(&scenario, variant, format!("{}::{slug}", scenario.id)));
            assert!(
                slugs.insert(slug),
                "{}: two variants have one name in tests: {}",
                scenario.id,
                variant.name
            );
        }
    }
    trials
}

fn variant_on_kvm(scenario: &Scenario, variant: &Variant, run: Run) -> Trial {
    let (id, name) = (scenario.id.clone(), variant.name.clone());
    let lives = variant.expect != Expect::Panic;
    let busy = {
        let (scenario, variant) = (scenario.clone(), variant.clone());
        move || busy(&scenario, &variant)
    };
    let start = move || umpire(&["run", &id, "--variant", &name, "--until-violated", "--json"]);
    trials::kvm_beside_others(run, busy, start, move |said| {
        let lines = lines(said);
        assert_eq!(lines.len(), 1, "a line a run\n{}", said.err);
        assert_passed(&lines[0], said);
        if lives {
            assert_eq!(lines[0]["exits"], 0, "the guest left its CPUs while it was watched: {}", said.out);
        }
        assert_eq!(said.code, Some(0), "{}", said.err);
    })
}

fn variant_simulated(scenario: &Scenario, variant: &Variant, name: &str) -> Trial {
    let (id, variant_name) = (scenario.id.clone(), variant.name.clone());
    let has_pool = variant.tunables[tunable::ZPOOL] != 0;
    let seeds = match (variant.threads.len() > CROWD, has_pool || !variant.streams.is_empty()) {
        (true, _) => SEEDS_OF_A_CROWD,
        (false, true) => SEEDS_OF_LONG,
        (false, false) => SEEDS,
    };
    trials::anywhere(format!("sim::{name}"), move || {
        let count = seeds.to_string();
        let run =
            ["run", &id, "--variant", &variant_name, "--sim", "--seed", "1", "--seeds", &count, "--json"];
        let said = umpire(&run);
        let lines = lines(&said);
        assert_eq!(lines.len(), seeds, "a line a seed\n{}", said.err);
        for line in &lines {
            assert_passed(line, &said);
        }
        assert_eq!(said.code, Some(0), "{}", said.err);
    })
}

/// Thousandths of a CPU for which a variant's CPUs are busy, all together, in the busiest part of a simulated run. If the guest dies
/// in the run, all that its CPUs could be.
fn busy(scenario: &Scenario, variant: &Variant) -> u64 {
    let cpus = scenario.cpus as usize;
    let program = variant.program(scenario, Tracing::Off);
    let config = SimConfig { ncpus: scenario.cpus, program: &program, seed: 1, absence: None };
    let mut sim = Sim::new(&config).unwrap_or_else(|e| panic!("{}: {e}", scenario.id));
    let ran = |sim: &Sim| (0..cpus).map(|cpu| sim.ran_ns(cpu)).sum::<u64>();
    let part = scenario.run_ns / PARTS;
    let (mut busiest, mut before) = (0, 0);
    for n in 1..=PARTS {
        if sim.run_until(n * part) != SimState::Running {
            return cpus as u64 * CPU;
        }
        let now = ran(&sim);
        busiest = busiest.max((now - before) * CPU / part);
        before = now;
    }
    (busiest + LITTLE / 2) / LITTLE * LITTLE
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
