//! Workloads over STREAMS.
//!
//! # Invariants
//! - Its file of the same name in `guest/workloads` has a function for each.
//! - A scenario with one of these sets `strmem`: without memory for messages a stream does not open, and the guest panics.

choices! {
    /// The module that a stream is made of.
    Module { Pass "pass", Bufmod "bufmod", StackEater "stack_eater" }
}

workloads! {
    Streams, streams_workloads;

    /// writes to a stream over a loopback driver and reads it back: a turn is a message there and back
    stream_echo StreamEcho {
        /// modules between head and driver
        modules: number(0..=9) = 3,
        /// which
        module: choice(Module) = Pass,
        /// bytes of a message
        bytes: number(1..=4096) = 64,
        /// us of work between two turns
        think_us: number(0..=1_000_000) = 0,
        /// clock ticks of sleep between two turns; 0 for none
        rest_ticks: number(0..=1_000_000) = 0,
        /// turns after which the stream is closed and opened anew; 0 for never
        reopen: number(0..=1_000_000) = 0,
    }
}
