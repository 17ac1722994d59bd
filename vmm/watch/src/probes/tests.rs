//! Tests of bounds on records: each kind held, broken, and doubted.
//!
//! # Invariants
//! - Every bound is seen to break by one record more, less, later or earlier than one with which it holds.

use umpire_shared::event::{Kind, on_queue};

use super::*;

const NAMES: [&str; 4] = ["idle", "hog", "victim/0", "victim/1"];

fn at(time_ns: u64, cpu: u32, kind: Kind, thread: u64, pri: i32, arg: u64) -> TraceRecord {
    TraceRecord { time_ns, cpu, kind, thread, pri, arg }
}

/// Pokes of the hog at these times, all of CPU 1.
fn pokes(times: &[u64]) -> Vec<TraceRecord> {
    times.iter().map(|&time| at(time, 0, Kind::Poke, 1, 60, 1)).collect()
}

fn sight(kind: Kind, filter: &str) -> Sight {
    let filter =
        (!filter.is_empty()).then(|| RecordFilter::parse(kind, filter).expect("invariant: it parses"));
    Sight { kind, filter }
}

fn bound(what: Sight, rule: Rule) -> ProbeBound {
    ProbeBound { name: "b".to_owned(), what, after_ns: 0, rule }
}

fn found(bound: &ProbeBound, records: &[TraceRecord], lost: u64, absences: &Absences) -> ProbeFinding {
    let names: Vec<String> = NAMES.iter().map(|&name| name.to_owned()).collect();
    let total = records.len() as u64;
    judge(bound, &Recorded { records, total, lost, names: &names, end_ns: 100, absences })
}

/// What became of it when nothing was lost or taken: held, doubted, worst, judged.
#[track_caller]
fn check(bound: &ProbeBound, records: &[TraceRecord], expected: (bool, bool, u64, u64)) -> ProbeFinding {
    let found = found(bound, records, 0, &Absences::default());
    let is = (found.held, found.doubt.is_some(), found.worst, found.judged);
    assert_eq!(is, expected, "{found:?}");
    assert_eq!(found.held, found.sentence.is_empty(), "{found:?}");
    found
}

/// With a record lost it is neither held nor violated.
#[track_caller]
fn check_lost(bound: &ProbeBound, records: &[TraceRecord]) {
    let found = found(bound, records, 1, &Absences::default());
    assert!(found.held && found.doubt.as_ref().is_some_and(|doubt| doubt.contains("1 records")), "{found:?}");
}

#[test]
fn count_is_of_what_is_meant() {
    let rule = |min, max| bound(sight(Kind::Poke, "target == 1 and name == hog"), Rule::Count { min, max });
    let mut records = pokes(&[10, 20]);
    records.push(at(30, 0, Kind::Poke, 1, 60, 0));
    records.push(at(40, 0, Kind::Poke, 2, 60, 1));
    records.push(at(50, 0, Kind::Wakeup, 1, 60, 1));

    check(&rule(0, Some(2)), &records, (true, false, 2, 5));
    let broken = check(&rule(0, Some(1)), &records, (false, false, 2, 5));
    assert_eq!(
        broken.sentence,
        "b: 2 times `poke where target == 1 and name == hog`, 1 is the most: poke at 10ns on cpu 0, hog (60), target 1; poke at 20ns on cpu 0, hog (60), target 1"
    );
    check(&rule(2, None), &records, (true, false, 2, 2));
    check(&rule(3, None), &records, (false, false, 2, 2));
    // That nothing was there is seen by looking at something.
    check(&rule(0, Some(0)), &[], (true, true, 0, 0));
    let late = ProbeBound { after_ns: 15, ..rule(0, Some(1)) };
    check(&late, &records, (true, false, 1, 5));
}

#[test]
fn count_that_is_too_great_is_so_whatever_was_lost_and_one_too_small_is_doubted() {
    let rule = |min, max| bound(sight(Kind::Poke, ""), Rule::Count { min, max });
    let records = pokes(&[10, 20]);
    let over = found(&rule(0, Some(1)), &records, 7, &Absences::default());
    assert!(!over.held && over.doubt.is_none(), "{over:?}");
    check_lost(&rule(0, Some(2)), &records);
    check_lost(&rule(3, None), &records);
    let told = [Span::told(10, 20, 24), Span::told(20, 30, 2)];
    assert!(!found(&rule(3, None), &records, 0, &Absences::of(&told[..1])).held);
    let absences = Absences::of(&told);
    let starved = found(&rule(3, None), &records, 0, &absences);
    assert!(starved.held && starved.doubt.is_some_and(|doubt| doubt.contains("for 26ns of 100ns")));
    let enough = found(&rule(2, None), &records, 7, &Absences::default());
    assert!(enough.held && enough.doubt.is_none(), "{enough:?}");
}

#[test]
fn gap_is_from_the_beginning_between_records_and_to_the_end() {
    let rule = |limit| bound(sight(Kind::Poke, ""), Rule::Gap(limit));
    let records = pokes(&[30, 60, 80]);
    check(&rule(30), &records, (true, false, 30, 3));
    check(&rule(29), &records, (false, false, 30, 3));
    check(&rule(40), &pokes(&[41, 70]), (false, false, 41, 2));
    check(&rule(40), &pokes(&[40, 59]), (false, false, 41, 2));
    check(&rule(99), &[], (false, false, 100, 0));
    check_lost(&rule(29), &records);
    check_lost(&rule(30), &records);

    let told = [Span::told(10, 20, 5), Span::told(40, 50, 5)];
    let short = found(&rule(29), &records, 0, &Absences::of(&told[..1]));
    assert_eq!((short.held, short.worst), (false, 30), "the second gap was not the host's");
    let short = found(&rule(29), &records, 0, &Absences::of(&told));
    assert_eq!((short.held, short.worst), (true, 25));
}

#[test]
fn follower_comes_in_time_and_of_the_same_thread() {
    let follow = |within, by| {
        let rule = Rule::Then { then: sight(Kind::OnCpu, ""), by, within_ns: Some(within), before: None };
        bound(sight(Kind::Wakeup, "name == victim"), rule)
    };
    let records = [
        at(10, 0, Kind::Wakeup, 2, 60, 0),
        at(12, 1, Kind::OnCpu, 3, 60, 0),
        at(20, 1, Kind::OnCpu, 2, 60, 0),
        at(95, 0, Kind::Wakeup, 3, 60, 0),
    ];
    // The last one has time until after the end.
    check(&follow(10, By::Thread), &records, (true, false, 10, 1));
    let broken = check(&follow(9, By::Thread), &records, (false, false, 10, 1));
    assert!(
        broken.sentence.contains("wakeup at 10ns on cpu 0, victim/0 (60), then after 10ns"),
        "{broken:?}"
    );
    check(&follow(9, By::Any), &records, (true, false, 2, 1));
    check(&follow(9, By::Cpu), &records, (false, false, 90, 1));
    check(&follow(4, By::Any), &records, (false, false, 5, 2));
    check(&follow(9, By::Thread), &records[1..3], (true, true, 0, 0));
    check_lost(&follow(9, By::Thread), &records);

    let absences = Absences::of(&[Span::told(15, 18, 3)]);
    assert!(found(&follow(9, By::Thread), &records, 0, &absences).held);
}

#[test]
fn follower_comes_before_something_else() {
    let before = Some(sight(Kind::OffCpu, ""));
    let rule = Rule::Then { then: sight(Kind::Surrender, ""), by: By::Thread, within_ns: None, before };
    let rule = bound(sight(Kind::ChangePri, "to < pri"), rule);
    let drop = |time| at(time, 0, Kind::ChangePri, 1, 60, 20);
    let [surrender, off, up] = [(15, Kind::Surrender, 0), (20, Kind::OffCpu, 2), (10, Kind::ChangePri, 70)]
        .map(|(time, kind, arg)| at(time, 0, kind, 1, 60, arg));

    check(&rule, &[drop(10), surrender, off], (true, false, 0, 1));
    let broken = check(&rule, &[drop(10), off, drop(30)], (false, false, 1, 1));
    assert!(
        broken.sentence.contains("and before it off-cpu at 20ns on cpu 0, hog (60), next victim/0"),
        "{broken:?}"
    );
    check(&rule, &[up, off], (true, true, 0, 0));
}

#[test]
fn who_came_first_goes_first_unless_its_place_is_another() {
    let rule =
        bound(sight(Kind::Enqueue, "end == tail and queue == 1"), Rule::Fifo(sight(Kind::Dequeue, "")));
    let come = |time, thread, pri, head| at(time, 0, Kind::Enqueue, thread, pri, on_queue(Some(1), head));
    let go = |time, thread| at(time, 1, Kind::Dequeue, thread, 60, on_queue(Some(1), false));

    check(&rule, &[come(1, 2, 60, false), come(2, 3, 60, false), go(3, 2), go(4, 3)], (true, false, 0, 1));
    let broken = [come(1, 2, 60, false), come(2, 3, 60, false), go(3, 3), go(4, 2)];
    let broken_told = check(&rule, &broken, (false, false, 1, 1));
    assert_eq!(broken_told.thread.as_deref(), Some("victim/0"));
    check_lost(&rule, &broken);
    // Two CPUs' clocks say nothing of who had the queue's lock first.
    let elsewhere = |time| TraceRecord { cpu: 1, ..come(time, 3, 60, false) };
    check(&rule, &[come(1, 2, 60, false), elsewhere(1000), go(1001, 3), go(1002, 2)], (true, false, 0, 1));
    check(&rule, &[come(1, 2, 60, false), elsewhere(1001), go(1002, 3), go(1003, 2)], (false, false, 1, 1));
    // Another level, the head, and a place that was given up.
    check(&rule, &[come(1, 2, 60, false), come(2, 3, 61, false), go(3, 3), go(4, 2)], (true, true, 0, 0));
    check(&rule, &[come(1, 2, 60, false), come(2, 3, 60, true), go(3, 3), go(4, 2)], (true, true, 0, 0));
    let again = [come(1, 2, 60, false), come(2, 3, 60, false), come(3, 2, 60, false), go(4, 3), go(5, 2)];
    check(&rule, &again, (true, false, 0, 1));
}

#[test]
fn filter_that_does_not_fit_its_probe_points_at_the_piece() {
    for (kind, filter, column, part) in [
        (Kind::Poke, "targt == 1", 1, "did you mean `target`?"),
        (
            Kind::Poke,
            "queue == 1",
            1,
            "a record of `poke` has no `queue`, expected one of name, pri, cpu, target",
        ),
        (Kind::Enqueue, "queue == here", 10, "expected a CPU's number or kp"),
        (Kind::Enqueue, "end == back", 8, "expected head or tail"),
        (Kind::Enqueue, "end > head", 5, "can only be compared with == or !="),
        (Kind::ChangePri, "to < priority", 6, "expected a number or one of pri, cpu"),
        (Kind::ChangePri, "name >= a", 6, "can only be compared with ==, != or ^="),
        (Kind::ChangePri, "to <", 5, "expected what to compare"),
        (Kind::ChangePri, "to < pri or cpu == 1", 10, "expected `and`"),
        (Kind::Tick, "", 1, "expected one of name, pri, cpu, count"),
    ] {
        let error = RecordFilter::parse(kind, filter).expect_err(filter);
        assert_eq!(error.column, column, "{filter}: {error}");
        assert!(error.message.contains(part), "{filter}: {error}");
    }
}

#[test]
fn filter_of_a_queue_knows_the_kp_queue_and_one_of_numbers_compares_two() {
    let names: Vec<String> = NAMES.iter().map(|&name| name.to_owned()).collect();
    let on = |cpu| at(1, 0, Kind::Enqueue, 1, 60, on_queue(cpu, true));
    for (filter, on_kp, on_one) in [
        ("queue == kp", true, false),
        ("queue != kp", false, true),
        ("queue == 1", false, true),
        ("queue != 1", true, false),
        ("queue > 0 and end == head", false, true),
        ("pri > cpu and end != tail", true, true),
        ("name != hog", false, false),
    ] {
        let parsed = RecordFilter::parse(Kind::Enqueue, filter).expect("invariant: it parses");
        let is = (parsed.matches(&on(None), &names), parsed.matches(&on(Some(1)), &names));
        assert_eq!(is, (on_kp, on_one), "{filter}");
    }
}
