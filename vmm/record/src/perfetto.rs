//! A recording for Perfetto: tracks of CPUs and threads, run queues as counters, wake-ups as flows, verdicts as marks.
//!
//! # Invariants
//! - A thread is never twice in the state RUNNING without another between: a viewer takes that for an error.
//! - Every flow that begins also ends.

mod messages;

use prost::Message;

use crate::line::Argument;
use crate::recording::Recording;
use crate::spans::{Spans, State};
use crate::violation::Violation;
use messages::{
    CounterDescriptor, EventType, Process, ProcessTree, TaskState, TaskStateEvent, Thread, Trace,
    TracePacket, TrackDescriptor, TrackEvent,
};
use umpire_shared::event::Kind;

/// The trace as a file of Perfetto's has it.
pub fn perfetto(recording: &Recording) -> Vec<u8> {
    let spans = Spans::of(recording);
    let mut trace = Trace::default();
    trace.tree(recording);
    for (track, name) in
        [(Track::Verdicts, "verdicts"), (Track::Wakeups, "wake-ups"), (Track::Pokes, "pokes")]
    {
        trace.track(track.uuid(), name, None);
    }
    trace.states(recording, &spans);
    let flows = trace.wakeups(recording, &spans);
    trace.pokes(recording, flows);
    trace.queues(recording);
    trace.marks(recording);
    trace.verdicts(recording, &spans);
    trace.encode_to_vec()
}

/// One sequence writes everything.
const SEQUENCE: u32 = 1;

/// Tracks that are no CPU's and no thread's own.
#[derive(Clone, Copy)]
enum Track {
    Verdicts,
    Wakeups,
    Pokes,
    Runnable(Queue),
    Best(Queue),
}

impl Track {
    fn uuid(self) -> u64 {
        match self {
            Track::Verdicts => 1,
            Track::Wakeups => 2,
            Track::Pokes => 3,
            Track::Runnable(queue) => 0x1_0000 + queue.number(),
            Track::Best(queue) => 0x2_0000 + queue.number(),
        }
    }
}

/// A run queue.
#[derive(Clone, Copy)]
enum Queue {
    /// A CPU's own.
    Cpu(u32),
    /// A partition's kp queue.
    Kp(u32),
}

impl Queue {
    fn number(self) -> u64 {
        match self {
            Queue::Cpu(cpu) => cpu.into(),
            Queue::Kp(part) => 0x1000 + u64::from(part),
        }
    }

    fn name(self) -> String {
        match self {
            Queue::Cpu(cpu) => format!("cpu {cpu}"),
            Queue::Kp(0) => "kp queue".to_owned(),
            Queue::Kp(part) => format!("kp queue of processor set {part}"),
        }
    }
}

impl Trace {
    fn packet(&mut self, at_ns: u64, packet: TracePacket) {
        let (timestamp, sequence) = (Some(at_ns), Some(SEQUENCE));
        self.packet.push(TracePacket { timestamp, trusted_packet_sequence_id: sequence, ..packet });
    }

    fn tree(&mut self, recording: &Recording) {
        let cmdline = format!("{} {}", recording.header.scenario, recording.header.variant);
        let processes = vec![Process { pid: Some(1), ppid: None, cmdline: Some(cmdline) }];
        let thread = |id: u64, is_idle: bool| Thread {
            tid: Some(tid(id)),
            pid: Some(1),
            comm: Some(recording.name(id)),
            is_main_thread: None,
            is_idle: Some(is_idle),
        };
        let threads = recording.threads.iter().map(|t| thread(t.id, t.is_idle)).collect();
        let tree = ProcessTree { processes, threads };
        self.packet(0, TracePacket { process_tree: Some(tree), ..TracePacket::default() });
    }

    fn track(&mut self, uuid: u64, name: &str, counter: Option<CounterDescriptor>) {
        let (uuid, name) = (Some(uuid), Some(name.to_owned()));
        let track = TrackDescriptor { uuid, name, counter };
        self.packet(0, TracePacket { track_descriptor: Some(track), ..TracePacket::default() });
    }

    fn states(&mut self, recording: &Recording, spans: &Spans) {
        for span in &spans.all {
            let (state, cpu) = match span.state {
                State::Running(cpu) => (TaskState::Running, cpu as i32),
                State::Woken | State::Preempted => (TaskState::Runnable, -1),
                State::Asleep | State::Capped => (TaskState::InterruptibleSleep, -1),
                State::Off => (TaskState::Stopped, -1),
            };
            let event = TaskStateEvent {
                cpu: Some(cpu),
                comm: Some(recording.name(span.thread)),
                tid: Some(tid(span.thread)),
                state: Some(state as i32),
                prio: Some(span.pri),
            };
            self.packet(span.from_ns, TracePacket { task_state: Some(event), ..TracePacket::default() });
        }
    }

    /// An arrow from who wakes to who runs because of it, if that is seen.
    /// Returns how many flows there are.
    fn wakeups(&mut self, recording: &Recording, spans: &Spans) -> u64 {
        let mut flows = 0;
        let woken = spans.all.iter().filter(|span| span.state == State::Woken && !span.is_open);
        for span in woken {
            let Some(waker) = span.waker else { continue };
            flows += 1;
            let flow = flows;
            let name = format!("{} wakes {}", recording.name(waker), recording.name(span.thread));
            self.event(span.from_ns, Track::Wakeups, EventType::Instant, |e| {
                (e.name, e.flow_ids) = (Some(name), vec![flow]);
            });
            let name = format!("{} runs", recording.name(span.thread));
            self.event(span.to_ns, Track::Wakeups, EventType::Instant, |e| {
                (e.name, e.terminating_flow_ids) = (Some(name), vec![flow]);
            });
        }
        flows
    }

    /// An arrow from a poke to the next thing that the CPU does which was poked.
    fn pokes(&mut self, recording: &Recording, flows: u64) {
        let mut next = vec![None; recording.header.cpus as usize];
        let mut found = Vec::new();
        for record in recording.records.iter().rev() {
            if record.kind == Kind::Poke
                && let Some(&Some(at_ns)) = next.get(record.arg as usize)
            {
                found.push((record, at_ns));
            }
            if let Some(next) = next.get_mut(record.cpu as usize) {
                *next = Some(record.time_ns);
            }
        }
        for (flow, (record, at_ns)) in (flows + 1..).zip(found.into_iter().rev()) {
            let name = format!("cpu {} pokes cpu {}", record.cpu, record.arg);
            self.event(record.time_ns, Track::Pokes, EventType::Instant, |e| {
                (e.name, e.flow_ids) = (Some(name), vec![flow]);
            });
            let name = format!("cpu {} was poked", record.arg);
            self.event(at_ns, Track::Pokes, EventType::Instant, |e| {
                (e.name, e.terminating_flow_ids) = (Some(name), vec![flow]);
            });
        }
    }

    fn queues(&mut self, recording: &Recording) {
        let Some(first) = recording.samples.first() else { return };
        let own = (0..first.cpus.len() as u32).map(Queue::Cpu);
        for queue in own.chain((0..first.kps.len() as u32).map(Queue::Kp)) {
            let counter = |name: &str| CounterDescriptor { unit_name: Some(name.to_owned()) };
            let name = format!("{}: threads queued", queue.name());
            self.track(Track::Runnable(queue).uuid(), &name, Some(counter("threads")));
            let name = format!("{}: best priority queued", queue.name());
            self.track(Track::Best(queue).uuid(), &name, Some(counter("priority")));
        }
        for sample in &recording.samples {
            let own = (0..).map(Queue::Cpu).zip(&sample.cpus);
            let all = own.chain((0..).map(Queue::Kp).zip(&sample.kps));
            for (queue, state) in all.filter(|(_, state)| state.is_trusted) {
                let values = [
                    (Track::Runnable(queue), state.nrunnable.into()),
                    (Track::Best(queue), state.maxrunpri.into()),
                ];
                for (track, value) in values {
                    self.event(sample.at_ns, track, EventType::Counter, |e| e.counter_value = Some(value));
                }
            }
        }
    }

    /// A mark where an event of the scenario begins and ends, and where a CPU's state changes.
    fn marks(&mut self, recording: &Recording) {
        for record in &recording.records {
            let name = match record.kind {
                Kind::EventBegin => format!("event {} begins", record.arg),
                Kind::EventEnd => format!("event ends: {}", Argument(record.kind, record.arg)),
                Kind::CpuState => format!("cpu {}", Argument(record.kind, record.arg)),
                _ => continue,
            };
            self.event(record.time_ns, Track::Verdicts, EventType::Instant, |e| e.name = Some(name));
        }
    }

    /// A mark where each limit was passed; at the end, if that is not known.
    fn verdicts(&mut self, recording: &Recording, spans: &Spans) {
        let (_, end_ns) = recording.interval();
        let Some(ending) = &recording.ending else { return };
        let violations = Violation::all(recording, spans);
        for breach in &ending.breaches {
            let of = breach.thread.as_deref().map(|thread| format!(" of {thread}")).unwrap_or_default();
            let name = format!("violated: {}{of}", breach.monitor);
            let found = violations.iter().find(|v| v.monitor == breach.monitor && v.thread == breach.thread);
            let at_ns = found.map_or(end_ns, |violation| violation.at_ns);
            self.event(at_ns, Track::Verdicts, EventType::Instant, |e| e.name = Some(name));
        }
    }

    fn event(&mut self, at_ns: u64, track: Track, kind: EventType, fill: impl FnOnce(&mut TrackEvent)) {
        let mut event =
            TrackEvent { r#type: Some(kind as i32), track_uuid: Some(track.uuid()), ..TrackEvent::default() };
        fill(&mut event);
        self.packet(at_ns, TracePacket { track_event: Some(event), ..TracePacket::default() });
    }
}

/// Perfetto takes thread 0 for the idle task of a Linux kernel.
fn tid(thread: u64) -> i64 {
    thread as i64 + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::Header;
    use std::collections::{BTreeMap, BTreeSet};
    use umpire_watch::glass::TraceRecord;

    fn recording() -> Recording {
        let record = |time_ns, cpu, kind, thread| TraceRecord { time_ns, cpu, kind, thread, pri: 60, arg: 0 };
        let mut records = Vec::new();
        for n in 0..50 {
            let at = n * 100;
            records.push(record(at, 0, Kind::OnCpu, 2));
            records.push(record(at + 10, 0, Kind::Wakeup, 1));
            records.push(record(at + 11, 0, Kind::Enqueue, 1));
            records.push(record(at + 30, 1, Kind::OnCpu, 1));
            records.push(record(at + 40, 1, Kind::Sleep, 1));
            records.push(record(at + 41, 1, Kind::OffCpu, 1));
            // The other goes on without a switch, and then the record of its leaving is lost.
            records.push(record(at + 60, 0, Kind::OnCpu, 2));
            records.push(TraceRecord { arg: 1, ..record(at + 61, 0, Kind::Poke, 2) });
        }
        Recording { header: Header { cpus: 2, ..Header::default() }, records, ..Recording::default() }
    }

    /// A field of a message: its number, and its varint, fixed or length-delimited value.
    fn fields(mut bytes: &[u8]) -> Vec<(u64, u64, &[u8])> {
        fn varint(bytes: &mut &[u8]) -> u64 {
            let mut value = 0;
            for shift in (0..).step_by(7) {
                let (&byte, rest) = bytes.split_first().expect("a whole varint");
                *bytes = rest;
                value |= u64::from(byte & 0x7f) << shift;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            value
        }
        let mut found = Vec::new();
        while !bytes.is_empty() {
            let key = varint(&mut bytes);
            let (value, inside): (u64, &[u8]) = match key & 7 {
                0 => (varint(&mut bytes), &[]),
                1 => {
                    let (fixed, rest) = bytes.split_first_chunk::<8>().expect("eight bytes");
                    bytes = rest;
                    (u64::from_le_bytes(*fixed), &[])
                }
                2 => {
                    let length = varint(&mut bytes) as usize;
                    let (inside, rest) = bytes.split_at(length);
                    bytes = rest;
                    (0, inside)
                }
                other => panic!("no wire type that is used: {other}"),
            };
            found.push((key >> 3, value, inside));
        }
        found
    }

    #[test]
    fn trace_keeps_the_viewer_s_rules() {
        let bytes = perfetto(&recording());
        let mut state: BTreeMap<u64, u64> = BTreeMap::new();
        let (mut begun, mut ended) = (BTreeSet::new(), BTreeSet::new());
        let mut running = 0;
        for (number, _, packet) in fields(&bytes) {
            assert_eq!(number, 1, "a trace is packets");
            for (number, _, inside) in fields(packet) {
                let fields = fields(inside_of(number, inside));
                let value = |wanted: u64| fields.iter().find(|f| f.0 == wanted).map(|f| f.1);
                match number {
                    117 => {
                        let (tid, now) = (value(3).expect("a tid"), value(4).expect("a state"));
                        let before = state.insert(tid, now);
                        assert!((before, now) != (Some(3), 3), "thread {tid} is RUNNING twice");
                        running += u64::from(now == 3);
                    }
                    11 => {
                        begun.extend(fields.iter().filter(|f| f.0 == 47).map(|f| f.1));
                        ended.extend(fields.iter().filter(|f| f.0 == 48).map(|f| f.1));
                    }
                    _ => {}
                }
            }
        }
        assert_eq!(begun, ended);
        assert!(begun.len() >= 98 && running >= 51, "{} flows, {running} times RUNNING", begun.len());
    }

    /// The bytes of a message's field; of a number none.
    fn inside_of(number: u64, inside: &[u8]) -> &[u8] {
        if matches!(number, 11 | 117) { inside } else { &[] }
    }
}
