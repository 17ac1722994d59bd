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
    /// What their arguments come to.
    pub sum_arg: u64,
    /// The times from one to the next.
    pub gaps: Gaps,
}

/// Times in powers of two, as DTrace's `quantize` has them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gaps {
    /// By power: place `n` counts those from 2^(n-1) ns on and below 2^n ns, place 0 those of 0 ns.
    powers: Vec<u64>,
}

impl Gaps {
    fn note(&mut self, ns: u64) {
        let power = (u64::BITS - ns.leading_zeros()) as usize;
        if self.powers.len() <= power {
            self.powers.resize(power + 1, 0);
        }
        self.powers[power] += 1;
    }

    /// The least time that each place counts, in ns, and how many there are, from the first that has some to the last.
    pub fn rows(&self) -> impl Iterator<Item = (u64, u64)> {
        let first = self.powers.iter().position(|&count| count > 0).unwrap_or(0);
        let floor = |power: usize| power.checked_sub(1).map_or(0, |power| 1 << power);
        self.powers.iter().enumerate().skip(first).map(move |(power, &count)| (floor(power), count))
    }

    /// So many of a hundred are in a place whose least time this is, or in one below, in ns; 0 of none.
    pub fn percentile(&self, percent: u64) -> u64 {
        let all: u64 = self.powers.iter().sum();
        let mut seen = 0;
        let reaches = |(_, count): &(u64, u64)| {
            seen += count;
            seen * 100 >= all * percent
        };
        self.rows().find(reaches).map_or(0, |(floor, _)| floor)
    }

    /// A line a place, as DTrace draws it.
    pub fn drawn(&self) -> Vec<String> {
        const WIDTH: u64 = 40;
        let all: u64 = self.powers.iter().sum::<u64>().max(1);
        let head = format!("{:>16}  ------------- Distribution ------------- count", "ns");
        let line = |(floor, count): (u64, u64)| {
            let bar = "@".repeat((count * WIDTH).div_ceil(all) as usize);
            format!("{floor:>16} |{bar:<40} {count}")
        };
        std::iter::once(head).chain(self.rows().map(line)).collect()
    }
}

/// Counts records by keys; the most frequent first.
pub fn tally(recording: &Recording, records: &[&TraceRecord], keys: &[Key]) -> Vec<Count> {
    let mut tally = Tally::by(keys);
    records.iter().for_each(|record| tally.see(recording, record));
    tally.counts()
}

/// Records that are counted as they come, by time.
#[derive(Debug)]
pub struct Tally<'k> {
    keys: &'k [Key],
    counts: BTreeMap<Vec<String>, Count>,
}

impl<'k> Tally<'k> {
    /// Of none yet.
    pub fn by(keys: &'k [Key]) -> Tally<'k> {
        Tally { keys, counts: BTreeMap::new() }
    }

    /// Counts one; the recording says what its thread is called.
    pub fn see(&mut self, recording: &Recording, record: &TraceRecord) {
        let of: Vec<String> = self.keys.iter().map(|key| key.of(recording, record)).collect();
        let at = record.time_ns;
        let count = self.counts.entry(of).or_insert_with_key(|keys| Count {
            keys: keys.clone(),
            count: 0,
            first_ns: at,
            last_ns: at,
            max_gap_ns: 0,
            sum_arg: 0,
            gaps: Gaps::default(),
        });
        let gap_ns = at.saturating_sub(count.last_ns);
        if count.count > 0 {
            count.gaps.note(gap_ns);
        }
        count.count += 1;
        count.sum_arg = count.sum_arg.saturating_add(record.arg);
        count.max_gap_ns = count.max_gap_ns.max(gap_ns);
        count.last_ns = at;
    }

    /// What there was of each; the most frequent first.
    pub fn counts(self) -> Vec<Count> {
        let mut counts: Vec<Count> = self.counts.into_values().collect();
        counts.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.keys.cmp(&b.keys)));
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use umpire_shared::event::Kind;

    #[test]
    fn records_of_one_key_are_counted_added_up_and_their_gaps_put_into_powers_of_two() {
        let times = [10, 10, 11, 13, 77, 100_077];
        let record =
            |&time_ns: &u64| TraceRecord { time_ns, cpu: 0, kind: Kind::Tick, thread: 7, pri: 1, arg: 2 };
        let records: Vec<TraceRecord> = times.iter().map(record).collect();
        let all: Vec<&TraceRecord> = records.iter().collect();
        let counts = tally(&Recording::default(), &all, &[Key::Probe]);
        let [count] = &counts[..] else { panic!("one key: {counts:?}") };
        assert_eq!((count.count, count.sum_arg, count.max_gap_ns), (6, 12, 100_000));
        let rows: Vec<(u64, u64)> = count.gaps.rows().filter(|(_, count)| *count > 0).collect();
        assert_eq!(rows, [(0, 1), (1, 1), (2, 1), (64, 1), (65_536, 1)]);
        assert_eq!((count.gaps.percentile(50), count.gaps.percentile(99)), (2, 65_536));
        assert_eq!(count.gaps.drawn()[1], format!("{:>16} |{:<40} 1", 0, "@".repeat(8)));
    }

    #[test]
    fn one_record_has_no_gap() {
        let record = TraceRecord { time_ns: 5, cpu: 0, kind: Kind::Poke, thread: 7, pri: 1, arg: 0 };
        let counts = tally(&Recording::default(), &[&record], &[Key::Cpu]);
        assert_eq!((counts[0].gaps.rows().count(), counts[0].gaps.percentile(50)), (0, 0));
    }
}
