//! Verdicts as text: a row a variant, and below them what was seen of each that is worth a look.
//!
//! # Invariants
//! - A violation is shown whether it was expected or not; a failure always comes with the line that repeats it.

use std::fmt::Write;

use umpire_referee::{BoundReport, Observed, Outcome, VariantReport};
use umpire_scenario::duration::{exact, rounded};

use umpire_rows::table::{Align, Cell, Column, Table, Tone, printable};

/// Lines of a dead guest's console that are shown, from its end.
const CONSOLE_LINES: usize = 20;

/// Place of the outcome among the cells of a row.
pub const OUTCOME: usize = 4;

/// The table of verdicts, for these scenario and variant names.
pub fn table<'n>(names: impl Iterator<Item = (&'n str, &'n str)>, width: Option<usize>) -> Table {
    let (mut scenario, mut variant) = (0, 0);
    for (s, v) in names {
        scenario = scenario.max(s.chars().count());
        variant = variant.max(v.chars().count());
    }
    let columns = vec![
        Column::new("SCENARIO", scenario.min(24), Align::Left),
        Column::new("VARIANT", variant.min(32), Align::Left),
        Column::new("EXPECT", 8, Align::Left),
        Column::new("OBSERVED", 8, Align::Left),
        Column::new("OUTCOME", 13, Align::Left),
        Column::new("WORST/LIMIT", 24, Align::Left),
        Column::new("DETECT", 6, Align::Right),
        Column::new("SAMPLES", 7, Align::Right),
        Column::new("EXITS", 5, Align::Right),
        Column::new("STEAL", 6, Align::Right),
    ];
    Table::new(columns, width)
}

/// The row of one report.
pub fn row(report: &VariantReport) -> Vec<Cell> {
    let worst = worst(&report.bounds);
    let detect = report.bounds.iter().filter_map(|bound| bound.detect_after_ns).max();
    vec![
        report.scenario.as_str().into(),
        report.variant.as_str().into(),
        report.expect.as_str().into(),
        report.observed.as_str().into(),
        Cell { text: report.outcome.as_str().to_owned(), tone: tone(report.outcome) },
        worst.map_or("-".to_owned(), ratio).into(),
        detect.map_or("-".to_owned(), rounded).into(),
        report.samples.to_string().into(),
        report.exits.to_string().into(),
        rounded(report.steal_ns).into(),
    ]
}

/// What there is to say about a report below its row; empty if the row says it all.
pub fn details(report: &VariantReport) -> String {
    let violated = report.bounds.iter().any(|bound| !bound.held);
    let passed = report.outcome == Outcome::Pass;
    if passed && !violated && report.observed == Observed::Held {
        return String::new();
    }
    let style = tone(report.outcome).style();
    let met = if report.observed.meets(report.expect) { "as expected" } else { "not as expected" };
    let (scenario, variant) = (printable(&report.scenario), printable(&report.variant));
    let (outcome, observed) = (report.outcome.as_str(), report.observed.as_str());
    let mut text = format!("{style}{scenario} {variant}{style:#}: {outcome} ({observed}, {met})\n");
    // A String takes everything; there is no error to handle.
    for bound in report.bounds.iter().filter(|bound| !bound.held) {
        let _ = writeln!(text, "  violated: {}", sentence(bound));
    }
    for why in &report.why {
        let _ = writeln!(text, "  {}", printable(why).trim_end().replace('\n', "\n  "));
    }
    for picture in &report.pictures {
        let _ = write!(text, "\n{}\n", printable(picture).trim_end());
    }
    if report.observed == Observed::Panic || report.outcome == Outcome::Error {
        console(&mut text, &report.console);
    }
    if !passed {
        let _ = writeln!(text, "  repeat: {}", printable(&report.repeat));
    }
    text
}

fn console(text: &mut String, console: &str) {
    let lines: Vec<&str> = console.lines().collect();
    if lines.is_empty() {
        return;
    }
    text.push_str("  the guest's console:\n");
    for line in &lines[lines.len().saturating_sub(CONSOLE_LINES)..] {
        let _ = writeln!(text, "    {}", printable(line));
    }
}

fn sentence(bound: &BoundReport) -> String {
    let limit = exact(bound.limit_ns);
    let who = bound.thread.as_deref().map(|thread| format!(" of {}", printable(thread))).unwrap_or_default();
    let detected =
        bound.detect_after_ns.map(|ns| format!(", seen {} after", rounded(ns))).unwrap_or_default();
    format!("{}{who} {} where {limit} is the limit{detected}", bound.monitor, rounded(bound.worst_ns))
}

/// The bound to show when there is room for one: a violated one first, else the one nearest to its limit.
fn worst(bounds: &[BoundReport]) -> Option<&BoundReport> {
    let nearness = |bound: &BoundReport| match bound.limit_ns {
        0 => bound.worst_ns as f64,
        limit => bound.worst_ns as f64 / limit as f64,
    };
    bounds.iter().reduce(|best, bound| {
        let better = (!bound.held, nearness(bound)) > (!best.held, nearness(best));
        if better { bound } else { best }
    })
}

fn ratio(bound: &BoundReport) -> String {
    format!("{} {}/{}", bound.monitor, rounded(bound.worst_ns), exact(bound.limit_ns))
}

fn tone(outcome: Outcome) -> Tone {
    match outcome {
        Outcome::Pass => Tone::Good,
        Outcome::Inconclusive => Tone::Doubtful,
        Outcome::Fail | Outcome::Error => Tone::Bad,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use umpire_referee::RunOptions;
    use umpire_scenario::load;

    fn report(observed: Observed, outcome: Outcome, held: bool) -> VariantReport {
        let scenario = load("i1532").expect("built in");
        let options = RunOptions { repeat: "umpire run i1532".to_owned(), ..RunOptions::default() };
        let bound = |monitor: &str, worst_ns, held| BoundReport {
            monitor: monitor.to_owned(),
            thread: None,
            limit_ns: 50_000_000,
            worst_ns,
            held,
            detect_after_ns: (!held).then_some(120_000),
        };
        VariantReport {
            observed,
            outcome,
            bounds: vec![bound("deadman", 20_000_000, true), bound("starvation", 52_000_000, held)],
            pictures: vec!["ID ADDR".to_owned()],
            ..VariantReport::nothing(&scenario, &scenario.variants[0], &options)
        }
    }

    #[test]
    fn details_of_an_expected_violation_show_the_picture_and_no_repeat_line() {
        let text = details(&report(Observed::Violated, Outcome::Pass, false));
        assert!(text.contains("ID ADDR") && text.contains("violated: starvation 52ms"), "{text}");
        assert!(!text.contains("repeat:"), "{text}");
    }

    #[test]
    fn details_of_a_failure_end_with_the_line_that_repeats_it() {
        let text = details(&report(Observed::Held, Outcome::Fail, true));
        assert!(text.ends_with("  repeat: umpire run i1532\n"), "{text}");
    }

    #[test]
    fn details_of_a_quiet_pass_are_empty() {
        assert_eq!(details(&report(Observed::Held, Outcome::Pass, true)), "");
    }

    #[test]
    fn row_shows_the_violated_bound_before_others() {
        let row = row(&report(Observed::Violated, Outcome::Pass, false));
        assert_eq!(row[5].text, "starvation 52ms/50ms");
        assert_eq!(row[6].text, "120us");
    }
}
