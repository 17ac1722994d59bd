//! Scenarios that a command line names.
//!
//! # Invariants
//! - While standard input is read, which may say nothing for ever, the first signal ends the command: there is no machine yet to put in
//!   order.

use std::ffi::OsStr;
use std::fs;

use umpire_machine::signals;
use umpire_scenario::{STDIN, Scenario, ScenarioError};

use super::shell::shell;

/// What is open as standard input.
const OPEN: &str = "/proc/self/fd/0";

/// The scenario that a word names: a built-in ID, a path, or `-` for standard input.
///
/// # Errors
/// As [`umpire_scenario::load`].
pub(super) fn load(word: impl AsRef<OsStr>) -> Result<Scenario, ScenarioError> {
    let word = word.as_ref();
    if word == STDIN { signals::at_once(|| umpire_scenario::load(word)) } else { umpire_scenario::load(word) }
}

/// Standard input can be read once.
///
/// # Errors
/// A sentence, if it is named more often.
pub(super) fn once<W: AsRef<OsStr>>(words: &[W]) -> Result<(), String> {
    match words.iter().filter(|word| (*word).as_ref() == STDIN).count() {
        0 | 1 => Ok(()),
        _ => Err("`-` is standard input, which can be read once: name it once".to_owned()),
    }
}

/// What stands behind a command that is to be typed again, if it read its scenario from standard input: where that came from, or that
/// it has to be there again.
pub(super) fn input(origin: &OsStr) -> String {
    if origin != STDIN {
        return String::new();
    }
    let file = fs::read_link(OPEN).ok().filter(|path| path.is_absolute() && path.is_file());
    file.map_or(" # the scenario on standard input again".to_owned(), |path| format!(" < {}", shell(path)))
}
