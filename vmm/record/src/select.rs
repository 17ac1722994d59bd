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
        let kinds = self.probes.iter().map(|name| kind(name)).collect::<Result<Vec<Kind>, _>>()?;
        let threads = self.threads.iter().map(|name| threads(recording, name));
        let threads: Vec<u64> = threads.collect::<Result<Vec<_>, _>>()?.concat();
        if let Some(&cpu) = self.cpus.iter().find(|&&cpu| cpu >= recording.header.cpus) {
            return Err(SelectionError::Cpu(cpu, recording.header.cpus));
        }
        let is_wanted = |record: &&TraceRecord| {
            (self.cpus.is_empty() || self.cpus.contains(&record.cpu))
                && (kinds.is_empty() || kinds.contains(&record.kind))
                && (threads.is_empty() || threads.contains(&record.thread))
                && self.interval.contains(&record.time_ns)
        };
        Ok(recording.records.iter().filter(is_wanted).collect())
    }
}

fn kind(name: &str) -> Result<Kind, SelectionError> {
    Kind::ALL.iter().copied().find(|kind| kind.name() == name).ok_or_else(|| {
        let names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        SelectionError::Probe(name.to_owned(), names.join(", "))
    })
}

/// The numbers of the threads of this name; several may have it.
pub fn threads(recording: &Recording, name: &str) -> Result<Vec<u64>, SelectionError> {
    let named: Vec<u64> = recording.threads.iter().filter(|t| t.name == name).map(|t| t.id).collect();
    if !named.is_empty() {
        return Ok(named);
    }
    if let Some(id) = name.strip_prefix('t').unwrap_or(name).parse().ok()
        && (recording.thread(id).is_some() || recording.records.iter().any(|record| record.thread == id))
    {
        return Ok(vec![id]);
    }
    let mut names: Vec<&str> =
        recording.threads.iter().map(|t| t.name.as_str()).filter(|n| !n.is_empty()).collect();
    names.sort_unstable();
    names.dedup();
    Err(SelectionError::Thread(name.to_owned(), names.join(", ")))
}
