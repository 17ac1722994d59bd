//! What lasts on a CPU beside the thread that it runs: a flag that is set, an interrupt that is handled.
//!
//! # Invariants
//! - Flags of one kind on one CPU do not overlap; interrupts nest.
//! - What had begun before the first record, or had not ended at the last, reaches there. What lasts into a time of which records are lost
//!   is left out.

use std::collections::BTreeMap;

use crate::recording::Recording;
use crate::unknown::Unknown;
use umpire_shared::event::Kind;
use umpire_watch::glass::TraceRecord;

/// What lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lasting {
    /// `cpu_runrun` is set.
    Runrun,
    /// `cpu_kprunrun` is set.
    Kprunrun,
    /// An interrupt of this level, 1 to 15, is handled.
    Interrupt(u8),
}

/// One time that it lasted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bar {
    /// What.
    pub what: Lasting,
    /// On which CPU.
    pub cpu: u32,
    /// From when, in ns after boot.
    pub from_ns: u64,
    /// To when.
    pub to_ns: u64,
    /// True if it had not ended when the recording did.
    pub is_open: bool,
    /// The thread that set the flag, or that handles the interrupt; none if that was before the first record.
    pub by: Option<u64>,
}

/// All of a recording, by their beginnings.
pub fn bars(recording: &Recording) -> Vec<Bar> {
    let (first_ns, last_ns) = recording.interval();
    let mut scan = BarScan::of(recording, first_ns);
    recording.records.iter().for_each(|record| scan.see(record));
    scan.end(last_ns);
    in_order(scan.done)
}

/// Those of a scan, as they came.
pub(crate) fn in_order(mut bars: Vec<Bar>) -> Vec<Bar> {
    bars.sort_by_key(|bar| (bar.from_ns, bar.cpu, bar.what));
    bars
}

/// Records that become bars as they come, by time.
#[derive(Debug, Default)]
pub(crate) struct BarScan {
    unknown: Unknown,
    first_ns: u64,
    open: BTreeMap<(Lasting, u32), Bar>,
    /// Those that have ended.
    done: Vec<Bar>,
}

impl BarScan {
    /// Of a recording that begins then.
    pub(crate) fn of(told: &Recording, first_ns: u64) -> BarScan {
        BarScan { unknown: Unknown::of(told), first_ns, ..BarScan::default() }
    }

    /// The bars that have ended since this was asked last.
    pub(crate) fn ended(&mut self) -> std::vec::Drain<'_, Bar> {
        self.done.drain(..)
    }

    /// Sees the next record.
    pub(crate) fn see(&mut self, record: &TraceRecord) {
        let (what, begins) = match record.kind {
            Kind::RunrunRaise => (Lasting::Runrun, true),
            Kind::RunrunClear => (Lasting::Runrun, false),
            Kind::KprunrunRaise => (Lasting::Kprunrun, true),
            Kind::KprunrunClear => (Lasting::Kprunrun, false),
            Kind::IntrBegin => (Lasting::Interrupt(record.arg as u8), true),
            Kind::IntrEnd => (Lasting::Interrupt(record.arg as u8), false),
            _ => return,
        };
        let is_interrupt = matches!(what, Lasting::Interrupt(_));
        let cpu = if is_interrupt { record.cpu } else { record.target() };
        let at_ns = record.time_ns;
        let bar = Bar { what, cpu, from_ns: at_ns, to_ns: at_ns, is_open: true, by: Some(record.thread) };
        if begins {
            // A flag that is set again without having been cleared: the record of that was lost.
            if let Some(before) = self.open.insert((what, cpu), bar) {
                self.put(Bar { to_ns: at_ns, is_open: false, ..before });
            }
        } else {
            let before = self.open.remove(&(what, cpu));
            let before = before.unwrap_or(Bar { from_ns: self.first_ns, by: None, ..bar });
            self.put(Bar { to_ns: at_ns, is_open: false, ..before });
        }
    }

    /// Ends what has not ended.
    pub(crate) fn end(&mut self, last_ns: u64) {
        for bar in std::mem::take(&mut self.open).into_values() {
            self.put(Bar { to_ns: last_ns, ..bar });
        }
    }

    fn put(&mut self, bar: Bar) {
        if !self.unknown.reaches_into(bar.from_ns, bar.to_ns) {
            self.done.push(bar);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use umpire_watch::glass::TraceRecord;

    #[test]
    fn flag_lasts_from_when_it_is_set_to_when_it_is_cleared_and_reaches_the_ends() {
        let record = |time_ns, kind, arg| TraceRecord { time_ns, cpu: 0, kind, thread: 7, pri: 1, arg };
        let recording = Recording {
            records: vec![
                record(5, Kind::Poke, 0),
                record(10, Kind::RunrunClear, 1),
                record(20, Kind::KprunrunRaise, 1),
                record(21, Kind::RunrunRaise, 0),
                record(30, Kind::KprunrunClear, 1),
                record(99, Kind::Poke, 0),
            ],
            ..Recording::default()
        };
        let told: Vec<_> =
            bars(&recording).iter().map(|b| (b.what, b.cpu, b.from_ns, b.to_ns, b.by)).collect();
        assert_eq!(
            told,
            [
                (Lasting::Runrun, 1, 5, 10, None),
                (Lasting::Kprunrun, 1, 20, 30, Some(7)),
                (Lasting::Runrun, 0, 21, 99, Some(7)),
            ]
        );
    }
}
