//! The cheap detectors: every scenario in the simulator, and the simulator's tests.
//!
//! # Invariants
//! - A sighting is what was not so without the fault: with none chosen every variant passes, and that is checked first.
//! - Scenarios come first. The tests are asked only about what no scenario sees.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::compile::Built;
use crate::draw::hash;
use crate::fault::Fault;
use crate::process::{End, watch};

/// How long a variant, or a test, may take; without a fault the longest takes a fifth of it.
const SILENCE: Duration = Duration::from_secs(30);

/// Most variants that may hang before the rest is not run.
const MAX_HANGS: usize = 3;

/// The tests of an area, by a part of their names.
const NEAR: &[(&str, &[&str])] = &[
    ("class", &["class_", "ts_table"]),
    ("cpu", &["cpu_"]),
    ("disp", &["wakeups", "resched", "dispq", "requeue", "kernel_loops", "cpu_idle"]),
    ("intr", &["intr_"]),
    ("lgrp", &["cpu_lgrp"]),
    ("lock", &["sync_"]),
    ("mstate", &["mstate", "kstat", "probe"]),
    ("sync", &["sync_"]),
    ("time", &["time_", "clock_tick", "deadman"]),
];

/// What sees a fault, the best first: who reads of it learns most from a monitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Detector {
    /// A bound that should hold was violated.
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

/// What is known of a fault that nothing saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trace {
    /// No scenario and no test came to its place.
    NotReached,
    /// Some came to its place, and each trace of each variant is the same.
    Same,
    /// Traces differ.
    Differs,
}

impl Trace {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Trace::NotReached => "no scenario and no test comes there",
            Trace::Same => "every trace is the same",
            Trace::Differs => "traces differ",
        }
    }
}

/// A scenario as the binary lists it.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Its ID.
    pub id: String,
    /// Its variants.
    pub variants: Vec<String>,
    /// True if its kernel has a rule switched off.
    pub is_mutant: bool,
}

/// What can be run.
#[derive(Debug)]
pub struct Detectors<'b> {
    built: &'b Built,
    /// The folder for files that come and go.
    scratch: PathBuf,
    /// Every scenario.
    pub scenarios: Vec<Listed>,
    /// How many seeds each variant gets.
    seeds: u64,
    /// True if the simulator's tests are asked as well.
    asks_tests: bool,
    /// Hashes of the traces without a fault, in the order of the variants.
    traces: Vec<u64>,
}

impl<'b> Detectors<'b> {
    /// The detectors of a build.
    ///
    /// # Errors
    ///
    /// The binary cannot be run, or something is seen although no fault is chosen.
    pub fn new(
        built: &'b Built,
        scratch: &Path,
        seeds: u64,
        asks_tests: bool,
    ) -> Result<Detectors<'b>, String> {
        fs::create_dir_all(scratch).map_err(|e| format!("{}: {e}", scratch.display()))?;
        let mut list = Command::new(&built.umpire);
        list.args(["list", "--json"]);
        let mut scenarios = Vec::new();
        watch(list, SILENCE, |line| {
            let row: Value = serde_json::from_str(line).unwrap_or_default();
            let names = row["variants"].as_array().into_iter().flatten();
            let variants = names.filter_map(|name| name.as_str().map(str::to_owned)).collect();
            let id = row["id"].as_str().unwrap_or_default().to_owned();
            scenarios.push(Listed { id, variants, is_mutant: row["mutant"] == true });
            true
        })?;
        let mut all = Detectors {
            built,
            scratch: scratch.to_owned(),
            scenarios,
            seeds,
            asks_tests,
            traces: Vec::new(),
        };
        let none = all.scenarios(0, &all.scenarios)?;
        if let Some(sighting) = none.first() {
            return Err(format!("without a fault: {sighting}; the tree must be green first"));
        }
        all.traces =
            all.variants().map(|(id, variant)| all.trace_of(0, id, variant)).collect::<Result<_, _>>()?;
        Ok(all)
    }

    /// What these scenarios see of a fault.
    ///
    /// # Errors
    ///
    /// The binary cannot be run.
    pub fn scenarios(&self, fault: u32, which: &[Listed]) -> Result<Vec<Sighting>, String> {
        let mut seen = Vec::new();
        let (mut left, mut hangs) = (which, 0);
        while !left.is_empty() {
            let mut command = self.umpire(fault);
            command.args(["run", "--sim", "--json", "--seeds", &self.seeds.to_string()]);
            command.args(left.iter().map(|scenario| &scenario.id));
            let mut last: Option<(String, String)> = None;
            let (end, said) = watch(command, SILENCE, |line| {
                let row: Value = serde_json::from_str(line).unwrap_or_default();
                seen.extend(sightings(&row));
                let word = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
                last = Some((word("scenario"), word("variant")));
                true
            })?;
            if matches!(end, End::Exited(Some(code)) if (0..=4).contains(&code)) && last.is_some() {
                break;
            }
            // The next one is to blame; what comes after its scenario is still to be run.
            let at = next_after(left, last.as_ref());
            let what = match end {
                End::Exited(_) => format!("(the simulator died: {})", last_line(&said)),
                _ => "(no end)".to_owned(),
            };
            seen.push(Sighting {
                by: Detector::Hang,
                place: at.map_or("?".to_owned(), |n| left[n].id.clone()),
                what,
            });
            hangs += 1;
            match at {
                Some(n) if hangs < MAX_HANGS => left = &left[n + 1..],
                _ => break,
            }
        }
        seen.sort_by_key(|sighting| sighting.by);
        Ok(seen)
    }

    /// What the simulator's tests see of a fault, if they are asked: the first that fails. Those of the fault's area are asked
    /// first, because one of them is more likely to.
    ///
    /// # Errors
    ///
    /// The program cannot be run.
    pub fn tests(&self, fault: &Fault) -> Result<Option<Sighting>, String> {
        if !self.asks_tests {
            return Ok(None);
        }
        let near: &[&str] =
            NEAR.iter().find(|(area, _)| *area == fault.area()).map_or(&[], |(_, names)| names);
        let far: Vec<&str> = near.iter().flat_map(|name| ["--skip", name]).collect();
        if !near.is_empty()
            && let Some(sighting) = self.some_tests(fault.id, near)?
        {
            return Ok(Some(sighting));
        }
        self.some_tests(fault.id, &far)
    }

    fn some_tests(&self, fault: u32, args: &[&str]) -> Result<Option<Sighting>, String> {
        let mut command = Command::new(&self.built.tests);
        command.args(args);
        command.env("UMPIRE_FAULT", fault.to_string()).env("UMPIRE_FAULT_REACHED", self.reached(fault));
        command.env("RUST_TEST_THREADS", "1").env("RUST_BACKTRACE", "0");
        let mut failed = None;
        let (end, _) = watch(command, 4 * SILENCE, |line| {
            let name = line.strip_prefix("test ").and_then(|line| line.strip_suffix(" ... FAILED"));
            failed = name.map(str::to_owned);
            failed.is_none()
        })?;
        let place = match (failed, end) {
            (None, End::Exited(Some(0))) => return Ok(None),
            (Some(name), _) => {
                return Ok(Some(Sighting { by: Detector::Test, place: name, what: String::new() }));
            }
            (None, _) => "sim".to_owned(),
        };
        let what = if end == End::Silent { " (no end)" } else { " (died)" };
        Ok(Some(Sighting { by: Detector::Test, place, what: what.to_owned() }))
    }

    /// What is known of a fault that neither scenarios nor tests saw.
    ///
    /// # Errors
    ///
    /// The binary cannot be run.
    pub fn trace(&self, fault: u32) -> Result<Trace, String> {
        if !self.reached(fault).exists() {
            return Ok(Trace::NotReached);
        }
        for (n, (id, variant)) in self.variants().enumerate() {
            if self.trace_of(fault, id, variant)? != self.traces[n] {
                return Ok(Trace::Differs);
            }
        }
        Ok(Trace::Same)
    }

    fn variants(&self) -> impl Iterator<Item = (&str, &str)> {
        self.scenarios.iter().flat_map(|s| s.variants.iter().map(|variant| (s.id.as_str(), variant.as_str())))
    }

    /// A hash of a variant's trace.
    fn trace_of(&self, fault: u32, id: &str, variant: &str) -> Result<u64, String> {
        let path = self.scratch.join(format!("trace-{fault}.txt"));
        let mut command = self.umpire(fault);
        command.args(["run", "--sim", "--json", id, "--variant", variant, "--trace"]).arg(&path);
        watch(command, SILENCE, |_| true)?;
        let bytes = fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let _ = fs::remove_file(&path);
        Ok(hash(&bytes))
    }

    /// Whether anything came to a fault's place is a file that is there, or is not.
    fn reached(&self, fault: u32) -> PathBuf {
        self.scratch.join(format!("reached-{fault}"))
    }

    fn umpire(&self, fault: u32) -> Command {
        let mut command = Command::new(&self.built.umpire);
        command.env("UMPIRE_FAULT", fault.to_string()).env("UMPIRE_FAULT_REACHED", self.reached(fault));
        command
    }
}

/// What a row of `umpire run --json` says of a variant that is not as it should be.
fn sightings(row: &Value) -> Vec<Sighting> {
    if row["outcome"] == "pass" {
        return Vec::new();
    }
    let word = |key: &str| row[key].as_str().unwrap_or_default();
    let place = format!("{} {}", word("scenario"), word("variant"));
    let sighting = |by: Detector, what: &str| Sighting { by, place: place.clone(), what: what.to_owned() };
    let list = |key: &str| row[key].as_array().into_iter().flatten();
    let mut seen = Vec::new();
    if word("expect") == "held" {
        let broken = list("bounds").filter(|bound| bound["held"] == false);
        seen.extend(
            broken.map(|bound| sighting(Detector::Monitor, bound["monitor"].as_str().unwrap_or_default())),
        );
    }
    let missed = list("events").filter(|event| event["met"] == false);
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

/// Where in the list the scenario stands that was being run after the last row.
fn next_after(scenarios: &[Listed], last: Option<&(String, String)>) -> Option<usize> {
    let Some((id, variant)) = last else { return Some(0) };
    let n = scenarios.iter().position(|scenario| scenario.id == *id)?;
    let was_its_last = scenarios[n].variants.last() == Some(variant);
    let at = n + usize::from(was_its_last);
    (at < scenarios.len()).then_some(at)
}

fn last_line(said: &str) -> &str {
    said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("without a word")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn seen(row: Value) -> Vec<String> {
        sightings(&row).iter().map(Sighting::to_string).collect()
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
    fn scenario_to_blame_is_the_one_that_was_being_run() {
        let listed = |id: &str| Listed {
            id: id.to_owned(),
            variants: vec!["x".to_owned(), "y".to_owned()],
            is_mutant: false,
        };
        let all = [listed("a"), listed("b")];
        let after = |id: &str, variant: &str| next_after(&all, Some(&(id.to_owned(), variant.to_owned())));
        assert_eq!(next_after(&all, None), Some(0));
        assert_eq!(after("a", "x"), Some(0));
        assert_eq!(after("a", "y"), Some(1));
        assert_eq!(after("b", "y"), None);
    }
}
