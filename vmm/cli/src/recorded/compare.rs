//! `umpire compare`: two recordings, runs or variants, side by side.
//!
//! # Invariants
//! - That they differ is no failure: the exit code says whether they could be compared.

use std::io;

use super::super::Backends;
use super::super::args::CompareArgs;
use super::super::exit::Exit;
use super::super::streams::Streams;
use super::events::show;
use super::{Source, check_options, recording, warn};
use umpire_machine::signals;
use umpire_record::{By, Contrast, Divergence, Recording, Summary, by, contrasts, divergence};
use umpire_rows::number::rounded;
use umpire_rows::{Column, Kind, Table, Value, json};
use umpire_watch::glass::TraceRecord;

/// Compares what the arguments name.
pub(in super::super) fn compare(
    args: &CompareArgs,
    mut backends: Backends<'_>,
    streams: &mut Streams<'_>,
) -> io::Result<Exit> {
    let sources = [Source::of(&args.a), Source::of(&args.b)];
    if let Err(message) = check_options(&sources, &args.how) {
        streams.say(&format!("umpire: {message}"));
        return Ok(Exit::Usage);
    }
    let mut read = Vec::new();
    for side in [&args.a, &args.b] {
        match recording(side, &args.how, 0..=u64::MAX, &mut backends, streams) {
            Ok(recording) => {
                warn(&recording.lacks(), &side.to_string_lossy(), streams);
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
    if signals::interrupted() {
        streams.say("umpire: interrupted: runs that were cut short are not compared");
        return Ok(Exit::interrupted());
    }
    signals::end_at_once();
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

/// One of the two sides.
type Side = fn(&Contrast) -> &Summary;

fn table() -> Table<Contrast> {
    // Where nobody waited there is no wait to tell of.
    let ns = |key: &'static str, title: &'static str, side: Side, of: fn(&Summary) -> u64| {
        let value = move |c: &Contrast| Some(side(c)).filter(|side| side.count > 0).map(of);
        Column::new(key, Kind::Ns, value).titled(title, 9)
    };
    let (a, b): (Side, Side) = (|c| &c.a, |c| &c.b);
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
            ns("a_p50_ns", "A P50", a, |side| side.p50_ns),
            ns("b_p50_ns", "B P50", b, |side| side.p50_ns),
            ns("a_p99_ns", "A P99", a, |side| side.p99_ns),
            ns("b_p99_ns", "B P99", b, |side| side.p99_ns),
            ns("a_max_ns", "A MAX", a, |side| side.max_ns),
            ns("b_max_ns", "B MAX", b, |side| side.max_ns),
            Column::new("difference_ns", Kind::Ns, |c: &Contrast| difference(c))
                .titled("B - A P50", 10)
                .worded(|c: &Contrast| {
                    let sign = |ns: i64| if ns < 0 { "-" } else { "+" };
                    difference(c)
                        .map_or("-".to_owned(), |ns| format!("{}{}", sign(ns), rounded(ns.unsigned_abs())))
                }),
            Column::new("p", Kind::Measured, move |c: &Contrast| float(c.p)),
            Column::new("b_longer", Kind::Measured, move |c: &Contrast| float(c.longer)),
            Column::derived("p", Kind::Text, verdict).titled("CONFIDENCE", 31),
        ],
    )
}

/// How much longer the second's middle wait is, where both sides waited.
fn difference(contrast: &Contrast) -> Option<i64> {
    (contrast.a.count > 0 && contrast.b.count > 0).then_some(contrast.difference_ns)
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
    use umpire_rows::text;

    #[test]
    fn tables_of_a_comparison_are_declared_rightly() {
        assert_eq!(table().faults(), [""; 0]);
        assert_eq!(divergences().faults(), [""; 0]);
    }

    fn contrast(a: Summary, b: Summary, p: Option<f64>) -> Contrast {
        let (of, delay) = ("red".to_owned(), umpire_record::Delay::Run);
        Contrast { of, delay, a, b, difference_ns: 20_000_000, p, longer: p.map(|_| 0.5) }
    }

    #[test]
    fn confidence_is_never_cut() {
        let waits = Summary { count: 9, p50_ns: 1, p99_ns: 1, max_ns: 1, open: 0 };
        for p in [None, Some(0.0), Some(0.04), Some(0.05), Some(0.999), Some(1.0)] {
            for longer in [0.1, 0.9] {
                let one = Contrast { longer: p.map(|_| longer), ..contrast(waits, waits, p) };
                let row = text::row(&table().fitted(std::iter::once(&one)), None, &one);
                assert!(row.trim_end().ends_with(&verdict(&one)), "{row}");
            }
        }
    }

    #[test]
    fn side_on_which_nobody_waited_has_no_times_and_no_difference() {
        let one = contrast(
            Summary::default(),
            Summary { count: 22, open: 0, p50_ns: 20_000_000, p99_ns: 1, max_ns: 1 },
            None,
        );
        let row = json::line(&table(), &one);
        for key in ["a_p50_ns", "a_p99_ns", "a_max_ns", "difference_ns"] {
            assert!(row.contains(&format!("\"{key}\":null")), "{row}");
        }
        assert!(row.contains("\"b_p50_ns\":20000000"), "{row}");
        let row = text::row(&table(), None, &one);
        assert!(!row.contains("0ns") && !row.contains('+'), "{row}");
    }
}
