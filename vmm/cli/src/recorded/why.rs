//! `umpire why`: who is to blame for a thread's wait, as rtla's auto-analysis prints shares; the rule that kept it, and what would end it.
//!
//! # Invariants
//! - Every wait has a row a share, a sum, and one mechanism. Where no single change would have ended it, that is said.

use std::io;

use super::super::Backends;
use super::super::args::WhyArgs;
use super::super::exit::Exit;
use super::super::streams::Streams;
use super::with_events;
use umpire_record::{Asked, Blame, Breach, For, Part, Recording, Share, Told, Violation, blame_of};
use umpire_rows::number::rounded;
use umpire_rows::{Column, Kind, Table, Value, json};

/// Columns of the name of a share.
const NAME: usize = 58;

/// Shows who is to blame for the waits that the arguments ask for.
pub(in super::super) fn why(
    args: &WhyArgs,
    backends: Backends<'_>,
    streams: &mut Streams<'_>,
) -> io::Result<Exit> {
    with_events(&args.of, 0..=u64::MAX, backends, streams, |events, streams| {
        let asked = Asked { threads: Vec::new(), at_ns: args.at_ns, worst: args.worst };
        let Told { blames, interval } = match blame_of(events, args.thread.as_deref(), &asked) {
            Ok(told) => told,
            Err(error) => {
                streams.say(&format!("umpire: {error}"));
                return Ok(Exit::Usage);
            }
        };
        let recording = events.told();
        if blames.is_empty() {
            let (from, to) = (rounded(interval.0), rounded(interval.1));
            streams.remark(&format!(
                "no thread waited there: nobody is to blame; the recording goes from {from} to {to}"
            ));
        }
        let is_about_all = args.thread.is_none() && args.at_ns.is_none();
        if let Some(told) = others(recording, &blames).filter(|_| is_about_all && !args.json) {
            streams.line(&told)?;
        }
        for one in &blames {
            let row = Row { recording, blame: one };
            match args.json {
                true => streams.line(&json::line(&table(), &row))?,
                false => streams.line(&told(recording, one))?,
            }
        }
        Ok(Exit::Pass)
    })
}

/// The bounds that were broken by something else than a wait for a CPU, a lock or a cap, with what the verdict said, if there are any.
fn others(recording: &Recording, blames: &[Blame]) -> Option<String> {
    let ending = recording.ending.as_ref()?;
    let is_told =
        |breach: &Breach| blames.iter().flat_map(|blame| &blame.violated).any(|it| it.is_of(breach));
    let rest: Vec<&Breach> = ending.breaches.iter().filter(|breach| !is_told(breach)).collect();
    if rest.is_empty() {
        return None;
    }
    // An older recording does not say which sentence is about which bound.
    let is_old = rest.iter().all(|breach| breach.says.is_empty());
    let about = rest.iter().flat_map(|breach| &breach.says);
    let said: Vec<&String> = if is_old { ending.why.iter().collect() } else { about.collect() };
    let said: String = said.iter().map(|why| format!("\n  {}", why.replace('\n', "\n  "))).collect();
    let rest = rest.iter().map(|breach| match &breach.thread {
        Some(thread) => format!("{} of {thread}", breach.monitor),
        None => breach.monitor.clone(),
    });
    let rest: Vec<String> = rest.collect();
    Some(format!(
        "violated, by no wait for a CPU, a lock or a CPU cap: {}; the verdict said:{said}\n",
        rest.join(", ")
    ))
}

/// A wait as text.
pub(in super::super) fn told(recording: &Recording, blame: &Blame) -> String {
    let wait = &blame.wait;
    let what = match blame.what {
        For::Cpu => format!("runnable on cpu {}, not running,", blame.cpu.unwrap_or(0)),
        For::Lock => format!("asleep on {}", recording.object(wait.on)),
        For::Cap => "held by a CPU cap".to_owned(),
    };
    let (long, from) = (rounded(wait.ns()), rounded(wait.from_ns));
    let open = if wait.is_open { ", not over when the recording ended" } else { "" };
    let mut lines = vec![format!(
        "{} (priority {}): {what} for {long} from {from}{open}",
        recording.name(wait.thread),
        wait.pri
    )];
    lines.extend(blame.violated.iter().map(|violation| format!("  violated: {}", violation.told())));
    let total = wait.ns().max(1);
    let line = |name: String, ns: u64| {
        let percent = 100.0 * ns as f64 / total as f64;
        format!("  {name:<NAME$} {:>10} ({percent:6.2} %)", rounded(ns))
    };
    for (title, is_its) in GROUPS {
        let of: Vec<&Share> = blame.shares.iter().filter(|share| is_its(share.part)).collect();
        if of.is_empty() {
            continue;
        }
        lines.push(line((*title).to_owned(), of.iter().map(|share| share.ns).sum()));
        lines.extend(
            of.iter().filter(|share| share.who.is_some() || matches!(share.part, Part::Interrupt(_))).map(
                |share| {
                    let who = share.who.as_ref().map(|who| format!("{who}, ")).unwrap_or_default();
                    line(format!("    {who}{}", share.part.name()), share.ns)
                },
            ),
        );
    }
    lines.push("-".repeat(NAME + 25));
    lines.push(line("Wait:".to_owned(), wait.ns()));
    lines.push(format!("  mechanism: {}", blame.mechanism));
    lines.push(format!("    {}", blame.says));
    lines.extend(blame.also.iter().map(|also| format!("    {also}")));
    let none = "no single change of a tunable or binding".to_owned();
    lines.push(format!("  would have ended it: {}", blame.remedy.clone().unwrap_or(none)));
    lines.join("\n") + "\n"
}

/// A title, and what belongs under it.
type Group = (&'static str, fn(Part) -> bool);

/// What shares are added up under, as rtla calls it.
const GROUPS: &[Group] = &[
    ("Blocking thread:", |part| {
        matches!(part, Part::Kernel | Part::User | Part::Ran | Part::Runnable | Part::Asleep)
    }),
    ("IRQ interference:", |part| matches!(part, Part::Interrupt(_))),
    ("Host (steal):", |part| part == Part::Host),
    ("Idle:", |part| part == Part::Idle),
];

/// A wait and what it is of.
struct Row<'r> {
    recording: &'r Recording,
    blame: &'r Blame,
}

fn table<'r>() -> Table<Row<'r>> {
    let shares = shares();
    Table::new(
        "umpire.why/1",
        vec![
            Column::new("thread", Kind::Text, |r: &Row<'_>| r.recording.name(r.blame.wait.thread)),
            Column::new("number", Kind::Count, |r: &Row<'_>| r.blame.wait.thread),
            Column::new("pri", Kind::Count, |r: &Row<'_>| Value::Signed(r.blame.wait.pri.into())),
            Column::new("waits_for", Kind::State, |r: &Row<'_>| r.blame.what.name()),
            Column::new("cpu", Kind::Count, |r: &Row<'_>| r.blame.cpu.map(u64::from)),
            Column::new("from_ns", Kind::Ns, |r: &Row<'_>| r.blame.wait.from_ns),
            Column::new("wait_ns", Kind::Ns, |r: &Row<'_>| r.blame.wait.ns()),
            Column::new("open", Kind::Flag, |r: &Row<'_>| r.blame.wait.is_open),
            Column::new("violated", Kind::Text, |r: &Row<'_>| r.blame.violated.as_ref().map(Violation::told)),
            Column::new("mechanism", Kind::State, |r: &Row<'_>| r.blame.mechanism),
            Column::new("says", Kind::Text, |r: &Row<'_>| r.blame.says.clone()),
            Column::new("also", Kind::Nested, |r: &Row<'_>| {
                r.blame.also.iter().map(|also| Value::from(also.as_str())).collect::<Value>()
            }),
            Column::new("remedy", Kind::Text, |r: &Row<'_>| r.blame.remedy.clone()),
            Column::new("tunable", Kind::Text, |r: &Row<'_>| r.blame.tunable.map(|(name, _)| name)),
            Column::new("value", Kind::Count, |r: &Row<'_>| {
                r.blame.tunable.map(|(_, value)| Value::Signed(value))
            }),
            Column::new("shares", Kind::Nested, move |r: &Row<'_>| shares.records(&r.blame.shares)),
        ],
    )
}

fn shares() -> Table<Share> {
    Table::nested(vec![
        Column::new("who", Kind::Text, |s: &Share| s.who.clone()),
        Column::new("part", Kind::State, |s: &Share| s.part.name()),
        Column::new("share_ns", Kind::Ns, |s: &Share| s.ns),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_blame_are_declared_rightly() {
        assert_eq!(table().faults(), [""; 0]);
        assert_eq!(shares().faults(), [""; 0]);
    }
}
