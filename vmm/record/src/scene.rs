//! How everything stood at a moment of a recording: what ran, who waited where, which flags were set.
//!
//! # Invariants
//! - A moment is behind all records of its time: what they say has happened.
//! - Nothing is made up: what neither the records before the moment tell, nor the first one behind it, is none.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::bars::{Bar, Lasting, bars};
use crate::recording::{QueueState, Recording, Sample, StandState};
use crate::spans::{Span, Spans, State};
use crate::violation::Violation;
use umpire_shared::event::{self, Kind};
use umpire_watch::glass::TraceRecord;

/// A recording that can be asked for any of its moments.
#[derive(Debug)]
pub struct Replay<'r> {
    recording: &'r Recording,
    spans: Spans,
    bars: Vec<Bar>,
}

/// A moment.
#[derive(Debug, Clone)]
pub struct Scene {
    /// It, in ns after boot.
    pub at_ns: u64,
    /// The CPUs, by number.
    pub cpus: Vec<CpuScene>,
    /// Threads on queues that are no CPU's, best first.
    pub kp: Vec<u64>,
    /// Every thread that the roster names or that a record is about, by number.
    pub threads: BTreeMap<u64, ThreadScene>,
    /// The last pass of the sampler by then.
    pub sample: Option<Sample>,
}

/// A CPU at a moment.
#[derive(Debug, Clone, Default)]
pub struct CpuScene {
    /// Its number.
    pub cpu: u32,
    /// The thread that it runs, its idle thread too: as the records say, or else as the last pass saw it.
    pub runs: Option<u64>,
    /// Since when, in ns after boot, if a record says so.
    pub since_ns: Option<u64>,
    /// `cpu_runrun`, if a record tells.
    pub runrun: Option<bool>,
    /// `cpu_kprunrun`, if a record tells.
    pub kprunrun: Option<bool>,
    /// The levels of the interrupts that it handles, the uppermost last.
    pub handles: Vec<u8>,
    /// The threads on its run queue, best first.
    pub queue: Vec<u64>,
}

/// A thread at a moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct ThreadScene {
    /// What it does; none if no record tells.
    pub span: Option<Span>,
    /// Its priority, as the last record about it has it.
    pub pri: Option<i32>,
    /// The queue that it is on: a CPU's, or `Some(None)` for one that is no CPU's.
    pub queue: Option<Option<u32>>,
}

impl<'r> Replay<'r> {
    /// Of a recording.
    pub fn of(recording: &'r Recording) -> Replay<'r> {
        Replay { recording, spans: Spans::of(recording), bars: bars(recording) }
    }

    /// The recording.
    pub fn recording(&self) -> &'r Recording {
        self.recording
    }

    /// The bounds that were broken and whose moments are known.
    pub fn violations(&self) -> Vec<Violation> {
        Violation::all(self.recording, &self.spans)
    }

    /// How everything stood at a moment, in ns after boot.
    pub fn at(&self, at_ns: u64) -> Scene {
        let records = &self.recording.records;
        let (past, future) = records.split_at(records.partition_point(|record| record.time_ns <= at_ns));
        let mut threads = self.threads(at_ns, past);
        let (mut queues, places) = (BTreeMap::<Option<u32>, Vec<u64>>::new(), places(past));
        for (&id, thread) in &mut threads {
            let waits = thread.span.is_some_and(|span| span.state.is_waiting());
            if let Some((queue, _)) = places.get(&id).filter(|_| waits) {
                thread.queue = Some(*queue);
                queues.entry(*queue).or_default().push(id);
            }
        }
        for queue in queues.values_mut() {
            queue.sort_by_key(|id| (Reverse(threads[id].pri), places[id].1));
        }
        let samples = &self.recording.samples;
        let passed = samples.partition_point(|sample| sample.at_ns <= at_ns);
        let sample = passed.checked_sub(1).and_then(|last| samples.get(last));
        let mut cpus: Vec<CpuScene> = (0..self.recording.header.cpus)
            .map(|cpu| CpuScene {
                cpu,
                runrun: flag(past, future, cpu, (Kind::RunrunRaise, Kind::RunrunClear)),
                kprunrun: flag(past, future, cpu, (Kind::KprunrunRaise, Kind::KprunrunClear)),
                handles: self.handles(cpu, at_ns),
                queue: queues.remove(&Some(cpu)).unwrap_or_default(),
                ..CpuScene::default()
            })
            .collect();
        self.put_runners(&mut cpus, at_ns, sample);
        Scene { at_ns, cpus, kp: queues.remove(&None).unwrap_or_default(), threads, sample: sample.cloned() }
    }

    fn threads(&self, at_ns: u64, past: &[TraceRecord]) -> BTreeMap<u64, ThreadScene> {
        let numbers: BTreeSet<u64> = self.recording.threads.iter().map(|thread| thread.id).collect();
        let mut threads: BTreeMap<u64, ThreadScene> =
            numbers.into_iter().map(|id| (id, ThreadScene::default())).collect();
        for span in self.spans.all.iter().take_while(|span| span.from_ns <= at_ns) {
            let thread = threads.entry(span.thread).or_default();
            if lasts(span.to_ns, span.is_open, at_ns) {
                (thread.span, thread.pri) = (Some(*span), Some(span.pri));
            }
        }
        for record in past {
            if let Some(thread) = threads.get_mut(&record.thread) {
                thread.pri = Some(match record.kind {
                    Kind::SetPri => event::set_of(record.arg).0,
                    Kind::ChangePri => record.arg as i32,
                    _ => record.pri,
                });
            }
        }
        threads
    }

    fn handles(&self, cpu: u32, at_ns: u64) -> Vec<u8> {
        let its = self.bars.iter().take_while(|bar| bar.from_ns <= at_ns).filter(|bar| bar.cpu == cpu);
        its.filter(|bar| lasts(bar.to_ns, bar.is_open, at_ns))
            .filter_map(|bar| match bar.what {
                Lasting::Interrupt(level) => Some(level),
                Lasting::Runrun | Lasting::Kprunrun => None,
            })
            .collect()
    }

    /// What each CPU runs. Where no record tells by then, the pass does.
    fn put_runners(&self, cpus: &mut [CpuScene], at_ns: u64, sample: Option<&Sample>) {
        let mut is_told = vec![false; cpus.len()];
        for span in self.spans.all.iter().take_while(|span| span.from_ns <= at_ns) {
            let State::Running(on) = span.state else { continue };
            let Some(cpu) = cpus.get_mut(on as usize) else { continue };
            is_told[on as usize] = true;
            if lasts(span.to_ns, span.is_open, at_ns) {
                (cpu.runs, cpu.since_ns) = (Some(span.thread), Some(span.from_ns));
            }
        }
        for (cpu, is_told) in cpus.iter_mut().zip(is_told) {
            if !is_told {
                cpu.runs = sample.and_then(|s| s.stands.get(cpu.cpu as usize)).and_then(|stand| stand.thread);
            }
        }
    }
}

impl Scene {
    /// What the last pass by then saw a CPU run.
    pub fn stand(&self, cpu: u32) -> Option<&StandState> {
        self.sample.as_ref()?.stands.get(cpu as usize)
    }

    /// What it saw of a CPU's run queue.
    pub fn queue(&self, cpu: u32) -> Option<&QueueState> {
        self.sample.as_ref()?.cpus.get(cpu as usize)
    }
}

/// True of what has begun and is not over at a moment. What is open when the recording ends lasts at its last moment too.
fn lasts(to_ns: u64, is_open: bool, at_ns: u64) -> bool {
    at_ns < to_ns || is_open
}

/// A queue, and a thread's place among those of one priority there.
type Queued = (Option<u32>, i64);

/// Where each thread that was put on a queue, and not taken off since, is.
fn places(past: &[TraceRecord]) -> BTreeMap<u64, Queued> {
    let mut places = BTreeMap::new();
    for (n, record) in (1..).zip(past) {
        match record.kind {
            Kind::Enqueue => {
                let place = if event::at_head(record.arg) { -n } else { n };
                places.insert(record.thread, (event::queue_cpu(record.arg), place));
            }
            Kind::Dequeue => drop(places.remove(&record.thread)),
            _ => {}
        }
    }
    places
}

/// Whether a flag of a CPU is set: as the last record about it left it, or as the next one must have found it.
fn flag(
    past: &[TraceRecord],
    future: &[TraceRecord],
    cpu: u32,
    (raise, clear): (Kind, Kind),
) -> Option<bool> {
    let is_its = |record: &&TraceRecord| [raise, clear].contains(&record.kind) && record.target() == cpu;
    let last = past.iter().rev().find(is_its).map(|record| record.kind == raise);
    last.or_else(|| future.iter().find(is_its).map(|record| record.kind == clear))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::{Header, Thread};

    const HOG: u64 = 2;
    const VICTIM: u64 = 3;
    const OTHER: u64 = 4;

    fn record(time_ns: u64, cpu: u32, kind: Kind, thread: u64, pri: i32, arg: u64) -> TraceRecord {
        TraceRecord { time_ns, cpu, kind, thread, pri, arg }
    }

    fn recording() -> Recording {
        let on = |head| event::on_queue(Some(0), head);
        let thread = |id| Thread { id, ..Thread::default() };
        Recording {
            header: Header { cpus: 2, ..Header::default() },
            threads: [0, 1, HOG, VICTIM, OTHER].map(thread).to_vec(),
            records: vec![
                record(10, 0, Kind::OnCpu, HOG, 5, 0),
                record(20, 1, Kind::Enqueue, VICTIM, 99, on(false)),
                record(20, 1, Kind::RunrunRaise, 1, -1, event::raised(0, 1, 99)),
                record(30, 1, Kind::Enqueue, OTHER, 99, on(true)),
                record(35, 0, Kind::IntrBegin, 9, 166, 6),
                record(40, 0, Kind::IntrEnd, 9, 166, 6),
                record(50, 0, Kind::SetPri, HOG, 5, event::set_to(7, 0)),
                record(60, 0, Kind::Dequeue, OTHER, 99, on(false)),
                record(60, 0, Kind::OffCpu, HOG, 7, OTHER),
                record(60, 0, Kind::OnCpu, OTHER, 99, 0),
                record(90, 0, Kind::KprunrunClear, OTHER, 99, 0),
            ],
            ..Recording::default()
        }
    }

    #[test]
    fn moment_is_what_the_records_by_then_and_the_next_one_tell() {
        let recording = recording();
        let replay = Replay::of(&recording);
        let scene = replay.at(35);
        let cpu = &scene.cpus[0];
        assert_eq!((cpu.runs, cpu.since_ns, &cpu.handles[..]), (Some(HOG), Some(10), &[6][..]));
        assert_eq!(cpu.queue, [OTHER, VICTIM], "who was put at the head is first among equals");
        assert_eq!((cpu.runrun, cpu.kprunrun), (Some(true), Some(true)), "what is cleared later was set");
        assert_eq!((scene.cpus[1].runs, scene.cpus[1].runrun), (None, None), "nothing is told of cpu 1");
        assert_eq!((scene.threads[&HOG].pri, scene.threads[&VICTIM].queue), (Some(5), Some(Some(0))));
        assert!(scene.threads[&0].span.is_none() && scene.threads[&0].pri.is_none());
        assert_eq!(replay.at(15).cpus[0].runrun, Some(false), "it is raised where it was not");
        assert_eq!(replay.at(40).cpus[0].handles, [0; 0], "it ends at its end");
        assert_eq!(replay.at(55).threads[&HOG].pri, Some(7));
    }

    #[test]
    fn last_moment_has_what_is_open_there() {
        let recording = recording();
        let scene = Replay::of(&recording).at(90);
        assert_eq!((scene.cpus[0].runs, &scene.cpus[0].queue[..]), (Some(OTHER), &[VICTIM][..]));
        assert_eq!(scene.cpus[0].kprunrun, Some(false));
    }

    #[test]
    fn cpu_without_a_record_runs_what_the_last_pass_saw() {
        let mut recording = recording();
        let stand = |thread| StandState { thread: Some(thread), ..StandState::default() };
        recording.samples = vec![Sample { at_ns: 30, stands: vec![stand(8), stand(1)], ..Sample::default() }];
        let replay = Replay::of(&recording);
        let runs = |at| replay.at(at).cpus.iter().map(|cpu| cpu.runs).collect::<Vec<_>>();
        assert_eq!(runs(35), [Some(HOG), Some(1)], "records count more than a pass");
        assert_eq!(runs(25), [Some(HOG), None]);
    }
}
