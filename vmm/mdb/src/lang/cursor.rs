//! A text, and where a reader is in it.
//!
//! # Invariants
//! - A cursor never leaves its text, and always stands at the beginning of a character.

use super::failure::Failure;

/// A reader's place.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'t> {
    text: &'t str,
    /// Bytes read.
    pub(super) at: usize,
}

impl<'t> Cursor<'t> {
    pub(super) fn new(text: &'t str) -> Cursor<'t> {
        Cursor { text, at: 0 }
    }

    /// What has not been read.
    pub(super) fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    /// What was read from `start` on.
    pub(super) fn since(&self, start: usize) -> &'t str {
        &self.text[start..self.at]
    }

    /// The next character.
    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Takes the next character.
    pub(super) fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    /// Takes `token` if it comes next.
    pub(super) fn take(&mut self, token: &str) -> bool {
        let is_next = self.rest().starts_with(token);
        if is_next {
            self.at += token.len();
        }
        is_next
    }

    /// Takes characters as long as they are of a kind.
    pub(super) fn take_while(&mut self, is_one: impl Fn(char) -> bool) -> &'t str {
        let start = self.at;
        while self.peek().is_some_and(&is_one) {
            self.next();
        }
        self.since(start)
    }

    /// Takes blanks, and a comment up to the end of its line.
    pub(super) fn skip_blanks(&mut self) {
        self.take_while(|c| c == ' ' || c == '\t' || c == '\r');
        if self.rest().starts_with("//") {
            self.take_while(|c| c != '\n');
        }
    }

    /// A failure of the next character.
    pub(super) fn unexpected(&self, expected: &str) -> Failure {
        let (found, len) = match self.peek() {
            Some('\n') | None => ("the end of the line".to_owned(), 1),
            Some(c) => (format!("`{c}`"), c.len_utf8()),
        };
        Failure::at(self.at..self.at + len, format!("syntax error: expected {expected}, found {found}"))
    }
}
