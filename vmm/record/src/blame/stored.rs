//! Blame of a recording that is too long for memory: two passes over its file, of which the first finds the waits, and the second what lies
//! about them.
//!
//! # Invariants
//! - What is told of a wait is what is told of it if all is in memory, unless there is more about it than may be kept, which is said.

use std::collections::HashMap;

use super::about::{About, Intervals};
use super::choose::{Choice, Found};
use super::{Asked, Blame, For, blame};
use crate::events::Events;
use crate::file::Stored;
use crate::select::{Named, SelectionError, named};
use crate::spans::Span;

/// Bytes of the file, before compression, about all waits: half as much in memory, as few of its events are kept.
const MOST_BYTES: u64 = 640 << 20;

/// What is told of a recording.
#[derive(Debug)]
pub struct Told {
    /// Who is to blame, as [`blame`] has it.
    pub blames: Vec<Blame>,
    /// From when to when it tells anything.
    pub interval: (u64, u64),
}

/// Who is to blame for waits of a recording, of a thread of this name or number if one is named.
///
/// # Errors
/// [`SelectionError`] if there is no such thread.
pub fn blame_of(events: &mut Events, thread: Option<&str>, asked: &Asked) -> Result<Told, SelectionError> {
    let named = thread.map(|thread| named(events.told(), thread)).transpose()?;
    let (threads, unmet) = match named {
        Some(Named::These(threads)) => (threads, None),
        Some(Named::Number(number, error)) => (vec![number], Some(error)),
        None => (asked.threads.clone(), None),
    };
    let asked = Asked { threads, ..asked.clone() };
    match events {
        Events::Whole(recording) => {
            let is_met = || recording.records.iter().any(|record| asked.threads.contains(&record.thread));
            match unmet.filter(|_| !is_met()) {
                Some(error) => Err(error),
                None => Ok(Told { blames: blame(recording, &asked), interval: recording.interval() }),
            }
        }
        Events::Stored(stored) => {
            let choice = stored.fold(|told| Choice::of(told, &asked), Choice::see);
            match unmet.filter(|_| !choice.is_met) {
                Some(error) => Err(error),
                None => {
                    let found = choice.end(stored.told());
                    Ok(told(stored, found, &asked, MOST_BYTES))
                }
            }
        }
    }
}

/// Of waits that were found, keeping about so many bytes of the file.
pub(super) fn told(stored: &mut Stored, found: Found, asked: &Asked, most: u64) -> Told {
    let most = most / (found.waits.len() as u64).max(1);
    let (mut about, mut parts) = (Vec::new(), HashMap::new());
    for &(wait, at) in &found.waits {
        add(stored, &wait, at, most, (&mut about, &mut parts));
    }
    loop {
        let intervals = Intervals::of(about.clone());
        let seen = stored.fold(|told| About::of(told, &found, &intervals), |about, _, seen| about.see(seen));
        let (blames, missing) = seen.end(stored.told(), |look| {
            let look = look.in_part(parts.clone());
            // Who has a lock may have begun to wait before, and go on to wait behind: a third pass tells of that.
            let locks = found.waits.iter().filter(|(wait, _)| For::of(wait) == Some(For::Lock));
            let last = locks.filter_map(|(wait, at)| look.behind_lock(&look.part(wait).0, *at));
            let missing: Vec<(Span, u64)> = last
                .filter(|(span, _)| {
                    let part = look.part(span).0;
                    !intervals.have((part.from_ns, part.to_ns))
                })
                .collect();
            (if missing.is_empty() { look.asked(asked) } else { Vec::new() }, missing)
        });
        if missing.is_empty() {
            return Told { blames, interval: found.interval };
        }
        for (span, at) in missing {
            add(stored, &span, Some(at), most, (&mut about, &mut parts));
        }
    }
}

/// Intervals, and of each wait that is longer than what may be kept the part that is.
type Wanted<'w> = (&'w mut Vec<(u64, u64)>, &'w mut HashMap<(u64, u64), (u64, u64)>);

/// Adds a wait, at the moment that matters most if there is one.
fn add(stored: &Stored, wait: &Span, at: Option<u64>, most: u64, (about, parts): Wanted<'_>) {
    let all = (wait.from_ns, wait.to_ns);
    let part = stored.part(all, at, most);
    about.push(part);
    if part != all {
        parts.insert((wait.thread, wait.from_ns), part);
        // By these it is found out who owed service, and whether a circle closed late.
        let middle = wait.from_ns + wait.ns() / 2;
        about.extend([(middle, middle), (wait.from_ns, wait.from_ns), (wait.to_ns, wait.to_ns)]);
    }
}
