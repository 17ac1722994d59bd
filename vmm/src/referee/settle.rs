//! From what was found to what it means: observed, outcome, sentences and pictures of a report.
//!
//! # Invariants
//! - A breach is conclusive on any host: a wait is charged only with time in which the vCPU that owed service ran. Only a
//!   bound that *held* can be doubted.
//! - A guest that died unasked is an error, whatever else was seen.

use crate::glass::{ReadCounts, Symbols};
use crate::monitor::{Finding, Judge};
use crate::scenario::outcome::{BoundReport, Observed, Outcome, VariantReport};
use crate::scenario::{Expect, GuestDeadman, Variant};
use crate::show::{cpuinfo, findstack};

/// Steal, as a share of all vCPU time in percent, above which a bound that held proves nothing.
pub(super) const NOISY_STEAL_PERCENT: u64 = 75;
/// Samples, as a share of those planned in percent, below which a bound that held proves nothing.
const ENOUGH_SAMPLES_PERCENT: u64 = 25;

/// Queue reads, as a share of all in percent, that may be inconsistent before a bound that held proves nothing.
const UNREADABLE_PERCENT: u64 = 20;

/// How a guest died.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Death {
    /// Sentences for the report, the first one saying what happened.
    pub(super) sentences: Vec<String>,
    /// True if the in-guest deadman killed it.
    pub(super) by_deadman: bool,
}

/// What a run was like beside what the judge found.
#[derive(Debug)]
pub(super) struct Circumstances {
    /// How the guest died, if it did.
    pub(super) death: Option<Death>,
    /// Samples that the run should have had.
    pub(super) planned_samples: u64,
    /// vCPUs.
    pub(super) cpus: u64,
    /// Why sampling ended early, if it did.
    pub(super) sampling_error: Option<String>,
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
    report.bounds = findings.iter().map(bound_report).collect();
    for finding in findings.iter().filter(|f| !f.held) {
        report.why.push(finding.sentence.clone());
        if let Some(picture) = &finding.picture {
            let mut text = cpuinfo::cpuinfo(picture);
            for stack in &picture.stacks {
                text += "\n";
                text += &findstack::findstack(stack, symbols);
            }
            report.pictures.push(text);
        }
    }
    let death = circumstances.death.as_ref();
    report.why.extend(death.iter().flat_map(|d| d.sentences.iter().cloned()));
    report.why.extend(circumstances.sampling_error.iter().cloned());
    report.observed = match death {
        Some(_) => Observed::Panic,
        None if findings.iter().any(|f| !f.held) => Observed::Violated,
        None if counts.samples == 0 => Observed::Nothing,
        None => Observed::Held,
    };
    let doubt = noise(report, circumstances).or_else(|| blindness(&counts.reads));
    report.outcome = outcome(report, variant, circumstances, doubt);
    let fired = judge.snapshot().deadman_panics > 0 || death.is_some_and(|d| d.by_deadman);
    deadman(report, variant, fired);
}

/// `doubt` is why a bound that held would prove nothing.
fn outcome(
    report: &mut VariantReport,
    variant: &Variant,
    circumstances: &Circumstances,
    doubt: Option<String>,
) -> Outcome {
    let is_met = variant.expect.is_met_by(report.observed);
    if circumstances.sampling_error.is_some() {
        return Outcome::Error;
    }
    match report.observed {
        Observed::Panic if variant.expect != Expect::Panic => Outcome::Error,
        Observed::Nothing => {
            report.why.push("nothing was sampled: the guest did not come up".to_owned());
            Outcome::Error
        }
        Observed::Held => match doubt {
            Some(doubt) => {
                report.why.push(doubt);
                Outcome::Inconclusive
            }
            None if is_met => Outcome::Pass,
            None => Outcome::Fail,
        },
        _ if is_met => Outcome::Pass,
        _ => Outcome::Fail,
    }
}

/// Why a bound that held proves nothing, if that is so.
fn noise(report: &VariantReport, circumstances: &Circumstances) -> Option<String> {
    let all_ns = report.run_ns.saturating_mul(circumstances.cpus).max(1);
    let steal = report.steal_ns.saturating_mul(100) / all_ns;
    if steal > NOISY_STEAL_PERCENT {
        return Some(format!(
            "inconclusive: the host kept the vCPUs waiting for {steal} % of their time (more than {NOISY_STEAL_PERCENT} %); run fewer --cpus or free the host"
        ));
    }
    let planned = circumstances.planned_samples;
    if !report.interrupted && report.samples < planned * ENOUGH_SAMPLES_PERCENT / 100 {
        return Some(format!(
            "inconclusive: only {} of {planned} planned samples were taken; lower --sample-hz or free the host",
            report.samples
        ));
    }
    None
}

/// Why too little was seen to say that a bound held, if that is so.
fn blindness(reads: &ReadCounts) -> Option<String> {
    let bad = reads.torn + reads.stale;
    let all = bad + reads.clean + reads.retried;
    (bad * 100 > all * UNREADABLE_PERCENT).then(|| {
        format!(
            "inconclusive: {bad} of {all} reads of run queues were not consistent ({} torn, {} locked throughout); lower --sample-hz, or look for a dispatcher lock that is never released",
            reads.torn, reads.stale
        )
    })
}

/// Checks what the in-guest deadman did against what the variant wants of it.
fn deadman(report: &mut VariantReport, variant: &Variant, fired: bool) {
    let did = if fired { GuestDeadman::Fired } else { GuestDeadman::Silent };
    match variant.guest_deadman {
        None => {}
        Some(want) if want == did => {
            report.why.push(format!("the in-guest deadman: {}, as expected", did.as_str()));
        }
        Some(want) => {
            report.why.push(format!("the in-guest deadman: {}, expected {}", did.as_str(), want.as_str()));
            report.outcome = report.outcome.max(Outcome::Fail);
        }
    }
}

fn bound_report(finding: &Finding) -> BoundReport {
    BoundReport {
        monitor: finding.monitor.name().to_owned(),
        thread: finding.thread.clone(),
        limit_ns: finding.limit_ns,
        worst_ns: finding.worst_ns,
        held: finding.held,
        detect_after_ns: finding.detect_after_ns,
    }
}
