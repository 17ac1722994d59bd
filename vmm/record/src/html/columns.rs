//! The columns of a page: what its script draws, as bytes.
//!
//! # Invariants
//! - The columns of one table are equally long, little-endian, and of the types that the script reads them as.
//! - Threads are places in the page's own roster, which has every thread that a span or a mark is about.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Write};

use base64::engine::general_purpose::STANDARD;
use base64::write::EncoderWriter;

use crate::bars::{Lasting, bars};
use crate::line::Argument;
use crate::recording::Recording;
use crate::spans::{Span, Spans, State};
use umpire_shared::event::Kind;

/// The threads of a page, by number.
pub(super) struct Roster {
    ids: Vec<u64>,
    idle: BTreeSet<u64>,
}

impl Roster {
    /// Those of the recording's roster and those that its records are about.
    pub(super) fn of(recording: &Recording, spans: &Spans) -> Roster {
        let mut ids: BTreeSet<u64> = recording.threads.iter().map(|thread| thread.id).collect();
        ids.extend(spans.all.iter().map(|span| span.thread));
        ids.extend(recording.records.iter().map(|record| record.thread));
        let idle = recording.threads.iter().filter(|thread| thread.is_idle).map(|thread| thread.id).collect();
        Roster { ids: ids.into_iter().collect(), idle }
    }

    /// Their numbers.
    pub(super) fn ids(&self) -> &[u64] {
        &self.ids
    }

    /// The place of a thread.
    pub(super) fn place(&self, id: u64) -> u32 {
        // Most rosters are the numbers themselves.
        let at = id as usize;
        if self.ids.get(at) == Some(&id) {
            return at as u32;
        }
        self.ids.binary_search(&id).unwrap_or(0) as u32
    }

    /// True if a thread is a CPU's idle thread.
    pub(super) fn is_idle(&self, id: u64) -> bool {
        self.idle.contains(&id)
    }
}

/// The columns, and the texts that they number.
pub(super) struct Columns {
    all: Vec<(&'static str, Vec<u8>)>,
    texts: Vec<String>,
    objects: Vec<String>,
}

/// Kinds that no mark is made for: spans and bars tell them.
const TOLD: &[Kind] = &[
    Kind::OnCpu,
    Kind::OffCpu,
    Kind::RemainCpu,
    Kind::Enqueue,
    Kind::Dequeue,
    Kind::Sleep,
    Kind::Wakeup,
    Kind::Tick,
    Kind::RunrunRaise,
    Kind::RunrunClear,
    Kind::KprunrunRaise,
    Kind::KprunrunClear,
    Kind::IntrBegin,
    Kind::IntrEnd,
    Kind::SearchEmpty,
    Kind::CalloutEnd,
    Kind::StrPut,
    Kind::StrServiceEnd,
];

impl Columns {
    /// Those of a recording.
    pub(super) fn of(recording: &Recording, spans: &Spans, roster: &Roster) -> Columns {
        let mut columns = Columns { all: Vec::new(), texts: Vec::new(), objects: Vec::new() };
        columns.spans(recording, &spans.all, roster);
        columns.bars(recording, roster);
        columns.marks(recording, roster);
        columns
    }

    /// What the arguments of marks say.
    pub(super) fn texts(&self) -> &[String] {
        &self.texts
    }

    /// What threads sleep on.
    pub(super) fn objects(&self) -> &[String] {
        &self.objects
    }

    /// Writes each as an element of the page.
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        for (name, bytes) in &self.all {
            write!(out, "<script type=\"application/octet-stream\" id=\"column-{name}\">")?;
            let mut encoder = EncoderWriter::new(&mut *out, &STANDARD);
            encoder.write_all(bytes)?;
            encoder.finish()?;
            drop(encoder);
            out.write_all(b"</script>\n")?;
        }
        Ok(())
    }

    fn spans(&mut self, recording: &Recording, spans: &[Span], roster: &Roster) {
        // What threads sleep on, each once; the script counts from 1.
        let mut places: HashMap<u64, u32> = HashMap::new();
        for span in spans.iter().filter(|span| span.state == State::Asleep && span.on != 0) {
            places.entry(span.on).or_insert_with(|| {
                self.objects.push(recording.object(span.on));
                self.objects.len() as u32
            });
        }
        let state = |span: &Span| match span.state {
            State::Running(_) => 0u8,
            State::Woken => 1,
            State::Preempted => 2,
            State::Asleep => 3,
            State::Off => 4,
            State::Capped => 5,
        };
        let other = |span: &Span| match span.state {
            State::Running(cpu) => cpu,
            State::Woken => span.waker.map_or(0, |waker| roster.place(waker) + 1),
            State::Asleep => places.get(&span.on).copied().unwrap_or(0),
            State::Preempted | State::Capped | State::Off => 0,
        };
        self.put("span-from", spans, |span| (span.from_ns as f64).to_le_bytes());
        self.put("span-to", spans, |span| (span.to_ns as f64).to_le_bytes());
        self.put("span-thread", spans, |span| roster.place(span.thread).to_le_bytes());
        self.put("span-state", spans, |span| [state(span) | u8::from(span.is_open) << 7]);
        self.put("span-pri", spans, |span| (span.pri as i16).to_le_bytes());
        self.put("span-other", spans, |span| other(span).to_le_bytes());
    }

    fn bars(&mut self, recording: &Recording, roster: &Roster) {
        let bars = bars(recording);
        let kind = |what: Lasting| match what {
            Lasting::Interrupt(_) => 0,
            Lasting::Runrun => 1u8,
            Lasting::Kprunrun => 2,
        };
        // The script takes a thread that is none for what it is: a place behind the roster's last.
        let nobody = roster.ids.len() as u32;
        self.put("bar-from", &bars, |bar| (bar.from_ns as f64).to_le_bytes());
        self.put("bar-to", &bars, |bar| (bar.to_ns as f64).to_le_bytes());
        self.put("bar-cpu", &bars, |bar| (bar.cpu as u16).to_le_bytes());
        self.put("bar-kind", &bars, |bar| [kind(bar.what)]);
        let level = |what: Lasting| if let Lasting::Interrupt(level) = what { level } else { 0 };
        self.put("bar-level", &bars, |bar| [level(bar.what)]);
        self.put("bar-by", &bars, |bar| bar.by.map_or(nobody, |by| roster.place(by)).to_le_bytes());
    }

    fn marks(&mut self, recording: &Recording, roster: &Roster) {
        let marks: Vec<_> = recording.records.iter().filter(|record| !TOLD.contains(&record.kind)).collect();
        // Few arguments differ: a CPU, a priority, a queue's name.
        let mut numbers: BTreeMap<(u32, u64), u32> = BTreeMap::new();
        let mut texts = Vec::new();
        let places: Vec<u32> = marks
            .iter()
            .map(|record| {
                *numbers.entry((record.kind as u32, record.arg)).or_insert_with(|| {
                    texts.push(Argument(record.kind, record.arg).to_string());
                    texts.len() as u32 - 1
                })
            })
            .collect();
        self.texts = texts;
        self.put("mark-at", &marks, |record| (record.time_ns as f64).to_le_bytes());
        self.put("mark-cpu", &marks, |record| (record.cpu as u16).to_le_bytes());
        self.put("mark-kind", &marks, |record| [record.kind as u8]);
        self.put("mark-thread", &marks, |record| roster.place(record.thread).to_le_bytes());
        self.put("mark-text", &places, |place| place.to_le_bytes());
    }

    fn put<R, const N: usize>(&mut self, name: &'static str, rows: &[R], value: impl Fn(&R) -> [u8; N]) {
        let mut bytes = Vec::with_capacity(rows.len() * N);
        rows.iter().for_each(|row| bytes.extend_from_slice(&value(row)));
        self.all.push((name, bytes));
    }
}
