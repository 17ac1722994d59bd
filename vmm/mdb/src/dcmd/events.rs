//! `::events`: what happened about the moment of a recording that is looked at.
//!
//! # Invariants
//! - Which events are wanted is decided where `umpire events` decides it.

use umpire_record::{Argument, Count, Key, Recording, Selection, tally};
use umpire_rows::{Column, Kind, Table};
use umpire_watch::glass::TraceRecord;

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::{Call, Options, Word};
use crate::lang::Failure;
use crate::recorded::{Recorded, exact_ms};

/// Events that are listed where no number is given.
const LISTED: usize = 20;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "events",
    aliases: &[],
    address: Address::Optional,
    takes_all: false,
    usage: "[-ab] [-n num] [-c cpu,...] [-t thread,...] [-p probe,...] [-k key]",
    about: "print the events about the moment that is looked at",
    help: "Lists the events of a recording that led to the moment at which ::at stands and those behind it, ten of each, or those\n\
           about the thread whose number is in front. Below a line with the moment are those that have not happened by then.\n\
           -n num  so many in all (decimal)    -b  those before only    -a  those behind only\n\
           -c of these CPUs    -t about the threads of these names, or numbers (decimal)    -p of these probes\n\
           -k key  counts instead what the whole recording has of them, by thread, probe, cpu, pri or arg",
    examples: &[
        ("::events", "twenty events"),
        ("::events -b -n 5 -p runrun-raise,kprunrun-raise", "the last flags that were raised"),
        ("::walk cpu_dispq | ::events -n 4", "what became of each thread that waits"),
        ("::events -k probe", "how many there are of each probe"),
    ],
    run: Run::Recorded(run),
};

fn run(recorded: &Recorded<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let options = call.options("abn:c:t:p:k:")?;
    options.none_left(call)?;
    let recording = recorded.recording();
    let mut wanted = selection(call, &options)?.of(recording).map_err(|error| Failure::new(error.to_string()))?;
    if let Some(thread) = call.addr {
        recorded.thread(&recorded.scene(), thread)?;
        wanted.retain(|record| record.thread == thread);
    }
    if let Some(word) = options.argument('k') {
        let keys = Key::ALL.map(|(_, name)| name).join(", ");
        let key = Key::named(&word.text);
        let wrong = || call.misused_at(&word.at, format!("`{}` is no key; there are {keys}", word.text));
        return Ok(counted(recording, &wanted, key.ok_or_else(wrong)?));
    }
    let most = match options.argument('n') {
        Some(word) => word
            .text
            .parse::<usize>()
            .map_err(|_| call.misused_at(&word.at, format!("`{}` is no decimal number", word.text)))?,
        None => LISTED,
    };
    let (before, behind) = match (options.has('b'), options.has('a')) {
        (true, false) => (most, 0),
        (false, true) => (0, most),
        _ => (most.div_ceil(2), most / 2),
    };
    let at = recorded.at_ns();
    let (past, future) = wanted.split_at(wanted.partition_point(|record| record.time_ns <= at));
    let past = &past[past.len().saturating_sub(before)..];
    let future = &future[..behind.min(future.len())];
    let event = |record: &&TraceRecord| Event { record: **record, name: recording.name(record.thread) };
    let table = table();
    let rows = |some: &[&TraceRecord]| {
        let events: Vec<Event> = some.iter().map(event).collect();
        Answer::table(&table, &events, |event| Some(event.record.thread))
    };
    let mut answer = rows(past);
    if behind > 0 && !call.is_piped_out {
        // For people only: it is no event.
        answer.rows.push(Row { text: format!("{:->width$}", format!(" {}", exact_ms(at)), width = TIME), ..Row::default() });
    }
    answer.rows.extend(rows(future).rows);
    Ok(answer)
}

/// Which events the options ask for.
fn selection(call: &Call<'_>, options: &Options<'_>) -> Result<Selection, Failure> {
    let listed = |flag| {
        let words = options.argument(flag).map_or("", |word: &Word| word.text.as_str());
        words.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect::<Vec<String>>()
    };
    let number = |text: &String| {
        text.parse::<u32>().map_err(|_| call.misused(format!("`{text}` is no number of a CPU")))
    };
    Ok(Selection {
        cpus: listed('c').iter().map(number).collect::<Result<_, _>>()?,
        threads: listed('t'),
        probes: listed('p'),
        interval: 0..=u64::MAX,
    })
}

/// An event, and what its thread is called.
struct Event {
    record: TraceRecord,
    name: String,
}

/// Columns of the time.
const TIME: usize = 14;

fn table() -> Table<Event> {
    Table::nested(vec![
        Column::new("time_ns", Kind::Ns, |e: &Event| e.record.time_ns)
            .titled("TIME", TIME)
            .right()
            .worded(|e| exact_ms(e.record.time_ns)),
        Column::new("cpu", Kind::Count, |e: &Event| u64::from(e.record.cpu)).titled("CPU", 3),
        Column::new("probe", Kind::Text, |e: &Event| e.record.kind.name()).titled("PROBE", 14),
        Column::new("thread", Kind::Count, |e: &Event| e.record.thread)
            .titled("THREAD", 6)
            .worded(|e| format!("{:x}", e.record.thread)),
        Column::new("pri", Kind::Count, |e: &Event| i64::from(e.record.pri)).titled("PRI", 3),
        Column::new("arg", Kind::Count, |e: &Event| e.record.arg)
            .titled("ARG", 14)
            .worded(|e| Argument(e.record.kind, e.record.arg).to_string()),
        Column::new("name", Kind::Text, |e: &Event| e.name.clone()).titled("NAME", 4),
    ])
}

fn counted(recording: &Recording, records: &[&TraceRecord], key: Key) -> Answer {
    let table = Table::nested(vec![
        Column::new("count", Kind::Count, |c: &Count| c.count).titled("COUNT", 9),
        Column::new("max_gap_ns", Kind::Ns, |c: &Count| c.max_gap_ns).titled("MAX GAP", 8),
        Column::new("first_ns", Kind::Ns, |c: &Count| c.first_ns)
            .titled("FIRST", TIME)
            .right()
            .worded(|c| exact_ms(c.first_ns)),
        Column::new("last_ns", Kind::Ns, |c: &Count| c.last_ns)
            .titled("LAST", TIME)
            .right()
            .worded(|c| exact_ms(c.last_ns)),
        Column::new("key", Kind::Text, |c: &Count| c.keys.concat()).titled("KEY", 3),
    ]);
    Answer::table(&table, &tally(recording, records, &[key]), |_| None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_of_events_is_declared_rightly() {
        assert_eq!(table().faults(), [""; 0]);
    }
}
