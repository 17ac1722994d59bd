//! The files of a run, for each outcome.
//!
//! # Invariants
//! - What a scenario is called is never markup, in any of them.

use super::*;
use umpire_referee::{Observed, Outcome, RunOptions};
use umpire_scenario::load;

fn told(outcome: Outcome, variant: &str) -> Told {
    let scenario = load("i1532").expect("built in");
    let options = RunOptions { repeat: "umpire run i1532".to_owned(), ..RunOptions::default() };
    let report = VariantReport {
        outcome,
        observed: Observed::Violated,
        variant: variant.to_owned(),
        why: vec!["a <b> starved & waited".to_owned()],
        run_ns: 2_000_000_000,
        ..VariantReport::nothing(&scenario, &scenario.variants[0], &options)
    };
    let title = format!("{} {}", report.scenario, report.variant);
    Told { name: "one".to_owned(), title, details: "first\nsecond\n".to_owned(), report, part: String::new() }
}

fn runs() -> Results {
    let outcomes = [Outcome::Pass, Outcome::Fail, Outcome::Inconclusive, Outcome::Error];
    let named = outcomes.into_iter().zip(["good", "bad | <x> # `", "noisy", "dead"]);
    let missing = Missing { title: "no#such.toml".to_owned(), why: "no such <file>".to_owned() };
    Results { runs: named.map(|(o, name)| told(o, name)).collect(), missing: vec![missing] }
}

fn text(render: Render) -> String {
    let mut bytes = Vec::new();
    render(&runs(), &mut bytes).expect("memory takes all");
    String::from_utf8(bytes).expect("text")
}

#[test]
fn junit_has_a_suite_a_scenario_and_tells_failure_error_and_skipped_apart() {
    let xml = text(junit::write);
    assert!(
        xml.contains("<testsuites name=\"umpire\" tests=\"5\" skipped=\"1\" failures=\"1\" errors=\"2\""),
        "{xml}"
    );
    assert!(
        xml.contains("<testsuite name=\"i1532\" tests=\"4\" skipped=\"1\" errors=\"1\" failures=\"1\""),
        "{xml}"
    );
    assert!(xml.contains("<error message=\"no such &lt;file&gt;\""), "{xml}");
    assert!(xml.contains("classname=\"i1532\" time=\"2.000\""), "{xml}");
    assert!(xml.contains("<skipped message=\"inconclusive: a &lt;b&gt; starved &amp; waited\""), "{xml}");
    assert!(xml.contains("<failure message=\"a &lt;b&gt; starved") && !xml.contains("<x>"), "{xml}");
}

#[test]
fn tap_counts_from_one_and_skips_what_is_inconclusive() {
    let tap = text(tap::write);
    let lines: Vec<&str> = tap.lines().collect();
    assert!(lines.contains(&"1..5"), "{tap}");
    assert!(lines.contains(&"ok 1 i1532 good"), "{tap}");
    assert!(lines.contains(&"not ok 2 i1532 bad | <x> \\# `"), "{tap}");
    assert!(lines.contains(&"# second"), "{tap}");
    assert!(lines.contains(&"ok 3 i1532 noisy # SKIP inconclusive: a <b> starved & waited"), "{tap}");
    assert!(lines.contains(&"not ok 4 i1532 dead"), "{tap}");
    assert!(lines.contains(&"not ok 5 no\\#such.toml") && lines.contains(&"# no such <file>"), "{tap}");
}

#[test]
fn markdown_is_a_table_whose_cells_hold_what_they_are_given() {
    let summary = text(markdown::write);
    assert!(summary.starts_with("## umpire: 1 of 5 runs as expected\n\n| scenario | "), "{summary}");
    assert!(summary.contains("| i1532 | bad \\| &lt;x> # ` | violated | violated | :x: fail |"), "{summary}");
    assert!(summary.contains("| no#such.toml |  |  |  | :x: not run: no such &lt;file> |"), "{summary}");
    assert!(summary.contains("```text\nfirst\nsecond\n```") && !summary.contains("<x>"), "{summary}");
}

#[test]
fn index_page_has_no_markup_of_a_scenario_s() {
    let page = text(page::index);
    assert!(page.contains("<td>bad | &lt;x&gt; # `</td>") && page.ends_with("</html>\n"), "{page}");
    assert!(page.contains("<td>not run</td><td colspan=\"3\">no such &lt;file&gt;</td>"), "{page}");
}

#[test]
fn names_of_files_are_plain_and_each_is_another() {
    let mut reports = Reports { dir: Some("d".into()), ..Reports::default() };
    let (first, path) = reports.name("i1532", "a/b c", Some("seed 7"));
    assert_eq!((first.as_str(), path), ("i1532.a_b_c.seed_7", Some("d/i1532.a_b_c.seed_7.rec".into())));
    assert_eq!(reports.name("i1532", "a/b c", Some("seed 7")).0, "i1532.a_b_c.seed_7-2");
}

#[test]
fn run_that_was_interrupted_has_not_passed() {
    let scenario = load("i1532").expect("built in");
    let nothing = VariantReport::nothing(&scenario, &scenario.variants[0], &RunOptions::default());
    let report = VariantReport { outcome: Outcome::Pass, interrupted: true, ..nothing };
    let mut reports = Reports { files: Vec::new(), ..Reports::default() };
    let file = tempfile::NamedTempFile::new().expect("a file for the test");
    reports.files.push((file.path().to_owned(), file.reopen().expect("it is there"), tap::write));
    reports.add("one".to_owned(), None, &report).expect("there is no folder to write into");
    assert!(reports.has("i1532", "kpreemptpri=100") && !reports.has("i1532", "kpreemptpri=99"));
    reports.end().expect("it can be written");
    let tap = std::fs::read_to_string(file.path()).expect("text");
    assert!(tap.contains("# SKIP inconclusive: it was interrupted after "), "{tap}");
}
