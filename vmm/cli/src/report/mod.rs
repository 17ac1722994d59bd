//! What a run leaves behind for others: pages, and files for what runs tests.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | what was asked for, and what every run adds to it |
//! | `page.rs` | `--report DIR`: an index page, and of each run its recording and its timeline |
//! | `junit.rs`, `tap.rs`, `markdown.rs` | `--junit`, `--tap`, `--markdown` |
//!
//! # Invariants
//! - Every file is created before anything is run that would be lost, and written when all runs are over, or were interrupted.
//! - A run that was inconclusive, or interrupted, has neither passed nor failed, in any of the files.
//! - What was asked for and not run is in every file, as something that did not pass.

mod junit;
mod markdown;
mod page;
mod tap;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use umpire_machine::signals;

pub(super) use page::INDEX;

use super::args::RunArgs;
use super::output;
use crate::verdict;
use umpire_referee::{Outcome, VariantReport};
use umpire_rows::number::rounded;
use umpire_rows::text::printable;

/// What is to be left behind.
#[derive(Default)]
pub(super) struct Reports {
    dir: Option<PathBuf>,
    files: Vec<(PathBuf, File, Render)>,
    names: BTreeSet<String>,
    results: Results,
}

/// Writes all results into a file.
type Render = fn(&Results, &mut dyn Write) -> io::Result<()>;

/// What came of everything that was asked for.
#[derive(Default)]
pub(super) struct Results {
    runs: Vec<Told>,
    missing: Vec<Missing>,
}

/// Which of a run's cells is its outcome.
const OUTCOME: usize = 4;

/// How often is looked whether the writing of a page was interrupted.
const POLL: Duration = Duration::from_millis(20);

/// What was asked for and not run.
pub(super) struct Missing {
    /// A scenario's file, or a variant: `i1532 kpreemptpri=100`.
    title: String,
    why: String,
}

impl Results {
    /// `5 of 6 runs as expected`.
    fn told(&self) -> String {
        let passed = self.runs.iter().filter(|told| told.report.outcome == Outcome::Pass).count();
        format!("{passed} of {} runs as expected", self.runs.len() + self.missing.len())
    }
}

/// A run, as it is told.
#[derive(Clone)]
pub(super) struct Told {
    /// What its files are called, without an ending.
    pub(super) name: String,
    /// `i1532 kpreemptpri=100`, with a seed if it is one of several.
    pub(super) title: String,
    /// What came of it.
    pub(super) report: VariantReport,
    /// What there is to say about it, without colours.
    pub(super) details: String,
    /// What of it stands on the index page of a report.
    pub(super) part: String,
}

impl Told {
    /// What a row of a table has of it: scenario, variant, expectation, what was observed, outcome, the bound that came nearest to its
    /// limit, and what the host kept.
    fn cells(&self) -> [String; 7] {
        let report = &self.report;
        [
            report.scenario.clone(),
            report.variant.clone(),
            report.expect.as_str().to_owned(),
            report.observed.as_str().to_owned(),
            report.outcome.as_str().to_owned(),
            verdict::nearest(report).unwrap_or_else(|| "-".to_owned()),
            rounded(report.steal_ns),
        ]
    }

    /// In one line why it did not pass.
    fn reason(&self) -> String {
        let first = self.report.why.first().map(|why| printable(why).replace('\n', " "));
        first.unwrap_or_else(|| {
            format!("{} where {} was expected", self.report.observed.as_str(), self.report.expect.as_str())
        })
    }
}

impl Reports {
    /// What the arguments ask for; its files and folder are made.
    ///
    /// # Errors
    /// A sentence, if one of them cannot be.
    pub(super) fn of(args: &RunArgs) -> Result<Reports, String> {
        let mut reports = Reports::default();
        if let Some(dir) = &args.report {
            if dir.exists() && !dir.is_dir() {
                return Err(format!(
                    "cannot write a report into {}: it is no folder; give --report a folder that can be written",
                    dir.display()
                ));
            }
            let index = dir.join(INDEX);
            let made =
                fs::create_dir_all(dir).and_then(|()| page::forget(dir)).and_then(|()| File::create(index));
            let file = made.map_err(|cause| {
                format!(
                    "cannot write a report into {}: {cause}; give --report a folder that can be written",
                    dir.display()
                )
            })?;
            reports.files.push((dir.join(INDEX), file, page::index));
            reports.dir = Some(dir.clone());
        }
        let asked: [(&str, &Option<PathBuf>, Render); 3] = [
            ("--junit", &args.junit, junit::write),
            ("--tap", &args.tap, tap::write),
            ("--markdown", &args.markdown, markdown::write),
        ];
        for (flag, path, write) in asked {
            let Some(path) = path else { continue };
            let file = output::create(path).map_err(|cause| {
                format!("cannot write {}: {cause}; give {flag} a path that can be written", path.display())
            })?;
            reports.files.push((path.clone(), file, write));
        }
        Ok(reports)
    }

    /// The name of a run's files, and where its recording goes, if a report wants one.
    pub(super) fn name(
        &mut self,
        scenario: &str,
        variant: &str,
        run: Option<&str>,
    ) -> (String, Option<PathBuf>) {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "._-=+".contains(c) { c } else { '_' };
        let run = run.map(|run| format!(".{run}")).unwrap_or_default();
        let wanted: String = format!("{scenario}.{variant}{run}").chars().map(plain).collect();
        let mut name = wanted.clone();
        let mut n = 1;
        while !self.names.insert(name.clone()) {
            n += 1;
            name = format!("{wanted}-{n}");
        }
        let recording = self.dir.as_ref().map(|dir| dir.join(format!("{name}.rec")));
        (name, recording)
    }

    /// Adds a run that is over: its pages are written now, unless a signal comes meanwhile.
    ///
    /// # Errors
    /// A sentence, if they cannot be.
    pub(super) fn add(
        &mut self,
        name: String,
        run: Option<&str>,
        report: &VariantReport,
    ) -> Result<(), String> {
        if self.files.is_empty() {
            return Ok(());
        }
        let details = anstream::adapter::strip_str(&verdict::details(report)).to_string();
        let run = run.map(|run| format!(" {run}")).unwrap_or_default();
        let title = format!("{} {}{run}", printable(&report.scenario), printable(&report.variant));
        let mut report = report.clone();
        if report.interrupted && report.outcome == Outcome::Pass {
            report.outcome = Outcome::Inconclusive;
            report.why.insert(0, format!("it was interrupted after {}", rounded(report.run_ns)));
        }
        let mut told = Told { name, title, report, details, part: String::new() };
        let part = self.dir.as_deref().map_or(Ok(String::new()), |dir| part(dir, &told));
        let part = part.map(|part| told.part = part);
        self.results.runs.push(told);
        part
    }

    /// Adds something that was asked for and not run.
    pub(super) fn add_missing(&mut self, title: &str, why: &str) {
        self.results
            .missing
            .push(Missing { title: printable(title).into_owned(), why: printable(why).into_owned() });
    }

    /// True if a variant has been run at all.
    pub(super) fn has(&self, scenario: &str, variant: &str) -> bool {
        self.results
            .runs
            .iter()
            .any(|told| told.report.scenario == scenario && told.report.variant == variant)
    }

    /// Writes the files. Returns where they are.
    ///
    /// # Errors
    /// A sentence, if one cannot be written.
    pub(super) fn end(self) -> Result<Vec<PathBuf>, String> {
        let mut written = Vec::new();
        for (path, mut file, write) in self.files {
            let done = write(&self.results, &mut file).and_then(|()| file.flush());
            done.map_err(|cause| told_failure(&path, &cause))?;
            written.push(path);
        }
        Ok(written)
    }
}

/// Writes a run's pages, and says what stands of them on the index page. The first signal that comes meanwhile ends that: a page may
/// take minutes. One that has ended the run itself has done what it was for.
fn part(dir: &Path, told: &Told) -> Result<String, String> {
    if signals::interrupted() {
        return page::run(dir, told);
    }
    let (folder, of) = (dir.to_owned(), told.clone());
    let written = unless(signals::interrupted, move || page::run(&folder, &of));
    match written.map_err(|cause| format!("cannot write the report of {}: {cause}", told.title))? {
        Some(part) => part,
        None => Ok(page::unwritten(dir, told)),
    }
}

/// What comes of work, unless it is over before: the work then goes on for as long as the process does, and nobody hears of it.
fn unless<T: Send + 'static>(
    is_over: impl Fn() -> bool,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<Option<T>> {
    let (tell, told) = mpsc::channel();
    let worker = thread::Builder::new().name("pages".to_owned()).spawn(move || {
        // Nobody may listen any more.
        let _unheard = tell.send(work());
    })?;
    loop {
        match told.recv_timeout(POLL) {
            Ok(done) => return Ok(Some(done)),
            Err(RecvTimeoutError::Timeout) if is_over() => return Ok(None),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                let panic = worker.join().expect_err("invariant: who ends without a word has panicked");
                std::panic::resume_unwind(panic)
            }
        }
    }
}

fn told_failure(path: &Path, cause: &io::Error) -> String {
    format!("cannot write {}: {cause}", path.display())
}

#[cfg(test)]
mod tests;
