//! Which waits of a long recording may be told: what its first pass finds.
//!
//! # Invariants
//! - Every wait that is told is among them; a few more may be.
//! - What is kept is a few numbers of each thread and CPU, and of waits as many as are asked for.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use super::{Asked, BOOT_NS, For, lasts, moment_of};
use crate::recording::{Breach, Recording, Seen};
use crate::spans::{Scan, Span};
use umpire_shared::event::{self, Kind};
use umpire_watch::glass::TraceRecord;

/// Waits of before all CPUs have switched of which only the second pass tells who owed service, at most.
const MOST_EARLY: usize = 64;

/// A wait that may be told, and the moment of it that matters most if there is one.
pub(super) type Chosen = (Span, Option<u64>);

/// The waits that are found so far.
#[derive(Debug)]
pub(super) struct Choice<'a> {
    scan: Option<Scan>,
    best: Best<'a>,
    /// From the first record to the last.
    pub(super) interval: (u64, u64),
    /// True if a record was about one of the threads that are asked about.
    pub(super) is_met: bool,
}

impl<'a> Choice<'a> {
    /// Of what is asked.
    pub(super) fn of(told: &Recording, asked: &'a Asked) -> Choice<'a> {
        let breaches = told.ending.as_ref().map_or(0, |ending| ending.breaches.len());
        let most = asked.worst.saturating_add(breaches);
        let best = Best {
            asked,
            most,
            cpus: told.header.cpus,
            firsts: HashMap::new(),
            switched: BTreeMap::new(),
            queued: HashMap::new(),
            breaches_of: HashMap::new(),
            breached: vec![None; breaches],
            lasting: None,
            next: None,
            longest: Longest::of(most),
            early: BTreeMap::new(),
        };
        Choice { scan: None, best, interval: (0, 0), is_met: false }
    }

    /// Sees what is next.
    pub(super) fn see(&mut self, told: &Recording, seen: Seen<'_>) {
        let Seen::Record(record) = seen else { return };
        let scan = self.scan.get_or_insert_with(|| {
            self.interval.0 = record.time_ns;
            Scan::of(told, record.time_ns)
        });
        self.interval.1 = record.time_ns;
        self.is_met |= self.best.asked.threads.contains(&record.thread);
        match record.kind {
            Kind::Enqueue => drop(self.best.queued.insert(record.thread, event::queue_cpu(record.arg))),
            Kind::OnCpu | Kind::OffCpu => {
                self.best.switched.entry(record.cpu).or_insert(*record);
            }
            _ => {}
        }
        scan.see(record);
        scan.ended().for_each(|span| self.best.take(told, &span));
    }

    /// What may be told.
    pub(super) fn end(mut self, told: &Recording) -> Found {
        if let Some(mut scan) = self.scan {
            scan.end(self.interval.1);
            scan.ended().for_each(|span| self.best.take(told, &span));
        }
        let Best { asked, firsts, switched, breached, lasting, next, longest, early, .. } = self.best;
        let mut waits: Vec<Chosen> = match asked.at_ns {
            Some(at) => lasting.or(next).map(|span| (span, moment_of(&span, at))).into_iter().collect(),
            None => {
                let breaches = told.ending.iter().flat_map(|ending| &ending.breaches);
                let broken = breaches.zip(breached).filter_map(|(breach, span)| {
                    let span = span?;
                    Some((span, Some(breach.passed_ns.unwrap_or(span.from_ns.saturating_add(breach.limit)))))
                });
                broken.collect()
            }
        };
        if asked.at_ns.is_none() {
            let early =
                early.into_iter().filter(|(cpu, _)| cpu.is_none_or(|cpu| !switched.contains_key(&cpu)));
            let all = early.flat_map(|(_, early)| early.all.into_values());
            waits.extend(longest.all.into_values().chain(all).map(|span| (span, None)));
        }
        Found {
            waits,
            firsts: firsts.into_values().collect(),
            switches: switched.into_values().collect(),
            interval: self.interval,
        }
    }
}

/// What the first pass found.
#[derive(Debug)]
pub(super) struct Found {
    /// The waits.
    pub(super) waits: Vec<Chosen>,
    /// The first span of each thread.
    pub(super) firsts: Vec<Span>,
    /// The first switch of each CPU.
    pub(super) switches: Vec<TraceRecord>,
    /// From the first record to the last.
    pub(super) interval: (u64, u64),
}

/// What of the spans so far matters.
#[derive(Debug)]
struct Best<'a> {
    asked: &'a Asked,
    most: usize,
    cpus: u32,
    firsts: HashMap<u64, Span>,
    switched: BTreeMap<u32, TraceRecord>,
    /// On which CPU's queue a thread was put last; none of a kp queue's.
    queued: HashMap<u64, Option<u32>>,
    /// The bounds, by place, that are about a thread.
    breaches_of: HashMap<u64, Vec<usize>>,
    breached: Vec<Option<Span>>,
    lasting: Option<Span>,
    next: Option<Span>,
    longest: Longest,
    /// Short waits for a CPU that has not switched yet, and for one that is not known before all have.
    early: BTreeMap<Option<u32>, Longest>,
}

impl Best<'_> {
    fn take(&mut self, told: &Recording, span: &Span) {
        let first = self.firsts.entry(span.thread).or_insert(*span);
        if span.from_ns < first.from_ns {
            *first = *span;
        }
        if span.state.is_waiting() && !self.breached.is_empty() {
            self.take_breach(told, span);
        }
        if !self.asked.is_about(told, span) {
            return;
        }
        let order = |span: &Span| (span.from_ns, span.thread);
        match self.asked.at_ns {
            Some(at) if lasts(span, at) => {
                let is_better = |best: &Span| (span.ns(), order(span)) >= (best.ns(), order(best));
                if self.lasting.as_ref().is_none_or(is_better) {
                    self.lasting = Some(*span);
                }
            }
            Some(at) => {
                if span.from_ns >= at && self.next.is_none_or(|best| order(span) < order(&best)) {
                    self.next = Some(*span);
                }
            }
            None => self.take_long(told, span),
        }
    }

    /// The first wait that a bound may have been broken by, in the order of spans.
    fn take_breach(&mut self, told: &Recording, span: &Span) {
        let breaches = || told.ending.iter().flat_map(|ending| &ending.breaches);
        let of = self.breaches_of.entry(span.thread).or_insert_with(|| {
            let name = told.name(span.thread);
            let is_its = |(_, breach): &(usize, &Breach)| breach.thread.as_ref() == Some(&name);
            breaches().enumerate().filter(is_its).map(|(at, _)| at).collect()
        });
        for &at in of.iter() {
            let (Some(breach), Some(found)) = (breaches().nth(at), self.breached.get_mut(at)) else {
                continue;
            };
            let is_it = breach.is_broken_by(span);
            let is_first = found.is_none_or(|best| (span.from_ns, span.thread) < (best.from_ns, best.thread));
            if is_it && is_first {
                *found = Some(*span);
            }
        }
    }

    /// One of the longest, if its CPU owed it.
    fn take_long(&mut self, told: &Recording, span: &Span) {
        if span.ns() == 0 {
            return;
        }
        if span.ns() >= BOOT_NS || For::of(span) != Some(For::Cpu) {
            return self.longest.take(span);
        }
        let bound = || told.thread(span.thread).and_then(|thread| thread.bound_cpu);
        let cpu = self.queued.get(&span.thread).copied().flatten().or_else(bound);
        let has_switched = |cpu: u32| self.switched.get(&cpu).map(|first| first.time_ns <= span.from_ns);
        let is_owed = match cpu {
            Some(cpu) => has_switched(cpu),
            None => (0..self.cpus).all(|cpu| has_switched(cpu) == Some(true)).then_some(true),
        };
        match is_owed {
            Some(true) => self.longest.take(span),
            Some(false) => {}
            None => {
                let most = self.most.saturating_add(MOST_EARLY);
                self.early.entry(cpu).or_insert_with(|| Longest::of(most)).take(span);
            }
        }
    }
}

/// The longest waits.
#[derive(Debug)]
struct Longest {
    most: usize,
    all: BTreeMap<(Reverse<u64>, u64, u64), Span>,
}

impl Longest {
    fn of(most: usize) -> Longest {
        Longest { most, all: BTreeMap::new() }
    }

    fn take(&mut self, span: &Span) {
        let key = (Reverse(span.ns()), span.from_ns, span.thread);
        if self.all.len() >= self.most && self.all.last_key_value().is_none_or(|(last, _)| key > *last) {
            return;
        }
        self.all.entry(key).or_insert(*span);
        if self.all.len() > self.most {
            self.all.pop_last();
        }
    }
}
