//! `umpire compare`: two recordings, runs or variants, side by side.
//!
//! # Invariants
//! - That they differ is no failure: the exit code says whether they could be compared.

use std::io;

use super::super::Backends;
use super::super::args::{CompareArgs, RecordedArgs};
use super::super::exit::Exit;
use super::super::streams::Streams;
use super::events::show;
use super::{recording, warn};
use umpire_record::{By, Contrast, Divergence, Recording, by, contrasts, divergence};
use umpire_rows::number::rounded;
use umpire_rows::{Column, Kind, Table, Value, json};
use umpire_watch::glass::TraceRecord;

/// Compares what the arguments name.
pub(in super::super) fn compare(
    args: &CompareArgs,
    mut backends: Backends<'_>,
    streams: &mut Streams<'_>,
) -> io::Result<Exit> {
    let mut read = Vec::new();
    for side in [&args.a, &args.b] {
        let (source, variant) = (side.clone(), args.variant.clone());
        let of =
            RecordedArgs { source, sim: args.sim, seed: args.seed, variant, live: false, json: args.json };
        match recording(&of, 0..=u64::MAX, &mut backends, streams) {
            Ok(recording) => {
                warn(&recording, &side.to_string_lossy(), streams);
                read.push(recording);
            }
            Err(message) => {
                streams.say(&format!("umpire: {message}"));
                return Ok(Exit::Usage);
            }
        }
    }
    let [a, b] = &read[..] else { unreachable!("two were read") };
    for (name, side) in [("A", a), ("B", b)] {
        let header = &side.header;
        let seed = header.seed.map(|seed| format!(" seed {seed}")).unwrap_or_default();
        streams.narrate(&format!("{name}: {} {} on {}{seed}", header.scenario, header.variant, header.host));
    }
    let apart = Apart { a, b, found: divergence(a, b) };
    match args.json {
        true => streams.line(&json::line(&divergences(), &apart))?,
        false => streams.line(&(apart.told() + "\n"))?,
    }
    let rows = contrasts(a, b);
    let mut shown: Vec<Contrast> = rows.into_iter().filter(|row| row.a.count + row.b.count > 0).collect();
    if let Some(most) = args.rows {
        shown.truncate(most);
    }
    show(table(), &shown, args.json, streams)
}

/// Where two recordings go apart.
struct Apart<'r> {
    a: &'r Recording,
    b: &'r Recording,
    found: Result<Divergence, u64>,
}

impl Apart<'_> {
    fn told(&self) -> String {
        let how = match by(self.a, self.b) {
            By::Time => "",
            By::Order => " (each CPU in its order: without one seed their times mean nothing to each other)",
        };
        match &self.found {
            Err(count) => format!("no dispatch differs of {count}{how}"),
            Ok(Divergence { after, a, b }) => format!(
                "first divergent dispatch, after {after} that are alike{how}:\n  A: {}\n  B: {}",
                dispatch(self.a, a.as_ref()),
                dispatch(self.b, b.as_ref())
            ),
        }
    }
}

fn dispatch(of: &Recording, record: Option<&TraceRecord>) -> String {
    match record {
        Some(r) => {
            format!("{} cpu {} runs {} (priority {})", rounded(r.time_ns), r.cpu, of.name(r.thread), r.pri)
        }
        None => "ends before".to_owned(),
    }
}

fn divergences<'r>() -> Table<Apart<'r>> {
    let side = |pick: fn(&Divergence) -> Option<TraceRecord>| {
        move |apart: &Apart<'_>| pick(apart.found.as_ref().ok()?)
    };
    let (a, b) = (side(|d| d.a), side(|d| d.b));
    Table::new(
        "umpire.divergence/1",
        vec![
            Column::new("differs", Kind::Flag, |r: &Apart<'_>| r.found.is_ok()),
            Column::new("by_time", Kind::Flag, |r: &Apart<'_>| by(r.a, r.b) == By::Time),
            Column::new("alike", Kind::Count, |r: &Apart<'_>| match &r.found {
                Ok(divergence) => divergence.after,
                Err(count) => *count,
            }),
            Column::new("a_at_ns", Kind::Ns, move |r: &Apart<'_>| a(r).map(|record| record.time_ns)),
            Column::new("a_cpu", Kind::Count, move |r: &Apart<'_>| a(r).map(|record| u64::from(record.cpu))),
            Column::new("a_thread", Kind::Text, move |r: &Apart<'_>| {
                a(r).map(|record| r.a.name(record.thread))
            }),
            Column::new("b_at_ns", Kind::Ns, move |r: &Apart<'_>| b(r).map(|record| record.time_ns)),
            Column::new("b_cpu", Kind::Count, move |r: &Apart<'_>| b(r).map(|record| u64::from(record.cpu))),
            Column::new("b_thread", Kind::Text, move |r: &Apart<'_>| {
                b(r).map(|record| r.b.name(record.thread))
            }),
        ],
    )
}

fn table() -> Table<Contrast> {
    let ns = |key: &'static str, title: &'static str, of: fn(&Contrast) -> u64| {
        Column::new(key, Kind::Ns, of).titled(title, 9)
    };
    let count = |key: &'static str, title: &'static str, of: fn(&Contrast) -> u64| {
        Column::new(key, Kind::Count, of).titled(title, 9)
    };
    let float = |value: Option<f64>| value.map_or(Value::Absent, Value::Float);
    Table::new(
        "umpire.compare/1",
        vec![
            Column::new("delay", Kind::Text, |c: &Contrast| c.delay.name()).titled("DELAY", 10),
            Column::new("of", Kind::Text, |c: &Contrast| c.of.clone()).titled("THREAD OR CLASS:", 40),
            count("a_count", "A COUNT", |c| c.a.count),
            count("b_count", "B COUNT", |c| c.b.count),
            count("a_open", "A OPEN", |c| c.a.open),
            count("b_open", "B OPEN", |c| c.b.open),
            ns("a_p50_ns", "A P50", |c| c.a.p50_ns),
            ns("b_p50_ns", "B P50", |c| c.b.p50_ns),
            ns("a_p99_ns", "A P99", |c| c.a.p99_ns),
            ns("b_p99_ns", "B P99", |c| c.b.p99_ns),
            ns("a_max_ns", "A MAX", |c| c.a.max_ns),
            ns("b_max_ns", "B MAX", |c| c.b.max_ns),
            Column::new("difference_ns", Kind::Ns, |c: &Contrast| Value::Signed(c.difference_ns))
                .titled("B - A P50", 10)
                .worded(|c: &Contrast| {
                    let sign = if c.difference_ns < 0 { "-" } else { "+" };
                    format!("{sign}{}", rounded(c.difference_ns.unsigned_abs()))
                }),
            Column::new("p", Kind::Measured, move |c: &Contrast| float(c.p)),
            Column::new("b_longer", Kind::Measured, move |c: &Contrast| float(c.longer)),
            Column::derived("p", Kind::Text, verdict).titled("CONFIDENCE", 26),
        ],
    )
}

/// `B shorter, 99.98 %`.
fn verdict(contrast: &Contrast) -> String {
    let (Some(p), Some(longer)) = (contrast.p, contrast.longer) else { return "too few to say".to_owned() };
    let confidence = (100.0 * (1.0 - p)).min(99.99);
    match longer {
        _ if p >= 0.05 => format!("not shown to differ, p = {p:.2}"),
        longer if longer > 0.5 => format!("B longer, {confidence:.2} %"),
        _ => format!("B shorter, {confidence:.2} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_a_comparison_are_declared_rightly() {
        assert_eq!(table().faults(), [""; 0]);
        assert_eq!(divergences().faults(), [""; 0]);
    }
}
