//! Which scenario and which test comes to the place of which fault.
//!
//! The simulator repeats itself. So a run without a fault tells of every fault at once whether the run comes to its place; where it
//! does not, the same run with the fault is the same run, and need not be made.
//!
//! # Invariants
//! - What is not known to come to a place is not said to.
//! - What was noted of another build is not believed: a file begins with when the program was built, and with how it was run.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::UNIX_EPOCH;

/// The places that each of some runs comes to, as the numbers of their faults.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Cover {
    runs: BTreeMap<String, Vec<u32>>,
}

impl Cover {
    /// True if a run comes to the place of a fault.
    pub fn reaches(&self, run: &str, fault: u32) -> bool {
        self.runs.get(run).is_some_and(|faults| faults.binary_search(&fault).is_ok())
    }

    /// The runs that come to the place of a fault.
    pub fn of(&self, fault: u32) -> impl Iterator<Item = &str> {
        self.runs.keys().filter(move |run| self.reaches(run, fault)).map(String::as_str)
    }

    /// Adds a run, with the bytes of the file in which a program has noted its places.
    pub fn add(&mut self, run: &str, noted: &[u8]) {
        let (numbers, _) = noted.as_chunks::<4>();
        let mut faults: Vec<u32> = numbers.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect();
        faults.sort_unstable();
        self.runs.insert(run.to_owned(), faults);
    }

    /// What was written of this program's runs; none if that was another build of it, or other runs.
    pub fn read(path: &Path, stamp: &str) -> Option<Cover> {
        let text = fs::read_to_string(path).ok()?;
        let mut lines = text.lines();
        if lines.next() != Some(stamp) {
            return None;
        }
        let mut cover = Cover::default();
        for line in lines {
            let mut words = line.split(' ');
            let run = words.next()?.to_owned();
            cover.runs.insert(run, words.map(|word| word.parse().ok()).collect::<Option<_>>()?);
        }
        Some(cover)
    }

    /// Writes it for the next time.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn write(&self, path: &Path, stamp: &str) -> Result<(), String> {
        let mut text = format!("{stamp}\n");
        for (run, faults) in &self.runs {
            text += run;
            faults.iter().for_each(|fault| text += &format!(" {fault}"));
            text.push('\n');
        }
        fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))
    }
}

/// What tells a build of a program, and how it is run, from others.
pub fn stamp(program: &Path, how: &str) -> String {
    let built = fs::metadata(program).and_then(|about| about.modified()).ok();
    let ns = built.and_then(|at| at.duration_since(UNIX_EPOCH).ok()).map_or(0, |since| since.as_nanos());
    format!("{ns} {how}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_by_run_and_outlive_the_program_that_noted_them_but_not_the_next_build() {
        let mut cover = Cover::default();
        cover.add("healthy", &[7, 0, 0, 0, 2, 1, 0, 0, 9]);
        cover.add("crowd", &[7, 0, 0, 0]);
        assert!(cover.reaches("healthy", 258) && cover.reaches("healthy", 7) && !cover.reaches("crowd", 258));
        assert!(!cover.reaches("healthy", 9), "half a number is none");
        assert_eq!(cover.of(7).collect::<Vec<_>>(), ["crowd", "healthy"]);

        let folder = std::env::temp_dir().join(format!("umpire-cover-{}", std::process::id()));
        cover.write(&folder, "1 seeds").expect("the file can be written");
        assert_eq!(Cover::read(&folder, "1 seeds"), Some(cover));
        assert_eq!(Cover::read(&folder, "2 seeds"), None);
        let _ = fs::remove_file(&folder);
    }
}
