//! What of a long recording lies about some waits: what its second pass keeps of it.
//!
//! # Invariants
//! - Within the intervals it is all that [`Look`] takes from a recording, in the same order; outside it is what was before them.
//! - What lasts into an interval is kept when it ends, so it is what a look at the whole recording would find.

use std::collections::HashMap;

use super::choose::Found;
use super::look::Look;
use crate::bars::{Bar, BarScan, in_order};
use crate::recording::{Recording, Sample, Seen};
use crate::spans::{Scan, Span, Spans};
use umpire_shared::event::Kind;
use umpire_watch::glass::TraceRecord;

/// From when to when, in ns after boot, both ends included.
pub(super) type Interval = (u64, u64);

/// Intervals in their order, none of which touches another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Intervals(Vec<Interval>);

impl Intervals {
    /// Those that some are together.
    pub(super) fn of(mut all: Vec<Interval>) -> Intervals {
        all.sort_unstable();
        let mut apart: Vec<Interval> = Vec::new();
        for (from, to) in all {
            match apart.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(to),
                _ => apart.push((from, to)),
            }
        }
        Intervals(apart)
    }

    /// True if one has a moment of this one.
    pub(super) fn meet(&self, (from, to): Interval) -> bool {
        let next = self.0.partition_point(|(_, ends)| *ends < from);
        self.0.get(next).is_some_and(|(begins, _)| *begins <= to)
    }

    /// True if one has all of this one.
    pub(super) fn have(&self, (from, to): Interval) -> bool {
        self.0.iter().any(|&(begins, ends)| begins <= from && to <= ends)
    }
}

/// What is kept so far.
#[derive(Debug)]
pub(super) struct About<'f> {
    found: &'f Found,
    intervals: &'f Intervals,
    /// How many intervals have begun.
    begun: usize,
    scan: Scan,
    bar_scan: BarScan,
    /// How each thread was put on a queue last, and of the waits of interest how it was before their ends.
    queued: HashMap<u64, TraceRecord>,
    queued_of: Vec<Option<TraceRecord>>,
    /// The sample before, and whether it is kept.
    before: Option<(Sample, bool)>,
    spans: Vec<Span>,
    bars: Vec<Bar>,
    records: Vec<TraceRecord>,
    samples: Vec<Sample>,
}

impl<'f> About<'f> {
    /// Of the waits that were found, within intervals.
    pub(super) fn of(told: &Recording, found: &'f Found, intervals: &'f Intervals) -> About<'f> {
        About {
            found,
            intervals,
            begun: 0,
            scan: Scan::of(told, found.interval.0),
            bar_scan: BarScan::of(told, found.interval.0),
            queued: HashMap::new(),
            queued_of: vec![None; found.waits.len()],
            before: None,
            spans: Vec::new(),
            bars: Vec::new(),
            records: found.switches.clone(),
            samples: Vec::new(),
        }
    }

    /// Sees what is next.
    pub(super) fn see(&mut self, seen: Seen<'_>) {
        match seen {
            Seen::Record(record) => self.see_record(record),
            Seen::Sample(sample) => self.see_sample(sample),
        }
    }

    fn see_record(&mut self, record: &TraceRecord) {
        self.begin(record.time_ns);
        if record.kind == Kind::Enqueue {
            self.queued.insert(record.thread, *record);
            let its = self.found.waits.iter().zip(&mut self.queued_of);
            for ((wait, _), queued) in its.filter(|((wait, _), _)| wait.thread == record.thread) {
                if record.time_ns <= wait.to_ns {
                    *queued = Some(*record);
                }
            }
        }
        let is_asked_for = matches!(record.kind, Kind::Enqueue | Kind::NoSteal);
        if is_asked_for && self.intervals.meet((record.time_ns, record.time_ns)) {
            self.records.push(*record);
        }
        self.scan.see(record);
        self.bar_scan.see(record);
        self.keep();
    }

    /// Begins the intervals that begin by then: how threads came onto the queues that they are on is part of them.
    fn begin(&mut self, at_ns: u64) {
        let is_begun = |(from, _): &Interval| *from <= at_ns;
        if self.intervals.0.get(self.begun).is_some_and(is_begun) {
            self.begun = self.intervals.0.partition_point(is_begun);
            self.records.extend(self.queued.values());
        }
    }

    fn keep(&mut self) {
        let intervals = self.intervals;
        self.spans.extend(self.scan.ended().filter(|span| intervals.meet((span.from_ns, span.to_ns))));
        self.bars.extend(self.bar_scan.ended().filter(|bar| intervals.meet((bar.from_ns, bar.to_ns))));
    }

    /// Keeps those between which something of an interval lies.
    fn see_sample(&mut self, sample: &Sample) {
        let from = self.before.as_ref().map_or(0, |(before, _)| before.at_ns);
        let is_kept = self.intervals.meet((from, sample.at_ns));
        if let Some((before, false)) = self.before.take()
            && is_kept
        {
            self.samples.push(before);
        }
        if is_kept {
            self.samples.push(sample.clone());
        }
        self.before = Some((sample.clone(), is_kept));
    }

    /// Lets `tell` look at what there is.
    pub(super) fn end<T>(mut self, told: &Recording, tell: impl FnOnce(Look<'_>) -> T) -> T {
        if let Some((last, false)) = self.before.take()
            && self.intervals.meet((last.at_ns, u64::MAX))
        {
            self.samples.push(last);
        }
        self.begin(u64::MAX);
        self.scan.end(self.found.interval.1);
        self.bar_scan.end(self.found.interval.1);
        self.keep();
        // What priority a thread began with is told wherever its first span is.
        let firsts = self.found.firsts.iter().copied();
        self.spans.extend(firsts.filter(|span| !self.intervals.meet((span.from_ns, span.to_ns))));
        self.records.extend(self.queued_of.into_iter().flatten());
        self.records.sort_by_key(|record| (record.time_ns, record.cpu));
        let (spans, bars) = (Spans::in_order(self.spans), in_order(self.bars));
        let recording = Recording { records: self.records, samples: self.samples, ..told.clone() };
        tell(Look::with(&recording, &spans, &bars))
    }
}
