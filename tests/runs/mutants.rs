//! Every mutant runs under every monitor at once: the monitor that the mutant names accuses, and no other does.
//!
//! # Invariants
//! - The mutant's own scenario runs, with the bound of each monitor added that the monitor's declaration gives. It runs in the
//!   simulator only, so the answer is the same on any host.
//! - No monitor accuses the honest twin, the same threads without the mutant.

use std::collections::BTreeSet;
use std::fs;

use libtest_mimic::Trial;
use serde_json::Value;
use umpire_scenario::builtin;
use umpire_shared::mutant::{MUTANTS, ShownBy};
use umpire_watch::monitor::{MonitorKind, Proof};

use crate::binary::umpire;
use crate::trials;

const SEEDS: usize = 5;

/// A bound of every monitor that a mutant shows, on top of those that a scenario has, as the monitors' declarations say.
fn every_monitor() -> String {
    let bounds = MonitorKind::ALL.into_iter().filter_map(|kind| match kind.declaration().proof {
        Proof::Mutant(keys) => Some(format!("\n[[bound]]\nmonitor = \"{}\"\n{keys}\n", kind.name())),
        Proof::As(_) => None,
    });
    bounds.collect()
}

/// Which other monitors may accuse: the condition that one monitor watches leads to what the other watches.
const CONSEQUENCES: &[(&str, &str, &str)] = &[
    ("order", "starvation", "nobody asks, so the better thread waits"),
    ("starvation", "order", "cpu_resched is where both begin"),
    ("preempt_owed", "starvation", "nobody answers, so the better thread waits"),
    ("pending", "deadman", "clock() is a cyclic"),
    (
        "binding",
        "starvation",
        "a thread that waits on another CPU's queue does so while its own runs something worse",
    ),
    (
        "progress",
        "spin",
        "a thread that hangs at a lock that is never let go of waits for it without giving its CPU up",
    ),
    ("progress", "waitrq", "a thread that hangs in its own requeue has been stamped already"),
    ("runq", "deadman", "a CPU that is told of a thread that is not there looks for it at splhigh, for ever"),
    (
        "runq",
        "idle_while_queued",
        "meanwhile it runs its idle thread, and what does wait on its queue goes on waiting",
    ),
    ("runq", "pending", "a CPU that is told of a thread that is not there looks for it at splhigh, for ever"),
    (
        "runq",
        "heartbeat",
        "a CPU that is told of a thread that is not there looks for it at splhigh, for ever",
    ),
];

/// The tests: two for each mutant, and one that every monitor has a mutant.
pub fn trials() -> Vec<Trial> {
    let mut trials =
        vec![trials::anywhere("mutants::every_monitor_has_a_mutant", every_monitor_has_a_mutant)];
    for (mutant, caught_by) in caught() {
        let test = |what: &str| format!("mutants::{mutant}::{what}");
        let caught = test("is_caught_by_its_monitor_and_by_no_other_but_what_follows");
        trials.push(trials::anywhere(caught, move || is_caught(mutant, caught_by)));
        trials.push(trials::anywhere(test("honest_twin_is_accused_by_nobody"), move || {
            is_accused_by_nobody(mutant)
        }));
    }
    trials
}

fn every_monitor_has_a_mutant() {
    for monitor in MonitorKind::ALL {
        let name = match monitor.declaration().proof {
            Proof::Mutant(_) => monitor.name(),
            Proof::As(other) => other,
        };
        let is_shown = caught().any(|(_, caught_by)| caught_by == name);
        assert!(is_shown, "no mutant shows that `{}` can fail", monitor.name());
    }
}

/// The mutants that a monitor must catch, each with the monitor's name.
fn caught() -> impl Iterator<Item = (&'static str, &'static str)> {
    MUTANTS.iter().filter_map(|mutant| match mutant.shown_by {
        ShownBy::Monitor(monitor) => Some((mutant.name, monitor)),
        _ => None,
    })
}

fn is_caught(mutant: &str, caught_by: &str) {
    for run in runs(mutant, "mutant") {
        let mut accusers = accusers(&run);
        accusers.retain(|other| !is_consequence(caught_by, other));
        assert_eq!(accusers, BTreeSet::from([caught_by.to_owned()]), "{run}");
    }
}

fn is_accused_by_nobody(mutant: &str) {
    for run in runs(mutant, "honest") {
        assert_eq!(accusers(&run), BTreeSet::new(), "{run}");
        assert_eq!(run["observed"], "held", "{run}");
    }
}

/// The results of a variant of the mutant's scenario with [`every_monitor`]'s bounds, one a seed.
fn runs(mutant: &str, variant: &str) -> Vec<Value> {
    let builtin = builtin::find(mutant).unwrap_or_else(|| panic!("{mutant} has no scenario"));
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = folder.path().join(format!("{mutant}.toml"));
    fs::write(&path, format!("{}{}", builtin.text, every_monitor())).expect("a file for the test");
    let (path, seeds) = (path.to_string_lossy(), SEEDS.to_string());
    let said = umpire(&["run", &path, "--variant", variant, "--sim", "--seeds", &seeds, "--json"]);
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}\n{}", said.err));
    let runs: Vec<Value> = said.out.lines().map(parse).collect();
    // A monitor that finds nothing to judge in this load makes the run inconclusive; whom the others accuse is what is asked.
    assert!(runs.len() == SEEDS && matches!(said.code, Some(0 | 4)), "{:?}: {}", said.code, said.err);
    runs
}

fn is_consequence(of: &str, other: &str) -> bool {
    CONSEQUENCES.iter().any(|&(one, another, _why)| (one, another) == (of, other))
}

/// The monitors of which a bound was violated.
fn accusers(run: &Value) -> BTreeSet<String> {
    let bounds = run["bounds"].as_array().expect("a list of bounds");
    let violated = bounds.iter().filter(|bound| bound["held"] == false);
    violated.filter_map(|bound| bound["monitor"].as_str().map(str::to_owned)).collect()
}
