//! What can be wrong with a scenario, and where: file, line, column, the line itself, what was expected.
//!
//! # Invariants
//! - A fault points into the text it is about: its line is a line of the file, its caret is under that line.
//! - What a message quotes from a file is stripped of control characters, so that it cannot drive a terminal.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

/// Why there is no scenario.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The file cannot be read.
    #[error("cannot read the scenario file {}: {cause}; give a path to a readable file, or an ID that `umpire list` shows", path.display())]
    Read {
        /// The path as given.
        path: PathBuf,
        /// What the operating system said.
        cause: std::io::Error,
    },
    /// The file is not a scenario.
    #[error("{0}")]
    Fault(Box<Fault>),
    /// No built-in scenario has this ID.
    #[error(
        "there is no scenario `{id}`{hint}; `umpire list` shows them all, and a path (with a `/` or ending in .toml) names a file"
    )]
    Unknown {
        /// The ID as given.
        id: String,
        /// "; did you mean ...?", or nothing.
        hint: String,
    },
}

impl From<Box<Fault>> for ScenarioError {
    fn from(fault: Box<Fault>) -> Self {
        ScenarioError::Fault(fault)
    }
}

/// One mistake at one place of a scenario file.
///
/// Displayed as `file:line:column: message`, the offending line with a caret, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Fault {
    /// The file's name, as given.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What was found, and what was expected.
    pub message: String,
    /// What to write instead; may be empty.
    pub help: String,
    excerpt: String,
    caret: Range<usize>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        let indent = " ".repeat(self.caret.start);
        let carets = "^".repeat(self.caret.len());
        writeln!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        writeln!(f, "{margin} |")?;
        writeln!(f, "{number} | {}", self.excerpt)?;
        write!(f, "{margin} | {indent}{carets}")?;
        if !self.help.is_empty() {
            write!(f, "\n{margin} = {}", self.help)?;
        }
        Ok(())
    }
}

/// A scenario file's text and name: what turns a span into a [`Fault`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'t> {
    /// The file's name, as given.
    pub file: &'t str,
    /// All of it.
    pub text: &'t str,
}

/// Characters of an offending line that are shown; what is longer is cut around the caret.
const EXCERPT: usize = 100;

impl Text<'_> {
    /// A fault at a byte range of the text, which may lie anywhere (it is brought inside).
    pub fn fault(&self, span: Range<usize>, message: impl Into<String>) -> Box<Fault> {
        let start = self.boundary(span.start);
        let end = self.boundary(span.end.max(span.start));
        let line_start = self.text[..start].rfind('\n').map_or(0, |n| n + 1);
        let line_end = self.text[start..].find('\n').map_or(self.text.len(), |n| start + n);
        let before = self.text[line_start..start].chars().count();
        let marked = self.text[start..end.min(line_end).max(start)].chars().count().max(1);
        let line: Vec<char> = self.text[line_start..line_end].trim_end_matches('\r').chars().collect();
        let first = if before < EXCERPT - 20 { 0 } else { before - EXCERPT / 2 };
        let last = line.len().min(first + EXCERPT);
        let excerpt = line.get(first..last).unwrap_or_default().iter().map(|&c| printable(c)).collect();
        let at = before - first;
        Box::new(Fault {
            file: self.file.to_owned(),
            line: self.text[..line_start].matches('\n').count() + 1,
            column: before + 1,
            message: message.into(),
            help: String::new(),
            excerpt,
            caret: at..(at + marked).min(EXCERPT).max(at + 1),
        })
    }

    fn boundary(&self, at: usize) -> usize {
        let mut at = at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }
}

impl Fault {
    /// The same fault, saying what to write instead.
    pub(super) fn help(mut self: Box<Self>, help: impl Into<String>) -> Box<Fault> {
        self.help = help.into();
        self
    }
}

/// Text from a file, made fit to be shown: control characters are replaced, and it is no longer than a name should be.
pub(super) fn quoted(text: &str) -> String {
    let mut out: String = text.chars().take(60).map(printable).collect();
    if text.chars().nth(60).is_some() {
        out.push('…');
    }
    out
}

fn printable(c: char) -> char {
    match c {
        '\t' => ' ',
        c if c.is_control()
            || ('\u{200e}'..='\u{202e}').contains(&c)
            || ('\u{2066}'..='\u{2069}').contains(&c) =>
        {
            '\u{fffd}'
        }
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: Text<'static> = Text { file: "a.toml", text: "id = 1\nsét = 2\r\n" };

    #[test]
    fn fault_in_second_line_shows_line_column_and_caret() {
        let fault = TEXT.fault(8..9, "found `é`");
        assert_eq!(
            fault.help("write `set`").to_string(),
            "a.toml:2:2: found `é`\n  |\n2 | sét = 2\n  |  ^\n  = write `set`"
        );
    }

    #[test]
    fn fault_at_any_range_stays_inside_the_text() {
        for start in 0..40 {
            for end in 0..40 {
                let fault = TEXT.fault(start..end, "x");
                assert!(fault.line >= 1 && fault.line <= 3, "{fault:?}");
                assert!(!fault.caret.is_empty(), "{fault:?}");
            }
        }
    }

    #[test]
    fn fault_in_a_long_line_is_cut_around_the_caret() {
        let text = format!("{}X{}", "a".repeat(500), "b".repeat(500));
        let fault = Text { file: "f", text: &text }.fault(500..501, "here");
        let shown = fault.to_string();
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(fault.column, 501);
        assert_eq!(lines[2].chars().count(), 4 + EXCERPT);
        assert_eq!(lines[2].find('X'), lines[3].find('^'));
    }

    #[test]
    fn control_characters_in_the_line_are_not_passed_on() {
        let fault = Text { file: "f", text: "a\u{1b}[2Jb" }.fault(0..1, "x");
        assert!(!fault.to_string().contains('\u{1b}'));
    }
}
