//! `--junit FILE`: the runs as JUnit's XML, a suite a scenario.
//!
//! # Invariants
//! - What failed is a failure, what could not be judged as it was to be (no machine, a dead guest) an error, what was inconclusive skipped
//!   with its reason.

use std::io::{self, Write};
use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::{Missing, Results, Told};
use umpire_referee::Outcome;

/// Writes it.
pub(super) fn write(results: &Results, out: &mut dyn Write) -> io::Result<()> {
    let mut report = Report::new("umpire");
    let mut suites: Vec<TestSuite> = Vec::new();
    for told in &results.runs {
        let scenario = told.report.scenario.as_str();
        if suites.last().is_none_or(|suite| suite.name.as_str() != scenario) {
            suites.push(TestSuite::new(scenario));
        }
        if let Some(suite) = suites.last_mut() {
            suite.add_test_case(case(told));
        }
    }
    if !results.missing.is_empty() {
        let mut suite = TestSuite::new("not run");
        suite.add_test_cases(results.missing.iter().map(missing));
        suites.push(suite);
    }
    report.add_test_suites(suites);
    // In memory first: the crate does not tell what a file's host says.
    let mut text = Vec::new();
    report.serialize(&mut text).map_err(io::Error::other)?;
    out.write_all(&text)
}

fn missing(Missing { title, why }: &Missing) -> TestCase {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
    status.set_message(why.as_str());
    TestCase::new(title.as_str(), status)
}

fn case(told: &Told) -> TestCase {
    let report = &told.report;
    let message = told.reason();
    let status = |kind| {
        let mut status = TestCaseStatus::non_success(kind);
        status.set_message(message.as_str()).set_description(told.details.as_str());
        status
    };
    let status = match report.outcome {
        Outcome::Pass => TestCaseStatus::success(),
        Outcome::Fail => status(NonSuccessKind::Failure),
        Outcome::Error => status(NonSuccessKind::Error),
        Outcome::Inconclusive => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(format!("inconclusive: {message}"));
            status
        }
    };
    let mut case = TestCase::new(told.title.as_str(), status);
    case.set_classname(report.scenario.as_str()).set_time(Duration::from_nanos(report.run_ns));
    case.add_property(("repeat", report.repeat.as_str())).add_property(("host", report.host_kvm.as_str()));
    case.set_system_out(told.details.as_str());
    case
}
