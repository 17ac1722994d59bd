//! `--tap FILE`: the runs in the Test Anything Protocol.
//!
//! # Invariants
//! - What was inconclusive is marked `# SKIP`, with its reason.

use std::io::{self, Write};

use testanything::tap_suite_builder::TapSuiteBuilder;
use testanything::tap_test::TapTest;
use testanything::tap_test_builder::TapTestBuilder;

use super::Told;
use umpire_referee::Outcome;

/// Writes it.
pub(super) fn write(runs: &[Told], out: &mut dyn Write) -> io::Result<()> {
    let tests: Vec<TapTest> = runs.iter().map(test).collect();
    let suite = TapSuiteBuilder::new().name("umpire").tests(tests).finalize();
    suite.print(&mut *out).map(drop).map_err(io::Error::other)?;
    writeln!(out)
}

fn test(told: &Told) -> TapTest {
    // A `#` would begin a directive.
    let mut name = told.title.replace('#', "\\#");
    if told.report.outcome == Outcome::Inconclusive {
        name += &format!(" # SKIP inconclusive: {}", told.reason());
    }
    let is_ok = matches!(told.report.outcome, Outcome::Pass | Outcome::Inconclusive);
    let details: Vec<&str> = if is_ok { Vec::new() } else { told.details.lines().collect() };
    TapTestBuilder::new().name(name).passed(is_ok).diagnostics(&details).finalize()
}
