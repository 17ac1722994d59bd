//! The messages of Perfetto's traces, with the fields that are used here: `perfetto/trace/trace_packet.proto`, `track_event.proto` and
//! `generic_kernel/generic_task.proto`.
//!
//! # Invariants
//! - Numbers of fields and of enumerations are Perfetto's.

use prost::Message;

/// `Trace`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Trace {
    #[prost(message, repeated, tag = "1")]
    pub(super) packet: Vec<TracePacket>,
}

/// `TracePacket`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct TracePacket {
    #[prost(uint64, optional, tag = "8")]
    pub(super) timestamp: Option<u64>,
    #[prost(uint32, optional, tag = "10")]
    pub(super) trusted_packet_sequence_id: Option<u32>,
    #[prost(message, optional, tag = "11")]
    pub(super) track_event: Option<TrackEvent>,
    #[prost(message, optional, tag = "60")]
    pub(super) track_descriptor: Option<TrackDescriptor>,
    #[prost(message, optional, tag = "117")]
    pub(super) task_state: Option<TaskStateEvent>,
    #[prost(message, optional, tag = "122")]
    pub(super) process_tree: Option<ProcessTree>,
}

/// `TrackDescriptor`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct TrackDescriptor {
    #[prost(uint64, optional, tag = "1")]
    pub(super) uuid: Option<u64>,
    #[prost(string, optional, tag = "2")]
    pub(super) name: Option<String>,
    #[prost(message, optional, tag = "8")]
    pub(super) counter: Option<CounterDescriptor>,
}

/// `CounterDescriptor`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct CounterDescriptor {
    #[prost(string, optional, tag = "6")]
    pub(super) unit_name: Option<String>,
}

/// `TrackEvent`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct TrackEvent {
    #[prost(int32, optional, tag = "9")]
    pub(super) r#type: Option<i32>,
    #[prost(uint64, optional, tag = "11")]
    pub(super) track_uuid: Option<u64>,
    #[prost(string, optional, tag = "23")]
    pub(super) name: Option<String>,
    #[prost(int64, optional, tag = "30")]
    pub(super) counter_value: Option<i64>,
    #[prost(fixed64, repeated, packed = "false", tag = "47")]
    pub(super) flow_ids: Vec<u64>,
    #[prost(fixed64, repeated, packed = "false", tag = "48")]
    pub(super) terminating_flow_ids: Vec<u64>,
}

/// `TrackEvent.Type`.
#[derive(Clone, Copy)]
pub(super) enum EventType {
    Instant = 3,
    Counter = 4,
}

/// `GenericKernelTaskStateEvent`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct TaskStateEvent {
    #[prost(int32, optional, tag = "1")]
    pub(super) cpu: Option<i32>,
    #[prost(string, optional, tag = "2")]
    pub(super) comm: Option<String>,
    #[prost(int64, optional, tag = "3")]
    pub(super) tid: Option<i64>,
    #[prost(int32, optional, tag = "4")]
    pub(super) state: Option<i32>,
    #[prost(int32, optional, tag = "5")]
    pub(super) prio: Option<i32>,
}

/// `GenericKernelTaskStateEvent.TaskStateEnum`.
#[derive(Clone, Copy)]
pub(super) enum TaskState {
    Runnable = 2,
    Running = 3,
    InterruptibleSleep = 4,
    Stopped = 6,
}

/// `GenericKernelProcessTree`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ProcessTree {
    #[prost(message, repeated, tag = "1")]
    pub(super) processes: Vec<Process>,
    #[prost(message, repeated, tag = "2")]
    pub(super) threads: Vec<Thread>,
}

/// `GenericKernelProcessTree.Process`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Process {
    #[prost(int64, optional, tag = "1")]
    pub(super) pid: Option<i64>,
    #[prost(int64, optional, tag = "2")]
    pub(super) ppid: Option<i64>,
    #[prost(string, optional, tag = "3")]
    pub(super) cmdline: Option<String>,
}

/// `GenericKernelProcessTree.Thread`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Thread {
    #[prost(int64, optional, tag = "1")]
    pub(super) tid: Option<i64>,
    #[prost(int64, optional, tag = "2")]
    pub(super) pid: Option<i64>,
    #[prost(string, optional, tag = "3")]
    pub(super) comm: Option<String>,
    #[prost(bool, optional, tag = "4")]
    pub(super) is_main_thread: Option<bool>,
    #[prost(bool, optional, tag = "5")]
    pub(super) is_idle: Option<bool>,
}
