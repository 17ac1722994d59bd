//! Bounds that judged nothing: they have not held, whatever their worst case says. And bounds that are weak: what would break them may
//! not be seen.
//!
//! # Invariants
//! - A bound whose monitor the variant lists under `unjudged` may have nothing to judge there.
//! - What was seen is not doubted for what was not: a violation stays one. `--strict` minds it even then.

use crate::report::{BoundReport, Observed, Outcome, VariantReport};
use umpire_scenario::{Expect, Variant};

/// The bounds that should have judged something and did not, if the run can be held to that at all.
fn mute<'a>(report: &'a VariantReport, variant: &'a Variant) -> impl Iterator<Item = &'a BoundReport> {
    let is_meant =
        !report.was_ended_early() && matches!(report.observed, Observed::Held | Observed::Violated);
    let may_be = |bound: &BoundReport| variant.unjudged.iter().any(|kind| kind.name() == bound.monitor);
    report.bounds.iter().filter(move |bound| is_meant && bound.unjudged.is_some() && !may_be(bound))
}

/// Why it proves nothing that every bound held, if that is so. Of a variant that is to be violated only those bounds count that
/// it may be about.
pub(super) fn doubt(report: &VariantReport, variant: &Variant) -> Option<String> {
    let is_about = |bound: &&BoundReport| {
        let mut named = variant.violated_names().peekable();
        variant.expect != Expect::Violated
            || named.peek().is_none()
            || named.any(|name| name == bound.monitor)
    };
    let names = names(mute(report, variant).filter(is_about));
    (!names.is_empty()).then(|| format!("inconclusive: a bound that judged nothing has not held: {names}"))
}

/// True if no bound of this monitor judged anything.
pub(super) fn is_mute(report: &VariantReport, monitor: &str) -> bool {
    let mut bounds = report.bounds.iter().filter(|bound| bound.monitor == monitor).peekable();
    bounds.peek().is_some() && bounds.all(|bound| bound.unjudged.is_some())
}

/// Makes of every bound that judged nothing a failure.
pub(super) fn forbid(report: &mut VariantReport, variant: &Variant) {
    let names = names(mute(report, variant));
    if !names.is_empty() {
        report.why.push(format!("--strict: every bound has to judge something, and these did not: {names}"));
        report.outcome = report.outcome.max(Outcome::Fail);
    }
}

/// Makes of every bound that says little, although it judged something, a failure.
pub(super) fn forbid_weak(report: &mut VariantReport) {
    let weak = |bound: &&BoundReport| bound.weak.is_some() && bound.unjudged.is_none();
    let names = names(report.bounds.iter().filter(weak));
    if !names.is_empty() {
        report
            .why
            .push(format!("--strict: no limit may be below what sampling can see, and these are: {names}"));
        report.outcome = report.outcome.max(Outcome::Fail);
    }
}

fn names<'a>(bounds: impl Iterator<Item = &'a BoundReport>) -> String {
    bounds.map(|bound| bound.monitor.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::RunOptions;
    use umpire_scenario::load;
    use umpire_watch::monitor::MonitorKind;

    /// A report in which `deadman` judged nothing and `starvation` did.
    fn report(observed: Observed, expect: Expect) -> (VariantReport, Variant) {
        let scenario = load("i1532").unwrap_or_else(|e| panic!("{e}"));
        let mut variant = scenario.variants[0].clone();
        (variant.expect, variant.violates) = (expect, Vec::new());
        let bound = |monitor: &str, unjudged: Option<&str>| BoundReport {
            monitor: monitor.to_owned(),
            thread: None,
            limit_ns: 1,
            worst_ns: 0,
            held: true,
            detect_after_ns: None,
            judged_ns: u64::from(unjudged.is_none()),
            judged_count: 1,
            unjudged: unjudged.map(str::to_owned),
            weak: None,
            records: None,
            says: Vec::new(),
        };
        let mut report = VariantReport::nothing(&scenario, &variant, &RunOptions::default());
        report.bounds = vec![bound("starvation", None), bound("deadman", Some("nothing"))];
        (report.observed, report.outcome) = (observed, Outcome::Pass);
        (report, variant)
    }

    #[test]
    fn bound_that_judged_nothing_is_doubted_unless_the_variant_says_that_it_may() {
        let (mut held, mut variant) = report(Observed::Held, Expect::Held);
        assert!(doubt(&held, &variant).is_some_and(|why| why.ends_with("has not held: deadman")));
        forbid(&mut held, &variant);
        assert_eq!(held.outcome, Outcome::Fail);

        variant.unjudged = vec![MonitorKind::Deadman];
        held.outcome = Outcome::Pass;
        assert_eq!(doubt(&held, &variant), None);
        forbid(&mut held, &variant);
        assert_eq!(held.outcome, Outcome::Pass);
    }

    #[test]
    fn bound_that_a_variant_is_not_about_does_not_excuse_the_one_that_it_is_about() {
        let (held, mut variant) = report(Observed::Held, Expect::Violated);
        assert!(doubt(&held, &variant).is_some());
        variant.violates = vec![MonitorKind::Starvation];
        assert_eq!(doubt(&held, &variant), None);
        variant.violates = vec![MonitorKind::Deadman];
        assert!(doubt(&held, &variant).is_some());
        assert!(is_mute(&held, "deadman") && !is_mute(&held, "starvation") && !is_mute(&held, "runq"));
    }

    #[test]
    fn weak_bound_that_held_is_forbidden_and_one_that_judged_nothing_is_named_once() {
        let (mut held, _) = report(Observed::Held, Expect::Held);
        held.bounds[1].weak = Some("coarse".to_owned());
        forbid_weak(&mut held);
        assert_eq!((held.outcome, held.why.len()), (Outcome::Pass, 0));
        held.bounds[0].weak = Some("coarse".to_owned());
        forbid_weak(&mut held);
        assert_eq!(held.outcome, Outcome::Fail);
        assert!(held.why[0].ends_with("these are: starvation"), "{:?}", held.why);
    }

    #[test]
    fn guest_that_died_and_run_that_was_interrupted_are_held_to_nothing() {
        let (dead, variant) = report(Observed::Panic, Expect::Panic);
        assert_eq!(doubt(&dead, &variant), None);
        let (mut ended, variant) = report(Observed::Held, Expect::Held);
        ended.interrupted = true;
        assert_eq!(doubt(&ended, &variant), None);
    }
}
