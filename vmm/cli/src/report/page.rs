//! `--report DIR`: an index page with the verdicts, and of each run its timeline, its latencies, who is to blame, the host's noise, and the
//! command that repeats it.
//!
//! # Invariants
//! - The folder is whole in itself: nothing in it asks for anything from elsewhere.
//! - What a guest or a scenario calls its things is escaped.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::{Missing, Results, Told};
use crate::recorded::why;
use umpire_record::{Asked, Latencies, Recording, around, blame, escape, html, svg};
use umpire_referee::VariantReport;
use umpire_rows::number::rounded;

/// The page that leads to the others.
pub(in super::super) const INDEX: &str = "index.html";

/// Rows of latencies, and waits that somebody is blamed for, beside those that broke a bound.
const LATENCIES: usize = 12;
const WORST: usize = 3;

/// Takes away the pages and recordings of an earlier report in a folder, which its index page names. What else is there stays.
///
/// # Errors
/// What the operating system says, but for a file that is gone already.
pub(super) fn forget(dir: &Path) -> io::Result<()> {
    let Ok(index) = fs::read_to_string(dir.join(INDEX)) else { return Ok(()) };
    if !index.contains(MARK) {
        return Ok(());
    }
    let names = index.split("<section id=\"").skip(1).filter_map(|rest| rest.split('"').next());
    // A name of ours has nothing in it that leads to another folder, or that was escaped.
    let is_plain = |name: &&str| name.chars().all(|c| c.is_ascii_alphanumeric() || "._-=+".contains(c));
    for name in names.filter(is_plain) {
        for ending in ["html", "rec"] {
            match fs::remove_file(dir.join(format!("{name}.{ending}"))) {
                Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Writes a run's timeline, and says what of the run stands on the index page.
///
/// # Errors
/// A sentence.
pub(super) fn run(dir: &Path, told: &Told) -> Result<String, String> {
    let path = |ending: &str| dir.join(format!("{}.{ending}", told.name));
    part(&path("rec"), &path("html"), told)
        .map_err(|cause| format!("cannot write the report of {}: {cause}", told.title))
}

fn part(recording: &Path, timeline: &Path, told: &Told) -> io::Result<String> {
    let mut out = head(told);
    // A machine that could not be built leaves no recording.
    let read = umpire_record::window(recording, umpire_record::FLUENT_EVENTS)
        .and_then(|part| Ok((umpire_record::open(recording, part.clone())?, part)));
    match read {
        Ok((recording, part)) => {
            if *part.end() != u64::MAX {
                let (from, to) = (rounded(*part.start()), rounded(*part.end()));
                out += &format!(
                    "<p>Of a long recording this page is about {from} to {to}; <code>umpire timeline --from --to</code> draws the rest.</p>\n"
                );
            }
            let mut page = BufWriter::new(File::create(timeline)?);
            html(&recording, &mut page)?;
            page.flush()?;
            out += &recorded(&recording, told);
        }
        Err(why) => out += &format!("<p>There is no recording of it: {}</p>\n", escape(&why.to_string())),
    }
    Ok(out + &foot(told))
}

/// What stands on the index page of a run whose pages nobody waited for. What there is of them goes.
pub(super) fn unwritten(dir: &Path, told: &Told) -> String {
    // It may not have been begun.
    let _gone = fs::remove_file(dir.join(format!("{}.html", told.name)));
    let why = "<p>Its pages were being written when a signal came: the recording is there.</p>\n";
    head(told) + why + &foot(told)
}

/// What does all that again.
fn foot(told: &Told) -> String {
    let (name, repeat) = (escape(&told.name), escape(&told.report.repeat));
    format!(
        "<h3>Again</h3>\n<pre>{repeat}\numpire why {name}.rec\numpire mdb --run {}</pre>\n</section>\n",
        escape(&told.report.scenario)
    )
}

fn head(told: &Told) -> String {
    let report = &told.report;
    let (id, title) = (escape(&told.name), escape(&told.title));
    let met = if report.observed.meets(report.expect) { "as expected" } else { "not as expected" };
    let (observed, outcome) = (report.observed.as_str(), report.outcome.as_str());
    let mut out = format!(
        "<section id=\"{id}\">\n<h2>{title}</h2>\n<p class=\"{outcome}\">{observed}, {met}: <b>{outcome}</b></p>\n"
    );
    for why in &report.why {
        out += &format!("<p>{}</p>\n", escape(why));
    }
    out
}

fn recorded(recording: &Recording, told: &Told) -> String {
    let id = escape(&told.name);
    // Each picture has its own pattern of what waits.
    let picture = svg(recording, around(recording));
    let picture = picture
        .replace("id=\"wait\"", &format!("id=\"wait-{id}\""))
        .replace("url(#wait)", &format!("url(#wait-{id})"));
    let mut out = format!(
        "<figure>{picture}<figcaption><a href=\"{id}.html\">the timeline, to zoom, pan and search in</a>; <a href=\"{id}.rec\">the recording</a></figcaption></figure>\n"
    );
    let blames = blame(recording, &Asked { worst: WORST, ..Asked::default() });
    if !blames.is_empty() {
        let said: Vec<String> = blames.iter().map(|one| why::told(recording, one)).collect();
        out += &format!("<h3>Who is to blame</h3>\n<pre>{}</pre>\n", escape(&said.join("\n")));
    }
    out += &latencies(recording);
    out + &noise(&told.report, recording)
}

fn latencies(recording: &Recording) -> String {
    let mut out = "<h3>Latencies</h3>\n<table><tr><th>delay</th><th>thread or class:</th><th>count</th><th>p50</th><th>p90</th><th>p99</th><th>p99.9</th><th>max</th><th>at</th></tr>\n".to_owned();
    for row in Latencies::of(recording).rows().iter().take(LATENCIES) {
        let times = [row.p50_ns, row.p90_ns, row.p99_ns, row.p999_ns, row.max_ns, row.max_at_ns];
        let times: String = times.iter().map(|&ns| format!("<td>{}</td>", rounded(ns))).collect();
        out += &format!(
            "<tr><td>{}</td><td>{}</td><td>{}</td>{times}</tr>\n",
            row.delay.name(),
            escape(&row.of),
            row.count
        );
    }
    out + "</table>\n"
}

/// What the host did meanwhile.
fn noise(report: &VariantReport, recording: &Recording) -> String {
    let lost = recording.ending.as_ref().map_or(0, |ending| ending.lost);
    format!(
        "<h3>The host's noise</h3>\n<p>{} with {} CPUs kept {} from the vCPUs in {} of guest time; {} samples, {} reads torn, {} exits, {} events \
         lost, held for {}.</p>\n",
        escape(&report.host_kvm),
        report.host_cpus,
        rounded(report.steal_ns),
        rounded(report.run_ns),
        report.samples,
        report.torn,
        report.exits,
        lost,
        rounded(report.held_ns)
    )
}

/// Writes the index page of the runs, whose parts have been written.
pub(super) fn index(results: &Results, out: &mut dyn Write) -> io::Result<()> {
    let Results { runs, missing } = results;
    out.write_all(HEAD.as_bytes())?;
    writeln!(out, "<h1>umpire: {}</h1>", results.told())?;
    writeln!(
        out,
        "<table><tr><th>scenario</th><th>variant</th><th>expect</th><th>observed</th><th>outcome</th><th>worst / limit</th><th>steal</th><th></th></tr>"
    )?;
    for told in runs {
        let cells: String = told.cells().iter().map(|cell| format!("<td>{}</td>", escape(cell))).collect();
        let (outcome, id) = (told.report.outcome.as_str(), escape(&told.name));
        writeln!(out, "<tr class=\"{outcome}\">{cells}<td><a href=\"#{id}\">more</a></td></tr>")?;
    }
    for Missing { title, why } in missing {
        let (title, why) = (escape(title), escape(why));
        writeln!(
            out,
            "<tr class=\"error\"><td>{title}</td><td colspan=\"3\"></td><td>not run</td><td colspan=\"3\">{why}</td></tr>"
        )?;
    }
    writeln!(out, "</table>")?;
    for told in runs {
        out.write_all(told.part.as_bytes())?;
    }
    out.write_all(b"</body>\n</html>\n")
}

/// What an index page of ours has in it.
const MARK: &str = "<title>umpire: a report</title>";

const HEAD: &str = "<!doctype html>
<html lang=\"en\">
<head>
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">
<title>umpire: a report</title>
<style>
:root { color-scheme: light dark; --line: #bbb; --bad: #b00020; --doubt: #7a5900; --good: #00664d; }
@media (prefers-color-scheme: dark) { :root { --line: #555; --bad: #ff6b6b; --doubt: #e6b800; --good: #4fd1b0; } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 1rem auto; max-width: 75rem; padding: 0 1rem; }
table { border-collapse: collapse; }
td, th { border-bottom: 1px solid var(--line); padding: 0.15rem 0.7rem 0.15rem 0; text-align: left; }
tr.fail td:nth-child(5), tr.error td:nth-child(5), p.fail b, p.error b { color: var(--bad); font-weight: bold; }
tr.inconclusive td:nth-child(5), p.inconclusive b { color: var(--doubt); font-weight: bold; }
tr.pass td:nth-child(5), p.pass b { color: var(--good); }
section { border-top: 3px solid var(--line); margin-top: 2rem; }
figure { margin: 0; }
pre { overflow: auto; font-size: 13px; }
</style>
</head>
<body>
";
