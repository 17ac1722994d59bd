//! Results as JSON: one object a line, each with its schema.
//!
//! # Invariants
//! - Keys and their order are a contract; a test compares them with the design's example line.
//! - Numbers are numbers in the unit that the key ends with; what is absent is null.

use serde::Serialize;

use super::contents;
use umpire_referee::VariantReport;
use umpire_scenario::Scenario;

/// The schema of [`run`].
pub const RUN_SCHEMA: &str = "umpire.run/1";
/// The schema of [`list`].
pub const LIST_SCHEMA: &str = "umpire.list/1";

#[derive(Serialize)]
struct RunLine<'r> {
    schema: &'static str,
    scenario: &'r str,
    variant: &'r str,
    expect: &'static str,
    observed: &'static str,
    outcome: &'static str,
    bounds: Vec<BoundLine<'r>>,
    samples: u64,
    torn: u64,
    exits: u64,
    steal_ns: u64,
    boot_ns: u64,
    run_ns: u64,
    host: HostLine<'r>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    events: Vec<EventLine<'r>>,
}

#[derive(Serialize)]
struct EventLine<'r> {
    event: &'r str,
    at_ns: u64,
    began_ns: Option<u64>,
    ended_ns: Option<u64>,
    expect: &'r str,
    result: Option<&'r str>,
    met: Option<bool>,
}

#[derive(Serialize)]
struct BoundLine<'r> {
    monitor: &'r str,
    thread: Option<&'r str>,
    limit_ns: u64,
    worst_ns: u64,
    held: bool,
    detect_after_ns: Option<u64>,
}

#[derive(Serialize)]
struct HostLine<'r> {
    kvm: &'r str,
    cpus: u32,
}

#[derive(Serialize)]
struct ListLine<'s> {
    schema: &'static str,
    id: &'s str,
    source: &'s str,
    title: &'s str,
    teaches: &'s str,
    mutant: bool,
    variants: Vec<&'s str>,
    bounds: Vec<String>,
    events: Vec<String>,
}

/// The line of one run of one variant, without a newline.
pub fn run(report: &VariantReport) -> String {
    let bounds = report.bounds.iter().map(|bound| BoundLine {
        monitor: &bound.monitor,
        thread: bound.thread.as_deref(),
        limit_ns: bound.limit_ns,
        worst_ns: bound.worst_ns,
        held: bound.held,
        detect_after_ns: bound.detect_after_ns,
    });
    let events = report.events.iter().map(|event| EventLine {
        event: &event.event,
        at_ns: event.at_ns,
        began_ns: event.began_ns,
        ended_ns: event.ended_ns,
        expect: &event.expect,
        result: event.result.as_deref(),
        met: event.met,
    });
    line(&RunLine {
        schema: RUN_SCHEMA,
        scenario: &report.scenario,
        variant: &report.variant,
        expect: report.expect.as_str(),
        observed: report.observed.as_str(),
        outcome: report.outcome.as_str(),
        bounds: bounds.collect(),
        samples: report.samples,
        torn: report.torn,
        exits: report.exits,
        steal_ns: report.steal_ns,
        boot_ns: report.boot_ns,
        run_ns: report.run_ns,
        host: HostLine { kvm: &report.host_kvm, cpus: report.host_cpus },
        seed: report.seed,
        events: events.collect(),
    })
}

/// The line of one scenario of the list, without a newline.
pub fn list(scenario: &Scenario, is_mutant: bool) -> String {
    line(&ListLine {
        schema: LIST_SCHEMA,
        id: &scenario.id,
        source: &scenario.source,
        title: &scenario.title,
        teaches: &scenario.teaches,
        mutant: is_mutant,
        variants: scenario.variants.iter().map(|v| v.name.as_str()).collect(),
        bounds: scenario.bounds.iter().map(contents::bound).collect(),
        events: scenario.script().into_iter().map(contents::event).collect(),
    })
}

/// Any record as one line of JSON.
pub(crate) fn line(record: &impl Serialize) -> String {
    serde_json::to_string(record).expect("invariant: records of strings, numbers and lists become JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use umpire_referee::{BoundReport, EventReport, Observed, Outcome, RunOptions};
    use umpire_scenario::{Expect, load};

    fn report() -> VariantReport {
        let scenario = load("i1532").expect("built in");
        VariantReport {
            expect: Expect::Violated,
            observed: Observed::Violated,
            outcome: Outcome::Pass,
            bounds: vec![BoundReport {
                monitor: "starvation".to_owned(),
                thread: Some("mac_soft_ring_worker".to_owned()),
                limit_ns: 50_000_000,
                worst_ns: 1_953_000_000,
                held: false,
                detect_after_ns: Some(120_000),
            }],
            samples: 2000,
            exits: 3,
            boot_ns: 9_000_000,
            run_ns: 2_000_000_000,
            host_kvm: "pvm".to_owned(),
            host_cpus: 2,
            ..VariantReport::nothing(&scenario, &scenario.variants[0], &RunOptions::default())
        }
    }

    #[test]
    fn line_of_a_run_is_the_design_s_example() {
        let expected = r#"{"schema":"umpire.run/1","scenario":"i1532","variant":"kpreemptpri=100","expect":"violated","observed":"violated","outcome":"pass","bounds":[{"monitor":"starvation","thread":"mac_soft_ring_worker","limit_ns":50000000,"worst_ns":1953000000,"held":false,"detect_after_ns":120000}],"samples":2000,"torn":0,"exits":3,"steal_ns":0,"boot_ns":9000000,"run_ns":2000000000,"host":{"kvm":"pvm","cpus":2},"events":[]}"#;
        assert_eq!(run(&report()), expected);
    }

    #[test]
    fn line_of_a_simulated_run_with_an_event_ends_with_both() {
        let event = EventReport {
            event: "offline cpu 1".to_owned(),
            at_ns: 100,
            began_ns: Some(101),
            ended_ns: None,
            expect: "EBUSY".to_owned(),
            result: None,
            met: Some(false),
        };
        let line = run(&VariantReport { seed: Some(7), events: vec![event], ..report() });
        let expected = r#""seed":7,"events":[{"event":"offline cpu 1","at_ns":100,"began_ns":101,"ended_ns":null,"expect":"EBUSY","result":null,"met":false}]}"#;
        assert!(line.ends_with(expected), "{line}");
    }

    #[test]
    fn line_of_a_held_bound_says_null_for_what_is_absent() {
        let mut report = report();
        report.bounds[0].thread = None;
        report.bounds[0].detect_after_ns = None;
        let line = run(&report);
        assert!(line.contains(r#""thread":null"#) && line.contains(r#""detect_after_ns":null"#), "{line}");
    }
}
