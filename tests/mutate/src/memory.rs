//! Where each fault was seen the last time: it is the place to look first.
//!
//! # Invariants
//! - What is remembered decides only where to look first: whoever counts a fault has seen it in this run.
//! - A line that is not understood is as good as none; the last line for a fault counts.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::sighting::{Detector, Sighting};

/// Where a fault was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// By a scenario, with this ID.
    Scenario(String),
    /// By a test, with this name.
    Test(String),
}

/// What is remembered of all faults, in a file.
#[derive(Debug)]
pub struct Memory {
    path: PathBuf,
    /// By the fault's key. It guards the file as well: whoever writes a line has it.
    seen: Mutex<BTreeMap<String, Hint>>,
}

impl Memory {
    /// Reads a file, which need not be there.
    pub fn read(path: &Path) -> Memory {
        let text = fs::read_to_string(path).unwrap_or_default();
        let seen = text.lines().filter_map(parse).collect();
        Memory { path: path.to_owned(), seen: Mutex::new(seen) }
    }

    /// Where a fault was seen last.
    pub fn hint(&self, key: &str) -> Option<Hint> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// Remembers where a fault was seen.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn note(&self, key: &str, sighting: &Sighting) -> Result<(), String> {
        let hint = match sighting.by {
            Detector::Test => Hint::Test(sighting.place.clone()),
            _ => Hint::Scenario(sighting.place.split(' ').next().unwrap_or_default().to_owned()),
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.get(key) == Some(&hint) {
            return Ok(());
        }
        let said = |e: std::io::Error| format!("{}: {e}", self.path.display());
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path).map_err(said)?;
        file.write_all(line(key, &hint).as_bytes()).map_err(said)?;
        seen.insert(key.to_owned(), hint);
        Ok(())
    }
}

fn line(key: &str, hint: &Hint) -> String {
    match hint {
        Hint::Scenario(id) => format!("{key}\tscenario\t{id}\n"),
        Hint::Test(name) => format!("{key}\ttest\t{name}\n"),
    }
}

fn parse(line: &str) -> Option<(String, Hint)> {
    let mut parts = line.split('\t');
    let (key, kind, place) = (parts.next()?, parts.next()?, parts.next()?);
    let hint = match kind {
        "scenario" => Hint::Scenario(place.to_owned()),
        "test" => Hint::Test(place.to_owned()),
        _ => return None,
    };
    Some((key.to_owned(), hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_the_last_line_counts() {
        let hints = [Hint::Scenario("healthy".to_owned()), Hint::Test("class_ts::x".to_owned())];
        for hint in hints {
            assert_eq!(
                parse(line("a: `b` -> `c`", &hint).trim_end()),
                Some(("a: `b` -> `c`".to_owned(), hint))
            );
        }
        assert_eq!(parse("a key and nothing else"), None);
        let lines = ["k\tscenario\ta", "k\tscenario\tb"];
        let seen: BTreeMap<String, Hint> = lines.into_iter().filter_map(parse).collect();
        assert_eq!(seen["k"], Hint::Scenario("b".to_owned()));
    }
}
