//! Spans of a few records each.
//!
//! # Invariants
//! - What a thread is said to do is compared whole: state, beginning, end, and whether that is open.

use super::*;

fn record(time_ns: u64, cpu: u32, kind: Kind, thread: u64) -> TraceRecord {
    TraceRecord { time_ns, cpu, kind, thread, pri: 60, arg: 0 }
}

fn spans(records: &[TraceRecord]) -> Spans {
    Spans::of(&Recording { records: records.to_vec(), ..Recording::default() })
}

fn said(spans: &Spans, thread: u64) -> Vec<(State, u64, u64, bool)> {
    spans.of_thread(thread).map(|s| (s.state, s.from_ns, s.to_ns, s.is_open)).collect()
}

#[test]
fn thread_that_is_woken_waits_until_it_runs_and_knows_who_woke_it() {
    let spans = spans(&[
        record(1, 0, Kind::OnCpu, 7),
        record(5, 1, Kind::OnCpu, 3),
        record(6, 1, Kind::Sleep, 3),
        record(8, 1, Kind::OffCpu, 3),
        record(10, 0, Kind::Wakeup, 3),
        record(11, 0, Kind::Enqueue, 3),
        record(15, 1, Kind::OnCpu, 3),
        record(20, 0, Kind::Poke, 7),
    ]);
    let expected = [
        (State::Running(1), 5, 8, false),
        (State::Asleep, 8, 11, false),
        (State::Woken, 11, 15, false),
        (State::Running(1), 15, 20, true),
    ];
    assert_eq!(said(&spans, 3), expected);
    assert_eq!(spans.all.iter().find(|s| s.state == State::Woken).and_then(|s| s.waker), Some(7));
}

#[test]
fn thread_that_was_put_on_a_queue_before_it_was_taken_off_does_not_wait_because_the_clocks_differ() {
    let mut records = vec![
        record(1, 1, Kind::Dequeue, 3),
        record(2, 1, Kind::OnCpu, 3),
        record(3, 1, Kind::Sleep, 3),
        record(4, 1, Kind::OffCpu, 3),
        record(6, 0, Kind::Enqueue, 3),
        record(90, 0, Kind::Poke, 7),
    ];
    assert_eq!(said(&spans(&records), 3).last(), Some(&(State::Asleep, 4, 90, true)));
    records.insert(4, record(5, 0, Kind::Wakeup, 3));
    assert_eq!(said(&spans(&records), 3).last(), Some(&(State::Woken, 6, 90, true)), "it was woken");
}

#[test]
fn thread_that_an_interrupt_wakes_was_woken_by_the_interrupt_thread() {
    let spans = spans(&[
        record(1, 0, Kind::OnCpu, 7),
        record(2, 0, Kind::IntrBegin, 90),
        record(3, 0, Kind::Sleep, 3),
        record(4, 0, Kind::Wakeup, 3),
        record(5, 0, Kind::Enqueue, 3),
        record(6, 0, Kind::IntrEnd, 90),
        record(7, 0, Kind::Sleep, 4),
        record(8, 0, Kind::Wakeup, 4),
        record(9, 0, Kind::Enqueue, 4),
    ]);
    let waker = |thread| spans.of_thread(thread).find(|s| s.state == State::Woken).and_then(|s| s.waker);
    assert_eq!((waker(3), waker(4)), (Some(90), Some(7)));
}

#[test]
fn thread_that_is_preempted_waits_from_when_it_leaves_and_a_new_place_ends_no_wait() {
    let spans = spans(&[
        record(5, 0, Kind::OnCpu, 3),
        record(10, 0, Kind::Enqueue, 3),
        record(11, 0, Kind::Preempt, 3),
        record(12, 0, Kind::OffCpu, 3),
        record(12, 0, Kind::OnCpu, 4),
        record(15, 0, Kind::Dequeue, 3),
        record(16, 0, Kind::Enqueue, 3),
        record(90, 0, Kind::Poke, 4),
    ]);
    assert_eq!(said(&spans, 3), [(State::Running(0), 5, 12, false), (State::Preempted, 12, 90, true)]);
    assert_eq!(spans.worst_waits()[0].ns(), 78);
}

#[test]
fn thread_that_is_woken_before_it_is_off_its_cpu_waits_from_then() {
    let spans = spans(&[
        record(5, 1, Kind::OnCpu, 3),
        record(6, 1, Kind::Sleep, 3),
        record(7, 0, Kind::Enqueue, 3),
        record(9, 1, Kind::OffCpu, 3),
        record(12, 1, Kind::OnCpu, 3),
    ]);
    let expected =
        [(State::Running(1), 5, 9, false), (State::Woken, 9, 12, false), (State::Running(1), 12, 12, true)];
    assert_eq!(said(&spans, 3), expected);
}

#[test]
fn thread_whose_leaving_was_lost_is_off_when_another_comes() {
    let spans =
        spans(&[record(5, 0, Kind::OnCpu, 3), record(9, 0, Kind::OnCpu, 4), record(12, 1, Kind::OnCpu, 4)]);
    assert_eq!(said(&spans, 3), [(State::Running(0), 5, 9, false), (State::Off, 9, 12, true)]);
    let expected =
        [(State::Running(0), 9, 12, false), (State::Off, 12, 12, false), (State::Running(1), 12, 12, true)];
    assert_eq!(said(&spans, 4), expected);
}

#[test]
fn thread_that_is_first_seen_when_it_leaves_ran_since_the_beginning() {
    let spans =
        spans(&[record(3, 1, Kind::Poke, 9), record(8, 0, Kind::OffCpu, 2), record(9, 0, Kind::OnCpu, 3)]);
    assert_eq!(said(&spans, 2)[0], (State::Running(0), 3, 8, false));
}
