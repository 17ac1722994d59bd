//! What each CPU ran, and what each thread did, from when to when.
//!
//! # Invariants
//! - The spans of a thread do not overlap, and neither do those in which a CPU runs.
//! - A span that has not ended when the recording does is open: it is at least as long as it says.
//! - What lasts into a time of which records are lost is no span: it may have been otherwise.
//! - Nothing is made up: before the first record about a thread it has no span, except that one which is seen to leave a CPU must have
//!   been on it.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::recording::Recording;
use crate::unknown::Unknown;
use umpire_shared::event::{self, Kind};
use umpire_shared::sys::machlock::LOCK_LEVEL;
use umpire_shared::sys::sobject::sobj;
use umpire_watch::glass::TraceRecord;

/// What a thread does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It runs on this CPU.
    Running(u32),
    /// It waits to run, after it was woken.
    Woken,
    /// It waits to run, after the CPU was taken from it or it gave way.
    Preempted,
    /// It sleeps.
    Asleep,
    /// The CPU cap of its project or zone holds it.
    Capped,
    /// It is off its CPU, and no record says why: it ended, or was stopped.
    Off,
}

impl State {
    /// True if it waits to run.
    pub fn is_waiting(self) -> bool {
        matches!(self, State::Woken | State::Preempted)
    }
}

/// One thing that a thread does, from when to when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The thread's number.
    pub thread: u64,
    /// What it does.
    pub state: State,
    /// From when, in ns after boot.
    pub from_ns: u64,
    /// To when.
    pub to_ns: u64,
    /// Its priority when this began.
    pub pri: i32,
    /// The thread that woke it, if it waits because of that.
    pub waker: Option<u64>,
    /// What it sleeps on, if it sleeps, or was about to when the recording ended: an [`umpire_shared::event::asleep_on`].
    pub on: u64,
    /// True if it had not ended when the recording did.
    pub is_open: bool,
}

impl Span {
    /// How long it is, in ns.
    pub fn ns(&self) -> u64 {
        self.to_ns.saturating_sub(self.from_ns)
    }

    /// True if what it sleeps on is a mutex or an rwlock.
    pub fn is_on_lock(&self) -> bool {
        matches!(event::sleep_of(self.on).0, sobj::MUTEX | sobj::RWLOCK)
    }
}

/// All spans of a recording.
#[derive(Debug, Clone, Default)]
pub struct Spans {
    /// By their beginnings.
    pub all: Vec<Span>,
}

impl Spans {
    /// What the records of a recording say.
    pub fn of(recording: &Recording) -> Spans {
        let (begin_ns, end_ns) = recording.interval();
        let mut scan = Scan::of(recording, begin_ns);
        recording.records.iter().for_each(|record| scan.see(record));
        scan.end(end_ns);
        Spans::in_order(scan.done)
    }

    /// Those of a scan, as they came.
    pub(crate) fn in_order(mut all: Vec<Span>) -> Spans {
        all.sort_by_key(|span| (span.from_ns, span.thread));
        Spans { all }
    }

    /// What a CPU ran, by time.
    pub fn of_cpu(&self, cpu: u32) -> impl Iterator<Item = &Span> {
        self.all.iter().filter(move |span| span.state == State::Running(cpu))
    }

    /// What a thread did, by time.
    pub fn of_thread(&self, thread: u64) -> impl Iterator<Item = &Span> {
        self.all.iter().filter(move |span| span.thread == thread)
    }

    /// The longest waits for a CPU, worst first, one a thread.
    pub fn worst_waits(&self) -> Vec<Span> {
        let mut worst: BTreeMap<u64, Span> = BTreeMap::new();
        for span in self.all.iter().filter(|span| span.state.is_waiting()) {
            let seen = worst.entry(span.thread).or_insert(*span);
            if span.ns() > seen.ns() {
                *seen = *span;
            }
        }
        let mut worst: Vec<Span> = worst.into_values().collect();
        worst.sort_by_key(|span| (std::cmp::Reverse(span.ns()), span.thread));
        worst
    }
}

/// CPUs' clocks differ by no more than this, in ns.
const MOST_SKEW_NS: u64 = 1_000_000;

/// What is known of a thread so far.
#[derive(Debug, Clone, Copy)]
struct Now {
    span: Span,
    /// What it will do when it is off its CPU: it has said so while it still ran.
    next: Option<Span>,
    /// Who woke it last, until it is put on a queue.
    waker: Option<u64>,
}

/// Records that become spans as they come, by time.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    unknown: Unknown,
    begin_ns: u64,
    threads: BTreeMap<u64, Now>,
    /// What each CPU runs.
    on_cpu: BTreeMap<u32, u64>,
    /// The interrupt threads that run on top of that, the uppermost last.
    interrupts: BTreeMap<u32, Vec<u64>>,
    /// Threads that are on a queue.
    queued: HashSet<u64>,
    /// Threads that were woken and have not fallen asleep since.
    woken: HashSet<u64>,
    /// Threads that were taken off a queue without having been put there, and when: that record comes late.
    late: HashMap<u64, u64>,
    /// Those that have ended.
    done: Vec<Span>,
}

impl Scan {
    /// Of a recording that begins then.
    pub(crate) fn of(told: &Recording, begin_ns: u64) -> Scan {
        Scan { unknown: Unknown::of(told), begin_ns, ..Scan::default() }
    }

    /// The spans that have ended since this was asked last.
    pub(crate) fn ended(&mut self) -> std::vec::Drain<'_, Span> {
        self.done.drain(..)
    }

    /// What a thread does now, as far as it has.
    pub(crate) fn now(&self, thread: u64) -> Option<Span> {
        self.threads.get(&thread).map(|now| now.span)
    }

    /// Sees the next record.
    pub(crate) fn see(&mut self, record: &TraceRecord) {
        let span = |state| Span {
            thread: record.thread,
            state,
            from_ns: record.time_ns,
            to_ns: record.time_ns,
            pri: record.pri,
            waker: None,
            on: 0,
            is_open: false,
        };
        match record.kind {
            Kind::OnCpu => {
                // Who leaves a CPU says so. If it has not, that record was lost.
                if let Some(other) = self.on_cpu.insert(record.cpu, record.thread) {
                    self.lost_from_sight(other, record.time_ns);
                }
                self.lost_from_sight(record.thread, record.time_ns);
                self.begin(span(State::Running(record.cpu)));
            }
            Kind::OffCpu => self.leave(record, span(State::Off)),
            Kind::Sleep => {
                self.woken.remove(&record.thread);
                self.say(Span { on: record.arg, ..span(State::Asleep) });
            }
            Kind::Dequeue if !self.queued.remove(&record.thread) => {
                self.late.insert(record.thread, record.time_ns);
            }
            Kind::CpucapsSleep => self.say(span(State::Capped)),
            // Those above wake nobody.
            Kind::IntrBegin | Kind::IntrEnd if record.arg > LOCK_LEVEL.into() => {}
            Kind::IntrBegin => self.interrupts.entry(record.cpu).or_default().push(record.thread),
            Kind::IntrEnd => {
                let handled = self.interrupts.entry(record.cpu).or_default();
                if let Some(at) = handled.iter().rposition(|&thread| thread == record.thread) {
                    handled.truncate(at);
                }
            }
            Kind::Wakeup => {
                self.woken.insert(record.thread);
                let handled = self.interrupts.get(&record.cpu).and_then(|handled| handled.last());
                let waker = handled.or_else(|| self.on_cpu.get(&record.cpu)).copied();
                if let Some(now) = self.threads.get_mut(&record.thread) {
                    now.waker = waker;
                }
            }
            Kind::Enqueue if !self.is_late(record) => {
                self.queued.insert(record.thread);
                self.enqueue(span(State::Woken));
            }
            _ => {}
        }
    }

    /// True of a record that says what is over: CPUs' clocks may differ by a little while they come up, as here.
    ///
    /// ```text
    ///   CPU 0                      CPU 1
    ///   puts a thread on a queue
    ///                              5 us: takes it off, runs it, it falls asleep
    ///   6 us: the record of that
    /// ```
    fn is_late(&mut self, record: &TraceRecord) -> bool {
        let Some(taken_ns) = self.late.remove(&record.thread) else { return false };
        let sleeps = self.threads.get(&record.thread).is_some_and(|now| {
            now.span.state == State::Asleep || now.next.is_some_and(|next| next.state == State::Asleep)
        });
        sleeps
            && !self.woken.contains(&record.thread)
            && record.time_ns.saturating_sub(taken_ns) < MOST_SKEW_NS
    }

    /// A thread that is thought to run does not any more.
    fn lost_from_sight(&mut self, thread: u64, at_ns: u64) {
        let known = self.threads.get(&thread).map(|now| now.span);
        if let Some(span) = known.filter(|span| matches!(span.state, State::Running(_))) {
            self.begin(Span { state: State::Off, from_ns: at_ns, ..span });
        }
    }

    /// A thread is put on a run queue. One that waits already only changes its place.
    fn enqueue(&mut self, mut span: Span) {
        let now = self.threads.get(&span.thread).copied();
        let runs = now.is_some_and(|now| matches!(now.span.state, State::Running(_)));
        let has_slept = now
            .and_then(|now| now.next)
            .is_some_and(|next| matches!(next.state, State::Asleep | State::Capped));
        if runs && !has_slept {
            span.state = State::Preempted;
        }
        if now.is_some_and(|now| now.span.state.is_waiting()) {
            return;
        }
        span.waker = now.and_then(|now| now.waker);
        self.say(span);
    }

    /// The thread will do this from now on, or, if it still runs, once it is off its CPU.
    fn say(&mut self, span: Span) {
        match self.threads.get_mut(&span.thread) {
            Some(now) if matches!(now.span.state, State::Running(_)) => now.next = Some(span),
            _ => self.begin(span),
        }
    }

    /// A thread leaves its CPU.
    fn leave(&mut self, record: &TraceRecord, off: Span) {
        self.on_cpu.remove(&record.cpu);
        let known = self.threads.get(&record.thread).copied();
        match known {
            Some(now) if matches!(now.span.state, State::Running(_)) => {
                let next = now.next.unwrap_or(off);
                self.begin(Span { from_ns: record.time_ns, ..next });
            }
            // It came onto the CPU before the first record, or the record of that was lost.
            known => {
                let from_ns = known.map_or(self.begin_ns, |now| now.span.from_ns);
                self.begin(Span { state: State::Running(record.cpu), from_ns, ..off });
                self.begin(off);
            }
        }
    }

    /// Ends what the thread did, and begins this.
    fn begin(&mut self, span: Span) {
        let now = Now { span, next: None, waker: None };
        if let Some(before) = self.threads.insert(span.thread, now) {
            self.put(Span { to_ns: span.from_ns, ..before.span });
        }
    }

    fn put(&mut self, span: Span) {
        if span.to_ns >= span.from_ns && !self.unknown.reaches_into(span.from_ns, span.to_ns) {
            self.done.push(span);
        }
    }

    /// Ends what has not ended.
    pub(crate) fn end(&mut self, end_ns: u64) {
        for now in std::mem::take(&mut self.threads).into_values() {
            let on = now.next.map_or(now.span.on, |next| next.on);
            self.put(Span { to_ns: end_ns, is_open: true, on, ..now.span });
        }
    }
}

#[cfg(test)]
#[path = "spans_tests.rs"]
mod tests;
