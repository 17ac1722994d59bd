//! Tests of the monitor `starvation`, on snapshots made by hand.
//!
//! # Invariants
//! - Time is what a test says it is.

use super::*;
use crate::glass::{CpuReading, CpuSample, QueuedThread, ThreadTime, Verdict};
use umpire_shared::sys::thread::{tflag, ts};

const MS: u64 = 1_000_000;

/// Two CPUs, passes a millisecond apart, both vCPUs running all the time unless a test says otherwise.
struct Bench {
    monitor: Starvation,
    seen: Snapshot,
}

impl Bench {
    fn new(filter: &str, limit_ns: u64) -> Bench {
        let filter = ThreadFilter::parse(filter).expect("invariant: the test's filter is right");
        let cpu = CpuSample {
            queue: QueueSample { verdict: Verdict::Clean, ..QueueSample::default() },
            ..CpuSample::default()
        };
        let seen = Snapshot {
            cpus: vec![cpu.clone(), cpu],
            kps: vec![QueueSample { verdict: Verdict::Clean, ..QueueSample::default() }],
            readings: vec![CpuReading::default(); 2],
            names: vec!["a".into(), "b".into(), "c".into()],
            ..Snapshot::default()
        };
        Bench { monitor: Starvation::new(Behind::Worse, Some(filter), limit_ns), seen }
    }

    fn behind_anyone(mut self) -> Bench {
        self.monitor.behind = Behind::Anyone;
        self
    }

    /// A pass one ms later, in which each vCPU ran for so many ms.
    fn pass_with(&mut self, ran: [u64; 2]) -> Option<Breach> {
        self.seen.now_ns += MS;
        for (reading, ms) in self.seen.readings.iter_mut().zip(ran) {
            reading.ran_ns += ms * MS;
        }
        self.monitor.observe(&self.seen).breach
    }

    fn pass(&mut self) -> Option<Breach> {
        self.pass_with([1, 1])
    }

    fn queue_on(&mut self, cpu: usize, index: u32, pri: i16, waitrq: u64) {
        let thread = QueuedThread { index, level: pri, pri, waitrq, ..QueuedThread::default() };
        self.seen.cpus[cpu].queue.threads.push(thread);
    }
}

#[test]
fn observe_kp_thread_for_which_a_cpu_was_asked_charges_that_cpu_and_no_other() {
    let mut bench = Bench::new("pri >= 99", 20 * MS);
    bench.seen.kps[0].threads.push(QueuedThread { index: 2, pri: 99, waitrq: 5, ..QueuedThread::default() });
    for cpu in &mut bench.seen.cpus {
        (cpu.dispatch_pri, cpu.chosen_level) = (20, -1);
    }
    (bench.seen.cpus[1].chosen_level, bench.seen.cpus[1].runrun) = (99, true);

    let away: Vec<_> = (0..100).filter_map(|_| bench.pass_with([1, 0])).collect();
    assert_eq!(away, []);
    let there: Vec<_> = (0..100).filter_map(|_| bench.pass_with([1, 1])).collect();
    assert_eq!(there.iter().map(|b| b.cpu).collect::<Vec<_>>(), [Some(1)]);
}

#[test]
fn observe_thread_behind_one_that_somebody_has_locked_is_excused() {
    let mut bench = Bench::new("pri >= 99", 20 * MS);
    bench.queue_on(1, 2, 99, 5);
    bench.seen.cpus[1].thread_lock = 3;

    assert_eq!((0..100).filter_map(|_| bench.pass()).count(), 0);
    assert_eq!(bench.monitor.ledger().excuses().count(Excuse::Locked), 99);
    bench.seen.cpus[1].thread_lock = 4;
    assert_eq!((0..100).filter_map(|_| bench.pass()).count(), 1);
}

#[test]
fn observe_better_thread_waiting_too_long_returns_breach_at_the_limit() {
    let mut bench = Bench::new("pri >= 99", 50 * MS);
    bench.queue_on(1, 2, 99, 7);

    let breaches: Vec<_> = (0..100).filter_map(|_| bench.pass()).collect();

    assert_eq!(breaches.len(), 1);
    let breach = breaches[0];
    assert_eq!((breach.thread, breach.cpu, breach.part.is_some()), (Some(2), Some(1), false));
    assert_eq!((breach.lasted_ns, breach.detect_after_ns), (51 * MS, MS));
    let nearest = Subject { thread: Some(2), cpu: Some(1), part: None };
    assert_eq!((bench.monitor.ledger().worst_ns(), bench.monitor.ledger().nearest()), (99 * MS, nearest));
}

#[test]
fn observe_thread_the_filter_does_not_mean_is_not_watched() {
    let mut bench = Bench::new("pri >= 99", 50 * MS);
    bench.queue_on(1, 2, 98, 7);

    assert!((0..100).all(|_| bench.pass().is_none()));
    assert_eq!(bench.monitor.ledger().worst_ns(), 0);
}

#[test]
fn observe_cpu_that_runs_something_as_good_is_not_charged() {
    let mut bench = Bench::new("pri >= 60", 50 * MS);
    bench.queue_on(1, 2, 99, 7);
    bench.seen.cpus[1].dispatch_pri = 99;

    assert!((0..100).all(|_| bench.pass().is_none()));
}

#[test]
fn observe_latency_is_charged_whatever_the_cpu_runs() {
    for (dispatch_pri, handles) in [(99, None), (100, None), (99, Some(6))] {
        let mut bench = Bench::new("pri >= 60", 50 * MS).behind_anyone();
        bench.queue_on(1, 2, 99, 7);
        bench.seen.cpus[1].dispatch_pri = dispatch_pri;
        bench.seen.cpus[1].handles = handles;

        let breach = (0..100).find_map(|_| bench.pass());

        assert_eq!(breach.map(|b| (b.thread, b.lasted_ns)), Some((Some(2), 51 * MS)));
    }
}

#[test]
fn observe_good_work_in_between_keeps_the_charge_and_does_not_add_to_it() {
    let mut bench = Bench::new("pri >= 60", 50 * MS);
    bench.queue_on(1, 2, 99, 7);

    for n in 0..100 {
        bench.seen.cpus[1].dispatch_pri = if (31..80).contains(&n) { 99 } else { 0 };
        assert_eq!(bench.pass(), None, "pass {n}");
    }

    assert_eq!(bench.monitor.ledger().worst_ns(), (30 + 19) * MS);
}

#[test]
fn observe_new_wait_starts_from_nothing() {
    let mut bench = Bench::new("pri >= 60", 50 * MS);

    for n in 0..200_u64 {
        bench.seen.cpus[1].queue.threads.clear();
        bench.queue_on(1, 2, 99, 7);
        bench.seen.cpus[1].queue.threads[0].runs = n as u32 / 40 + 1;
        assert_eq!(bench.pass(), None, "pass {n}");
    }

    assert_eq!(bench.monitor.ledger().worst_ns(), 39 * MS);
}

#[test]
fn observe_stamp_that_is_renewed_begins_no_new_wait() {
    let mut bench = Bench::new("pri >= 60", 50 * MS);

    let breach = (0..100).find_map(|n| {
        bench.seen.cpus[1].queue.threads.clear();
        bench.queue_on(1, 2, 99, n / 20);
        bench.pass()
    });

    assert_eq!(breach.map(|b| (b.thread, b.lasted_ns)), Some((Some(2), 51 * MS)));
}

#[test]
fn observe_vcpu_that_the_host_did_not_run_is_excused() {
    let mut bench = Bench::new("pri >= 60", 50 * MS);
    bench.queue_on(1, 2, 99, 7);

    assert!((0..100).all(|_| bench.pass_with([1, 0]).is_none()));
    assert_eq!(bench.monitor.ledger().excuses().count(Excuse::VcpuAway), 99);
}

#[test]
fn observe_interrupts_at_both_ends_are_excused() {
    let mut bench = Bench::new("pri >= 60", 50 * MS);
    bench.queue_on(1, 2, 99, 7);
    bench.seen.cpus[1].handles = Some(6);

    assert!((0..100).all(|_| bench.pass().is_none()));
    assert_eq!(bench.monitor.ledger().excuses().count(Excuse::Interrupts), 99);
}

#[test]
fn observe_torn_passes_delay_the_charge_and_do_not_lose_it() {
    let mut bench = Bench::new("pri >= 60", 50 * MS);
    bench.queue_on(1, 2, 99, 7);

    for n in 0..51 {
        let is_torn = n % 5 != 0;
        bench.seen.cpus[1].queue.verdict = if is_torn { Verdict::Torn } else { Verdict::Clean };
        assert_eq!(bench.pass(), None, "pass {n}");
    }

    assert_eq!(bench.monitor.ledger().worst_ns(), 50 * MS);
    assert_eq!(bench.monitor.ledger().excuses().count(Excuse::Torn), 40);
}

#[test]
fn observe_kp_queue_is_charged_to_the_cpu_that_ran_longest_with_worse() {
    let mut bench = Bench::new("pri >= 60", 50 * MS);
    let thread = QueuedThread { index: 1, level: 99, pri: 99, waitrq: 7, ..QueuedThread::default() };
    bench.seen.kps[0].threads.push(thread);
    bench.seen.cpus[0].dispatch_pri = 99;

    let breach = (0..100).find_map(|_| bench.pass_with([2, 1]));

    assert_eq!(breach.map(|b| (b.cpu, b.part.is_some(), b.lasted_ns)), Some((Some(1), true, 51 * MS)));
}

#[test]
fn observe_inherited_priority_counts() {
    let mut bench = Bench::new("pri >= 99", 50 * MS);
    let thread =
        QueuedThread { index: 1, level: 99, pri: 10, epri: 99, waitrq: 7, ..QueuedThread::default() };
    bench.seen.cpus[0].queue.threads.push(thread);
    bench.seen.cpus[0].dispatch_pri = 98;

    assert!((0..100).any(|_| bench.pass().is_some()));
}

#[test]
fn observe_judges_only_while_a_thread_is_meant_that_has_run_or_waited() {
    let judged = |filter: &str, spoil: &dyn Fn(&mut ThreadTime)| {
        let mut bench = Bench::new(filter, 50 * MS);
        let mut time = ThreadTime { own_pri: 99, sched_state: ts::SLEEP, ran_ns: 1, ..ThreadTime::default() };
        spoil(&mut time);
        bench.seen.times = vec![time, ThreadTime { own_pri: 10, ..time }];
        bench.seen.has_times = true;
        let mut all = Judged::NOTHING;
        for _ in 0..10 {
            bench.seen.now_ns += MS;
            bench.seen.readings[1].ran_ns += MS;
            all.add(bench.monitor.observe(&bench.seen).judged);
            bench.seen.has_times = false;
        }
        all
    };

    assert_eq!(judged("pri >= 99", &|_| {}), Judged::of(1, 9 * MS));
    assert_eq!(judged("pri >= 10", &|_| {}), Judged::of(2, 9 * MS));
    assert_eq!(judged("pri == 42", &|_| {}), Judged::NOTHING);
    assert_eq!(judged("pri >= 99", &|time| time.ran_ns = 0), Judged::NOTHING);
    assert_eq!(judged("pri >= 99", &|time| time.flag = tflag::INTR_THREAD), Judged::NOTHING);
    assert_eq!(judged("pri >= 99", &|time| time.sched_state = ts::STOPPED), Judged::NOTHING);
}

#[test]
fn observe_thread_that_a_pass_meets_on_a_queue_was_judged() {
    let mut bench = Bench::new("pri >= 99", 50 * MS);
    let mut all = Judged::NOTHING;
    for n in 0..10 {
        bench.seen.cpus[1].queue.threads.clear();
        if n == 5 {
            bench.queue_on(1, 2, 99, 7);
        }
        bench.seen.now_ns += MS;
        bench.seen.readings[1].ran_ns += MS;
        all.add(bench.monitor.observe(&bench.seen).judged);
    }

    assert_eq!(all, Judged::of(1, MS));
}

#[test]
fn observe_latency_is_charged_with_no_more_than_the_clock_had_and_starvation_with_all() {
    for (behind, lasted_ms) in [(Behind::Anyone, None), (Behind::Worse, Some(51 * MS))] {
        let mut bench = Bench::new("pri >= 60", 50 * MS);
        bench.monitor.behind = behind;
        bench.queue_on(1, 2, 99, 7);

        let breach = (0..100).find_map(|_| bench.pass_with([0, 1]));

        assert_eq!(breach.map(|b| b.lasted_ns), lasted_ms);
    }
    let mut bench = Bench::new("pri >= 60", 50 * MS).behind_anyone();
    bench.queue_on(1, 2, 99, 7);
    assert!((0..100).all(|_| bench.pass_with([0, 1]).is_none()));
    assert!((0..51).find_map(|_| bench.pass_with([1, 1])).is_some());
}
