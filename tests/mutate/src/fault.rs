//! A fault: one small change of the kernel, and the place where it can be made.
//!
//! # Invariants
//! - A fault's key is made of its file, function, operator and text, and of a number among those that share all four. Lines are not
//!   in it: a file that names faults stays true when code moves.
//! - Places nest or are apart; none overlaps another in part.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

/// Most characters of a piece of source in a key.
const KEY_TEXT: usize = 70;

/// What kind of change a fault is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operator {
    /// A function returns at once, with a constant if it has a result.
    Body,
    /// Another operator between two operands.
    Binary,
    /// A `!` or `-` that is not there.
    Negation,
    /// A number that is one off, or the other truth value.
    Constant,
    /// A condition that is always true or always false.
    Condition,
    /// The guard of a match arm is always true or always false, or the arm is never taken.
    Guard,
    /// A statement that is not there: a call, an assignment, a loop, a branch.
    Deleted,
    /// A `return`, `break` or `continue` that is not there.
    NoExit,
    /// The other of two: front and back, first and last, `min` and `max`, something and nothing.
    Swapped,
    /// Written by hand.
    Named,
}

impl Operator {
    /// Its name in keys and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Operator::Body => "body",
            Operator::Binary => "binary",
            Operator::Negation => "negation",
            Operator::Constant => "constant",
            Operator::Condition => "condition",
            Operator::Guard => "guard",
            Operator::Deleted => "deleted",
            Operator::NoExit => "no exit",
            Operator::Swapped => "swapped",
            Operator::Named => "named",
        }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How the text at a place can be made to depend on a choice. The order is that of nesting where two places are the same text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shape {
    /// The empty text at the beginning of a function's body; a fault is a statement there.
    Entry,
    /// Whole statements.
    Statements,
    /// An expression.
    Expression,
    /// The empty text between a match arm's pattern and its arrow; a fault is that the arm is not taken.
    NewGuard,
}

/// A place in a file, as the operators find it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// The bytes of the file.
    pub range: Range<usize>,
    /// What they are.
    pub shape: Shape,
    /// The function around it, with its type: `Disp::insert`.
    pub function: String,
    /// What can stand there instead.
    pub faults: Vec<Change>,
}

/// What can stand at a place instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What kind of change it is.
    pub operator: Operator,
    /// The text; empty for a deletion.
    pub text: String,
    /// Its name, if it was written by hand.
    pub name: Option<String>,
}

impl Change {
    /// A change that an operator makes.
    pub fn new(operator: Operator, text: impl Into<String>) -> Change {
        Change { operator, text: text.into(), name: None }
    }
}

/// A change at a place of the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Its number in the build that has them all; 0 is no fault.
    pub id: u32,
    /// Its file, from the kernel's source folder.
    pub file: String,
    /// The function that it is in.
    pub function: String,
    /// The line, from 1.
    pub line: usize,
    /// The place's bytes.
    pub range: Range<usize>,
    /// What the place is.
    pub shape: Shape,
    /// What stands there instead.
    pub change: Change,
    /// What names it for good.
    pub key: String,
}

impl Fault {
    /// The part of the kernel that it is in: a folder, or the floor on which a file without a folder stands.
    pub fn area(&self) -> &str {
        match self.file.split_once('/') {
            Some((folder, _)) => folder,
            None => match self.file.as_str() {
                "spl.rs" => "lock",
                "kstat.rs" | "mstate.rs" | "probe.rs" => "mstate",
                "cpucaps.rs" => "class",
                _ => "boot",
            },
        }
    }

    /// Its name, or else its key.
    pub fn title(&self) -> &str {
        self.change.name.as_deref().unwrap_or(&self.key)
    }

    /// The lines that it changes: as they are with `-` in front, as they would be with `+`.
    pub fn diff(&self, source: &str) -> String {
        let from = source[..self.range.start].rfind('\n').map_or(0, |at| at + 1);
        let to = source[self.range.end..].find('\n').map_or(source.len(), |at| self.range.end + at);
        let text = match self.shape {
            Shape::Entry => format!(" {}", self.change.text),
            Shape::NewGuard => " if false".to_owned(),
            _ => self.change.text.clone(),
        };
        let new = format!("{}{}{}", &source[from..self.range.start], text, &source[self.range.end..to]);
        let lines = |mark: char, text: &str| -> String {
            text.lines()
                .filter(|l| !l.trim().is_empty())
                .map(|l| format!("    {mark} {}\n", l.trim_end()))
                .collect()
        };
        lines('-', &source[from..to]) + &lines('+', &new)
    }
}

/// Makes faults of a file's places, without numbers.
pub fn faults_of(file: &str, source: &str, sites: &[Site]) -> Vec<Fault> {
    let mut seen: HashMap<String, u32> = HashMap::new();
    let mut all = Vec::new();
    for site in sites {
        for change in &site.faults {
            let was = shortened(&source[site.range.clone()]);
            let is = match site.shape {
                Shape::NewGuard => "if false".to_owned(),
                _ => shortened(&change.text),
            };
            let mut key = match &change.name {
                Some(name) => name.clone(),
                None => format!("{file} {}: {}: `{was}` -> `{is}`", site.function, change.operator),
            };
            let n = seen.entry(key.clone()).or_default();
            *n += 1;
            if *n > 1 {
                key = format!("{key} #{n}");
            }
            all.push(Fault {
                id: 0,
                file: file.to_owned(),
                function: site.function.clone(),
                line: 1 + source[..site.range.start].matches('\n').count(),
                range: site.range.clone(),
                shape: site.shape,
                change: change.clone(),
                key,
            });
        }
    }
    all
}

/// A piece of source on one line, its end left out if it is long.
fn shortened(text: &str) -> String {
    let code: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let words = code.join(" ").split_whitespace().collect::<Vec<_>>().join(" ");
    match words.char_indices().nth(KEY_TEXT) {
        Some((at, _)) => format!("{}...", &words[..at]),
        None => words,
    }
}
