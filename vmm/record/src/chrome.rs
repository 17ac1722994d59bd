//! A recording for viewers of Chrome's trace events (`chrome://tracing`, speedscope and others).
//!
//! # Invariants
//! - Slices of one lane do not overlap.

use std::io::{self, Write};

use serde_json::json;

use crate::recording::Recording;
use crate::spans::{Spans, State};

/// Processes of the viewer: CPUs are its threads in one, the guest's threads in the other.
const CPUS: u32 = 1;
const THREADS: u32 = 2;

/// Writes the trace.
///
/// # Errors
/// What the writer says.
pub fn chrome(recording: &Recording, out: &mut impl Write) -> io::Result<()> {
    let mut events = Events { out, is_first: true };
    events.begin()?;
    for (pid, name) in [(CPUS, "CPUs"), (THREADS, "threads")] {
        events.put(&json!({"ph": "M", "pid": pid, "name": "process_name", "args": {"name": name}}))?;
    }
    for cpu in 0..recording.header.cpus {
        let name = format!("cpu {cpu}");
        events.put(
            &json!({"ph": "M", "pid": CPUS, "tid": cpu, "name": "thread_name", "args": {"name": name}}),
        )?;
    }
    for thread in &recording.threads {
        let (tid, name) = (thread.id, recording.name(thread.id));
        events.put(
            &json!({"ph": "M", "pid": THREADS, "tid": tid, "name": "thread_name", "args": {"name": name}}),
        )?;
    }
    for span in &Spans::of(recording).all {
        let (ts, dur) = (micros(span.from_ns), micros(span.ns()));
        let args = json!({"pri": span.pri, "waker": span.waker.map(|waker| recording.name(waker))});
        if let State::Running(cpu) = span.state
            && !recording.thread(span.thread).is_some_and(|thread| thread.is_idle)
        {
            let name = recording.name(span.thread);
            events.put(&json!({"ph": "X", "pid": CPUS, "tid": cpu, "ts": ts, "dur": dur, "name": name, "args": args}))?;
        }
        let (tid, name) = (span.thread, word(span.state));
        events.put(
            &json!({"ph": "X", "pid": THREADS, "tid": tid, "ts": ts, "dur": dur, "name": name, "args": args}),
        )?;
    }
    for sample in &recording.samples {
        for (cpu, queue) in sample.cpus.iter().enumerate().filter(|(_, queue)| queue.is_trusted) {
            let (ts, name) = (micros(sample.at_ns), format!("cpu {cpu}: threads queued"));
            let args = json!({"threads": queue.nrunnable});
            events.put(&json!({"ph": "C", "pid": CPUS, "ts": ts, "name": name, "args": args}))?;
        }
    }
    events.end()
}

/// The viewers' unit.
fn micros(ns: u64) -> f64 {
    ns as f64 / 1e3
}

fn word(state: State) -> &'static str {
    match state {
        State::Running(_) => "running",
        State::Woken | State::Preempted => "waiting for a CPU",
        State::Asleep => "asleep",
        State::Capped => "held by a CPU cap",
        State::Off => "off",
    }
}

struct Events<'w, W> {
    out: &'w mut W,
    is_first: bool,
}

impl<W: Write> Events<'_, W> {
    fn begin(&mut self) -> io::Result<()> {
        self.out.write_all(b"{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n")
    }

    fn put(&mut self, event: &serde_json::Value) -> io::Result<()> {
        if !std::mem::take(&mut self.is_first) {
            self.out.write_all(b",\n")?;
        }
        serde_json::to_writer(&mut *self.out, event)?;
        Ok(())
    }

    fn end(self) -> io::Result<()> {
        self.out.write_all(b"\n]}\n")?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use umpire_shared::event::Kind;
    use umpire_watch::glass::TraceRecord;

    #[test]
    fn trace_is_json_and_its_slices_lie_side_by_side() {
        let record = |time_ns, kind, thread| TraceRecord { time_ns, cpu: 0, kind, thread, pri: 1, arg: 0 };
        let records = (0..20).flat_map(|n| {
            let (at, thread) = (n * 10, n % 2);
            [
                record(at, Kind::OnCpu, thread),
                record(at + 5, Kind::Enqueue, thread),
                record(at + 10, Kind::OffCpu, thread),
            ]
        });
        let recording = Recording { records: records.collect(), ..Recording::default() };
        let mut bytes = Vec::new();
        chrome(&recording, &mut bytes).expect("memory takes all");

        let trace: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
        let events = trace["traceEvents"].as_array().expect("a list");
        let mut slices: Vec<(f64, f64)> = events
            .iter()
            .filter(|e| e["ph"] == "X" && e["pid"] == CPUS)
            .filter_map(|e| Some((e["ts"].as_f64()?, e["dur"].as_f64()?)))
            .collect();
        slices.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert_eq!(slices.len(), 20);
        assert!(slices.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0 + 1e-9), "{slices:?}");
    }
}
