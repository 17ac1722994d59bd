//! `umpire bench`: the promised numbers, measured here and now.
//!
//! # Invariants
//! - A measurement is printed as soon as it is there, so that an error later on loses nothing.
//! - Goals are shown beside what was measured; a missed goal is marked, not an error.

use std::io;

use super::Backends;
use super::args::BenchArgs;
use super::exit::Exit;
use super::streams::Streams;
use umpire_referee::RunError;
use umpire_referee::bench::{BenchRow, Better};
use umpire_rows::number::measured;
use umpire_rows::{Column, Kind, Table, Tone, Value, json, text};

/// Takes the measurements of these names, or all if there are none, handing out each row as it comes.
pub type Bench<'a> = dyn FnMut(&[String], &mut dyn FnMut(BenchRow)) -> Result<(), RunError> + 'a;

/// A measurement, and where it was taken.
struct Measured {
    row: BenchRow,
    host: String,
}

fn table() -> Table<Measured> {
    Table::new(
        "umpire.bench/1",
        vec![
            column("what", Kind::Text, |r| r.what.clone()).titled("WHAT", 57),
            column("value", Kind::Measured, |r| r.value)
                .titled("MEASURED", 14)
                .worded(|m: &Measured| format!("{} {}", measured(m.row.value), m.row.unit)),
            column("goal", Kind::Measured, |r| r.goal).titled("GOAL", 14).worded(|m: &Measured| {
                let sign = if m.row.better == Better::Less { "<=" } else { ">=" };
                format!("{sign} {} {}", measured(m.row.goal), m.row.unit)
            }),
            column("unit", Kind::Text, |r| r.unit),
            column("met", Kind::Flag, BenchRow::is_met)
                .titled("MET", 3)
                .worded(|m: &Measured| if m.row.is_met() { "yes" } else { "NO" }.to_owned())
                .toned(|m: &Measured| if m.row.is_met() { Tone::Good } else { Tone::Bad }),
            column("note", Kind::Text, |r| r.note.clone()).titled("NOTE", 110),
            Column::new("host", Kind::Text, |m: &Measured| m.host.clone()),
        ],
    )
}

fn column<V: Into<Value>>(
    key: &'static str,
    kind: Kind,
    value: impl Fn(&BenchRow) -> V + 'static,
) -> Column<Measured> {
    Column::new(key, kind, move |measured: &Measured| value(&measured.row))
}

/// Runs the benchmark, as a table or as JSON lines.
pub(super) fn bench(
    &BenchArgs { ref wanted, json: as_json }: &BenchArgs,
    mut backends: Backends<'_>,
    streams: &mut Streams<'_>,
) -> io::Result<Exit> {
    let host = super::doctor::host_name();
    let table = table();
    streams.narrate("umpire bench: this takes a minute; a busy host spoils it");
    if !as_json {
        streams.line(&format!("host: {host}"))?;
        streams.line(&text::header(&table, None))?;
    }
    let mut written = Ok(());
    let result = (backends.bench)(wanted, &mut |row| {
        let measured = Measured { row, host: host.clone() };
        let line = if as_json { json::line(&table, &measured) } else { text::row(&table, None, &measured) };
        if written.is_ok() {
            written = streams.line(&line);
        }
    });
    written?;
    match result {
        Ok(()) => Ok(Exit::Pass),
        Err(e) => {
            streams.say(&format!("umpire: {e}"));
            Ok(Exit::Usage)
        }
    }
}

/// `umpire boot-probe`: one boot, two numbers.
pub(super) fn boot_probe(spawned_at_ns: u64, streams: &mut Streams<'_>) -> io::Result<Exit> {
    match umpire_referee::bench::boot_probe(spawned_at_ns) {
        Ok((total_ns, create_ns)) => {
            streams.line(&format!("{total_ns} {create_ns}"))?;
            Ok(Exit::Pass)
        }
        Err(e) => {
            streams.say(&format!("umpire: {e}"));
            Ok(Exit::Usage)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seeds() -> Measured {
        let row = BenchRow {
            what: "seeds".to_owned(),
            value: 342.61,
            goal: 350.0,
            unit: "seeds/s",
            better: Better::More,
            note: "one core".to_owned(),
        };
        Measured { row, host: "KVM pvm, 2 CPUs".to_owned() }
    }

    #[test]
    fn line_of_a_measurement_has_numbers_as_they_were_measured() {
        let expected = r#"{"schema":"umpire.bench/1","what":"seeds","value":342.61,"goal":350.0,"unit":"seeds/s","met":false,"note":"one core","host":"KVM pvm, 2 CPUs"}"#;
        assert_eq!(json::line(&table(), &seeds()), expected);
        assert_eq!(table().faults(), [""; 0]);
    }

    #[test]
    fn row_of_a_measurement_has_its_unit_and_marks_a_missed_goal() {
        let row = text::row(&table(), None, &seeds());
        let (good, bad) = (Tone::Good.style(), Tone::Bad.style());
        assert!(row.contains(" 342.6 seeds/s  >= 350 seeds/s  "), "{row}");
        assert!(row.contains(&format!("{bad}NO{bad:#}")) && !row.contains(&good.to_string()), "{row}");
    }
}
