//! Workloads over STREAMS, and what the streams of scenarios are made of.
//!
//! # Invariants
//! - Its file of the same name in `guest/workloads` has a function for each workload.
//! - The host refuses a workload here whose stream the scenario does not have, and gives a scenario with streams memory for messages.

use super::compute::Mode;
use crate::sys::conf::{D_MP, D_MTOCEXCL, D_MTOUTPERIM, D_MTPERMOD, D_MTPERQ, D_MTPUTSHARED, D_MTQPAIR};

/// Modules by the names that scenario files have for them; the kernel finds them by these.
pub const MODULES: &[&str] =
    &["pass", "bufmod", "stack_eater", "ldterm", "timod", "udp", "solo", "frag", "loan"];
/// Drivers.
pub const DRIVERS: &[&str] = &["loop", "sink", "ip", "mux", "tl"];
/// Place of the driver that answers nothing.
pub const SINK: u32 = 1;
/// Place of the driver below which streams are linked.
pub const MUX: u32 = 3;
/// Place of the transport that leads from one stream of it to another.
pub const TL: u32 = 4;
/// Bytes of `strmem` that there is one pair of queues for.
pub const BYTES_A_PAIR: u64 = 4096;
/// Bytes of `strmem` that a kernel with STREAMS has at least.
pub const LEAST_MEMORY: u64 = 32 << 10;
/// What `perimeter` of a stream may say, and the declaration that its modules then have.
pub const PERIMETERS: &[(&str, u32)] = &[
    ("own", 0),
    ("mp", D_MP),
    ("perq", D_MP | D_MTPERQ),
    ("qpair", D_MP | D_MTQPAIR),
    ("permod", D_MP | D_MTPERMOD),
    ("putshared", D_MP | D_MTQPAIR | D_MTPUTSHARED),
    ("ocexcl", D_MP | D_MTQPAIR | D_MTOUTPERIM | D_MTOCEXCL),
];
/// Where a stream of a scenario is between two opens (`ss_state`).
pub mod state {
    /// Nobody has it open.
    pub const CLOSED: u32 = 0;
    /// The first that uses it opens it.
    pub const OPENING: u32 = 1;
    /// It may be used.
    pub const OPEN: u32 = 2;
    /// Somebody closes it.
    pub const CLOSING: u32 = 3;
}

/// Bytes that a message of a scenario has at least: whose it is, and which of them.
pub const LEAST_BYTES: u64 = 16;

choices! {
    /// What a message is.
    Message { Data "data", Unitdata "unitdata", Proto "proto", Hipri "hipri" }
    /// What a writer does without room: waits, or drops the message.
    Full { Wait "wait", Drop "drop" }
    /// How a reader waits for something to read: in its read, by poll, or for SIGPOLL (I_SETSIG).
    How { Read "read", Poll "poll", Signal "signal" }
    /// A module that is pushed and popped.
    Module { Pass "pass", Bufmod "bufmod", StackEater "stack_eater", Solo "solo", Frag "frag", Loan "loan" }
}

workloads! {
    Streams, streams_workloads;

    /// sends a message to a stream over a loopback driver and waits until it is back: a turn is a message there and back
    stream_echo StreamEcho
    needs {
        /// the stream
        stream: stream,
    }
    {
        /// bytes of a message
        bytes: number(16..=4096) = 64,
        /// us of work between two turns
        think_us: number(0..=1_000_000) = 0,
        /// clock ticks of sleep between two turns; 0 for none
        rest_ticks: number(0..=1_000_000) = 0,
        /// turns after which the stream is closed and opened anew; 0 for never
        reopen: number(0..=1_000_000) = 0,
    }

    /// writes numbered messages to a stream: a turn is a burst
    stream_write StreamWrite
    needs {
        /// the stream
        stream: stream,
    }
    {
        /// bytes of data in a message
        bytes: number(16..=4096) = 64,
        /// M_DATA, M_PROTO with M_DATA behind it (T_UNITDATA_REQ), M_PROTO, M_PCPROTO
        message: choice(Message) = Data,
        /// its band
        band: number(0..=255) = 0,
        /// messages of a turn
        burst: number(1..=1024) = 1,
        /// without room: `wait` for it, or `drop` the message, which is counted
        full: choice(Full) = Wait,
        /// us of work between two turns
        think_us: number(0..=1_000_000) = 0,
        /// clock ticks of sleep between two turns; 0 for none
        rest_ticks: number(0..=1_000_000) = 0,
    }

    /// reads messages from a stream, and checks that those of each writer come in their order: a turn is a message
    stream_read StreamRead
    needs {
        /// the stream
        stream: stream,
    }
    {
        /// how it waits: in the read itself, by poll, or until SIGPOLL tells it
        how: choice(How) = Read,
        /// us before it reads the first
        after_us: number(0..=3_600_000_000) = 0,
        /// us of work a message
        think_us: number(0..=1_000_000) = 0,
        /// clock ticks of sleep between two messages; 0 for none
        rest_ticks: number(0..=1_000_000) = 0,
        /// where it works: in the kernel, or as a process in user mode
        mode: choice(Mode) = Kernel,
    }

    /// the lower half of a device: sends a numbered message up from a stream's driver for each packet, and drops it without room
    stream_source StreamSource
    needs {
        /// the stream
        stream: stream,
        /// the interrupt that brings packets
        source: interrupt,
    }
    {
        /// bytes of data in a message
        bytes: number(16..=4096) = 64,
        /// M_DATA, M_PROTO with M_DATA behind it (T_UNITDATA_REQ), M_PROTO, M_PCPROTO
        message: choice(Message) = Data,
        /// its band
        band: number(0..=255) = 0,
        /// us of work a packet
        cost_us: number(0..=1_000_000) = 0,
    }

    /// pushes a module onto a stream and pops it again: a turn is both
    stream_plumber StreamPlumber
    needs {
        /// the stream
        stream: stream,
    }
    {
        /// which module
        module: choice(Module) = Pass,
        /// clock ticks for which it stays
        hold_ticks: number(0..=1_000_000) = 1,
        /// clock ticks between two turns; 0 for none
        rest_ticks: number(0..=1_000_000) = 1,
    }

    /// freezes a stream for a while, again and again (`freezestr`)
    stream_freezer StreamFreezer
    needs {
        /// the stream
        stream: stream,
    }
    {
        /// us for which it is frozen
        hold_us: number(0..=1_000_000) = 100,
        /// clock ticks between two turns
        rest_ticks: number(1..=1_000_000) = 1,
    }

    /// closes a stream, again and again; who uses it next opens it anew
    stream_closer StreamCloser
    needs {
        /// the stream
        stream: stream,
    }
    {
        /// clock ticks between two closes
        rest_ticks: number(1..=1_000_000) = 10,
    }
}
