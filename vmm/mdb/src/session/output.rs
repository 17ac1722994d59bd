//! Rows as text or as JSON, to a stream or to the shell.
//!
//! # Invariants
//! - What could not be read consistently, or is incomplete, is said: in text a line behind the rows, in JSON a key of each row.

use std::io::{self, Write};
use std::process::{Command, Stdio};

use umpire_rows::Value;
use umpire_rows::text::printable;
use umpire_watch::glass::Verdict;

use crate::answer::{Answer, Row};
use crate::lang::Failure;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// For people.
    Text,
    /// One JSON object a row.
    Json,
}

/// How far rows can be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    /// In a word, for machines: `clean`.
    pub word: String,
    /// What is to be doubted, if something is.
    pub doubt: Option<String>,
}

impl From<Verdict> for Trust {
    fn from(verdict: Verdict) -> Trust {
        let doubt = || format!("{verdict}: the guest changed what was read meanwhile");
        Trust { word: verdict.to_string(), doubt: (!verdict.is_trusted()).then(doubt) }
    }
}

/// Where rows go, and how.
pub struct Output<'o> {
    /// Where to.
    pub to: &'o mut dyn Write,
    /// How.
    pub style: Style,
    /// True if rows that are torn, stale or incomplete are a failure.
    pub requires_clean: bool,
}

impl Output<'_> {
    /// Writes the answers of one command; `command` names it for machines.
    pub(super) fn answers(
        &mut self,
        command: &str,
        answers: &[Answer],
        trust: &Trust,
    ) -> Result<(), Failure> {
        let schema = format!("umpire.mdb.{}/1", command.trim_start_matches([':', '$']));
        self.all(&schema, answers, trust)
    }

    /// Writes one answer; `schema` is the name of its contract with machines.
    ///
    /// # Errors
    /// [`Failure`] if the stream takes no more, or if what was read is not consistent and that is asked for.
    pub fn answer(&mut self, schema: &str, answer: &Answer, trust: &Trust) -> Result<(), Failure> {
        self.all(schema, std::slice::from_ref(answer), trust)
    }

    fn all(&mut self, schema: &str, answers: &[Answer], trust: &Trust) -> Result<(), Failure> {
        let text = match self.style {
            Style::Text => as_text(answers, trust),
            Style::Json => as_json(schema, answers, trust),
        };
        self.write(&text)?;
        self.check(trust)
    }

    /// Fails if what was read is to be doubted, and more is asked for.
    fn check(&self, trust: &Trust) -> Result<(), Failure> {
        if self.requires_clean && trust.doubt.is_some() {
            let word = &trust.word;
            return Err(Failure::new(format!("what was read is {word}, and --require clean asks for more")));
        }
        Ok(())
    }

    /// Gives the answers to a shell command as its input, and its output to the stream.
    pub(super) fn shell(&mut self, command: &str, answers: &[Answer], trust: &Trust) -> Result<(), Failure> {
        let failed = |e: io::Error| Failure::new(format!("failed to run the shell command `{command}`: {e}"));
        self.to.flush().map_err(|e| gone(&e))?;
        let mut child = Command::new("/bin/sh")
            .args(["-c", command])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let input = as_text(answers, trust);
        let mut stdin = child.stdin.take();
        // A command may end before it has read everything, as head does; and it may write before, so a thread feeds it.
        let feeder =
            std::thread::spawn(move || stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes())));
        let output = child.wait_with_output().map_err(failed)?;
        let _ended_early = feeder.join();
        self.write(&String::from_utf8_lossy(&output.stdout))?;
        if output.status.success() {
            return self.check(trust);
        }
        Err(Failure::new(format!("the shell command `{command}` failed: {}", output.status)))
    }

    fn write(&mut self, text: &str) -> Result<(), Failure> {
        self.to.write_all(text.as_bytes()).map_err(|e| gone(&e))
    }
}

/// The failure of a stream that takes no more.
fn gone(e: &io::Error) -> Failure {
    Failure::new(format!("failed to write the result: {e}"))
}

fn as_text(answers: &[Answer], trust: &Trust) -> String {
    let rows = answers.iter().flat_map(|answer| &answer.rows);
    let mut text = String::with_capacity(rows.map(|row| row.text.len() + 1).sum::<usize>() + 256);
    let mut line = |line: &str| {
        // A tab is a column of its own in what `kstat -p` prints, and harmless on any terminal.
        for (n, part) in line.split('\t').enumerate() {
            text += if n > 0 { "\t" } else { "" };
            text += &printable(part);
        }
        text.push('\n');
    };
    if let Some(header) = answers.iter().find_map(|a| a.header.as_ref()).filter(|_| has_rows(answers)) {
        line(header);
    }
    answers.iter().flat_map(|answer| &answer.rows).for_each(|row| line(&row.text));
    if let Some(doubt) = &trust.doubt {
        line(&format!("({doubt})"));
    }
    text
}

fn has_rows(answers: &[Answer]) -> bool {
    answers.iter().any(|answer| !answer.rows.is_empty())
}

fn as_json(schema: &str, answers: &[Answer], trust: &Trust) -> String {
    let line = |row: &Row| {
        let schema = ("schema", schema.into());
        let data = row.data.iter().filter(|(key, _)| *key != "schema").cloned();
        let record = std::iter::once(schema).chain(data).chain([("verdict", trust.word.as_str().into())]);
        let record = Value::Record(record.collect());
        serde_json::to_string(&record).expect("invariant: values of strings, numbers and lists become JSON")
            + "\n"
    };
    // A row without data, a heading within a table, is for people only.
    let rows = answers.iter().flat_map(|answer| &answer.rows);
    rows.filter(|row| !row.data.is_empty()).map(line).collect()
}

impl std::fmt::Debug for Output<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output").field("style", &self.style).finish_non_exhaustive()
    }
}
