//! `umpire latency`: how long threads and classes waited.
//!
//! # Invariants
//! - A wait that had not ended counts, and is told.

use std::io;
use std::path::Path;

use super::super::Backends;
use super::super::args::LatencyArgs;
use super::super::exit::Exit;
use super::super::streams::Streams;
use super::events::show;
use super::with_events;
use umpire_record::{Events, Latencies, Latency};
use umpire_rows::{Column, Kind, Table, number, text};

/// Shows the waits of a recording.
pub(in super::super) fn latency(
    args: &LatencyArgs,
    backends: Backends<'_>,
    streams: &mut Streams<'_>,
) -> io::Result<Exit> {
    with_events(&args.of, 0..=u64::MAX, backends, streams, |events, streams| {
        let rows = Latencies::of_events(events).rows();
        if rows.is_empty() {
            streams.remark(&format!("umpire: {}: no thread waited in it", args.of.source.display()));
        }
        let exit = show(table(), &rows, args.json, streams)?;
        if let Some(steal_ns) =
            events.told().ending.as_ref().map(|ending| ending.steal_ns).filter(|&ns| ns > 0)
        {
            streams.remark(&format!(
                "the host kept {} from the vCPUs; what of it fell into these waits is in HOST, and not in the figures",
                number::rounded(steal_ns)
            ));
        }
        Ok(exit)
    })
}

/// The latencies of a run's recording.
///
/// # Errors
/// A sentence, if it cannot be read.
pub(in super::super) fn of_file(path: &Path) -> Result<Vec<Latency>, String> {
    let mut events = Events::open(path, 0..=u64::MAX)
        .map_err(|cause| format!("no latencies: cannot read the recording: {cause}"))?;
    Ok(Latencies::of_events(&mut events).rows())
}

/// Latencies as people read them, a line each below a header.
pub(in super::super) fn told(rows: &[Latency]) -> String {
    let table = table().fitted(rows.iter());
    let lines = std::iter::once(text::header(&table, None))
        .chain(rows.iter().map(|row| text::row(&table, None, row)));
    lines.fold(String::new(), |all, line| format!("{all}  {}\n", line.trim_end()))
}

fn table() -> Table<Latency> {
    Table::new("umpire.latency/1", columns())
}

/// The same within a run's record.
pub(in super::super) fn nested() -> Table<Latency> {
    Table::nested(columns())
}

fn columns() -> Vec<Column<Latency>> {
    let ns = |key: &'static str, title: &'static str, of: fn(&Latency) -> u64| {
        Column::new(key, Kind::Ns, of).titled(title, 9)
    };
    vec![
        Column::new("delay", Kind::Text, |l: &Latency| l.delay.name()).titled("DELAY", 10),
        Column::new("of", Kind::Text, |l: &Latency| l.of.clone()).titled("THREAD OR CLASS:", 40),
        Column::new("count", Kind::Count, |l: &Latency| l.count).titled("COUNT", 9),
        Column::new("open", Kind::Count, |l: &Latency| l.open).titled("OPEN", 5),
        ns("p50_ns", "P50", |l| l.p50_ns),
        ns("p90_ns", "P90", |l| l.p90_ns),
        ns("p99_ns", "P99", |l| l.p99_ns),
        ns("p999_ns", "P99.9", |l| l.p999_ns),
        ns("max_ns", "MAX", |l| l.max_ns),
        ns("max_at_ns", "MAX AT", |l| l.max_at_ns),
        ns("host_ns", "HOST", |l| l.host_ns),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_of_latencies_is_declared_rightly() {
        assert_eq!(table().faults(), [""; 0]);
    }
}
