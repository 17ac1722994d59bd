//! Two recordings side by side: where they go apart, and whose waits are the longer ones, with a number for how sure that is.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | the first dispatch that differs |
//! | `waits.rs` | waits of both, and the test of Mann and Whitney |
//!
//! # Invariants
//! - Times are compared only where a seed gives them: two simulated runs. Elsewhere what each CPU ran is, in its order.
//! - What is too little to be sure of is not told in a number.

mod waits;

use crate::recording::Recording;
use umpire_shared::event::Kind;
use umpire_watch::glass::TraceRecord;

pub use waits::{Contrast, Summary, contrasts};

/// Where two recordings go apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Divergence {
    /// Dispatches before, which both have; of that CPU alone if times were not compared.
    pub after: u64,
    /// The dispatch of the first that is not the second's; none if it ends before.
    pub a: Option<TraceRecord>,
    /// The same the other way round.
    pub b: Option<TraceRecord>,
}

/// How they were compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// By time, CPU and thread.
    Time,
    /// By CPU and thread, each CPU in its order.
    Order,
}

/// What may be compared of two recordings: times mean something only if both are of simulated runs.
pub fn by(a: &Recording, b: &Recording) -> By {
    if a.header.seed.is_some() && a.header.seed == b.header.seed { By::Time } else { By::Order }
}

/// The first dispatch in which two recordings differ, and how many there were if they do not.
///
/// # Errors
/// The number of dispatches, if all are alike.
pub fn divergence(a: &Recording, b: &Recording) -> Result<Divergence, u64> {
    match by(a, b) {
        By::Time => {
            let alike = |x: &TraceRecord, y: &TraceRecord| {
                x.time_ns == y.time_ns && x.cpu == y.cpu && is_same(a, b, x, y)
            };
            first(dispatches(a, None), dispatches(b, None), alike)
        }
        By::Order => {
            let cpus = a.header.cpus.max(b.header.cpus);
            let mut all = 0;
            let mut found: Option<Divergence> = None;
            for cpu in 0..cpus {
                match first(dispatches(a, Some(cpu)), dispatches(b, Some(cpu)), |x, y| is_same(a, b, x, y)) {
                    Ok(divergence) => {
                        let at = |d: &Divergence| d.a.or(d.b).map_or(u64::MAX, |record| record.time_ns);
                        if found.is_none_or(|best| at(&divergence) < at(&best)) {
                            found = Some(divergence);
                        }
                    }
                    Err(count) => all += count,
                }
            }
            found.ok_or(all)
        }
    }
}

/// Threads are the same if their names are: numbers depend on how many there are.
fn is_same(a: &Recording, b: &Recording, x: &TraceRecord, y: &TraceRecord) -> bool {
    x.thread == y.thread || a.name(x.thread) == b.name(y.thread)
}

fn dispatches(of: &Recording, cpu: Option<u32>) -> impl Iterator<Item = &TraceRecord> {
    of.records
        .iter()
        .filter(move |record| record.kind == Kind::OnCpu && cpu.is_none_or(|cpu| record.cpu == cpu))
}

fn first<'r>(
    mut a: impl Iterator<Item = &'r TraceRecord>,
    mut b: impl Iterator<Item = &'r TraceRecord>,
    alike: impl Fn(&TraceRecord, &TraceRecord) -> bool,
) -> Result<Divergence, u64> {
    for after in 0.. {
        match (a.next(), b.next()) {
            (None, None) => return Err(after),
            (Some(x), Some(y)) if alike(x, y) => {}
            (x, y) => return Ok(Divergence { after, a: x.copied(), b: y.copied() }),
        }
    }
    unreachable!("a recording is not endless")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::{Header, Thread};

    fn recording(seed: Option<u64>, ran: &[(u64, u32, u64)]) -> Recording {
        let record =
            |&(time_ns, cpu, thread)| TraceRecord { time_ns, cpu, kind: Kind::OnCpu, thread, pri: 1, arg: 0 };
        let thread = |id, name: &str| Thread { id, name: name.to_owned(), ..Thread::default() };
        Recording {
            header: Header { cpus: 2, seed, ..Header::default() },
            threads: vec![thread(0, "a"), thread(1, "b"), thread(2, "c")],
            records: ran.iter().map(record).collect(),
            ..Recording::default()
        }
    }

    #[test]
    fn simulated_runs_go_apart_where_time_cpu_or_thread_differ() {
        let one = recording(Some(1), &[(10, 0, 0), (20, 1, 1), (30, 0, 2)]);
        assert_eq!(divergence(&one, &one), Err(3));
        for other in [(21, 1, 1), (20, 0, 1), (20, 1, 2)] {
            let two = recording(Some(1), &[(10, 0, 0), other, (30, 0, 2)]);
            let found = divergence(&one, &two).expect("they differ");
            assert_eq!((found.after, found.a.map(|a| a.time_ns)), (1, Some(20)));
        }
        let short = recording(Some(1), &[(10, 0, 0)]);
        let found = divergence(&one, &short).expect("one ends sooner");
        assert_eq!((found.after, found.b), (1, None));
    }

    #[test]
    fn other_runs_go_apart_where_a_cpu_runs_another_thread_and_not_because_of_times() {
        let one = recording(None, &[(10, 0, 0), (20, 1, 1), (30, 0, 2)]);
        let late = recording(None, &[(11, 1, 1), (12, 0, 0), (99, 0, 2)]);
        assert_eq!(divergence(&one, &late), Err(3));
        let other = recording(None, &[(11, 1, 1), (12, 0, 0), (99, 0, 1)]);
        let found = divergence(&one, &other).expect("cpu 0 runs another");
        assert_eq!(
            (found.after, found.a.map(|a| a.thread), found.b.map(|b| b.thread)),
            (1, Some(2), Some(1))
        );
    }
}
