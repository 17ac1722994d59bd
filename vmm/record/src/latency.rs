//! How long threads waited, as histograms.
//!
//! # Invariants
//! - A wait that had not ended when the recording did counts with what it is known to have lasted, and is told from the others.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use crate::events::Events;
use crate::recording::Recording;
use crate::waits::{Charged, WaitScan, each_wait};

/// What was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Delay {
    /// From runnable to running, for whatever reason it was runnable.
    Run,
    /// From a wake-up to running.
    Wakeup,
    /// From a flag that asks a CPU to give way (`cpu_runrun`, `cpu_kprunrun`) to its next switch; of the thread that gives way.
    Preemption,
    /// From falling asleep on a mutex or an rwlock to being woken.
    Lock,
    /// From the beginning of an interrupt to the running of the thread that its handler woke.
    Interrupt,
    /// From a task's being dispatched to its beginning; of the thread that runs it.
    Taskq,
    /// From a callout's being due to its beginning; of the thread that runs it.
    Callout,
}

impl Delay {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Delay::Run => "run",
            Delay::Wakeup => "wakeup",
            Delay::Preemption => "preemption",
            Delay::Lock => "lock",
            Delay::Interrupt => "interrupt",
            Delay::Taskq => "taskq",
            Delay::Callout => "callout",
        }
    }
}

/// The waits of one thread, or of one class, for one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latency {
    /// The thread's name, or the class with a colon behind it.
    pub of: String,
    /// What was waited for.
    pub delay: Delay,
    /// How many waits.
    pub count: u64,
    /// How many of these had not ended.
    pub open: u64,
    /// The middle, in ns.
    pub p50_ns: u64,
    /// So many of a hundred are no longer than this.
    pub p90_ns: u64,
    /// The same.
    pub p99_ns: u64,
    /// The same of a thousand.
    pub p999_ns: u64,
    /// The longest.
    pub max_ns: u64,
    /// When the longest began, in ns after boot.
    pub max_at_ns: u64,
    /// What the host kept in all of them, and is not in the figures.
    pub host_ns: u64,
}

/// All waits of a recording.
#[derive(Debug, Default)]
pub struct Latencies {
    waits: BTreeMap<(Delay, String), Waits>,
}

#[derive(Debug)]
struct Waits {
    histogram: Histogram<u64>,
    open: u64,
    max_ns: u64,
    max_at_ns: u64,
    host_ns: u64,
}

impl Latencies {
    /// Of the threads of a recording, and of their classes.
    pub fn of(recording: &Recording) -> Latencies {
        let mut latencies = Latencies::default();
        each_wait(recording, |delay, of, wait| latencies.note(delay, of, wait));
        latencies
    }

    /// The same wherever its events are.
    pub fn of_events(events: &mut Events) -> Latencies {
        if let Events::Whole(recording) = events {
            return Latencies::of(recording);
        }
        let make = |told: &Recording| (WaitScan::of(told, None), Latencies::default());
        let (scan, mut latencies) = events.fold(make, |(scan, latencies), told, seen| {
            scan.see(told, seen, &mut |delay, of, wait| latencies.note(delay, of, wait));
        });
        scan.end(events.told(), &mut |delay, of, wait| latencies.note(delay, of, wait));
        latencies
    }

    /// A row a thread and a class, the worst first within what was waited for.
    pub fn rows(&self) -> Vec<Latency> {
        let row = |((delay, of), waits): (&(Delay, String), &Waits)| {
            let at = |quantile: f64| waits.histogram.value_at_quantile(quantile).min(waits.max_ns);
            Latency {
                of: of.clone(),
                delay: *delay,
                count: waits.histogram.len(),
                open: waits.open,
                p50_ns: at(0.5),
                p90_ns: at(0.9),
                p99_ns: at(0.99),
                p999_ns: at(0.999),
                max_ns: waits.max_ns,
                max_at_ns: waits.max_at_ns,
                host_ns: waits.host_ns,
            }
        };
        let mut rows: Vec<Latency> = self.waits.iter().map(row).collect();
        rows.sort_by(|a, b| (a.delay, b.max_ns, &a.of).cmp(&(b.delay, a.max_ns, &b.of)));
        rows
    }

    fn note(&mut self, delay: Delay, of: String, wait: &Charged) {
        let waits = self.waits.entry((delay, of)).or_insert_with(Waits::new);
        waits.histogram.record(wait.ns).expect("invariant: a histogram without bounds grows as it must");
        waits.open += u64::from(wait.is_open);
        waits.host_ns = waits.host_ns.saturating_add(wait.host_ns);
        // Of waits that are equally long the last: they come as they end.
        if (wait.ns, wait.from_ns) >= (waits.max_ns, waits.max_at_ns) {
            (waits.max_ns, waits.max_at_ns) = (wait.ns, wait.from_ns);
        }
    }
}

impl Waits {
    fn new() -> Waits {
        // Two digits are right: a wait is told to a hundredth of itself.
        let histogram = Histogram::new(2).expect("invariant: 2 is a number of digits");
        Waits { histogram, open: 0, max_ns: 0, max_at_ns: 0, host_ns: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::{Sample, StandState, Thread};
    use umpire_shared::event::{self, Kind};
    use umpire_watch::glass::TraceRecord;

    fn record(time_ns: u64, kind: Kind, thread: u64, arg: u64) -> TraceRecord {
        TraceRecord { time_ns, cpu: 0, kind, thread, pri: 60, arg }
    }

    fn recording() -> Recording {
        let thread = |id, name: &str, is_idle| Thread {
            id,
            name: name.to_owned(),
            class: "TS".to_owned(),
            bound_cpu: None,
            is_idle,
            has_lwp: true,
        };
        let mut records = Vec::new();
        for n in 1..=100 {
            let at = n * 1_000_000;
            records.push(record(at, Kind::Wakeup, 1, 0));
            records.push(record(at, Kind::Enqueue, 1, 0));
            records.push(record(at + 1, Kind::KprunrunRaise, 0, 0));
            records.push(record(at + n * 1_000, Kind::OffCpu, 0, 1));
            records.push(record(at + n * 1_000, Kind::OnCpu, 1, 0));
            records.push(record(at + 200_000, Kind::Sleep, 1, 0));
            records.push(record(at + 200_000, Kind::OffCpu, 1, 0));
            records.push(record(at + 200_000, Kind::OnCpu, 0, 0));
        }
        records.push(record(200_000_000, Kind::Enqueue, 1, 0));
        records.push(record(290_000_000, Kind::Poke, 0, 0));
        Recording {
            threads: vec![thread(0, "idle", true), thread(1, "worker", false)],
            records,
            ..Recording::default()
        }
    }

    #[test]
    fn waits_are_counted_by_thread_and_class_and_the_longest_is_the_one_that_did_not_end() {
        let rows = Latencies::of(&recording()).rows();
        let of = |delay, of: &str| rows.iter().find(|r| r.delay == delay && r.of == of).cloned();
        let run = of(Delay::Run, "worker").expect("it waited");
        assert_eq!((run.count, run.open, run.max_ns, run.max_at_ns), (101, 1, 90_000_000, 200_000_000));
        assert!(
            (50_000..=52_000).contains(&run.p50_ns),
            "the middle of 1 us to 100 us and one more: {}",
            run.p50_ns
        );
        assert!((89_000..=92_000).contains(&run.p90_ns) && run.p999_ns >= 89_000_000, "{run:?}");
        assert_eq!(of(Delay::Run, "TS:").map(|class| class.count), Some(101));
        assert!(of(Delay::Run, "idle").is_none(), "an idle thread waits for nothing");
    }

    #[test]
    fn what_the_host_kept_is_no_part_of_a_wait_and_is_told() {
        let mut recording = recording();
        recording.header.cpus = 1;
        recording.threads[0].is_idle = false;
        // Of the last wait, from 200 ms on, the host runs the vCPU for a quarter.
        let stand = |ran_ns| StandState { thread: Some(0), ran_ns, ..StandState::default() };
        let pass = |at_ns: u64| Sample {
            at_ns,
            stands: vec![stand(at_ns.min(200_000_000) + at_ns.saturating_sub(200_000_000) / 4)],
            ..Sample::default()
        };
        recording.samples = (0..=300).map(|ms| pass(ms * 1_000_000)).collect();
        let last = recording.records.iter_mut().rev().find(|r| r.kind == Kind::Enqueue).expect("one");
        last.arg = event::on_queue(Some(0), false);
        let rows = Latencies::of(&recording).rows();
        let run = rows.iter().find(|r| r.delay == Delay::Run && r.of == "worker").expect("it waited");
        assert_eq!((run.max_ns, run.host_ns), (22_500_000, 67_500_000));
    }

    #[test]
    fn callout_is_late_from_when_it_was_due() {
        let records =
            vec![record(5_000, Kind::CalloutStart, 1, 3_000), record(9_000, Kind::CalloutEnd, 1, 0)];
        let recording = Recording { records, ..recording() };
        let rows = Latencies::of(&recording).rows();
        let row = rows.iter().find(|r| r.delay == Delay::Callout && r.of == "worker").expect("it ran one");
        assert_eq!((row.count, row.max_ns, row.max_at_ns), (1, 3_000, 2_000));
    }

    #[test]
    fn preemption_is_from_the_flag_to_the_switch() {
        let mut busy = recording();
        busy.threads[0].is_idle = false;
        let rows = Latencies::of(&busy).rows();
        let row = rows.iter().find(|r| r.delay == Delay::Preemption && r.of == "idle").expect("it gave way");
        assert_eq!((row.count, row.max_ns), (100, 99_999));
    }
}
