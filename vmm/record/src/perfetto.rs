//! A recording for Perfetto: tracks of CPUs and threads, run queues as counters, wake-ups as flows, verdicts as marks.
//!
//! The messages are those of `perfetto/trace/trace_packet.proto` and `generic_kernel/generic_task.proto`, with the fields that are used
//! here.
//!
//! # Invariants
//! - A thread is never twice in the state RUNNING without another between: a viewer takes that for an error.
//! - Every flow that begins also ends.

use prost::Message;

use crate::recording::Recording;
use crate::spans::{Spans, State};

/// The trace as a file of Perfetto's has it.
pub fn perfetto(recording: &Recording) -> Vec<u8> {
    let spans = Spans::of(recording);
    let mut trace = Trace::default();
    trace.tree(recording);
    for (track, name) in [(Track::Verdicts, "verdicts"), (Track::Wakeups, "wake-ups")] {
        trace.track(track.uuid(), name, None);
    }
    trace.states(recording, &spans);
    trace.wakeups(recording, &spans);
    trace.queues(recording);
    trace.verdicts(recording);
    trace.encode_to_vec()
}

/// One sequence writes everything.
const SEQUENCE: u32 = 1;

/// Tracks that are no CPU's and no thread's own.
#[derive(Clone, Copy)]
enum Track {
    Verdicts,
    Wakeups,
    Runnable(u32),
    Best(u32),
}

impl Track {
    fn uuid(self) -> u64 {
        match self {
            Track::Verdicts => 1,
            Track::Wakeups => 2,
            Track::Runnable(cpu) => 0x100 + u64::from(cpu),
            Track::Best(cpu) => 0x1000 + u64::from(cpu),
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
    fn wakeups(&mut self, recording: &Recording, spans: &Spans) {
        let woken = spans.all.iter().filter(|span| span.state == State::Woken && !span.is_open);
        for (flow, span) in woken.enumerate() {
            let Some(waker) = span.waker else { continue };
            let flow = flow as u64 + 1;
            let name = format!("{} wakes {}", recording.name(waker), recording.name(span.thread));
            self.event(span.from_ns, Track::Wakeups, EventType::Instant, |e| {
                (e.name, e.flow_ids) = (Some(name), vec![flow]);
            });
            let name = format!("{} runs", recording.name(span.thread));
            self.event(span.to_ns, Track::Wakeups, EventType::Instant, |e| {
                (e.name, e.terminating_flow_ids) = (Some(name), vec![flow]);
            });
        }
    }

    fn queues(&mut self, recording: &Recording) {
        if recording.samples.is_empty() {
            return;
        }
        for cpu in 0..recording.header.cpus {
            let counter = |name: &str| CounterDescriptor { unit_name: Some(name.to_owned()) };
            self.track(
                Track::Runnable(cpu).uuid(),
                &format!("cpu {cpu}: threads queued"),
                Some(counter("threads")),
            );
            self.track(
                Track::Best(cpu).uuid(),
                &format!("cpu {cpu}: best priority queued"),
                Some(counter("priority")),
            );
        }
        for sample in &recording.samples {
            for (cpu, queue) in (0..).zip(&sample.cpus).filter(|(_, queue)| queue.is_trusted) {
                let values = [
                    (Track::Runnable(cpu), queue.nrunnable.into()),
                    (Track::Best(cpu), queue.maxrunpri.into()),
                ];
                for (track, value) in values {
                    self.event(sample.at_ns, track, EventType::Counter, |e| e.counter_value = Some(value));
                }
            }
        }
    }

    fn verdicts(&mut self, recording: &Recording) {
        let (_, end_ns) = recording.interval();
        let Some(ending) = &recording.ending else { return };
        for breach in &ending.breaches {
            let of = breach.thread.as_deref().map(|thread| format!(" of {thread}")).unwrap_or_default();
            let name = format!("violated: {}{of}", breach.monitor);
            self.event(end_ns, Track::Verdicts, EventType::Instant, |e| e.name = Some(name));
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

/// `Trace`.
#[derive(Clone, PartialEq, Message)]
struct Trace {
    #[prost(message, repeated, tag = "1")]
    packet: Vec<TracePacket>,
}

/// `TracePacket`.
#[derive(Clone, PartialEq, Message)]
struct TracePacket {
    #[prost(uint64, optional, tag = "8")]
    timestamp: Option<u64>,
    #[prost(uint32, optional, tag = "10")]
    trusted_packet_sequence_id: Option<u32>,
    #[prost(message, optional, tag = "11")]
    track_event: Option<TrackEvent>,
    #[prost(message, optional, tag = "60")]
    track_descriptor: Option<TrackDescriptor>,
    #[prost(message, optional, tag = "117")]
    task_state: Option<TaskStateEvent>,
    #[prost(message, optional, tag = "122")]
    process_tree: Option<ProcessTree>,
}

/// `TrackDescriptor`.
#[derive(Clone, PartialEq, Message)]
struct TrackDescriptor {
    #[prost(uint64, optional, tag = "1")]
    uuid: Option<u64>,
    #[prost(string, optional, tag = "2")]
    name: Option<String>,
    #[prost(message, optional, tag = "8")]
    counter: Option<CounterDescriptor>,
}

/// `CounterDescriptor`.
#[derive(Clone, PartialEq, Message)]
struct CounterDescriptor {
    #[prost(string, optional, tag = "6")]
    unit_name: Option<String>,
}

/// `TrackEvent`.
#[derive(Clone, PartialEq, Message)]
struct TrackEvent {
    #[prost(int32, optional, tag = "9")]
    r#type: Option<i32>,
    #[prost(uint64, optional, tag = "11")]
    track_uuid: Option<u64>,
    #[prost(string, optional, tag = "23")]
    name: Option<String>,
    #[prost(int64, optional, tag = "30")]
    counter_value: Option<i64>,
    #[prost(fixed64, repeated, packed = "false", tag = "47")]
    flow_ids: Vec<u64>,
    #[prost(fixed64, repeated, packed = "false", tag = "48")]
    terminating_flow_ids: Vec<u64>,
}

/// `TrackEvent.Type`.
#[derive(Clone, Copy)]
enum EventType {
    Instant = 3,
    Counter = 4,
}

/// `GenericKernelTaskStateEvent`.
#[derive(Clone, PartialEq, Message)]
struct TaskStateEvent {
    #[prost(int32, optional, tag = "1")]
    cpu: Option<i32>,
    #[prost(string, optional, tag = "2")]
    comm: Option<String>,
    #[prost(int64, optional, tag = "3")]
    tid: Option<i64>,
    #[prost(int32, optional, tag = "4")]
    state: Option<i32>,
    #[prost(int32, optional, tag = "5")]
    prio: Option<i32>,
}

/// `GenericKernelTaskStateEvent.TaskStateEnum`.
#[derive(Clone, Copy)]
enum TaskState {
    Runnable = 2,
    Running = 3,
    InterruptibleSleep = 4,
    Stopped = 6,
}

/// `GenericKernelProcessTree`.
#[derive(Clone, PartialEq, Message)]
struct ProcessTree {
    #[prost(message, repeated, tag = "1")]
    processes: Vec<Process>,
    #[prost(message, repeated, tag = "2")]
    threads: Vec<Thread>,
}

/// `GenericKernelProcessTree.Process`.
#[derive(Clone, PartialEq, Message)]
struct Process {
    #[prost(int64, optional, tag = "1")]
    pid: Option<i64>,
    #[prost(int64, optional, tag = "2")]
    ppid: Option<i64>,
    #[prost(string, optional, tag = "3")]
    cmdline: Option<String>,
}

/// `GenericKernelProcessTree.Thread`.
#[derive(Clone, PartialEq, Message)]
struct Thread {
    #[prost(int64, optional, tag = "1")]
    tid: Option<i64>,
    #[prost(int64, optional, tag = "2")]
    pid: Option<i64>,
    #[prost(string, optional, tag = "3")]
    comm: Option<String>,
    #[prost(bool, optional, tag = "4")]
    is_main_thread: Option<bool>,
    #[prost(bool, optional, tag = "5")]
    is_idle: Option<bool>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};
    use umpire_shared::event::Kind;
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
        }
        Recording { records, ..Recording::default() }
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
        assert!(begun.len() >= 49 && running >= 51, "{} flows, {running} times RUNNING", begun.len());
    }

    /// The bytes of a message's field; of a number none.
    fn inside_of(number: u64, inside: &[u8]) -> &[u8] {
        if matches!(number, 11 | 117) { inside } else { &[] }
    }
}
