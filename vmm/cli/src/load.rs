//! Scenarios that a command line names.
//!
//! # Invariants
//! - While standard input is read, which may say nothing for ever, the first signal ends the command: there is no machine yet to put in
//!   order.

use std::ffi::OsStr;

use umpire_machine::signals;
use umpire_scenario::{STDIN, Scenario, ScenarioError};

/// The scenario that a word names: a built-in ID, a path, or `-` for standard input.
///
/// # Errors
/// As [`umpire_scenario::load`].
pub(super) fn load(word: impl AsRef<OsStr>) -> Result<Scenario, ScenarioError> {
    let word = word.as_ref();
    if word == STDIN { signals::at_once(|| umpire_scenario::load(word)) } else { umpire_scenario::load(word) }
}
