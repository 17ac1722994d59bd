//! How a guest died, and whether its host can have made it die.
//!
//! A watchdog of the guest's goes by time, and a vCPU that the host takes off lets time go by: the in-guest deadman finds a clock
//! that stands still because its vCPU is away, the pageout deadman a page that nobody could write. Any other death is the guest's own.
//!
//! ```text
//!   vCPU 0, the clock's       vCPU 1
//!   bumps the counter         the deadman looks: it has moved
//!   the host takes it off
//!      away                   looks, a second later: it has not, and a second is all that it waits
//!      away                   the guest panics
//! ```
//!
//! # Invariants
//! - A clock that stood still in its own time (a bound of `deadman` was broken where all should hold) is the guest's fault, whatever
//!   the host did.

use crate::report::VariantReport;
use umpire_rows::number::rounded;
use umpire_scenario::{Expect, Variant};
use umpire_watch::monitor::MonitorKind;

/// The part of a watchdog's patience that the host must have taken of one vCPU's time to explain that it fired. The deadman looks at
/// a count that is made once a second at its own phase of the second, and what one vCPU is kept from may hold up a second one: so
/// much less than all of it can be enough.
const PART: u64 = 8;
/// How the panic of a page scanner that nobody serves begins.
const PAGEOUT: &str = "pageout_deadman: ";

/// How a guest died.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Death {
    /// What the guest said of it.
    pub(super) message: String,
    /// Sentences for the report, the first one saying what happened.
    pub(super) sentences: Vec<String>,
    /// True if the in-guest deadman killed it.
    pub(super) by_deadman: bool,
}

/// What the guest's watchdogs found, and what the host did meanwhile.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watchdogs {
    /// True if the in-guest deadman fired, whether the guest died of it or not.
    pub(super) fired: bool,
    /// How long that one lets the clock stand still, in s; 0 if it is not known.
    pub(super) deadman_seconds: u32,
    /// The most that the host kept from one vCPU, gaps in sampling included, in ns.
    pub(super) away_ns: u64,
}

impl Watchdogs {
    /// Why it proves nothing against the guest that a watchdog fired, if one did and that is so.
    pub(super) fn doubt(
        &self,
        report: &VariantReport,
        variant: &Variant,
        death: Option<&Death>,
    ) -> Option<String> {
        let (name, patience_ns) = match death.and_then(pageout_patience_ns) {
            Some(ns) => ("pageout deadman", ns),
            None if self.fired => {
                ("in-guest deadman", u64::from(self.deadman_seconds.max(1)) * 1_000_000_000)
            }
            None => return None,
        };
        let is_deadman = |monitor: &str| monitor == MonitorKind::Deadman.name();
        let stood_still = report.bounds.iter().any(|bound| !bound.held && is_deadman(&bound.monitor));
        if self.away_ns < patience_ns / PART || stood_still && variant.expect == Expect::Held {
            return None;
        }
        let (away, patience) = (rounded(self.away_ns), rounded(patience_ns));
        Some(format!(
            "inconclusive: the host kept a vCPU waiting for {away}, and the {name} has patience for {patience}; it may have fired for that: free the host"
        ))
    }
}

/// How long the page scanner had waited when it panicked, in ns, if that is what the guest died of.
fn pageout_patience_ns(death: &Death) -> Option<u64> {
    let (_, waited) = death.message.split_once(PAGEOUT)?;
    let waited_ms: u64 = waited.split(' ').find_map(|word| word.parse().ok())?;
    Some(waited_ms.saturating_mul(1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{BoundReport, RunOptions};
    use umpire_scenario::load;

    const MS: u64 = 1_000_000;

    fn doubt(expect: Expect, deadman_held: bool, dogs: Watchdogs, message: Option<&str>) -> Option<String> {
        let scenario = load("i1532").unwrap_or_else(|e| panic!("{e}"));
        let mut variant = scenario.variants[0].clone();
        variant.expect = expect;
        let mut report = VariantReport::nothing(&scenario, &variant, &RunOptions::default());
        report.bounds = vec![BoundReport {
            monitor: "deadman".to_owned(),
            thread: None,
            limit_ns: 1,
            worst_ns: 2,
            held: deadman_held,
            detect_after_ns: None,
            judged_ns: 1,
            judged_count: 1,
            unjudged: None,
            weak: None,
            records: None,
            says: Vec::new(),
        }];
        let death = message.map(|message| Death {
            message: message.to_owned(),
            sentences: Vec::new(),
            by_deadman: message.starts_with("deadman"),
        });
        dogs.doubt(&report, &variant, death.as_ref())
    }

    #[test]
    fn deadman_that_fired_is_doubted_from_an_eighth_of_its_patience_on() {
        for (seconds, away_ms, is_doubted) in
            [(1, 124, false), (1, 125, true), (50, 6249, false), (50, 6250, true), (0, 125, true)]
        {
            let dogs = Watchdogs { fired: true, deadman_seconds: seconds, away_ns: away_ms * MS };
            let message = Some("deadman: timed out after 1 seconds of clock inactivity");
            assert_eq!(doubt(Expect::Held, true, dogs, message).is_some(), is_doubted, "{dogs:?}");
            assert_eq!(doubt(Expect::Violated, true, dogs, None).is_some(), is_doubted, "{dogs:?}");
        }
    }

    #[test]
    fn clock_that_stood_still_by_itself_is_not_excused_where_all_should_hold() {
        let dogs = Watchdogs { fired: true, deadman_seconds: 1, away_ns: 900 * MS };
        assert_eq!(doubt(Expect::Held, false, dogs, None), None);
        assert!(doubt(Expect::Violated, false, dogs, None).is_some());
    }

    #[test]
    fn death_that_no_watchdog_brought_is_the_guests_own() {
        let dogs = Watchdogs { fired: false, deadman_seconds: 1, away_ns: u64::MAX };
        assert_eq!(doubt(Expect::Held, true, dogs, Some("dispdeq: thread 7 not on queue at level 60")), None);
        assert_eq!(doubt(Expect::Held, true, dogs, None), None);
    }

    #[test]
    fn page_that_was_not_written_is_doubted_by_how_long_the_scanner_waited() {
        let said = "assertion failed: pageout_deadman: no page was written for 800 ms";
        for (away_ms, is_doubted) in [(99, false), (100, true)] {
            let dogs = Watchdogs { fired: false, deadman_seconds: 50, away_ns: away_ms * MS };
            let doubt = doubt(Expect::Held, true, dogs, Some(said));
            assert_eq!(doubt.is_some(), is_doubted, "{doubt:?}");
        }
    }
}
