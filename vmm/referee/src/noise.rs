//! How much of a run the host kept from the guest and from the sampler, and what that makes doubtful.
//!
//! # Invariants
//! - It is found once a run, and answers for what held as for what did not happen: what was to happen is doubted sooner.

use crate::report::VariantReport;
use umpire_scenario::Expect;
use umpire_watch::monitor::Counts;

/// Per cent that the host kept, above which a bound that held proves nothing.
const NOISY_PERCENT: u64 = 75;
/// The same where something was to happen: it may not have for want of time that the guest had.
pub(super) const SHORT_PERCENT: u64 = 25;
/// Of the run, below which what the host kept is too little to say what part it is of what was wanted: each wake-up waits a little.
const LEAST_PERCENT: u64 = 2;
/// Samples, as a share of those planned in percent, below which neither what held nor what was violated is proved.
pub(super) const ENOUGH_SAMPLES_PERCENT: u64 = 25;

/// What the host kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Noise {
    /// Of the vCPUs' time, in per cent: what they waited for a host CPU, and what they spun for one that did.
    kept_percent: u64,
    /// Of the time that the vCPUs wanted, in per cent: a guest that mostly sleeps loses much of what it does with little of its time.
    /// 0 if it was not enough to matter.
    missed_percent: u64,
    /// The same in ns, of all vCPUs.
    kept_ns: u64,
    /// Of the run, in per cent: what nobody looked at.
    unseen_percent: u64,
    /// Samples that were taken and planned, if they are too few.
    few: Option<(u64, u64)>,
}

impl Noise {
    /// That of a run with so many vCPUs, which ran for so long together, and so many planned samples, whose report has its times.
    pub(super) fn of(
        report: &VariantReport,
        counts: &Counts,
        (cpus, ran_ns): (u64, u64),
        planned_samples: u64,
    ) -> Noise {
        let percent = |part: u64, whole: u64| (part.saturating_mul(100) / whole.max(1)).min(100);
        let is_few =
            !report.was_ended_early() && counts.samples < planned_samples * ENOUGH_SAMPLES_PERCENT / 100;
        let kept_ns = report.steal_ns + counts.kept_ns;
        let matters = percent(kept_ns, report.run_ns) >= LEAST_PERCENT;
        let wanted_ns = kept_ns.saturating_add(ran_ns);
        Noise {
            // A host tells a wait when it has ended, so that its first part may have been before the run.
            kept_percent: percent(kept_ns, report.run_ns.saturating_mul(cpus)),
            missed_percent: if matters { percent(kept_ns, wanted_ns) } else { 0 },
            kept_ns,
            unseen_percent: percent(counts.gaps.total_ns, report.run_ns),
            few: is_few.then_some((counts.samples, planned_samples)),
        }
    }

    /// Why what held in a variant with this expectation proves nothing, if that is so.
    pub(super) fn doubt(&self, expect: Expect) -> Option<String> {
        if expect == Expect::Held { self.above(NOISY_PERCENT) } else { self.short() }
    }

    /// By how many ns what was to happen, an event for one, may have been late for want of time that the guest had: without end
    /// if the host kept much, else at most what it kept, as every vCPU may have been waited for in turn.
    pub(super) fn delay_ns(&self) -> u64 {
        if self.short().is_some() { u64::MAX } else { self.kept_ns }
    }

    /// Why not even what was violated is proved, if that is so: between looks so far apart a condition need not have lasted.
    pub(super) fn few_samples(&self) -> Option<String> {
        let (taken, planned) = self.few?;
        Some(format!(
            "inconclusive: only {taken} of {planned} planned samples were taken; lower --sample-hz or free the host"
        ))
    }

    /// Why it proves nothing that what was to happen did not, if that is so.
    fn short(&self) -> Option<String> {
        let missed = || {
            let percent = self.missed_percent;
            (percent > SHORT_PERCENT).then(|| {
                format!(
                    "inconclusive: the host kept {percent} % of the time that the vCPUs wanted (more than {SHORT_PERCENT} %); run fewer --cpus or free the host"
                )
            })
        };
        self.above(SHORT_PERCENT).or_else(missed)
    }

    fn above(&self, most: u64) -> Option<String> {
        let Noise { kept_percent, unseen_percent, .. } = self;
        if *kept_percent > most {
            return Some(format!(
                "inconclusive: the host kept the vCPUs waiting for {kept_percent} % of their time (more than {most} %); run fewer --cpus or free the host"
            ));
        }
        if *unseen_percent > most {
            return Some(format!(
                "inconclusive: the sampler was stopped for {unseen_percent} % of the run (more than {most} %); let the process run"
            ));
        }
        self.few_samples()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::RunOptions;
    use umpire_scenario::load;
    use umpire_watch::monitor::Gaps;

    /// The noise of 2 s with two vCPUs, which ran all the time, and 2,000 planned samples.
    fn noise(steal_ms: u64, kept_ms: u64, gaps_ms: u64, samples: u64) -> Noise {
        let ran_ms = 2_000 - ((steal_ms + kept_ms) / 2).min(2_000);
        noise_of(2 * ran_ms, steal_ms, kept_ms, gaps_ms, samples)
    }

    fn noise_of(ran_ms: u64, steal_ms: u64, kept_ms: u64, gaps_ms: u64, samples: u64) -> Noise {
        let scenario = load("i1532").unwrap_or_else(|e| panic!("{e}"));
        let mut report = VariantReport::nothing(&scenario, &scenario.variants[0], &RunOptions::default());
        (report.run_ns, report.steal_ns) = (2_000_000_000, steal_ms * 1_000_000);
        let gaps = Gaps { total_ns: gaps_ms * 1_000_000, ..Gaps::default() };
        let counts = Counts { samples, gaps, kept_ns: kept_ms * 1_000_000, ..Counts::default() };
        Noise::of(&report, &counts, (2, ran_ms * 1_000_000), 2000)
    }

    #[test]
    fn doubt_of_what_did_not_happen_begins_at_less_than_that_of_what_held() {
        for (noise, held, short) in [
            (noise(800, 0, 0, 2000), false, false),
            (noise(1200, 0, 0, 2000), false, true),
            (noise(600, 600, 0, 2000), false, true),
            (noise(1600, 1600, 0, 2000), true, true),
            (noise(0, 0, 1400, 2000), false, true),
            (noise(0, 0, 1610, 2000), true, true),
            (noise(0, 0, 0, 499), true, true),
        ] {
            assert_eq!(noise.doubt(Expect::Held).is_some(), held, "{noise:?}");
            assert_eq!(noise.doubt(Expect::Violated).is_some(), short, "{noise:?}");
            assert_eq!(noise.doubt(Expect::Panic).is_some(), short, "{noise:?}");
            assert_eq!(noise.delay_ns() == u64::MAX, short, "{noise:?}");
        }
    }

    #[test]
    fn guest_that_sleeps_mostly_is_short_of_what_it_wanted() {
        for (ran_ms, kept_ms, is_short) in
            [(200, 100, true), (200, 60, false), (40, 20, false), (80, 40, true)]
        {
            let noise = noise_of(ran_ms, kept_ms, 0, 0, 2000);
            assert_eq!(
                noise.doubt(Expect::Violated).is_some(),
                is_short,
                "{ran_ms} and {kept_ms}: {noise:?}"
            );
            assert_eq!(
                noise.doubt(Expect::Held),
                None,
                "what held had that much less to judge, and judged it"
            );
        }
    }

    #[test]
    fn delay_of_an_event_is_what_the_host_kept_from_all_vcpus() {
        assert_eq!(noise(0, 0, 0, 2000).delay_ns(), 0);
        assert_eq!(noise(300, 500, 0, 2000).delay_ns(), 800_000_000);
    }

    #[test]
    fn doubt_says_how_much_and_never_more_than_all() {
        let said = |noise: Noise| noise.doubt(Expect::Held).unwrap_or_default();
        assert!(said(noise(4320, 0, 0, 2000)).contains("waiting for 100 % of their time"));
        assert!(said(noise(0, 0, 1610, 2000)).contains("stopped for 80 % of the run"));
        assert!(said(noise(0, 0, 0, 160)).contains("only 160 of 2000 planned samples"));
    }

    #[test]
    fn few_samples_alone_put_a_violation_in_doubt() {
        assert!(noise(4000, 0, 2000, 500).few_samples().is_none());
        assert!(noise(0, 0, 0, 160).few_samples().is_some());
    }
}
