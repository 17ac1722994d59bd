//! What sees a fault, and what a row of `umpire run --json` shows of it.
//!
//! # Invariants
//! - A row of a variant that did what it expects shows nothing.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

/// What sees a fault, the best first: who reads of it learns most from a monitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Detector {
    /// A bound was violated that holds without the fault.
    Monitor,
    /// An event did not come to the end that the scenario expects.
    Event,
    /// A bound that should be violated held, or the guest did not die as it should.
    Expectation,
    /// The guest panicked: an assertion of the kernel, or its deadman.
    Panic,
    /// The simulator itself died, or did not end.
    Hang,
    /// The run could not be judged.
    Doubt,
    /// A test of the simulator failed.
    Test,
}

impl Detector {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Detector::Monitor => "monitor",
            Detector::Event => "event",
            Detector::Expectation => "expectation",
            Detector::Panic => "panic",
            Detector::Hang => "hang",
            Detector::Doubt => "doubt",
            Detector::Test => "test",
        }
    }
}

/// One place at which a fault was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// By what kind of detector.
    pub by: Detector,
    /// The scenario and its variant, or the test.
    pub place: String,
    /// Which monitor, event or death.
    pub what: String,
}

impl fmt::Display for Sighting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.by {
            Detector::Test => write!(f, "test {}{}", self.place, self.what),
            by => write!(f, "{} {} in {}", by.as_str(), self.what, self.place),
        }
    }
}

/// The bounds that a row of `umpire run --json` has violated: scenario, variant, place among the bounds, and monitor.
pub fn broken(row: &Value) -> impl Iterator<Item = Broken> + '_ {
    let word = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
    let place = format!("{} {}", word("scenario"), word("variant"));
    let bounds = row["bounds"].as_array().into_iter().flatten().enumerate();
    bounds.filter(|(_, bound)| bound["held"] == false).map(move |(n, bound)| Broken {
        place: place.clone(),
        bound: n,
        monitor: bound["monitor"].as_str().unwrap_or_default().to_owned(),
    })
}

/// A bound that was violated.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Broken {
    place: String,
    bound: usize,
    monitor: String,
}

/// What a row of `umpire run --json` says of a variant that is not as it should be; `known` are the bounds that are violated without
/// a fault as well.
pub fn sightings(row: &Value, known: &BTreeSet<Broken>) -> Vec<Sighting> {
    if row["outcome"] == "pass" {
        return Vec::new();
    }
    let word = |key: &str| row[key].as_str().unwrap_or_default();
    let place = format!("{} {}", word("scenario"), word("variant"));
    let sighting = |by: Detector, what: &str| Sighting { by, place: place.clone(), what: what.to_owned() };
    let new = broken(row).filter(|bound| !known.contains(bound));
    let mut seen: Vec<Sighting> = new.map(|bound| sighting(Detector::Monitor, &bound.monitor)).collect();
    let missed = row["events"].as_array().into_iter().flatten().filter(|event| event["met"] == false);
    seen.extend(missed.map(|event| sighting(Detector::Event, event["event"].as_str().unwrap_or_default())));
    let (expect, observed) = (word("expect"), word("observed"));
    if observed == "panic" && expect != "panic" {
        seen.push(sighting(Detector::Panic, "of the guest"));
    } else if word("outcome") == "inconclusive" {
        seen.push(sighting(Detector::Doubt, "inconclusive"));
    } else if seen.is_empty() {
        seen.push(sighting(Detector::Expectation, &format!("{observed}, not {expect}")));
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn seen(row: Value) -> Vec<String> {
        sightings(&row, &BTreeSet::new()).iter().map(Sighting::to_string).collect()
    }

    #[test]
    fn row_that_passes_shows_nothing_and_one_that_fails_shows_what_is_not_as_expected() {
        let row = |expect: &str, observed: &str, outcome: &str, held: bool| {
            json!({"scenario": "s", "variant": "v", "expect": expect, "observed": observed, "outcome": outcome,
                "bounds": [{"monitor": "runq", "held": held}],
                "events": [{"event": "offline cpu 1", "met": held}, {"event": "pause", "met": null}]})
        };
        assert_eq!(seen(row("violated", "violated", "pass", false)), [""; 0]);
        assert_eq!(
            seen(row("held", "violated", "fail", false)),
            ["monitor runq in s v", "event offline cpu 1 in s v"]
        );
        assert_eq!(seen(row("violated", "held", "fail", true)), ["expectation held, not violated in s v"]);
        assert_eq!(seen(row("held", "panic", "fail", true)), ["panic of the guest in s v"]);
        assert_eq!(seen(row("held", "held", "inconclusive", true)), ["doubt inconclusive in s v"]);
    }

    #[test]
    fn bound_that_is_violated_without_a_fault_as_well_is_no_sighting() {
        let row = json!({"scenario": "s", "variant": "v", "expect": "panic", "observed": "nothing", "outcome": "fail",
            "bounds": [{"monitor": "deadman", "held": false}, {"monitor": "deadman", "held": false}]});
        let known = broken(&row).take(1).collect();
        let seen: Vec<String> = sightings(&row, &known).iter().map(Sighting::to_string).collect();
        assert_eq!(seen, ["monitor deadman in s v"]);
        let known = broken(&row).collect();
        assert_eq!(sightings(&row, &known)[0].by, Detector::Expectation);
    }
}
