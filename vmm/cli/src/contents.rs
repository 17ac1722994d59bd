//! What is in a scenario, as text: its variants with their expectations, its bounds, its events.
//!
//! # Invariants
//! - A bound or event reads the same here and in JSON.

use std::fmt::Write;

use umpire_shared::errno;

use umpire_rows::number::exact;
use umpire_scenario::{Expect, NEVER, Scenario, ScriptedEvent, Variant};
use umpire_watch::monitor::BoundSpec;
use umpire_watch::probes::{By, ProbeBound, Rule};

/// A scenario on some lines, without a newline at the end.
pub fn contents(scenario: &Scenario) -> String {
    let mut text = format!("{}: {}\n", scenario.id, scenario.title);
    // A String takes everything; there is no error to handle.
    let _ = writeln!(text, "  source: {}", scenario.source);
    if !scenario.teaches.is_empty() {
        let _ = writeln!(text, "  teaches: {}", scenario.teaches);
    }
    let _ = writeln!(text, "  machine: {}, {} a variant", machine(scenario), exact(scenario.run_ns));
    section(&mut text, "variants", scenario.variants.iter().map(variant));
    section(&mut text, "bounds", bounds(scenario));
    section(&mut text, "events", scenario.script().into_iter().map(|e| event(e, scenario.run_ns)));
    text.trim_end().to_owned()
}

fn section(text: &mut String, title: &str, lines: impl Iterator<Item = String>) {
    let mut lines = lines.peekable();
    if lines.peek().is_some() {
        let _ = writeln!(text, "  {title}:");
    }
    for line in lines {
        let _ = writeln!(text, "    {line}");
    }
}

fn machine(scenario: &Scenario) -> String {
    match scenario.topology {
        Some(t) => {
            let groups =
                if t.lgroups > 1 { format!(", {} locality groups", t.lgroups) } else { String::new() };
            let (chips, cores, strands) = (t.chips, t.cores, t.strands);
            format!("{} CPUs ({chips} chips of {cores} cores of {strands} strands{groups})", scenario.cpus)
        }
        None => format!("{} CPUs", scenario.cpus),
    }
}

fn variant(variant: &Variant) -> String {
    let mut text = format!("{}: {}", variant.name, variant.expect.as_str());
    let names: Vec<&str> = variant.violated_names().collect();
    if !names.is_empty() {
        let _ = write!(text, " ({})", names.join(", "));
    }
    if let (Expect::Panic, Some(panic)) = (variant.expect, &variant.panic) {
        let _ = write!(text, " ({panic})");
    }
    text
}

/// Every bound, those on records last.
pub fn bounds(scenario: &Scenario) -> impl Iterator<Item = String> {
    scenario.bounds.iter().map(bound).chain(scenario.probes.iter().map(probe_bound))
}

/// A bound on records: `release then surrender within 1ms`.
fn probe_bound(bound: &ProbeBound) -> String {
    let what = bound.what.told();
    let held_to = match &bound.rule {
        Rule::Count { min, max: Some(max) } if min == max => format!("exactly {max} times"),
        Rule::Count { min: 0, max: Some(max) } => format!("at most {max} times"),
        Rule::Count { min, max: Some(max) } => format!("{min} to {max} times"),
        Rule::Count { min, max: None } => format!("at least {min} times"),
        Rule::Gap(limit_ns) => format!("every {}", exact(*limit_ns)),
        Rule::Fifo(then) => format!("then {} in the same order", then.told()),
        Rule::Then { then, by, within_ns, before } => {
            let by = if *by == By::Thread { "" } else { " of any thread" };
            let within = within_ns.map(|ns| format!(" within {}", exact(ns))).unwrap_or_default();
            let before = before.as_ref().map(|s| format!(" before {}", s.told())).unwrap_or_default();
            format!("then {}{by}{within}{before}", then.told())
        }
    };
    let after = (bound.after_ns > 0).then(|| format!(", after {}", exact(bound.after_ns)));
    format!("{what} {held_to}{}", after.unwrap_or_default())
}

/// A bound: `starvation of pri >= 99 within 50ms`.
pub fn bound(bound: &BoundSpec) -> String {
    let of = bound.threads.as_ref().map(|filter| format!(" of {}", filter.source())).unwrap_or_default();
    format!("{}{of} within {}", bound.monitor.name(), exact(bound.limit_ns))
}

/// An event: `500ms offline cpu 1, EBUSY`.
pub fn event(event: &ScriptedEvent, run_ns: u64) -> String {
    let mut text = format!("{} {}", exact(event.event.at_ns), event.label);
    let never = (event.expect == NEVER).then_some("never");
    if let Some(name) = never.or_else(|| errno::name(event.expect)).filter(|_| event.expect != 0) {
        let _ = write!(text, ", {name}");
    }
    // The rest of the run is the default.
    if event.event.at_ns.saturating_add(event.within_ns) < run_ns {
        let _ = write!(text, ", within {}", exact(event.within_ns));
    }
    text
}
