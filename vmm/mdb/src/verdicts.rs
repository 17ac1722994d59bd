//! What the referee of a run that lasts has found so far, as rows.
//!
//! # Invariants
//! - What was written into the machine is told: it is a part of the verdict.

use umpire_rows::number;
use umpire_watch::glass::{BoundVerdict, Verdicts};

use crate::answer::Row;

/// A row for the run, one a bound, one a sentence, one a write.
pub(crate) fn rows(verdicts: &Verdicts) -> Vec<Row> {
    let Verdicts { run_ns, samples, torn, bounds, why, writes } = verdicts;
    let first =
        format!("so far, {}: {samples} passes of the sampler, {torn} torn reads", number::rounded(*run_ns));
    let first = Row::line(first).with("run_ns", *run_ns).with("samples", *samples).with("torn", *torn);
    let write = |w: &umpire_machine::Written| {
        let text = format!(
            "written to: {} {:#x} = {:#x} ({} bytes at {:#x})",
            w.what, w.old, w.new, w.bytes, w.addr
        );
        Row::line(text)
            .with("what", w.what.as_str())
            .with("old", w.old)
            .with("new", w.new)
            .with("addr", w.addr)
    };
    let rows = std::iter::once(first).chain(bounds.iter().map(bound)).chain(why.iter().map(Row::line));
    rows.chain(writes.iter().map(write)).collect()
}

fn bound(of: &BoundVerdict) -> Row {
    let word = if of.held { "holds" } else { "violated" };
    let (worst, limit) = match of.is_count {
        true => (of.worst.to_string(), of.limit.to_string()),
        false => (number::rounded(of.worst), number::exact(of.limit)),
    };
    let thread = of.thread.as_deref().map(|name| format!(" of {name}")).unwrap_or_default();
    let (worst_key, limit_key) = if of.is_count { ("worst", "limit") } else { ("worst_ns", "limit_ns") };
    Row::line(format!("{word}: {}{thread} {worst}, limit {limit}", of.monitor))
        .with("monitor", of.monitor.as_str())
        .with("thread", of.thread.clone())
        .with(worst_key, of.worst)
        .with(limit_key, of.limit)
        .with("held", of.held)
}
