//! The cheap detectors: every scenario in the simulator, and the simulator's tests.
//!
//! # Invariants
//! - A sighting is what was not so without the fault: with none chosen every variant passes, and that is checked first.
//! - Scenarios come first. The tests are asked only about what no scenario sees.
//! - What was seen another time decides where to look first, and nothing else.
//! - A scenario or test that does not come to a fault's place is not run with it: it would do what it did without.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;

use crate::compile::Built;
use crate::cover::{Cover, stamp};
use crate::draw::hash;
use crate::fault::Fault;
use crate::memory::{Hint, Memory};
use crate::process::{End, watch};
use crate::sighting::{Broken, Detector, Sighting, broken, sightings};

/// CPU time that a variant, or a quarter of what a test, may take; without a fault the longest takes a tenth of it on a host of its own, and
/// a third on one whose caches others use.
const SILENCE: Duration = Duration::from_secs(30);

/// Most variants that may hang before the rest is not run, if everything that sees a fault is wanted.
const MAX_HANGS: usize = 3;

/// The tests of an area, by a part of their names.
const NEAR: &[(&str, &[&str])] = &[
    ("class", &["class_", "ts_table"]),
    ("cpu", &["cpu_"]),
    ("disp", &["wakeups", "resched", "dispq", "requeue", "kernel_loops", "cpu_idle"]),
    ("intr", &["intr_"]),
    ("kmem", &["kmem"]),
    ("lgrp", &["cpu_lgrp"]),
    ("lock", &["sync_"]),
    ("mstate", &["mstate", "kstat", "probe"]),
    ("streams", &["streams_"]),
    ("sync", &["sync_"]),
    ("taskq", &["taskq", "time_callout"]),
    ("time", &["time_", "clock_tick", "deadman"]),
];

/// What is known of a fault that nothing saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trace {
    /// No scenario and no test came to its place.
    NotReached,
    /// Some came to its place; traces were not compared, as the tests were not asked.
    Reached,
    /// Some came to its place, and each trace of each variant of each scenario is the same.
    Same,
    /// Traces differ.
    Differs,
}

impl Trace {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Trace::NotReached => "no scenario and no test comes there",
            Trace::Reached => "some come there",
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
    effort: Effort,
    /// The bounds that are violated without a fault.
    known: BTreeSet<Broken>,
    /// Where faults were seen the last time.
    memory: Memory,
    /// The places that each scenario comes to, by its ID, and each test, by its name; the tests' are asked for when they are needed.
    scenarios_cover: Cover,
    tests_cover: OnceLock<Cover>,
    /// Hashes of the traces without a fault, in the order of the variants; made when they are first needed.
    traces: OnceLock<Vec<u64>>,
}

/// How thoroughly a fault is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// How many seeds each variant gets.
    pub seeds: u64,
    /// True if the simulator's tests are asked as well.
    pub asks_tests: bool,
    /// True if everything that sees a fault is wanted, and not the first that does.
    pub wants_all: bool,
}

impl<'b> Detectors<'b> {
    /// The detectors of a build.
    ///
    /// # Errors
    ///
    /// The binary cannot be run, or something is seen although no fault is chosen.
    pub fn new(built: &'b Built, work: &Path, effort: Effort) -> Result<Detectors<'b>, String> {
        let scratch = work.join("scratch");
        fs::create_dir_all(&scratch).map_err(|e| format!("{}: {e}", scratch.display()))?;
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
        let memory = Memory::read(&work.join("seen.txt"));
        let mut all = Detectors {
            built,
            scratch,
            scenarios,
            effort,
            known: BTreeSet::new(),
            memory,
            scenarios_cover: Cover::default(),
            tests_cover: OnceLock::new(),
            traces: OnceLock::new(),
        };
        all.known = all.healthy()?;
        all.scenarios_cover = all.cover_of_scenarios()?;
        Ok(all)
    }

    /// The bounds that are violated without a fault.
    fn healthy(&self) -> Result<BTreeSet<Broken>, String> {
        let mut command = self.umpire(0);
        command.args(["run", "--sim", "--json", "--seeds", &self.effort.seeds.to_string()]);
        command.args(self.scenarios.iter().map(|scenario| &scenario.id));
        let (mut known, mut first) = (BTreeSet::new(), None);
        let (end, said) = watch(command, SILENCE, |line| {
            let row: Value = serde_json::from_str(line).unwrap_or_default();
            known.extend(broken(&row));
            first = sightings(&row, &BTreeSet::new()).into_iter().next();
            first.is_none()
        })?;
        match (first, end) {
            (Some(sighting), _) => Err(format!("without a fault: {sighting}; the tree must be green first")),
            (None, End::Exited(Some(0))) => Ok(known),
            (None, End::Silent) => Err(format!(
                "without a fault the simulator said nothing for {} s of its CPU time: wait until the host is less busy",
                SILENCE.as_secs()
            )),
            (None, _) => Err(format!("without a fault the simulator died: {}", last_line(&said))),
        }
    }

    /// The places that each scenario comes to, without a fault.
    fn cover_of_scenarios(&self) -> Result<Cover, String> {
        let seeds = self.effort.seeds.to_string();
        let (file, stamp) = (self.scratch.join("scenarios.txt"), stamp(&self.built.umpire, &seeds));
        if let Some(cover) = Cover::read(&file, &stamp) {
            return Ok(cover);
        }
        // A run may write where its arguments say, and nowhere else.
        let folder = self.scratch.join("cover-scenarios");
        let (mut cover, noted) = (Cover::default(), folder.join("places"));
        for listed in &self.scenarios {
            let _ = fs::remove_file(&noted);
            let mut command = self.umpire(0);
            command.args(["run", "--sim", "--json", "--seeds", &seeds, &listed.id, "--flight"]).arg(&folder);
            command.env("UMPIRE_FAULT_COVER", &noted);
            if watch(command, 8 * SILENCE, |_| true)?.0 != End::Exited(Some(0)) {
                return Err(format!(
                    "without a fault {} is not as expected while its places are noted",
                    listed.id
                ));
            }
            let places = fs::read(&noted).map_err(|e| format!("{}: {e}", noted.display()))?;
            cover.add(&listed.id, &places);
        }
        let _ = fs::remove_dir_all(&folder);
        cover.write(&file, &stamp)?;
        Ok(cover)
    }

    /// The places that each of the simulator's tests comes to.
    ///
    /// # Errors
    ///
    /// The program cannot be run, or a test fails without a fault.
    fn tests_cover(&self) -> Result<&Cover, String> {
        if let Some(cover) = self.tests_cover.get() {
            return Ok(cover);
        }
        let (file, stamp) = (self.scratch.join("tests.txt"), stamp(self.test_program()?, "tests"));
        let cover = match Cover::read(&file, &stamp) {
            Some(cover) => cover,
            None => {
                let cover = self.ask_tests()?;
                cover.write(&file, &stamp)?;
                cover
            }
        };
        Ok(self.tests_cover.get_or_init(|| cover))
    }

    /// The program of the simulator's tests, which is built where they are asked.
    fn test_program(&self) -> Result<&Path, String> {
        self.built.tests.as_deref().ok_or_else(|| "the simulator's tests were not built".to_owned())
    }

    /// Runs every test by itself and has it note its places.
    fn ask_tests(&self) -> Result<Cover, String> {
        let mut list = Command::new(self.test_program()?);
        list.args(["--list", "--format", "terse"]);
        let mut names = Vec::new();
        watch(list, SILENCE, |line| {
            names.extend(line.strip_suffix(": test").map(str::to_owned));
            true
        })?;
        let (mut cover, noted) = (Cover::default(), self.scratch.join("cover-tests"));
        for name in names {
            let _ = fs::remove_file(&noted);
            let mut command = Command::new(self.test_program()?);
            command.args(["--exact", &name]).env("UMPIRE_FAULT_COVER", &noted);
            if watch(command, 8 * SILENCE, |_| true)?.0 != End::Exited(Some(0)) {
                return Err(format!("without a fault the test {name} fails; the tree must be green first"));
            }
            // A test of the bench alone comes to no place, and notes nothing.
            cover.add(&name, &fs::read(&noted).unwrap_or_default());
        }
        Ok(cover)
    }

    /// What sees a fault, the best first: the scenarios, and of what none of them sees the tests. It looks first where the fault was
    /// seen the last time.
    ///
    /// # Errors
    ///
    /// A program cannot be run.
    pub fn look(&self, fault: &Fault) -> Result<Vec<Sighting>, String> {
        let hint = self.memory.hint(&fault.key).filter(|_| !self.effort.wants_all);
        let mut seen = Vec::new();
        if let Some(Hint::Scenario(id)) = &hint
            && let Some(listed) = self.scenarios.iter().find(|listed| listed.id == *id)
        {
            seen = self.scenarios(fault.id, std::slice::from_ref(listed))?;
        }
        if seen.is_empty() {
            seen = self.scenarios(fault.id, &self.scenarios)?;
        }
        if seen.is_empty() && self.effort.asks_tests {
            seen.extend(self.tests(fault, hint.as_ref())?);
        }
        if let Some(best) = seen.first() {
            self.memory.note(&fault.key, best)?;
        }
        Ok(seen)
    }

    /// What these scenarios see of a fault, the best first; a monitor's verdict is enough, unless all is wanted.
    ///
    /// # Errors
    ///
    /// The binary cannot be run.
    pub fn scenarios(&self, fault: u32, which: &[Listed]) -> Result<Vec<Sighting>, String> {
        let mut seen = Vec::new();
        let mut which = which.to_vec();
        which.retain(|listed| self.scenarios_cover.reaches(&listed.id, fault));
        let (mut left, mut hangs) = (&which[..], 0);
        while !left.is_empty() {
            let mut command = self.umpire(fault);
            command.args(["run", "--sim", "--json", "--seeds", &self.effort.seeds.to_string()]);
            command.args(left.iter().map(|scenario| &scenario.id));
            let mut last: Option<(String, String)> = None;
            let (end, said) = watch(command, SILENCE, |line| {
                let row: Value = serde_json::from_str(line).unwrap_or_default();
                let new = sightings(&row, &self.known);
                let is_enough = new.iter().any(|sighting| sighting.by == Detector::Monitor);
                seen.extend(new);
                let word = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
                last = Some((word("scenario"), word("variant")));
                self.effort.wants_all || !is_enough
            })?;
            let is_done = match end {
                End::Exited(Some(code)) => (0..=4).contains(&code) && last.is_some(),
                End::Enough => true,
                End::Exited(None) | End::Silent => false,
            };
            if is_done {
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
                Some(n) if self.effort.wants_all && hangs < MAX_HANGS => left = &left[n + 1..],
                _ => break,
            }
        }
        seen.sort_by_key(|sighting| sighting.by);
        Ok(seen)
    }

    /// What the simulator's tests see of a fault: the first that fails. The one that failed the last time is asked first, and then
    /// those of the fault's area, because one of them is more likely to.
    fn tests(&self, fault: &Fault, hint: Option<&Hint>) -> Result<Option<Sighting>, String> {
        if let Some(Hint::Test(name)) = hint
            && let Some(sighting) = self.some_tests(fault.id, &["--exact", name])?
        {
            return Ok(Some(sighting));
        }
        let near: &[&str] =
            NEAR.iter().find(|(area, _)| *area == fault.area()).map_or(&[], |(_, names)| names);
        let of_the_area = |name: &&str| near.iter().any(|part| name.contains(part));
        let (near, far): (Vec<&str>, Vec<&str>) = self.tests_cover()?.of(fault.id).partition(of_the_area);
        for names in [near, far].into_iter().filter(|names| !names.is_empty()) {
            let args: Vec<&str> = ["--exact"].into_iter().chain(names).collect();
            if let Some(sighting) = self.some_tests(fault.id, &args)? {
                return Ok(Some(sighting));
            }
        }
        Ok(None)
    }

    fn some_tests(&self, fault: u32, args: &[&str]) -> Result<Option<Sighting>, String> {
        let mut command = Command::new(self.test_program()?);
        command.args(args);
        command.env("UMPIRE_FAULT", fault.to_string());
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
        let by_scenario = self.scenarios_cover.of(fault).next().is_some();
        if !self.effort.asks_tests {
            return Ok(if by_scenario { Trace::Reached } else { Trace::NotReached });
        }
        if !by_scenario {
            let by_test = self.tests_cover()?.of(fault).next().is_some();
            return Ok(if by_test { Trace::Reached } else { Trace::NotReached });
        }
        let healthy = match self.traces.get() {
            Some(traces) => traces,
            None => {
                let made: Result<Vec<u64>, String> =
                    self.variants().map(|(id, variant)| self.trace_of(0, id, variant)).collect();
                let made = made?;
                self.traces.get_or_init(|| made)
            }
        };
        for ((id, variant), healthy) in self.variants().zip(healthy) {
            if self.scenarios_cover.reaches(id, fault) && self.trace_of(fault, id, variant)? != *healthy {
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

    fn umpire(&self, fault: u32) -> Command {
        let mut command = Command::new(&self.built.umpire);
        command.env("UMPIRE_FAULT", fault.to_string());
        command
    }
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
