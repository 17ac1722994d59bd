//! The answer as rows: a row a thread, in the order of the walk.
//!
//! # Invariants
//! - Keys and their order are a contract. What does not apply to a stall is null.

use umpire_rows::{Column, Kind, Table, Value};
use umpire_shared::program::class;

use super::object::name;
use super::{Hold, Link, Stall, Why};
use crate::glass::Object;

/// A thread of an answer, with what depends on the others.
#[derive(Debug)]
struct Row<'w> {
    link: &'w Link,
    says: String,
    is_in_circle: bool,
}

/// The rows of an answer.
pub fn records(why: &Why) -> Value {
    let keys = keys();
    let row = |link| Row { link, says: why.says(link), is_in_circle: why.circle.contains(&link.thread) };
    why.links.iter().map(|link| Value::Record(keys.record(&row(link)))).collect()
}

/// The columns of an answer's rows.
fn keys<'w>() -> Table<Row<'w>> {
    Table::nested(vec![
        Column::new("thread", Kind::Text, |r: &Row<'_>| r.link.card.name.clone()),
        Column::new("number", Kind::Count, |r: &Row<'_>| u64::from(r.link.thread)),
        Column::new("process", Kind::Text, |r: &Row<'_>| r.link.card.proc().to_owned()),
        Column::new("class", Kind::Text, |r: &Row<'_>| {
            class::NAMES.get(usize::from(r.link.card.class)).map(|&name| name.to_owned())
        }),
        Column::new("pri", Kind::Count, |r: &Row<'_>| u64::try_from(r.link.card.pri).ok()),
        Column::new("stall", Kind::State, |r: &Row<'_>| state(&r.link.stall)),
        Column::new("object", Kind::Text, |r: &Row<'_>| object(&r.link.stall).map(name)),
        Column::new("path", Kind::Text, |r: &Row<'_>| object(&r.link.stall).map(|o| o.path.clone())),
        Column::new("cpu", Kind::Count, |r: &Row<'_>| cpu(&r.link.stall)),
        Column::new("place", Kind::Count, |r: &Row<'_>| place(&r.link.stall).map(|p| u64::from(p.0))),
        Column::new("of", Kind::Count, |r: &Row<'_>| place(&r.link.stall).map(|p| u64::from(p.1))),
        Column::new("overdue_ns", Kind::Ns, |r: &Row<'_>| overdue(&r.link.stall)),
        Column::new("waits_for", Kind::Nested, |r: &Row<'_>| {
            r.link.waits_for.iter().map(|&n| u64::from(n)).collect::<Value>()
        }),
        Column::new("deadlock", Kind::Flag, |r: &Row<'_>| r.is_in_circle),
        Column::new("says", Kind::Text, |r: &Row<'_>| r.says.clone()),
    ])
}

fn state(stall: &Stall) -> &'static str {
    match stall {
        Stall::Blocked { hold: Hold::Mutex(_), .. } => "mutex",
        Stall::Blocked { hold: Hold::Rwlock { wants_write: true, .. }, .. } => "rwlock_writer",
        Stall::Blocked { hold: Hold::Rwlock { wants_write: false, .. }, .. } => "rwlock_reader",
        Stall::Asleep { .. } => "sleeps",
        Stall::Queued { .. } => "queued",
        Stall::Capped { .. } => "capped",
        Stall::Runs { spins: Some(_), .. } => "spins",
        Stall::Runs { .. } => "runs",
        Stall::Pinned { .. } => "pinned",
        Stall::Switching { .. } => "switching",
        Stall::NotStarted => "not_started",
        Stall::Stopped { .. } => "stopped",
        Stall::Ended => "ended",
        Stall::Unknown { .. } => "unknown",
    }
}

fn object(stall: &Stall) -> Option<&Object> {
    match stall {
        Stall::Blocked { lock, .. } => Some(lock),
        Stall::Asleep { on, .. } => Some(on),
        Stall::Runs { spins, .. } => spins.as_ref().map(|(what, _)| what),
        _ => None,
    }
}

fn cpu(stall: &Stall) -> Option<u64> {
    match stall {
        Stall::Queued { queue, .. } => queue.and_then(|queue| queue.cpu()).map(u64::from),
        Stall::Runs { cpu, .. } | Stall::Pinned { cpu, .. } => Some(u64::from(*cpu)),
        Stall::Switching { cpu } => cpu.map(u64::from),
        _ => None,
    }
}

fn place(stall: &Stall) -> Option<(u32, u32)> {
    match stall {
        Stall::Blocked { place, .. } | Stall::Capped { place, .. } => *place,
        Stall::Queued { place, .. } => Some(*place).filter(|place| place.1 > 0),
        _ => None,
    }
}

fn overdue(stall: &Stall) -> Option<u64> {
    match stall {
        Stall::Asleep { timeout, .. } => timeout.map(|timeout| timeout.overdue_ns()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_named_once_and_tell_their_units() {
        assert_eq!(keys().faults(), Vec::<String>::new());
    }
}
