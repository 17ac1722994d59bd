//! Which scenario goes red when its rule is broken: the faults of the functions that keep the rule, tried on that scenario alone.
//!
//! # Invariants
//! - A scenario that is given no functions is said to have none; it is not left out.
//! - A function that is named and is not there is an error.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::detect::{Detectors, Listed};
use crate::draw::hash;
use crate::fault::Fault;
use crate::outcome::side_by_side;
use crate::sighting::{Detector, Sighting};

/// Which functions keep the rule of which scenario.
const RULES: &str = include_str!("../scenarios.toml");

/// How many faults a scenario should turn red for, by a monitor's verdict.
pub const ENOUGH: usize = 2;

/// How many faults of a scenario are tried at most, if it was not asked for by name: who has seen fewer than [`ENOUGH`] of so many does
/// not see them by its bound but by chance.
const MOST_TRIED: usize = 24;

#[derive(Deserialize)]
struct File {
    functions: BTreeMap<String, Vec<String>>,
}

/// What keeps a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keeper {
    /// A file, from the kernel's source folder.
    pub file: String,
    /// The function in it, without its type; none if all of the file's are meant.
    pub function: Option<String>,
}

/// What a scenario saw of the faults of its functions.
#[derive(Debug)]
pub struct Tried<'f> {
    /// Its ID.
    pub scenario: String,
    /// How many faults were tried.
    pub faults: usize,
    /// Those that it saw, with what it saw, the best first.
    pub seen: Vec<(&'f Fault, Vec<Sighting>)>,
}

impl Tried<'_> {
    /// How many of the faults it saw by this detector, at best.
    pub fn by(&self, detector: Detector) -> usize {
        self.seen.iter().filter(|(_, seen)| seen[0].by == detector).count()
    }

    /// True if a monitor's verdict shows enough of them.
    pub fn is_enough(&self) -> bool {
        self.by(Detector::Monitor) >= ENOUGH
    }
}

/// The functions of each scenario.
///
/// # Errors
///
/// The file is not what it should be.
pub fn rules() -> Result<BTreeMap<String, Vec<Keeper>>, String> {
    let file: File = toml::from_str(RULES).map_err(|e| format!("scenarios.toml: {e}"))?;
    let parts = |name: String| match name.split_once(' ') {
        Some((file, function)) => Keeper { file: file.to_owned(), function: Some(function.to_owned()) },
        None => Keeper { file: name, function: None },
    };
    Ok(file.functions.into_iter().map(|(id, names)| (id, names.into_iter().map(parts).collect())).collect())
}

/// The faults of the functions that are named.
///
/// # Errors
///
/// A function has no fault: it is not there.
pub fn faults_in<'f>(all: &'f [Fault], names: &[Keeper]) -> Result<Vec<&'f Fault>, String> {
    let is_of = |fault: &Fault, keeper: &Keeper| {
        let last = fault.function.rsplit("::").next();
        fault.file == keeper.file && keeper.function.as_ref().is_none_or(|name| last == Some(name))
    };
    if let Some(lost) = names.iter().find(|name| !all.iter().any(|fault| is_of(fault, name))) {
        return Err(format!("scenarios.toml: there is no {lost:?} in the kernel that could be made wrong"));
    }
    Ok(all.iter().filter(|fault| names.iter().any(|name| is_of(fault, name))).collect())
}

/// Tries each scenario that is asked for with all faults of its functions. If none is asked for, each that is no mutant's is tried
/// until it has seen enough of them, or [`MOST_TRIED`] are tried, in an order that a hash of their keys gives.
///
/// # Errors
///
/// A detector cannot be run, or a function is not there.
pub fn try_scenarios<'f>(
    all: &'f [Fault],
    which: &[String],
    equivalent: &BTreeMap<String, String>,
    detectors: &Detectors<'_>,
    jobs: usize,
) -> Result<Vec<Tried<'f>>, String> {
    let rules = rules()?;
    let is_wanted = |listed: &&Listed| match which {
        [] => !listed.is_mutant,
        _ => which.contains(&listed.id),
    };
    let mut tried = Vec::new();
    for listed in detectors.scenarios.iter().filter(is_wanted) {
        let names = rules.get(&listed.id).map_or(&[][..], |names| names);
        let mut faults = faults_in(all, names)?;
        faults.retain(|fault| !equivalent.contains_key(&fault.key));
        faults.sort_by_key(|fault| hash(fault.key.as_bytes()));
        faults.truncate(if which.is_empty() { MOST_TRIED } else { usize::MAX });
        let mut one = Tried { scenario: listed.id.clone(), faults: 0, seen: Vec::new() };
        for some in faults.chunks(jobs.max(1)) {
            let results = side_by_side(some, jobs, |_, fault| {
                detectors.scenarios(fault.id, std::slice::from_ref(listed)).map(|seen| (*fault, seen))
            })?;
            one.faults += some.len();
            one.seen.extend(results.into_iter().filter(|(_, seen)| !seen.is_empty()));
            if which.is_empty() && one.is_enough() {
                break;
            }
        }
        one.seen.sort_by_key(|(fault, seen)| (seen[0].by, fault.id));
        let (by_monitor, seen, faults) = (one.by(Detector::Monitor), one.seen.len(), one.faults);
        eprintln!("mutate: {}: sees {seen} of {faults} faults, {by_monitor} by a monitor", listed.id);
        tried.push(one);
    }
    Ok(tried)
}
