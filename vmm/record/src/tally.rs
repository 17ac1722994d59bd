//! Records counted by what they have in common: what `@[execname, probename] = count()` is to a D script.
//!
//! # Invariants
//! - Each record is counted once.

use std::collections::BTreeMap;

use crate::line::Argument;
use crate::recording::Recording;
use umpire_watch::glass::TraceRecord;

/// What records may have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// The thread, by name.
    Thread,
    /// The probe.
    Probe,
    /// The CPU.
    Cpu,
    /// The priority.
    Pri,
    /// The argument.
    Arg,
}

impl Key {
    /// Every key and its name.
    pub const ALL: [(Key, &'static str); 5] = [
        (Key::Thread, "thread"),
        (Key::Probe, "probe"),
        (Key::Cpu, "cpu"),
        (Key::Pri, "pri"),
        (Key::Arg, "arg"),
    ];

    /// The key of this name.
    pub fn named(name: &str) -> Option<Key> {
        Key::ALL.into_iter().find(|(_, n)| *n == name).map(|(key, _)| key)
    }

    fn of(self, recording: &Recording, record: &TraceRecord) -> String {
        match self {
            Key::Thread => recording.name(record.thread),
            Key::Probe => record.kind.name().to_owned(),
            Key::Cpu => record.cpu.to_string(),
            Key::Pri => record.pri.to_string(),
            Key::Arg => Argument(record.kind, record.arg).to_string(),
        }
    }
}

/// Records that have the keys in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// What they have in common, in the order of the keys.
    pub keys: Vec<String>,
    /// How many.
    pub count: u64,
    /// The time of the first and of the last, in ns after boot.
    pub first_ns: u64,
    /// The same of the last.
    pub last_ns: u64,
    /// The longest time from one to the next, in ns; 0 of one.
    pub max_gap_ns: u64,
}

/// Counts records by keys; the most frequent first.
pub fn tally(recording: &Recording, records: &[&TraceRecord], keys: &[Key]) -> Vec<Count> {
    let mut counts: BTreeMap<Vec<String>, Count> = BTreeMap::new();
    for record in records {
        let of: Vec<String> = keys.iter().map(|key| key.of(recording, record)).collect();
        let at = record.time_ns;
        let count = counts.entry(of).or_insert_with_key(|keys| Count {
            keys: keys.clone(),
            count: 0,
            first_ns: at,
            last_ns: at,
            max_gap_ns: 0,
        });
        count.count += 1;
        count.max_gap_ns = count.max_gap_ns.max(at.saturating_sub(count.last_ns));
        count.last_ns = at;
    }
    let mut counts: Vec<Count> = counts.into_values().collect();
    counts.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.keys.cmp(&b.keys)));
    counts
}
