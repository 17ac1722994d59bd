//! What became of each fault, by several workers side by side.
//!
//! # Invariants
//! - A fault that is known to be equivalent is not run, unless it was asked for by name.
//! - Outcomes come in the order of the faults, whoever was done first.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::detect::{Detectors, Trace};
use crate::fault::Fault;
use crate::sighting::Sighting;

/// What became of a fault.
#[derive(Debug, Clone)]
pub enum Fate {
    /// It changes nothing that anybody could see, for this reason.
    Equivalent(String),
    /// It was seen, by the first of these at best.
    Caught(Vec<Sighting>),
    /// It was not.
    Survived(Trace),
}

/// A fault and what became of it.
#[derive(Debug, Clone)]
pub struct Outcome<'f> {
    /// The fault.
    pub fault: &'f Fault,
    /// What became of it.
    pub fate: Fate,
}

/// Tries each fault with `jobs` workers; says what became of each as it is done.
///
/// # Errors
///
/// A detector cannot be run.
pub fn try_all<'f>(
    faults: &[&'f Fault],
    equivalent: &BTreeMap<String, String>,
    detectors: &Detectors<'_>,
    jobs: usize,
) -> Result<Vec<Outcome<'f>>, String> {
    side_by_side(faults, jobs, |n, fault| {
        let outcome = try_one(fault, equivalent, detectors)?;
        eprintln!("mutate: {}/{}: {}", n + 1, faults.len(), told(&outcome));
        Ok(outcome)
    })
}

/// Does something for each of a list with `jobs` workers; the results come in the order of the list.
///
/// # Errors
///
/// What is done fails for one of them.
pub fn side_by_side<T: Sync, R: Send>(
    list: &[T],
    jobs: usize,
    work: impl Fn(usize, &T) -> Result<R, String> + Sync,
) -> Result<Vec<R>, String> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Result<R, String>)>> = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                // Each number is taken once; nothing else is ordered by it.
                while let n = next.fetch_add(1, Ordering::Relaxed)
                    && let Some(one) = list.get(n)
                {
                    let result = work(n, one);
                    done.lock().expect("invariant: no worker panics").push((n, result));
                }
            });
        }
    });
    let mut all = done.into_inner().expect("invariant: no worker panics");
    all.sort_by_key(|(n, _)| *n);
    all.into_iter().map(|(_, result)| result).collect()
}

fn try_one<'f>(
    fault: &'f Fault,
    equivalent: &BTreeMap<String, String>,
    detectors: &Detectors<'_>,
) -> Result<Outcome<'f>, String> {
    let fate = match equivalent.get(&fault.key) {
        Some(why) => Fate::Equivalent(why.clone()),
        None => {
            let seen = detectors.look(fault)?;
            if seen.is_empty() { Fate::Survived(detectors.trace(fault.id)?) } else { Fate::Caught(seen) }
        }
    };
    Ok(Outcome { fault, fate })
}

fn told(outcome: &Outcome<'_>) -> String {
    let fate = match &outcome.fate {
        Fate::Equivalent(_) => "equivalent".to_owned(),
        Fate::Caught(seen) => format!("{}{}", seen[0], if seen.len() > 1 { " and others" } else { "" }),
        Fate::Survived(trace) => format!("SURVIVED ({})", trace.as_str()),
    };
    format!("{}:{} {}: {fate}", outcome.fault.file, outcome.fault.line, outcome.fault.title())
}
