//! Whether a filter can mean anybody, as far as that is known before a run.
//!
//! # Invariants
//! - Whom this calls nobody, no run can make somebody: priorities are inherited and CPUs change, so that any priority and any
//!   CPU that there is may be a thread's.

use umpire_shared::sys::disp::NPRI;

use super::{Test, ThreadFilter, column};

/// A thread that there will be.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// `t_name`.
    pub name: &'a str,
    /// The classes that it may be in, by their number a bit each.
    pub classes: u32,
}

/// The test of a filter that leaves nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nobody {
    /// Where its value stands, in characters from 1.
    pub column: usize,
    /// The filter as far as it goes, this test included.
    pub so_far: String,
    /// What it calls a thread by, if no thread at all is called that.
    pub unknown: Option<String>,
}

impl ThreadFilter {
    /// Looks among the threads, on so many CPUs, for one that is meant.
    ///
    /// # Errors
    /// [`Nobody`] with the first test that leaves none.
    pub fn find(&self, threads: &[Candidate<'_>], cpus: u32) -> Result<(), Nobody> {
        let mut left = threads.to_vec();
        let mut pris: Vec<i64> = (0..NPRI as i64).collect();
        let mut places: Vec<Option<u32>> = (0..cpus).map(Some).chain([None]).collect();
        for placed in &self.tests {
            match &placed.test {
                Test::Pri(op, value) => pris.retain(|pri| op.holds(pri, value)),
                Test::Cpu(op, value) => places.retain(|&cpu| op.holds_for_cpu(cpu, *value)),
                Test::Class(op, value) => {
                    let fits = (0..u32::BITS).filter(|class| op.holds(class, value));
                    let fits = fits.fold(0, |bits, class| bits | 1 << class);
                    left.iter_mut().for_each(|thread| thread.classes &= fits);
                    left.retain(|thread| thread.classes != 0);
                }
                Test::Name(op, value) => left.retain(|thread| op.holds_for_name(thread.name, value)),
            }
            if left.is_empty() || pris.is_empty() || places.is_empty() {
                let unknown = match &placed.test {
                    Test::Name(op, value) => {
                        let is_known = threads.iter().any(|t| op.holds_for_name(t.name, value));
                        (!is_known).then(|| value.clone())
                    }
                    _ => None,
                };
                return Err(Nobody {
                    column: column(&self.text, placed.value.start),
                    so_far: self.text.get(..placed.value.end).unwrap_or_default().trim().to_owned(),
                    unknown,
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use umpire_shared::sys::class;

    const THREADS: [Candidate<'_>; 3] = [
        Candidate { name: "hog", classes: 1 << class::SYS },
        Candidate { name: "victim/0", classes: 1 << class::TS | 1 << class::FX },
        Candidate { name: "victim/1", classes: 1 << class::TS },
    ];

    #[track_caller]
    fn find(filter: &str) -> Result<(), Nobody> {
        ThreadFilter::parse(filter).expect("invariant: the test's filter is right").find(&THREADS, 2)
    }

    #[test]
    fn find_somebody_who_may_be_meant() {
        for filter in [
            "name == victim and class == FX",
            "name ^= vic and class != SYS and pri >= 99",
            "class == TS and cpu == 1 and cpu != 0",
            "pri == 169",
            "name != hog",
            "cpu != 0 and cpu != 1",
        ] {
            assert_eq!(find(filter), Ok(()), "{filter}");
        }
    }

    #[test]
    fn find_nobody_points_at_the_test_that_leaves_none() {
        for (filter, column, so_far, unknown) in [
            ("name == victm", 9, "name == victm", Some("victm")),
            (" name ^= \"é\" and pri > 1", 10, "name ^= \"é\"", Some("é")),
            ("name == hog and class == TS", 26, "name == hog and class == TS", None),
            ("class == TS and name == hog and pri > 1", 25, "class == TS and name == hog", None),
            ("class == TS and class == FX and name == hog", 26, "class == TS and class == FX", None),
            ("class == RT", 10, "class == RT", None),
            ("pri > 169", 7, "pri > 169", None),
            ("pri > 60 and pri < 60", 20, "pri > 60 and pri < 60", None),
            ("cpu == 2", 8, "cpu == 2", None),
        ] {
            let nobody = find(filter).expect_err(filter);
            let found = (nobody.column, nobody.so_far.as_str(), nobody.unknown.as_deref());
            assert_eq!(found, (column, so_far, unknown), "{filter}");
        }
    }
}
