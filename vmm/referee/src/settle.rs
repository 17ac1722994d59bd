//! From what was found to what it means: observed, outcome, sentences and pictures of a report.
//!
//! # Invariants
//! - A breach is conclusive on any host on which enough samples were taken: a wait is charged only with time in which the vCPU that
//!   owed service ran. Otherwise only a bound that *held* can be doubted.
//! - A gap in sampling is said once, and charged to nobody. One that took most of the run makes what held prove nothing.
//! - A guest that died unasked is an error, whatever else was seen, unless a watchdog killed it that the host can have set off
//!   (`death.rs`).
//! - A run that was ended from outside proves what happened until then, and nothing of what did not.
//! - What was to happen and did not, on a host that kept much of the run, proves nothing: a death as well as a bound's violation.

use super::death::{Death, Watchdogs};
use super::noise::{ENOUGH_SAMPLES_PERCENT, Noise, SHORT_PERCENT};
use super::{script, unjudged};
use crate::report::{BoundReport, CountReport, Observed, Outcome, StallReport, VariantReport};
use umpire_rows::number::rounded;
use umpire_scenario::{Expect, GuestDeadman, Variant};
use umpire_watch::glass::{EventResult, Picture, Snapshot, Symbols, ThreadCard};
use umpire_watch::monitor::{Finding, Gaps, Judge, MonitorKind};
use umpire_watch::probes::{ProbeFinding, Unit};

/// Reads of one run queue, as a share of all in percent, that may be inconsistent before a bound that held proves nothing: as many as
/// samples may be missing.
const UNREADABLE_PERCENT: u64 = 100 - ENOUGH_SAMPLES_PERCENT;

/// Threads that stood still of which is said why, for each bound; the others are named.
const TOLD_WHYS: usize = 3;

/// What a run was like beside what the judge found.
#[derive(Debug)]
pub(super) struct Circumstances {
    /// What the guest noted of its events.
    pub(super) script: Vec<EventResult>,
    /// What ran on each CPU at the end, by the CPU's number.
    pub(super) ran: Vec<(u32, ThreadCard)>,
    /// What the script thread was at at the end; empty if that is not known.
    pub(super) script_at: String,
    /// What became of the bounds on records.
    pub(super) probes: Vec<ProbeFinding>,
    /// How the guest died, if it did.
    pub(super) death: Option<Death>,
    /// Samples that the run should have had.
    pub(super) planned_samples: u64,
    /// How long it should have been, in ns.
    pub(super) planned_ns: u64,
    /// From one sample to the next as it was planned, in ns.
    pub(super) period_ns: u64,
    /// vCPUs.
    pub(super) cpus: u64,
    /// The most that the host kept from one of them since it was started, in ns.
    pub(super) most_kept_ns: u64,
    /// Why sampling ended early, if it did.
    pub(super) sampling_error: Option<String>,
    /// True if a bound that judged nothing, or little, is a failure.
    pub(super) is_strict: bool,
}

/// Fills in everything that follows from the judge's findings.
pub(super) fn settle(
    report: &mut VariantReport,
    variant: &Variant,
    judge: &Judge,
    symbols: Option<&Symbols>,
    circumstances: &Circumstances,
) {
    let findings = judge.findings();
    let counts = judge.counts();
    report.samples = counts.samples;
    report.torn = counts.torn;
    let weak = |finding: &Finding| finding.weak(circumstances.period_ns);
    report.bounds = findings.iter().map(|f| BoundReport { weak: weak(f), ..bound_report(f) }).collect();
    for finding in findings.iter().filter(|f| !f.held) {
        report.why.extend(said(finding));
        if !finding.whys.is_empty() {
            let (monitor, whys) = (finding.monitor.name().to_owned(), finding.whys.clone());
            report.stalled.push(StallReport { monitor, whys });
        }
        report.pictures.extend(finding.picture.iter().map(|picture| named(picture, symbols)));
    }
    let probes = &circumstances.probes;
    report.bounds.extend(probes.iter().map(probe_report));
    report.why.extend(probes.iter().filter(|found| !found.held).map(|found| found.sentence.clone()));
    let death = circumstances.death.as_ref();
    report.why.extend(death.iter().flat_map(|d| d.sentences.iter().cloned()));
    report.why.extend(circumstances.sampling_error.iter().cloned());
    report.why.extend(told_gaps(&counts.gaps));
    report.observed = match death {
        Some(_) => Observed::Panic,
        None if report.bounds.iter().any(|bound| !bound.held) => Observed::Violated,
        None if counts.samples == 0 => Observed::Nothing,
        None => Observed::Held,
    };
    let gaps_ns = counts.gaps.total_ns;
    let ran_ns = judge.snapshot().readings.iter().map(|reading| reading.ran_ns).sum();
    let noise = Noise::of(report, &counts, (circumstances.cpus, ran_ns), circumstances.planned_samples);
    let cut = report.is_cut.then(|| {
        let (ran, planned) = (rounded(report.run_ns), rounded(circumstances.planned_ns));
        format!("inconclusive: the run was ended from outside after {ran} of {planned}")
    });
    let astray = (counts.cut > 0).then(|| {
        let (passes, samples) = (counts.cut, counts.samples);
        format!(
            "inconclusive: {passes} of {samples} passes were cut: links and counts in the guest's memory lead further than those of \
             any kernel; they saw a part, and were not judged"
        )
    });
    let doubt = cut
        .or(astray)
        .or_else(|| noise.doubt(variant.expect))
        .or_else(|| blindness(judge.snapshot(), counts.samples))
        .or_else(|| findings.iter().find_map(|f| doubted(f.monitor.name(), f.doubt.as_deref())))
        .or_else(|| probes.iter().find_map(|f| doubted(&f.name, f.doubt.as_deref())));
    let fired = judge.snapshot().deadman_panics > 0 || death.is_some_and(|d| d.by_deadman);
    let deadman_seconds = judge.snapshot().deadman_seconds;
    let away_ns = circumstances.most_kept_ns.saturating_add(gaps_ns);
    let watchdog = Watchdogs { fired, deadman_seconds, away_ns }.doubt(report, variant, death);
    let is_noisy = doubt.is_some() || death.is_some() && watchdog.is_some();
    let doubts = Doubts {
        happened: noise.few_samples(),
        died: watchdog.clone(),
        survived: doubt.clone(),
        held: doubt.or_else(|| unjudged::doubt(report, variant)),
    };
    report.outcome = outcome(report, variant, circumstances, doubts);
    panic_text(report, variant, death, watchdog.is_some());
    violated(report, variant, &findings, is_noisy);
    // An event is something that was to happen, whatever the bounds were to do.
    let kept_ns = if is_noisy { u64::MAX } else { noise.delay_ns() };
    let span = script::Span { planned_ns: circumstances.planned_ns, gaps_ns, kept_ns };
    let end = script::End { ran: &circumstances.ran, script_at: &circumstances.script_at };
    script::judge(report, variant, &circumstances.script, end, span);
    let is_doubtful = if fired { watchdog.is_some() } else { is_noisy };
    deadman(report, variant, fired, is_doubtful);
    if circumstances.is_strict {
        unjudged::forbid(report, variant);
        unjudged::forbid_weak(report);
    }
}

/// What of one bound makes that it held prove nothing.
fn doubted(name: &str, doubt: Option<&str>) -> Option<String> {
    Some(format!("inconclusive: {name}: {}", doubt?))
}

/// Why the first of the threads that stood still did not run, as far as the finding's own sentence does not say it, and which
/// others stood still.
fn told_whys(finding: &Finding) -> Vec<String> {
    let (first, rest) = finding.whys.split_at(finding.whys.len().min(TOLD_WHYS));
    let news = first.iter().filter(|why| !finding.sentence.contains(&why.predicate()));
    let mut told: Vec<String> = news.map(|why| format!("why: {}", why.sentence())).collect();
    let names: Vec<String> =
        rest.iter().filter_map(|why| why.subject()).map(|link| link.card.to_string()).collect();
    if !names.is_empty() {
        told.push(format!("and so {} more: {}", names.len(), names.join(", ")));
    }
    told
}

/// Why what was seen may prove nothing.
struct Doubts {
    /// That a bound was violated.
    happened: Option<String>,
    /// That the guest died.
    died: Option<String>,
    /// That it did not.
    survived: Option<String>,
    /// That every bound held.
    held: Option<String>,
}

fn outcome(
    report: &mut VariantReport,
    variant: &Variant,
    circumstances: &Circumstances,
    doubts: Doubts,
) -> Outcome {
    if circumstances.sampling_error.is_some() {
        return Outcome::Error;
    }
    let is_met = report.observed.meets(variant.expect);
    let (doubt, otherwise) = match report.observed {
        Observed::Panic if is_met => return Outcome::Pass,
        Observed::Panic => (doubts.died, Outcome::Error),
        Observed::Nothing if report.is_cut => (doubts.survived, Outcome::Inconclusive),
        Observed::Nothing => {
            let (sentence, outcome) = no_guest(report.steal_ns, report.run_ns);
            report.why.push(sentence);
            return outcome;
        }
        Observed::Held => (doubts.held, if is_met { Outcome::Pass } else { Outcome::Fail }),
        Observed::Violated if is_met => return Outcome::Pass,
        Observed::Violated if variant.expect == Expect::Panic => (doubts.survived, Outcome::Fail),
        Observed::Violated => (doubts.happened, Outcome::Fail),
    };
    let Some(doubt) = doubt else { return otherwise };
    report.why.push(doubt);
    Outcome::Inconclusive
}

/// What it means that the guest did not come up in `run_ns`: no fault of the guest if the host kept a vCPU from booting it.
fn no_guest(steal_ns: u64, run_ns: u64) -> (String, Outcome) {
    let what = "nothing was sampled: the guest did not come up";
    // Only one vCPU boots the guest. The others sleep, and have no part in the time that it wanted.
    if steal_ns.saturating_mul(100) / run_ns.max(1) <= SHORT_PERCENT {
        return (what.to_owned(), Outcome::Error);
    }
    let (steal, run) = (rounded(steal_ns), rounded(run_ns));
    let sentence = format!(
        "inconclusive: {what}, and the host kept the vCPUs waiting for {steal} in {run}; run longer, with fewer --cpus, or free the host"
    );
    (sentence, Outcome::Inconclusive)
}

/// Says when nobody looked, in one line, if that was so.
fn told_gaps(gaps: &Gaps) -> Option<String> {
    let (longest, at) = (rounded(gaps.longest_ns), rounded(gaps.longest_at_ns));
    match gaps.count {
        0 => None,
        1 => Some(format!("the sampler was stopped for {longest} at {at}: charged to nobody")),
        n => Some(format!(
            "the sampler was stopped {n} times, for {} in all and at {at} for {longest}: charged to nobody",
            rounded(gaps.total_ns)
        )),
    }
}

/// Why too little was seen to say that a bound held, if that is so: there is a run queue that could hardly be read, and
/// what waited on it is not known, however well the others could be read.
fn blindness(seen: &Snapshot, samples: u64) -> Option<String> {
    let (place, queue) = seen.queues().max_by_key(|(_, queue)| queue.unread)?;
    (queue.unread * 100 > samples * UNREADABLE_PERCENT).then(|| {
        format!(
            "inconclusive: {} of {samples} reads of {place} were not consistent; lower --sample-hz, or look for a dispatcher lock that is never released",
            queue.unread
        )
    })
}

/// Checks what a guest that had to panic said. One that its host made die of something else did not live to say it.
fn panic_text(report: &mut VariantReport, variant: &Variant, death: Option<&Death>, is_doubtful: bool) {
    let (Some(text), Some(death)) = (&variant.panic, death) else { return };
    if !death.message.contains(text.as_str()) {
        report.why.push(format!("the guest's last words have no `{text}` in them: {}", death.message));
        let outcome = if is_doubtful { Outcome::Inconclusive } else { Outcome::Fail };
        report.outcome = report.outcome.max(outcome);
    }
}

/// Checks that those bounds were violated which had to be; that one held on a noisy host proves nothing. A guest that had to die
/// may have violated others on its way.
///
/// A variant that names none is about the scenario's own, whichever, and not about its standing bounds.
fn violated(report: &mut VariantReport, variant: &Variant, findings: &[Finding], is_noisy: bool) {
    let mut wanted: Vec<String> = variant.violated_names().map(str::to_owned).collect();
    if wanted.is_empty() {
        if variant.expect != Expect::Violated || findings.iter().all(|f| !f.is_standing || f.held) {
            return;
        }
        let is_own = |name: &str| findings.iter().all(|f| !f.is_standing || f.monitor.name() != name);
        let broken = report.bounds.iter().filter(|bound| !bound.held).map(|bound| bound.monitor.clone());
        wanted = broken.filter(|name| is_own(name)).collect();
        if wanted.is_empty() {
            report.why.push("none of the scenario's own bounds was violated".to_owned());
        }
    }
    let mut names: Vec<String> = MonitorKind::names().into_iter().map(str::to_owned).collect();
    for bound in &report.bounds {
        if !names.contains(&bound.monitor) {
            names.push(bound.monitor.clone());
        }
    }
    for name in &names {
        let is_violated = report.bounds.iter().any(|bound| bound.monitor == *name && !bound.held);
        let sentence = match (wanted.contains(name), is_violated) {
            (true, false) => format!("no bound of `{name}` was violated, which this variant is about"),
            (false, true) if variant.expect == Expect::Violated => {
                format!("a bound of `{name}` was violated, which this variant is not about")
            }
            _ => continue,
        };
        report.why.push(sentence);
        let is_doubtful = is_noisy || unjudged::is_mute(report, name);
        let outcome = if is_doubtful && !is_violated { Outcome::Inconclusive } else { Outcome::Fail };
        report.outcome = report.outcome.max(outcome);
    }
}

/// Checks what the in-guest deadman did against what the variant wants of it; `is_doubtful` if the host can have made it.
fn deadman(report: &mut VariantReport, variant: &Variant, fired: bool, is_doubtful: bool) {
    let did = if fired { GuestDeadman::Fired } else { GuestDeadman::Silent };
    match variant.guest_deadman {
        None => {}
        Some(want) if want == did => {
            report.why.push(format!("the in-guest deadman: {}, as expected", did.as_str()));
        }
        Some(want) => {
            report.why.push(format!("the in-guest deadman: {}, expected {}", did.as_str(), want.as_str()));
            let outcome = if is_doubtful { Outcome::Inconclusive } else { Outcome::Fail };
            report.outcome = report.outcome.max(outcome);
        }
    }
}

/// The picture with the names of its stacks' code, where that has names.
fn named(picture: &Picture, symbols: Option<&Symbols>) -> Picture {
    let mut picture = picture.clone();
    if let Some(symbols) = symbols {
        picture.stacks.iter_mut().for_each(|stack| stack.name_code(symbols));
    }
    picture
}

fn probe_report(found: &ProbeFinding) -> BoundReport {
    let is_count = found.unit == Unit::Records;
    let in_ns = |value| if is_count { 0 } else { value };
    BoundReport {
        monitor: found.name.clone(),
        thread: found.thread.clone(),
        limit_ns: in_ns(found.limit),
        worst_ns: in_ns(found.worst),
        held: found.held,
        detect_after_ns: None,
        judged_ns: found.judged_ns,
        judged_count: found.judged,
        unjudged: found.doubt.clone(),
        weak: None,
        records: is_count.then_some(CountReport { limit: found.limit, worst: found.worst }),
        says: if found.held { Vec::new() } else { vec![found.sentence.clone()] },
    }
}

pub(super) fn bound_report(finding: &Finding) -> BoundReport {
    BoundReport {
        monitor: finding.monitor.name().to_owned(),
        thread: finding.thread.clone(),
        limit_ns: finding.limit_ns,
        worst_ns: finding.worst_ns,
        held: finding.held,
        detect_after_ns: finding.detect_after_ns,
        judged_ns: finding.judged.ns,
        judged_count: finding.judged.subjects,
        unjudged: finding.unjudged(),
        weak: None,
        records: None,
        says: said(finding),
    }
}

/// What the verdict says of a bound that was broken.
fn said(finding: &Finding) -> Vec<String> {
    if finding.held {
        return Vec::new();
    }
    std::iter::once(finding.sentence.clone()).chain(told_whys(finding)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::RunOptions;
    use umpire_scenario::load;

    /// The report of a variant that passed so far, with bounds of these monitors violated.
    fn passed(variant: &Variant, violated: &[MonitorKind]) -> VariantReport {
        let scenario = load("i1532").unwrap_or_else(|e| panic!("{e}"));
        let mut report = VariantReport::nothing(&scenario, variant, &RunOptions::default());
        report.outcome = Outcome::Pass;
        report.bounds = MonitorKind::ALL
            .iter()
            .map(|kind| BoundReport {
                monitor: kind.name().to_owned(),
                thread: None,
                limit_ns: 1,
                worst_ns: 2,
                held: !violated.contains(kind),
                detect_after_ns: None,
                judged_ns: 1,
                judged_count: 1,
                unjudged: None,
                weak: None,
                records: None,
                says: Vec::new(),
            })
            .collect();
        report
    }

    fn variant(expect: Expect, violates: &[MonitorKind], panic: Option<&str>) -> Variant {
        let scenario = load("i1532").unwrap_or_else(|e| panic!("{e}"));
        let mut variant = scenario.variants[0].clone();
        variant.expect = expect;
        variant.violates = violates.to_vec();
        variant.panic = panic.map(str::to_owned);
        variant
    }

    #[test]
    fn violation_of_another_monitor_than_the_one_named_fails() {
        use MonitorKind::{Deadman, Starvation};
        let cases: [(Expect, &[MonitorKind], &[MonitorKind], Outcome); 6] = [
            (Expect::Violated, &[], &[Deadman], Outcome::Pass),
            (Expect::Violated, &[Starvation], &[Starvation], Outcome::Pass),
            (Expect::Violated, &[Starvation], &[Deadman], Outcome::Fail),
            (Expect::Violated, &[Starvation], &[Starvation, Deadman], Outcome::Fail),
            (Expect::Panic, &[Starvation], &[Starvation, Deadman], Outcome::Pass),
            (Expect::Panic, &[Starvation], &[Deadman], Outcome::Fail),
        ];
        for (expect, violates, seen, outcome) in cases {
            let variant = variant(expect, violates, None);
            let mut report = passed(&variant, seen);
            violated(&mut report, &variant, &[], false);
            assert_eq!(report.outcome, outcome, "{expect:?} {violates:?} {seen:?}");
            assert_eq!(report.why.is_empty(), outcome == Outcome::Pass);
        }
    }

    #[test]
    fn standing_bound_that_is_broken_is_not_what_a_variant_is_about_that_names_none() {
        use MonitorKind::{Deadman, Order, Starvation};
        let standing = Finding {
            monitor: Order,
            bound: 0,
            thread: None,
            cpu: None,
            is_standing: true,
            limit_ns: 1,
            worst_ns: 2,
            held: false,
            judged: umpire_watch::monitor::Judged::of(1, 1),
            doubt: None,
            watched_ns: 10,
            detect_after_ns: None,
            violated_at_ns: None,
            sentence: String::new(),
            whys: Vec::new(),
            picture: None,
        };
        let held = Finding { held: true, ..standing.clone() };
        for (seen, finding, outcome) in [
            (&[Deadman, Starvation][..], &held, Outcome::Pass),
            (&[Deadman, Order], &standing, Outcome::Fail),
            (&[Order], &standing, Outcome::Fail),
        ] {
            let variant = variant(Expect::Violated, &[], None);
            let mut report = passed(&variant, seen);
            violated(&mut report, &variant, std::slice::from_ref(finding), false);
            assert_eq!(report.outcome, outcome, "{seen:?}");
        }
    }

    #[test]
    fn bound_that_had_to_be_violated_and_held_on_a_noisy_host_is_inconclusive() {
        use MonitorKind::{Deadman, Starvation};
        for (seen, outcome) in [
            (&[][..], Outcome::Inconclusive),
            (&[Starvation], Outcome::Pass),
            (&[Starvation, Deadman], Outcome::Fail),
        ] {
            let variant = variant(Expect::Violated, &[Starvation], None);
            let mut report = passed(&variant, seen);
            violated(&mut report, &variant, &[], true);
            assert_eq!(report.outcome, outcome, "{seen:?}");
        }
    }

    #[test]
    fn deadman_that_fired_or_was_silent_for_the_hosts_sake_is_inconclusive() {
        for (want, fired) in [(GuestDeadman::Silent, true), (GuestDeadman::Fired, false)] {
            for (is_doubtful, outcome) in [(false, Outcome::Fail), (true, Outcome::Inconclusive)] {
                let mut variant = variant(Expect::Held, &[], None);
                variant.guest_deadman = Some(want);
                let mut report = passed(&variant, &[]);
                deadman(&mut report, &variant, fired, is_doubtful);
                assert_eq!(report.outcome, outcome, "{want:?}");
            }
        }
    }

    #[test]
    fn sampler_that_was_stopped_is_said_once() {
        let mut gaps =
            Gaps { count: 1, total_ns: 1_610_000_000, longest_ns: 1_610_000_000, longest_at_ns: 203_000_000 };
        let said = "the sampler was stopped for 1.61s at 203ms: charged to nobody";
        assert_eq!(told_gaps(&gaps).as_deref(), Some(said));
        (gaps.count, gaps.total_ns) = (3, 3_000_000_000);
        let said = "the sampler was stopped 3 times, for 3s in all and at 203ms for 1.61s: charged to nobody";
        assert_eq!(told_gaps(&gaps).as_deref(), Some(said));
        assert_eq!(told_gaps(&Gaps::default()), None);
    }

    #[test]
    fn guest_that_did_not_come_up_is_an_error_unless_the_host_kept_it_waiting() {
        for (steal_ms, outcome) in [
            (0, Outcome::Error),
            (50, Outcome::Error),
            (52, Outcome::Inconclusive),
            (3000, Outcome::Inconclusive),
        ] {
            let (sentence, is) = no_guest(steal_ms * 1_000_000, 200_000_000);
            assert_eq!(is, outcome, "{sentence}");
            assert!(sentence.contains("the guest did not come up"), "{sentence}");
        }
    }

    #[test]
    fn one_queue_that_can_hardly_be_read_is_named_though_fifteen_others_can() {
        let mut seen = Snapshot::default();
        seen.cpus.resize_with(16, Default::default);
        seen.kps.resize_with(1, Default::default);
        seen.cpus[7].queue.unread = 75;
        assert_eq!(blindness(&seen, 100), None);

        seen.cpus[7].queue.unread = 76;

        let doubt = blindness(&seen, 100).unwrap_or_default();
        assert!(doubt.contains("76 of 100 reads of the run queue of cpu 7"), "{doubt}");
        assert_eq!(blindness(&Snapshot::default(), 0), None);
    }

    #[test]
    fn panic_without_the_text_that_was_expected_fails() {
        let message = "deadman: timed out after 50 seconds of clock inactivity".to_owned();
        let death = Death { message, sentences: Vec::new(), by_deadman: true };
        for (text, outcome) in [("deadman: timed out", Outcome::Pass), ("turnstile", Outcome::Fail)] {
            let variant = variant(Expect::Panic, &[], Some(text));
            let mut report = passed(&variant, &[]);
            panic_text(&mut report, &variant, Some(&death), false);
            assert_eq!(report.outcome, outcome, "{text}: {:?}", report.why);
            let mut report = passed(&variant, &[]);
            panic_text(&mut report, &variant, Some(&death), true);
            assert!(report.outcome <= Outcome::Inconclusive, "{text}: {:?}", report.why);
        }
    }
}
