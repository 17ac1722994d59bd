//! Exit codes.
//!
//! # Invariants
//! - The numbers are a contract. Of several things that happened, the worst decides: [`Exit::worse`].

use std::process::ExitCode;

use umpire_machine::signals;
use umpire_referee::{Observed, Outcome, VariantReport};

/// Numbers of signals, the same on every Linux.
const SIGHUP: i32 = 1;
const SIGTERM: i32 = 15;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// 0: everything as expected.
    Pass = 0,
    /// 1: a bound or an expectation failed.
    Failed = 1,
    /// 2: wrong usage, or a machine or scenario could not be set up.
    Usage = 2,
    /// 3: the guest panicked, or its deadman fired, where that was not expected.
    GuestDied = 3,
    /// 4: the host was too noisy to say, or a bound judged nothing.
    Inconclusive = 4,
    /// 129: ended by SIGHUP, as when a terminal is closed.
    HungUp = 129,
    /// 130: ended by Ctrl-C.
    Interrupted = 130,
    /// 143: ended by SIGTERM.
    Terminated = 143,
}

impl Exit {
    /// What one report means for the exit code.
    pub fn of(report: &VariantReport) -> Exit {
        match report.outcome {
            _ if report.interrupted => Exit::interrupted(),
            _ if report.trace_lost || report.core_lost => Exit::Usage,
            Outcome::Pass => Exit::Pass,
            Outcome::Inconclusive => Exit::Inconclusive,
            // A guest that panicked where it should not is an error; one that failed had to panic, with other words.
            Outcome::Fail => Exit::Failed,
            // Of a guest of which something was seen and that did not die, the host refused to show the rest.
            Outcome::Error if matches!(report.observed, Observed::Held | Observed::Violated) => Exit::Usage,
            Outcome::Error => Exit::GuestDied,
        }
    }

    /// That of a command that a signal ended: 128 and its number, as a shell counts it.
    pub fn interrupted() -> Exit {
        match signals::first() {
            Some(SIGHUP) => Exit::HungUp,
            Some(SIGTERM) => Exit::Terminated,
            _ => Exit::Interrupted,
        }
    }

    /// True if a signal ended it.
    pub fn is_interrupted(self) -> bool {
        matches!(self, Exit::HungUp | Exit::Interrupted | Exit::Terminated)
    }

    /// The worse of two.
    #[must_use]
    pub fn worse(self, other: Exit) -> Exit {
        if other.rank() > self.rank() { other } else { self }
    }

    fn rank(self) -> u8 {
        match self {
            Exit::Pass => 0,
            Exit::Inconclusive => 1,
            Exit::Failed => 2,
            Exit::GuestDied => 3,
            Exit::Usage => 4,
            Exit::HungUp | Exit::Interrupted | Exit::Terminated => 5,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use umpire_referee::RunOptions;
    use umpire_scenario::load;

    #[test]
    fn code_of_a_report_agrees_with_its_outcome() {
        let scenario = load("i1532").expect("built in");
        let nothing = || VariantReport::nothing(&scenario, &scenario.variants[0], &RunOptions::default());
        for (observed, outcome, exit) in [
            (Observed::Held, Outcome::Pass, Exit::Pass),
            (Observed::Held, Outcome::Inconclusive, Exit::Inconclusive),
            (Observed::Violated, Outcome::Fail, Exit::Failed),
            // It had to panic, and said something else.
            (Observed::Panic, Outcome::Fail, Exit::Failed),
            (Observed::Panic, Outcome::Error, Exit::GuestDied),
            (Observed::Held, Outcome::Error, Exit::Usage),
        ] {
            let report = VariantReport { observed, outcome, ..nothing() };
            assert_eq!(Exit::of(&report), exit, "{observed:?} {outcome:?}");
            let report = VariantReport { trace_lost: true, ..report };
            assert_eq!(Exit::of(&report), Exit::Usage, "{observed:?} {outcome:?}");
            let report = VariantReport { core_lost: true, trace_lost: false, ..report };
            assert_eq!(Exit::of(&report), Exit::Usage, "{observed:?} {outcome:?}");
        }
    }
}
