//! A recording as one page for any browser, that needs no network: `page.html` with `timeline.js`, and the recording's columns.
//!
//! # Invariants
//! - What a guest or a scenario calls its things is never markup: it goes into the page as JSON without `<`, or escaped.
//! - The page says the same without a script, as a picture.

mod columns;

use std::io::{self, Write};

use serde::Serialize;
use umpire_rows::number::rounded;
use umpire_shared::event::Kind;

use crate::blame::{Asked, Blame, blame};
use crate::recording::Recording;
use crate::spans::Spans;
use crate::svg::{COLOURS, chosen, escape, svg, told};
use crate::violation::{Violation, around};
use columns::{Columns, Roster};

const PAGE: &str = include_str!("page.html");
const SCRIPT: &str = include_str!("timeline.js");

/// Waits that the page lists.
const WAITS: usize = 12;
/// Threads that have a lane from the beginning, at most.
const LANES: usize = 12;

/// Events of a recording of which a page is still fluent: more would take a browser longer than anybody waits.
pub const FLUENT_EVENTS: u64 = 1_000_000;

/// Writes the page.
///
/// # Errors
/// What the writer says.
pub fn html(recording: &Recording, out: &mut impl Write) -> io::Result<()> {
    let spans = Spans::of(recording);
    let roster = Roster::of(recording, &spans);
    let columns = Columns::of(recording, &spans, &roster);
    let meta = meta(recording, &spans, &roster, &columns);
    // JSON may have any character written out, and then it cannot end the script that it stands in.
    let meta = serde_json::to_string(&meta)?.replace('<', "\\u003c");
    let header = &recording.header;
    let seed = header.seed.map(|seed| format!(", seed {seed}")).unwrap_or_default();
    let lost = recording.ending.as_ref().map_or(0, |ending| ending.lost);
    let lost = if lost > 0 { format!(", and {lost} that were lost") } else { String::new() };
    let title = format!("{} {}", header.scenario, header.variant);
    let about =
        format!("{} CPUs on {}{seed}; {} events{lost}", header.cpus, header.host, recording.records.len());
    let made = format!("made by umpire {} timeline", header.umpire);
    let mut rest = PAGE;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").expect("invariant: the page closes what it opens");
        out.write_all(before.as_bytes())?;
        match name {
            "title" => out.write_all(escape(&title).as_bytes())?,
            "about" => out.write_all(escape(&about).as_bytes())?,
            "made" => out.write_all(escape(&made).as_bytes())?,
            "svg" => out.write_all(svg(recording, 0..=u64::MAX).as_bytes())?,
            "meta" => out.write_all(meta.as_bytes())?,
            "columns" => columns.write(out)?,
            "script" => out.write_all(SCRIPT.as_bytes())?,
            other => unreachable!("the page asks for {other}"),
        }
        rest = after;
    }
    out.write_all(rest.as_bytes())
}

/// What the script is told beside the columns.
#[derive(Serialize)]
struct Meta<'r> {
    cpus: u32,
    first: u64,
    last: u64,
    /// The interval that is shown first.
    view: (u64, u64),
    threads: Vec<ThreadOf>,
    /// The threads that have a lane from the beginning.
    chosen: Vec<u32>,
    colours: std::collections::BTreeMap<&'static str, &'static str>,
    /// The probes' names, by number.
    kinds: Vec<&'static str>,
    /// What the arguments of marks say.
    texts: &'r [String],
    /// What threads sleep on.
    objects: &'r [String],
    breaches: Vec<BreachOf>,
    waits: Vec<WaitOf>,
    verdict: String,
    why: Vec<String>,
}

#[derive(Serialize)]
struct ThreadOf {
    id: u64,
    name: String,
    class: String,
    bound: Option<u32>,
    idle: bool,
}

#[derive(Serialize)]
struct BreachOf {
    monitor: String,
    thread: Option<String>,
    began: Option<u64>,
    at: Option<u64>,
    text: String,
}

#[derive(Serialize)]
struct WaitOf {
    thread: u32,
    from: u64,
    to: u64,
    text: String,
}

fn meta<'r>(recording: &'r Recording, spans: &Spans, roster: &Roster, columns: &'r Columns) -> Meta<'r> {
    let (first, last) = recording.interval();
    let thread = |&id: &u64| {
        let known = recording.thread(id);
        let (class, bound) = known.map_or(("?", None), |thread| (thread.class.as_str(), thread.bound_cpu));
        let idle = known.is_some_and(|thread| thread.is_idle);
        ThreadOf { id, name: recording.name(id), class: class.to_owned(), bound, idle }
    };
    let violations = Violation::all(recording, spans);
    let view = around(recording).into_inner();
    let waits = spans.worst_waits();
    let waits = waits.iter().filter(|wait| wait.ns() > 0 && !roster.is_idle(wait.thread)).take(WAITS);
    let wait = |wait: &crate::Span| {
        let (name, long, from) = (recording.name(wait.thread), rounded(wait.ns()), rounded(wait.from_ns));
        let open = if wait.is_open { ", not over" } else { "" };
        let text = format!("{name}: {long} from {from}{open}");
        WaitOf { thread: roster.place(wait.thread), from: wait.from_ns, to: wait.to_ns, text }
    };
    Meta {
        cpus: recording.header.cpus,
        first,
        last,
        view,
        threads: roster.ids().iter().map(thread).collect(),
        chosen: chosen(recording, spans, LANES).into_iter().map(|id| roster.place(id)).collect(),
        colours: COLOURS.into_iter().collect(),
        kinds: kinds(),
        texts: columns.texts(),
        objects: columns.objects(),
        breaches: breaches(recording, &violations),
        waits: waits.map(wait).collect(),
        verdict: told(recording),
        why: why(recording),
    }
}

/// The sentences of the verdict, and what would have ended the waits that broke a bound.
fn why(recording: &Recording) -> Vec<String> {
    let said = recording.ending.as_ref().map_or(&[][..], |ending| &ending.why);
    let blames = blame(recording, &Asked::default());
    let remedy = |one: Blame| Some(format!("What would have ended it: {}.", one.remedy?));
    said.iter().cloned().chain(blames.into_iter().filter_map(remedy)).collect()
}

/// Every broken bound; one whose place in time is not known has none.
fn breaches(recording: &Recording, violations: &[Violation]) -> Vec<BreachOf> {
    let breaches = recording.ending.as_ref().map_or(&[][..], |ending| &ending.breaches);
    let one = |breach: &crate::Breach| {
        let found = violations.iter().find(|v| v.monitor == breach.monitor && v.thread == breach.thread);
        BreachOf {
            monitor: breach.monitor.clone(),
            thread: breach.thread.clone(),
            began: found.map(|v| v.began_ns),
            at: found.map(|v| v.at_ns),
            text: found.map_or_else(|| breach.monitor.clone(), |v| v.text.clone()),
        }
    };
    breaches.iter().map(one).collect()
}

fn kinds() -> Vec<&'static str> {
    let most = Kind::ALL.iter().map(|&kind| kind as usize).max().unwrap_or(0);
    let mut names = vec![""; most + 1];
    Kind::ALL.iter().for_each(|&kind| names[kind as usize] = kind.name());
    names
}

#[cfg(test)]
mod tests;
