//! Waits that no span of a thread tells: of tasks on a queue, of callouts, and from an interrupt to the thread that it woke.
//!
//! # Invariants
//! - A wait is told when it ends; one that has not ended is told with what it has lasted.

use std::collections::HashMap;

use crate::recording::Recording;
use crate::spans::{Span, Spans, State};
use umpire_shared::event::Kind;
use umpire_shared::sys::machlock::LOCK_LEVEL;
use umpire_watch::glass::TraceRecord;

/// From a task's being put on a queue's list, or given to a thread, to its beginning; of the thread that runs it.
pub(super) fn tasks(recording: &Recording, mut note: impl FnMut(&Span)) {
    let (_, end_ns) = recording.interval();
    let mut waiting: HashMap<u64, &TraceRecord> = HashMap::new();
    for record in &recording.records {
        match record.kind {
            Kind::TaskqEnqueue | Kind::TaskqDEnqueue => {
                waiting.insert(record.arg, record);
            }
            Kind::TaskqExecStart | Kind::TaskqDExecStart => {
                if let Some(put) = waiting.remove(&record.arg) {
                    note(&wait(record.thread, record.pri, put.time_ns, record.time_ns, false));
                }
            }
            _ => {}
        }
    }
    // Whose they will be nobody knows: they are told of who dispatched them.
    for put in waiting.into_values() {
        note(&wait(put.thread, put.pri, put.time_ns, end_ns, true));
    }
}

/// From a callout's being due to its beginning; of the thread that runs it.
pub(super) fn callouts(recording: &Recording, mut note: impl FnMut(&Span)) {
    for record in recording.records.iter().filter(|record| record.kind == Kind::CalloutStart) {
        let due_ns = record.time_ns.saturating_sub(record.arg);
        note(&wait(record.thread, record.pri, due_ns, record.time_ns, false));
    }
}

/// From the beginning of an interrupt to the running of the thread that its handler woke.
pub(super) fn from_interrupts(recording: &Recording, spans: &Spans, mut note: impl FnMut(&Span)) {
    // When the interrupt began that an interrupt thread handles, by the thread, in the order of time.
    let mut begun: HashMap<u64, Vec<u64>> = HashMap::new();
    // Those above wake nobody, and are handled in the name of the thread that ran.
    let is_threaded =
        |record: &&TraceRecord| record.kind == Kind::IntrBegin && record.arg <= LOCK_LEVEL.into();
    for record in recording.records.iter().filter(is_threaded) {
        begun.entry(record.thread).or_default().push(record.time_ns);
    }
    for span in spans.all.iter().filter(|span| span.state == State::Woken) {
        let Some(times) = span.waker.and_then(|waker| begun.get(&waker)) else { continue };
        let before = times.partition_point(|&time| time <= span.from_ns);
        if let Some(from_ns) = before.checked_sub(1).and_then(|n| times.get(n)) {
            note(&Span { from_ns: *from_ns, ..*span });
        }
    }
}

fn wait(thread: u64, pri: i32, from_ns: u64, to_ns: u64, is_open: bool) -> Span {
    Span { thread, state: State::Woken, from_ns, to_ns, pri, waker: None, on: 0, is_open }
}

#[cfg(test)]
mod tests {
    use super::*;
    use umpire_shared::event;

    fn record(time_ns: u64, kind: Kind, thread: u64, arg: u64) -> TraceRecord {
        TraceRecord { time_ns, cpu: 0, kind, thread, pri: 60, arg }
    }

    #[test]
    fn task_waits_from_the_queue_to_its_beginning_and_one_that_has_not_begun_to_the_end() {
        let task = |entry| event::of_task(1, None, Some(entry));
        let recording = Recording {
            records: vec![
                record(10, Kind::TaskqEnqueue, 3, task(0)),
                record(20, Kind::TaskqEnqueue, 3, task(1)),
                record(50, Kind::TaskqExecStart, 4, task(0)),
                record(60, Kind::TaskqExecEnd, 4, task(0)),
                record(99, Kind::Poke, 4, 0),
            ],
            ..Recording::default()
        };
        let mut told = Vec::new();
        tasks(&recording, |span| told.push((span.thread, span.ns(), span.is_open)));
        assert_eq!(told, [(4, 40, false), (3, 79, true)]);
    }

    #[test]
    fn thread_that_an_interrupt_woke_is_late_from_the_interrupt_on() {
        let recording = Recording {
            records: vec![
                record(1, Kind::Sleep, 3, 0),
                record(10, Kind::IntrBegin, 90, 6),
                record(15, Kind::Wakeup, 3, 0),
                record(16, Kind::Enqueue, 3, event::on_queue(Some(0), false)),
                record(18, Kind::IntrEnd, 90, 6),
                record(30, Kind::OnCpu, 3, 0),
                record(40, Kind::Poke, 3, 0),
            ],
            ..Recording::default()
        };
        let mut told = Vec::new();
        from_interrupts(&recording, &Spans::of(&recording), |span| told.push((span.thread, span.ns())));
        assert_eq!(told, [(3, 20)]);
    }
}
