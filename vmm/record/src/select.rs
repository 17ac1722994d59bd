//! Which records are wanted.
//!
//! # Invariants
//! - What is asked for by a name that nothing has is an error with what there is, never an empty answer.

use std::ops::RangeInclusive;

use crate::recording::Recording;
use umpire_shared::event::Kind;
use umpire_watch::glass::TraceRecord;

/// Which records are wanted: those that meet all of it.
#[derive(Debug, Clone)]
pub struct Selection {
    /// Of these CPUs; none: of all.
    pub cpus: Vec<u32>,
    /// About these threads, by name or by number; none: about all.
    pub threads: Vec<String>,
    /// Of these probes; none: of all.
    pub probes: Vec<String>,
    /// In this interval, in ns after boot.
    pub interval: RangeInclusive<u64>,
}

/// Why nothing can be selected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    /// No such thread.
    #[error("there is no thread `{0}`; there are {1}")]
    Thread(String, String),
    /// No such probe.
    #[error("there is no probe `{0}`; there are {1}")]
    Probe(String, String),
    /// No such CPU.
    #[error("there is no cpu {0}; the guest has {1}")]
    Cpu(u32, u32),
}

impl Selection {
    /// The records of a recording that are wanted, by time.
    ///
    /// # Errors
    /// [`SelectionError`] if a thread, a probe or a CPU does not exist.
    pub fn of<'r>(&self, recording: &'r Recording) -> Result<Vec<&'r TraceRecord>, SelectionError> {
        let mut wanted = self.wanted(recording)?;
        let records = recording.records.iter().filter(|record| wanted.takes(record)).collect();
        wanted.check().map(|()| records)
    }

    /// The same of records that are shown one by one.
    ///
    /// # Errors
    /// [`SelectionError`] if a probe, a CPU or the name of a thread does not exist.
    pub fn wanted(&self, told: &Recording) -> Result<Wanted, SelectionError> {
        let kinds = self.probes.iter().map(|name| kind(name)).collect::<Result<Vec<Kind>, _>>()?;
        let named = self.threads.iter().map(|name| named(told, name)).collect::<Result<Vec<_>, _>>()?;
        if let Some(&cpu) = self.cpus.iter().find(|&&cpu| cpu >= told.header.cpus) {
            return Err(SelectionError::Cpu(cpu, told.header.cpus));
        }
        let (mut threads, mut unmet) = (Vec::new(), Vec::new());
        for named in named {
            match named {
                Named::These(mut these) => threads.append(&mut these),
                Named::Number(number, error) => {
                    threads.push(number);
                    unmet.push((number, error));
                }
            }
        }
        Ok(Wanted { cpus: self.cpus.clone(), kinds, threads, unmet, interval: self.interval.clone() })
    }
}

/// A selection that is asked about records one by one.
#[derive(Debug, Clone)]
pub struct Wanted {
    cpus: Vec<u32>,
    kinds: Vec<Kind>,
    threads: Vec<u64>,
    /// Threads that are there only if a record is about them, and no one was yet.
    unmet: Vec<(u64, SelectionError)>,
    interval: RangeInclusive<u64>,
}

impl Wanted {
    /// True if a record is wanted.
    pub fn takes(&mut self, record: &TraceRecord) -> bool {
        if !self.unmet.is_empty() {
            self.unmet.retain(|(thread, _)| *thread != record.thread);
        }
        (self.cpus.is_empty() || self.cpus.contains(&record.cpu))
            && (self.kinds.is_empty() || self.kinds.contains(&record.kind))
            && (self.threads.is_empty() || self.threads.contains(&record.thread))
            && self.interval.contains(&record.time_ns)
    }

    /// True if only all records tell whether what is wanted is there.
    pub fn is_open(&self) -> bool {
        !self.unmet.is_empty()
    }

    /// Whether every thread was there, after all records.
    ///
    /// # Errors
    /// [`SelectionError`] if one was not.
    pub fn check(mut self) -> Result<(), SelectionError> {
        self.unmet.drain(..).next().map_or(Ok(()), |(_, error)| Err(error))
    }
}

fn kind(name: &str) -> Result<Kind, SelectionError> {
    Kind::ALL.iter().copied().find(|kind| kind.name() == name).ok_or_else(|| {
        let names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        SelectionError::Probe(name.to_owned(), names.join(", "))
    })
}

/// What a word names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// The threads of these numbers; several may have one name.
    These(Vec<u64>),
    /// A thread of this number, if any record is about it; else this is what to say.
    Number(u64, SelectionError),
}

/// The threads of this name or number.
///
/// # Errors
/// [`SelectionError`] if there is none, whatever the records say.
pub fn named(told: &Recording, name: &str) -> Result<Named, SelectionError> {
    let named: Vec<u64> = told.threads.iter().filter(|t| t.name == name).map(|t| t.id).collect();
    if !named.is_empty() {
        return Ok(Named::These(named));
    }
    let number: Option<u64> = name.strip_prefix('t').unwrap_or(name).parse().ok();
    if let Some(id) = number.filter(|&id| told.thread(id).is_some()) {
        return Ok(Named::These(vec![id]));
    }
    let mut names: Vec<&str> =
        told.threads.iter().map(|t| t.name.as_str()).filter(|n| !n.is_empty()).collect();
    names.sort_unstable();
    names.dedup();
    let error = SelectionError::Thread(name.to_owned(), names.join(", "));
    number.map_or(Err(error.clone()), |number| Ok(Named::Number(number, error)))
}
