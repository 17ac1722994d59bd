//! Blame of small recordings, a mechanism each.
//!
//! # Invariants
//! - What a scenario shows is tested where scenarios run; here each rule is alone.

use super::*;
use crate::recording::{Ending, Gap, Header, Sample, StandState, Thread};
use umpire_shared::sys::sobject::sobj;
use umpire_watch::glass::TraceRecord;

/// Threads: idle ones of two CPUs, a hog, a victim that is bound to cpu 0, an owner, and one that is bound to nobody.
const HOG: u64 = 2;
const VICTIM: u64 = 3;
const OWNER: u64 = 4;
const FREE: u64 = 5;

fn record(time_ns: u64, cpu: u32, kind: Kind, thread: u64, pri: i32, arg: u64) -> TraceRecord {
    TraceRecord { time_ns, cpu, kind, thread, pri, arg }
}

fn recording(records: Vec<TraceRecord>) -> Recording {
    let thread = |id: u64, name: &str, class: &str, bound_cpu| Thread {
        id,
        name: name.to_owned(),
        class: class.to_owned(),
        bound_cpu,
        is_idle: name == "idle",
        has_lwp: class == "TS",
    };
    Recording {
        header: Header { cpus: 2, ..Header::default() },
        threads: vec![
            thread(0, "idle", "SYS", None),
            thread(1, "idle", "SYS", None),
            thread(HOG, "hog", "TS", Some(0)),
            thread(VICTIM, "victim", "SYS", Some(0)),
            thread(OWNER, "owner", "SYS", None),
            thread(FREE, "free", "SYS", None),
        ],
        records,
        ending: Some(Ending::default()),
        ..Recording::default()
    }
}

/// A hog on cpu 0 at this priority, a thread at 99 that waits behind it from 100 to 1100, and cpu 1, which is idle.
fn waiting(hog: i32, victim: u64) -> Vec<TraceRecord> {
    let on_cpu_0 = event::on_queue(Some(0), false);
    vec![
        record(10, 0, Kind::OnCpu, HOG, hog, 0),
        record(11, 1, Kind::OnCpu, 1, -1, 0),
        record(100, 1, Kind::Enqueue, victim, 99, on_cpu_0),
        record(101, 1, Kind::RunrunRaise, 1, -1, 0),
        record(1100, 0, Kind::OffCpu, HOG, hog, victim),
        record(1100, 0, Kind::OnCpu, victim, 99, 0),
        record(1200, 1, Kind::OffCpu, 1, -1, 0),
    ]
}

fn one(recording: &Recording, thread: u64) -> Blame {
    let asked = Asked { threads: vec![thread], worst: 1, ..Asked::default() };
    blame(recording, &asked).into_iter().next().expect("it waited")
}

#[test]
fn thread_below_the_threshold_blames_kpreemptpri_and_its_remedy_is_the_value() {
    let mut recording = recording(waiting(0, VICTIM));
    recording.samples = vec![Sample { at_ns: 500, kpreemptpri: Some(100), ..Sample::default() }];
    let told = one(&recording, VICTIM);
    assert_eq!((told.mechanism, told.tunable, told.cpu), ("kpreemptpri", Some(("kpreemptpri", 99)), Some(0)));
    assert!(
        told.says.starts_with(
            "victim (SYS 99, bound to cpu 0) waited for cpu 0 behind hog (TS 0, bound to cpu 0)"
        )
    );
    assert_eq!(told.also, ["it is bound to cpu 0: cpu 1 was idle for 100 % of that and may not take it"]);
    recording.samples[0].kpreemptpri = Some(99);
    assert_eq!(one(&recording, VICTIM).mechanism, "not asked", "the threshold was reached");
}

#[test]
fn shares_are_who_ran_in_which_part_and_what_an_interrupt_took() {
    let mut records = waiting(0, VICTIM);
    records.push(record(200, 0, Kind::IntrBegin, 9, 166, 6));
    records.push(record(450, 0, Kind::IntrEnd, 9, 166, 6));
    records.sort_by_key(|record| record.time_ns);
    let mut recording = recording(records);
    let sample = |at_ns, is_user| {
        let stand = StandState { thread: Some(HOG), is_user, ..StandState::default() };
        Sample { at_ns, stands: vec![stand], ..Sample::default() }
    };
    recording.samples = vec![sample(300, true), sample(600, false), sample(900, false)];
    // The host ran the vCPU all the time between the first and the last pass.
    for sample in &mut recording.samples {
        sample.stands[0].ran_ns = sample.at_ns;
    }
    let shares = one(&recording, VICTIM).shares;
    let told: Vec<_> = shares.iter().map(|s| (s.part, s.ns)).collect();
    assert_eq!(told, [(Part::Kernel, 500), (Part::Interrupt(6), 250), (Part::User, 250)]);
    // It ran it for half of the time.
    for sample in &mut recording.samples {
        sample.stands[0].ran_ns = sample.at_ns / 2;
    }
    let shares = one(&recording, VICTIM).shares;
    let host: u64 = shares.iter().filter(|s| s.part == Part::Host).map(|s| s.ns).sum();
    assert_eq!(host, 300, "of 600 between the passes");
    assert!((999..=1000).contains(&shares.iter().map(|s| s.ns).sum::<u64>()), "{shares:?}");
}

#[test]
fn better_thread_beside_an_idle_cpu_is_a_binding_or_a_steal_that_was_refused() {
    let told = one(&recording(waiting(109, VICTIM)), VICTIM);
    assert_eq!(told.mechanism, "binding");
    assert!(told.remedy.is_some_and(|remedy| remedy.contains("cpu 1 would have taken it")));

    let mut records = waiting(109, FREE);
    records.insert(4, record(150, 1, Kind::NoSteal, FREE, 99, event::not_stolen(0, 50)));
    let told = one(&recording(records), FREE);
    assert_eq!((told.mechanism, told.tunable), ("nosteal", Some(("nosteal_nsec", 0))));
    assert_eq!(one(&recording(waiting(109, FREE)), FREE).mechanism, "better");
    assert_eq!(one(&recording(waiting(99, FREE)), FREE).mechanism, "equal");
}

#[test]
fn lock_names_its_owner_and_what_keeps_the_owner() {
    let on_cpu_0 = event::on_queue(Some(0), false);
    let mutex = event::asleep_on(sobj::MUTEX, Some(OWNER as u32), 64);
    let mut recording = recording(vec![
        record(10, 0, Kind::OnCpu, HOG, 109, 0),
        record(20, 1, Kind::OnCpu, VICTIM, 60, 0),
        record(30, 0, Kind::Enqueue, OWNER, 60, on_cpu_0),
        record(40, 1, Kind::Sleep, VICTIM, 60, mutex),
        record(41, 1, Kind::OffCpu, VICTIM, 60, 1),
        record(900, 0, Kind::Poke, HOG, 109, 0),
    ]);
    recording.objects = vec![(64, "mutex 3".to_owned())];
    let told = one(&recording, VICTIM);
    assert_eq!((told.mechanism, told.what), ("lock", For::Lock));
    assert!(
        told.says.contains(
            "waited for mutex 3, which owner (SYS 60) has; that one is runnable and does not run: owner"
        ),
        "{}",
        told.says
    );
    assert!(told.says.contains("behind hog (TS 109, bound to cpu 0): a better thread"), "{}", told.says);
    assert_eq!(told.shares.iter().map(|s| (s.part, s.ns)).collect::<Vec<_>>(), [(Part::Runnable, 859)]);
}

#[test]
fn locks_in_a_circle_are_a_deadlock() {
    let has = |owner: u64| event::asleep_on(sobj::MUTEX, Some(owner as u32), 64);
    let told = one(
        &recording(vec![
            record(10, 0, Kind::Sleep, VICTIM, 60, has(OWNER)),
            record(20, 0, Kind::Sleep, OWNER, 60, has(VICTIM)),
            record(900, 0, Kind::Poke, HOG, 109, 0),
        ]),
        VICTIM,
    );
    assert_eq!(told.mechanism, "deadlock");
    assert!(told.says.ends_with("which victim (SYS 60, bound to cpu 0) has: a deadlock"), "{}", told.says);
}

#[test]
fn circle_that_closes_with_the_last_record_is_a_deadlock() {
    let has = |owner: u64| event::asleep_on(sobj::MUTEX, Some(owner as u32), 64);
    let told = one(
        &recording(vec![
            record(5, 1, Kind::OnCpu, OWNER, 60, 0),
            record(10, 0, Kind::Sleep, VICTIM, 60, has(OWNER)),
            record(900, 1, Kind::Sleep, OWNER, 60, has(VICTIM)),
        ]),
        VICTIM,
    );
    assert_eq!(told.mechanism, "deadlock", "{}", told.says);
    assert!(
        told.says.contains("which owner (SYS 60) has; that one goes to sleep on a mutex"),
        "{}",
        told.says
    );
}

#[test]
fn cap_is_told_from_sleep() {
    let told = one(
        &recording(vec![
            record(10, 0, Kind::OnCpu, FREE, 60, 0),
            record(20, 0, Kind::CpucapsSleep, FREE, 60, 0),
            record(21, 0, Kind::OffCpu, FREE, 60, 0),
            record(900, 0, Kind::Poke, HOG, 109, 0),
        ]),
        FREE,
    );
    assert_eq!((told.mechanism, told.what, told.wait.ns()), ("cap", For::Cap, 879));
}

#[test]
fn moment_asks_for_the_wait_that_lasts_then_or_the_next() {
    let recording = recording(waiting(0, VICTIM));
    let at = |at_ns| blame(&recording, &Asked { threads: vec![VICTIM], at_ns: Some(at_ns), worst: 0 });
    assert_eq!(at(50).first().map(|told| told.wait.from_ns), Some(100));
    assert_eq!(at(600).first().map(|told| told.wait.from_ns), Some(100));
    assert!(at(5_000).is_empty());
}

#[test]
fn a_wait_into_a_time_whose_records_are_lost_is_nobodys_and_one_beside_it_is_told() {
    let mut whole = recording(waiting(109, FREE));
    assert_eq!(one(&whole, FREE).wait.ns(), 1000);
    let gap = |from_ns, to_ns| vec![Gap { cpu: 1, from_ns, to_ns }];
    whole.ending = Some(Ending { gaps: gap(500, 600), ..Ending::default() });
    let asked = Asked { threads: vec![FREE], worst: 1, ..Asked::default() };
    assert!(blame(&whole, &asked).is_empty(), "it may have been served meanwhile");
    whole.ending = Some(Ending { gaps: gap(1150, 1160), ..Ending::default() });
    assert_eq!(blame(&whole, &asked).len(), 1);
}

#[test]
fn a_recording_that_ends_before_threads_and_passes_are_told_does_not_say_why() {
    let mut cut = recording(waiting(50, FREE));
    cut.ending = None;
    let told = one(&cut, FREE);
    assert_eq!((told.mechanism, told.tunable), ("unknown", None), "{}", told.says);
    cut.threads.clear();
    let told = one(&cut, FREE);
    assert!(
        told.mechanism == "unknown"
            && told.shares.iter().all(|share| !share.who.as_deref().is_some_and(|who| who.contains("SYS"))),
        "{told:?}"
    );
}

#[test]
fn what_rings_held_blames_from_where_it_is_whole() {
    let mut held = recording(waiting(109, FREE));
    held.header.whole_from_ns = 900;
    let told = one(&held, FREE);
    assert_eq!(told.wait.ns(), 1000, "how long it waited the kernel said");
    assert_eq!(told.shares.iter().map(|share| share.ns).sum::<u64>(), 200, "{:?}", told.shares);
}

/// The hog's CPU has not switched for as long as its ring reaches back: it is no idle CPU for that.
#[test]
fn a_cpu_of_which_no_event_is_held_ran_what_the_pass_saw_or_nobody_knows_what() {
    let mut held = recording(waiting(109, FREE).into_iter().filter(|record| record.cpu == 1).collect());
    let told = one(&held, FREE);
    assert_eq!((told.mechanism, told.says.contains("idle")), ("unknown", false), "{}", told.says);
    let stand = |thread, dispatch_pri| StandState { thread, dispatch_pri, ..StandState::default() };
    let stands = vec![stand(Some(HOG), 109), stand(None, -1)];
    held.samples = vec![Sample { at_ns: 1200, stands, kpreemptpri: Some(99), ..Sample::default() }];
    let told = one(&held, FREE);
    assert!(told.says.contains("behind hog (TS 109"), "{}", told.says);
    held.samples[0].stands[0] = stand(None, -1);
    assert_eq!(one(&held, FREE).mechanism, "idle", "that it was idle a pass can see as well");
}
