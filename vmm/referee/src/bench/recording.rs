//! What it costs to read a recording: a million events to a page, to a trace for Perfetto, and to say who is to blame.
//!
//! # Invariants
//! - The recording is the same each time: nothing of it depends on a guest or on the host.

use std::hint::black_box;
use std::time::Instant;

use super::{BenchRow, Better, median};
use crate::report::RunError;
use umpire_record::{Asked, Header, Recording, Sample, StandState, Thread, blame, html, perfetto};
use umpire_shared::event::{self, Kind};
use umpire_shared::sys::sobject::sobj;
use umpire_watch::glass::TraceRecord;

const EVENTS: usize = 1_000_000;
const CPUS: u32 = 4;
/// Threads of a CPU that take turns.
const TURNS: u64 = 16;
const ROUNDS: usize = 3;
/// From one switch of a CPU to its next, in ns.
const SWITCH_NS: u64 = 4_000;

/// The rows.
pub(super) fn rows() -> Result<Vec<BenchRow>, RunError> {
    let recording = recording();
    let row = |what: &str, goal: f64, work: &dyn Fn() -> usize| {
        let measure = |_| {
            let began = Instant::now();
            black_box(work());
            began.elapsed().as_secs_f64() * 1e3
        };
        BenchRow {
            what: format!("10^6 events {what}, one core"),
            value: median((0..ROUNDS).map(measure).collect()),
            goal,
            unit: "ms",
            better: Better::Less,
            note: format!(
                "median of {ROUNDS}; {CPUS} CPUs, {} threads, a switch a CPU every {SWITCH_NS} ns",
                u64::from(CPUS) * TURNS
            ),
        }
    };
    let page = || {
        let mut bytes = Vec::new();
        html(&recording, &mut bytes).map_or(0, |()| bytes.len())
    };
    let worst = Asked { worst: 5, ..Asked::default() };
    Ok(vec![
        row("to an HTML page", 1_000.0, &page),
        row("to a trace for Perfetto", 500.0, &|| perfetto(&recording).len()),
        row("to who is to blame for the five longest waits", 300.0, &|| blame(&recording, &worst).len()),
    ])
}

/// Threads that sleep and wake each other, a switch after the other.
fn recording() -> Recording {
    let idle =
        |cpu: u32| Thread { id: cpu.into(), name: "idle".to_owned(), is_idle: true, ..Thread::default() };
    let thread = |n: u64| {
        let class = if n.is_multiple_of(2) { "TS" } else { "SYS" };
        let (id, name) = (u64::from(CPUS) + n, format!("worker/{n}"));
        Thread { id, name, class: class.to_owned(), has_lwp: class == "TS", ..Thread::default() }
    };
    let count = u64::from(CPUS) * TURNS;
    let mut records = Vec::with_capacity(EVENTS + 8);
    let mut at = 1_000;
    for turn in 0.. {
        if records.len() >= EVENTS {
            break;
        }
        for cpu in 0..CPUS {
            let of = |turn: u64| u64::from(CPUS) + u64::from(cpu) * TURNS + turn % TURNS;
            let (me, next, later) = (of(turn), of(turn + 1), of(turn + 2));
            let mut put = |after: u64, kind, thread, arg| {
                records.push(TraceRecord {
                    time_ns: at + after + u64::from(cpu),
                    cpu,
                    kind,
                    thread,
                    pri: 60,
                    arg,
                });
            };
            put(1_000, Kind::Wakeup, later, 0);
            put(1_010, Kind::Enqueue, later, event::on_queue(Some(cpu), false));
            put(1_020, Kind::RunrunRaise, me, cpu.into());
            put(3_000, Kind::Sleep, me, event::asleep_on(sobj::CV, None, me as usize * 64));
            put(3_010, Kind::Dequeue, next, event::on_queue(Some(cpu), false));
            put(3_015, Kind::RunrunClear, me, cpu.into());
            put(3_020, Kind::OffCpu, me, next);
            put(3_020, Kind::OnCpu, next, 0);
        }
        at += SWITCH_NS;
    }
    records.truncate(EVENTS);
    records.sort_by_key(|record| (record.time_ns, record.cpu));
    let sample = |n: u64| Sample {
        at_ns: n * 1_000_000,
        stands: vec![StandState::default(); CPUS as usize],
        kpreemptpri: Some(99),
        ..Sample::default()
    };
    let last_ms = records.last().map_or(0, |record| record.time_ns / 1_000_000);
    Recording {
        header: Header { scenario: "bench".to_owned(), cpus: CPUS, ..Header::default() },
        threads: (0..CPUS).map(idle).chain((0..count).map(thread)).collect(),
        records,
        samples: (0..=last_ms).map(sample).collect(),
        ..Recording::default()
    }
}
