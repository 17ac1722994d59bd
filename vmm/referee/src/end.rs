//! When a run on KVM ends by itself.
//!
//! # Invariants
//! - Never before the planned time, and then as soon as each vCPU has had most of it, running or halted; but no later than
//!   a few times what was planned. A bound needs time of the guest's to be broken: on a host that keeps vCPUs waiting, one that
//!   is to be broken would hold otherwise.
//! - The host is asked how long it kept them waiting only at moments at which that could be so.

use std::time::Duration;

/// What each vCPU must have had of the planned time, in percent.
const SERVED_PERCENT: u32 = 75;
/// No run is longer than so many times what was planned.
const MOST_RUNS: u32 = 3;

/// The planned end of a run.
#[derive(Debug, Clone, Copy)]
pub(super) struct PlannedEnd {
    next_look: Duration,
    owed: Duration,
    latest: Duration,
}

impl PlannedEnd {
    /// The end of a run that was planned to take `run`.
    pub(super) fn of(run: Duration) -> PlannedEnd {
        PlannedEnd { next_look: run, owed: run * SERVED_PERCENT / 100, latest: run * MOST_RUNS }
    }

    /// When it will have come in any case.
    pub(super) fn latest(&self) -> Duration {
        self.latest
    }

    /// True if it has come after `elapsed`. `kept_waiting` asks the host for how long it has kept the vCPU waiting that fared
    /// worst.
    pub(super) fn has_come(&mut self, elapsed: Duration, kept_waiting: impl FnOnce() -> Duration) -> bool {
        if elapsed < self.next_look {
            return false;
        }
        let short = self.owed.saturating_sub(elapsed.saturating_sub(kept_waiting()));
        self.next_look = self.latest.min(elapsed + short);
        short.is_zero() || elapsed >= self.latest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: Duration = Duration::from_millis(1000);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn end_comes_when_it_was_planned_if_the_host_lets_the_guest_run() {
        let mut end = PlannedEnd::of(RUN);
        assert!(!end.has_come(ms(999), || unreachable!("the host is not asked before")));
        assert!(end.has_come(ms(1000), || ms(250)));
    }

    #[test]
    fn end_waits_for_the_vcpu_that_was_kept_waiting_and_asks_no_more_than_it_must() {
        let mut end = PlannedEnd::of(RUN);
        assert!(!end.has_come(ms(1000), || ms(600)));
        // It has had 400 of 750 ms: there is no need to ask for another 350.
        assert!(!end.has_come(ms(1349), || unreachable!("too early to ask")));
        assert!(!end.has_come(ms(1350), || ms(700)));
        assert!(end.has_come(ms(1500), || ms(750)));
    }

    #[test]
    fn end_comes_after_three_times_the_plan_whatever_the_host_does() {
        let mut end = PlannedEnd::of(RUN);
        let mut looks = 0;
        let came = (0..10_000).find(|&at| {
            end.has_come(ms(at), || {
                looks += 1;
                ms(at * 9 / 10)
            })
        });
        assert!(came.is_some_and(|at| at == 3000), "{came:?}");
        assert!(looks < 20, "asked {looks} times");
    }
}
