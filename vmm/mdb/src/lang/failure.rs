//! Why something could not be done, and where in the text that asked for it.
//!
//! # Invariants
//! - A message says what was attempted and what was found, as mdb words it where mdb has words for it.

use std::fmt;
use std::ops::Range;

/// A place in a text, in bytes.
pub type Span = Range<usize>;

/// Why a command or an expression came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What went wrong, in a sentence without a full stop.
    pub message: String,
    /// Where in the line that was typed, if it is the fault of a place.
    pub at: Option<Span>,
}

impl Failure {
    /// A failure that no place of the text is to blame for.
    pub fn new(message: impl Into<String>) -> Failure {
        Failure { message: message.into(), at: None }
    }

    /// A failure of what stands at a place.
    pub fn at(span: Span, message: impl Into<String>) -> Failure {
        Failure { message: message.into(), at: Some(span) }
    }

    /// The same, blamed on this place unless a closer one is known.
    #[must_use]
    pub fn or_at(mut self, span: &Span) -> Failure {
        self.at.get_or_insert_with(|| span.clone());
        self
    }

    /// The lines that tell it: `mdb: ` and the message, then the line that was typed with a caret below the place.
    pub fn told(&self, line: &str) -> String {
        let mut text = format!("mdb: {}", self.message);
        if let Some((shown, column, width)) = self.at.as_ref().and_then(|at| pointed(line, at)) {
            text += &format!("\n  {shown}\n  {}{}", " ".repeat(column), "^".repeat(width));
        }
        text
    }
}

/// The line of `text` that the place is in, its column there and its width, in characters.
fn pointed<'t>(text: &'t str, at: &Span) -> Option<(&'t str, usize, usize)> {
    let (before, rest) = (text.get(..at.start)?, text.get(at.start..)?);
    let start = before.rfind('\n').map_or(0, |n| n + 1);
    let end = at.start + rest.find('\n').unwrap_or(rest.len());
    let place = text.get(at.start..at.end.min(end)).unwrap_or_default();
    Some((&text[start..end], text[start..at.start].chars().count(), place.chars().count().max(1)))
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}
