//! `umpire events`: a recording's events, chosen and counted.
//!
//! # Invariants
//! - Without `--by` each event is a line of the same form as in a trace file.
//! - That there is none is said on stderr; nothing is on stdout then.

use std::io;

use super::super::Backends;
use super::super::args::EventsArgs;
use super::super::exit::Exit;
use super::super::streams::Streams;
use super::{told, with_events, with_recording};
use umpire_record::{Count, Events, Key, Line, Recording, Seen, Selection, SelectionError, Tally, Wanted};
use umpire_rows::{Column, Kind, Table, Value, json, number, text};
use umpire_watch::glass::TraceRecord;

/// Shows the events that the arguments ask for.
pub(in super::super) fn events(
    args: &EventsArgs,
    backends: Backends<'_>,
    streams: &mut Streams<'_>,
) -> io::Result<Exit> {
    let selection = Selection {
        cpus: args.cpus.clone(),
        threads: args.threads.clone(),
        probes: args.probes.clone(),
        interval: args.from_ns.unwrap_or(0)..=args.to_ns.unwrap_or(u64::MAX),
    };
    let interval = selection.interval.clone();
    if args.by.is_empty() {
        return with_recording(&args.of, interval, backends, streams, |recording, streams| {
            match selection.of(recording) {
                Ok(records) if records.is_empty() => {
                    Ok(none(args, &selection, recording.records.len(), recording.interval().1, streams))
                }
                Ok(records) => list(recording, &records, args.json, streams),
                Err(error) => Ok(refused(&error, streams)),
            }
        });
    }
    with_events(&args.of, interval, backends, streams, |events, streams| {
        let keys: Vec<Key> = args.by.iter().filter_map(|name| Key::named(name)).collect();
        match counted(events, &selection, &keys) {
            Ok(Counted { counts, all, last_ns }) if counts.is_empty() => {
                Ok(none(args, &selection, all, last_ns, streams))
            }
            Ok(Counted { counts, .. }) => count(&counts, args, streams),
            Err(error) => Ok(refused(&error, streams)),
        }
    })
}

/// Says that there is no such event among so many.
fn none(
    args: &EventsArgs,
    selection: &Selection,
    all: usize,
    last_ns: u64,
    streams: &mut Streams<'_>,
) -> Exit {
    let from = match args.from_ns.or(args.to_ns) {
        Some(_) => format!("; {all} lie {}", told(&selection.interval)),
        None => format!(" among the {all} up to {}", number::rounded(last_ns)),
    };
    streams.remark(&format!("umpire: {}: no such event{from}", args.of.source.display()));
    Exit::Pass
}

fn refused(error: &SelectionError, streams: &mut Streams<'_>) -> Exit {
    streams.say(&format!("umpire: {error}"));
    Exit::Usage
}

/// What was chosen, and how much it was chosen from.
struct Counted {
    counts: Vec<Count>,
    all: usize,
    last_ns: u64,
}

fn counted(events: &mut Events, selection: &Selection, keys: &[Key]) -> Result<Counted, SelectionError> {
    // It is the same for whatever part of the file can be read, or an error now.
    selection.wanted(events.told())?;
    let make = |told: &Recording| (selection.wanted(told), Tally::by(keys), 0, 0);
    let see = |(wanted, tally, all, last_ns): &mut (Result<Wanted, _>, Tally<'_>, _, _),
               told: &_,
               seen: Seen<'_>| {
        let Seen::Record(record) = seen else { return };
        (*all, *last_ns) = (*all + 1, record.time_ns);
        if wanted.as_mut().is_ok_and(|wanted| wanted.takes(record)) {
            tally.see(told, record);
        }
    };
    let (wanted, tally, all, last_ns) = events.fold(make, see);
    wanted?.check()?;
    Ok(Counted { counts: tally.counts(), all, last_ns })
}

/// An event, and what its thread is called.
struct Event<'r> {
    record: &'r TraceRecord,
    name: String,
}

fn list(
    recording: &Recording,
    records: &[&TraceRecord],
    as_json: bool,
    streams: &mut Streams<'_>,
) -> io::Result<Exit> {
    let table = Table::new(
        "umpire.event/1",
        vec![
            Column::new("time_ns", Kind::Ns, |e: &Event<'_>| e.record.time_ns),
            Column::new("cpu", Kind::Count, |e: &Event<'_>| u64::from(e.record.cpu)),
            Column::new("probe", Kind::Text, |e: &Event<'_>| e.record.kind.name()),
            Column::new("thread", Kind::Count, |e: &Event<'_>| e.record.thread),
            Column::new("name", Kind::Text, |e: &Event<'_>| e.name.clone()),
            Column::new("pri", Kind::Count, |e: &Event<'_>| Value::Signed(e.record.pri.into())),
            Column::new("arg", Kind::Count, |e: &Event<'_>| e.record.arg),
        ],
    );
    for record in records {
        let name = recording.name(record.thread);
        if as_json {
            streams.line(&json::line(&table, &Event { record, name }))?;
        } else {
            streams.line(&format!("{} {name}", Line(record)))?;
        }
    }
    Ok(Exit::Pass)
}

fn count(counts: &[Count], args: &EventsArgs, streams: &mut Streams<'_>) -> io::Result<Exit> {
    let mut columns = Vec::new();
    for (name, title) in
        Key::ALL.map(|(_, name)| name).into_iter().zip(["THREAD", "PROBE", "CPU", "PRI", "ARG"])
    {
        if let Some(at) = args.by.iter().position(|by| by == name) {
            columns.push((
                at,
                Column::new(name, Kind::Text, move |c: &Count| c.keys[at].clone()).titled(title, 40),
            ));
        }
    }
    columns.sort_by_key(|(at, _)| *at);
    let mut columns: Vec<Column<Count>> = columns.into_iter().map(|(_, column)| column).collect();
    columns.extend([
        Column::new("count", Kind::Count, |c: &Count| c.count).titled("COUNT", 12),
        Column::new("max_gap_ns", Kind::Ns, |c: &Count| c.max_gap_ns).titled("MAX GAP", 10),
        Column::new("first_ns", Kind::Ns, |c: &Count| c.first_ns).titled("FIRST", 10),
        Column::new("last_ns", Kind::Ns, |c: &Count| c.last_ns).titled("LAST", 10),
        Column::new("sum_arg", Kind::Count, |c: &Count| c.sum_arg),
        Column::new("p50_gap_ns", Kind::Ns, |c: &Count| c.gaps.percentile(50)),
        Column::new("p90_gap_ns", Kind::Ns, |c: &Count| c.gaps.percentile(90)),
        Column::new("p99_gap_ns", Kind::Ns, |c: &Count| c.gaps.percentile(99)),
        Column::new("gaps", Kind::Nested, |c: &Count| {
            let row = |(ns, count): (u64, u64)| {
                Value::Record(vec![("from_ns", ns.into()), ("count", count.into())])
            };
            c.gaps.rows().map(row).collect::<Value>()
        }),
    ]);
    if args.quantize && !args.json {
        for count in counts {
            streams.line(&format!("\n  {}", count.keys.join(" ")))?;
            for line in count.gaps.drawn() {
                streams.line(&line)?;
            }
        }
        return Ok(Exit::Pass);
    }
    show(Table::new("umpire.events/1", columns), counts, args.json, streams)
}

/// Rows as a table for people, or as lines of JSON.
pub(super) fn show<R>(
    table: Table<R>,
    rows: &[R],
    as_json: bool,
    streams: &mut Streams<'_>,
) -> io::Result<Exit> {
    if as_json {
        for row in rows {
            streams.line(&json::line(&table, row))?;
        }
        return Ok(Exit::Pass);
    }
    let table = table.fitted(rows.iter());
    streams.line(text::header(&table, None).trim_end())?;
    for row in rows {
        streams.line(text::row(&table, None, row).trim_end())?;
    }
    Ok(Exit::Pass)
}
