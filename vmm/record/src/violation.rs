//! Where in a recording a bound began to be broken, and where it was.
//!
//! # Invariants
//! - A moment is told only if it is known: the judge's, or, of a recording without it, that at which the thread's first wait of
//!   that length passed the limit.

use std::ops::RangeInclusive;

use umpire_rows::number::rounded;

use crate::recording::{Breach, Recording};
use crate::spans::{Span, Spans};

/// An interval about a wait is no shorter than this, in ns.
const LEAST_NS: u64 = 1_000_000;

/// The interval that shows best what happened, in ns after boot: about the first bound that was broken, or about the longest wait.
pub fn around(recording: &Recording) -> RangeInclusive<u64> {
    let (first, last) = recording.interval();
    let spans = Spans::of(recording);
    let violations = Violation::all(recording, &spans);
    let about = violations.first().map(|violation| {
        let long = violation.at_ns.saturating_sub(violation.began_ns).max(1_000);
        violation.began_ns.saturating_sub(long / 4)..=violation.at_ns.saturating_add(long / 3)
    });
    let is_idle = |span: &Span| recording.thread(span.thread).is_some_and(|thread| thread.is_idle);
    let longest = spans.worst_waits().into_iter().find(|wait| !is_idle(wait));
    let about = about.or_else(|| {
        let wait = longest?;
        let beside = wait.ns().saturating_mul(4).max(LEAST_NS / 2);
        Some(wait.from_ns.saturating_sub(beside).max(first)..=wait.to_ns.saturating_add(beside).min(last))
    });
    about.filter(|about| !about.is_empty()).unwrap_or(first..=last.max(first.saturating_add(1)))
}

/// A bound that was broken, in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The monitor.
    pub monitor: String,
    /// The thread, if it is one's.
    pub thread: Option<String>,
    /// Its number, if the recording has it.
    pub number: Option<u64>,
    /// When what broke the bound began, in ns after boot.
    pub began_ns: u64,
    /// When the limit was passed.
    pub at_ns: u64,
    /// `starvation: mac_soft_ring_worker waited 50ms`.
    pub text: String,
}

impl Violation {
    /// With the moment.
    pub fn told(&self) -> String {
        format!("{}, at {}", self.text, rounded(self.at_ns))
    }

    /// True if it is what became of this bound.
    pub fn is_of(&self, breach: &Breach) -> bool {
        self.monitor == breach.monitor && self.thread == breach.thread
    }

    /// Those of a recording whose moments are known, in the order of its bounds.
    pub fn all(recording: &Recording, spans: &Spans) -> Vec<Violation> {
        let breaches = recording.ending.as_ref().map_or(&[][..], |ending| &ending.breaches);
        breaches.iter().filter_map(|breach| Violation::of(recording, spans, breach)).collect()
    }

    fn of(recording: &Recording, spans: &Spans, breach: &Breach) -> Option<Violation> {
        let is_its = |thread: u64| breach.thread.as_ref().is_some_and(|name| recording.name(thread) == *name);
        let mut waits = spans.all.iter().filter(|span| span.state.is_waiting() && is_its(span.thread));
        let wait = waits.find(|span| breach.is_broken_by(span));
        let began = wait.map(|span| span.from_ns);
        let at_ns = breach.passed_ns.or_else(|| Some(began? + breach.limit))?;
        let what = match (&breach.thread, wait) {
            (Some(name), Some(_)) => format!("{name} waited {}", rounded(breach.limit)),
            (Some(name), None) => format!("{name} passed {}", rounded(breach.limit)),
            (None, _) => format!("{} was passed", rounded(breach.limit)),
        };
        Some(Violation {
            monitor: breach.monitor.clone(),
            thread: breach.thread.clone(),
            number: wait.map(|span| span.thread),
            began_ns: began.unwrap_or(at_ns.saturating_sub(breach.limit)),
            at_ns,
            text: format!("{}: {what}", breach.monitor),
        })
    }
}

impl Breach {
    /// True if a wait of its thread broke it: it lasted when the limit was passed, or, if the judge did not tell when, is longer.
    pub(crate) fn is_broken_by(&self, wait: &Span) -> bool {
        match self.passed_ns {
            Some(at) => (wait.from_ns..=wait.to_ns).contains(&at),
            None => wait.ns() > self.limit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::{Ending, Thread};
    use umpire_shared::event::Kind;
    use umpire_watch::glass::TraceRecord;

    fn violation(passed_ns: Option<u64>, thread: Option<&str>) -> Option<Violation> {
        let record =
            |time_ns, thread| TraceRecord { time_ns, cpu: 0, kind: Kind::Enqueue, thread, pri: 1, arg: 0 };
        let thread_of = |id, name: &str| Thread { id, name: name.to_owned(), ..Thread::default() };
        let thread = thread.map(str::to_owned);
        let breach = Breach {
            monitor: "starvation".to_owned(),
            thread,
            limit: 50,
            worst: 99,
            is_count: false,
            passed_ns,
            says: Vec::new(),
        };
        let recording = Recording {
            threads: vec![thread_of(0, "a"), thread_of(1, "b")],
            records: vec![record(10, 0), record(20, 1), record(200, 5)],
            ending: Some(Ending { breaches: vec![breach], ..Ending::default() }),
            ..Recording::default()
        };
        Violation::all(&recording, &Spans::of(&recording)).into_iter().next()
    }

    #[test]
    fn violation_is_where_the_judge_says_and_began_with_the_wait_that_it_fell_into() {
        let told = violation(Some(77), Some("b")).expect("one");
        assert_eq!((told.began_ns, told.at_ns, told.number), (20, 77, Some(1)));
        assert_eq!(told.text, "starvation: b waited 50ns");
    }

    #[test]
    fn violation_of_an_older_recording_is_where_the_wait_passed_the_limit() {
        let told = violation(None, Some("b")).expect("one");
        assert_eq!((told.began_ns, told.at_ns), (20, 70));
    }

    #[test]
    fn violation_of_no_thread_has_a_place_only_if_the_judge_told_it() {
        assert_eq!(violation(None, None), None);
        assert_eq!(violation(Some(77), None).map(|told| (told.began_ns, told.at_ns)), Some((27, 77)));
    }
}
