//! `--tap FILE`: the runs in the Test Anything Protocol.
//!
//! # Invariants
//! - What was inconclusive is marked `# SKIP`, with its reason.

use std::io::{self, Write};

use testanything::tap_suite_builder::TapSuiteBuilder;
use testanything::tap_test::TapTest;
use testanything::tap_test_builder::TapTestBuilder;

use super::{Missing, Results, Told};
use umpire_referee::Outcome;

/// Writes it.
pub(super) fn write(results: &Results, out: &mut dyn Write) -> io::Result<()> {
    let tests: Vec<TapTest> =
        results.runs.iter().map(test).chain(results.missing.iter().map(missing)).collect();
    let suite = TapSuiteBuilder::new().name("umpire").tests(tests).finalize();
    suite.print(&mut *out).map(drop).map_err(io::Error::other)?;
    writeln!(out)
}

/// A title as it may stand: a `#` would begin a directive.
fn plain(title: &str) -> String {
    title.replace('#', "\\#")
}

fn missing(Missing { title, why }: &Missing) -> TapTest {
    let why: Vec<&str> = why.lines().collect();
    TapTestBuilder::new().name(plain(title)).passed(false).diagnostics(&why).finalize()
}

fn test(told: &Told) -> TapTest {
    let mut name = plain(&told.title);
    if told.report.outcome == Outcome::Inconclusive {
        name += &format!(" # SKIP inconclusive: {}", told.reason());
    }
    let is_ok = matches!(told.report.outcome, Outcome::Pass | Outcome::Inconclusive);
    let details: Vec<&str> = if is_ok { Vec::new() } else { told.details.lines().collect() };
    TapTestBuilder::new().name(name).passed(is_ok).diagnostics(&details).finalize()
}
