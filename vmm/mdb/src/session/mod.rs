//! A session: statements carried out one after the other, over one view or one recording.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | what lasts from one statement to the next: dot, variables, the last command |
//! | `pipeline.rs` | a statement: its calls, and what goes from one command to the next |
//! | `log.rs` | what was typed and what came back, in a file |
//! | `output.rs` | rows as text or JSON, to a stream or to the shell |
//! | `complete.rs` | how the word at the end of a line may go on |
//!
//! # Invariants
//! - An error ends the text that was typed; what was printed before it stays.
//! - `::eval` within `::eval` is bounded.

mod complete;
mod log;
mod output;
mod pipeline;

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

pub use output::{Output, Style, Trust};

use crate::lang::{Command, Expr, Failure, Meaning, Width, evaluate, parse};
use crate::source::Source;
use umpire_watch::glass::Asking;

/// Texts within texts that `::eval` may evaluate.
const MAX_EVAL: usize = 16;

/// What the debugger asks with, until `::set -P`.
const PROMPT: &str = "> ";
/// The variable with the number of the CPU whose registers `<rip` and its like are.
const CPU: &str = "cpu";

/// A session.
pub struct Session<'v> {
    source: Source<'v>,
    dot: u64,
    /// Bytes that the last command took, which the next one goes on behind.
    increment: u64,
    variables: BTreeMap<String, u64>,
    last: Option<Vec<Command>>,
    is_interactive: bool,
    is_over: bool,
    depth: usize,
    repeats_last: bool,
    prompt: String,
    log: Option<Rc<log::Log>>,
}

impl<'v> Session<'v> {
    /// A session over a view or a recording. In an interactive one a naked expression repeats the last command there.
    pub fn new(source: impl Into<Source<'v>>, is_interactive: bool) -> Session<'v> {
        let defaults = ["0", "1", "2", "9", "b", CPU, "d", "e", "hits", "m", "t", "thread", "_"];
        let variables = defaults.iter().map(|name| ((*name).to_owned(), 0)).collect();
        Session {
            source: source.into(),
            dot: 0,
            increment: 0,
            variables,
            last: None,
            is_interactive,
            is_over: false,
            depth: 0,
            repeats_last: false,
            prompt: PROMPT.to_owned(),
            log: None,
        }
    }

    /// True once `::quit` has been asked for.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// No more is to be read.
    pub(crate) fn end(&mut self) {
        self.is_over = true;
    }

    /// What is looked at.
    pub fn source(&self) -> Source<'v> {
        self.source
    }

    /// Variables and their values, by name.
    pub fn variables(&self) -> impl Iterator<Item = (&str, u64)> {
        self.variables.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// Sets a variable; `.` is one too.
    pub fn set(&mut self, name: &str, value: u64) {
        if name == "." {
            self.dot = value;
        } else {
            self.variables.insert(name.to_owned(), value);
        }
    }

    /// What the debugger asks with.
    pub fn prompt(&self) -> &str {
        &self.prompt
    }

    pub(crate) fn set_prompt(&mut self, prompt: &str) {
        prompt.clone_into(&mut self.prompt);
    }

    /// True if an empty line repeats the last command.
    pub(crate) fn repeats_last(&self) -> bool {
        self.repeats_last
    }

    pub(crate) fn set_repeats_last(&mut self, repeats: bool) {
        self.repeats_last = repeats;
    }

    /// Carries out what was typed: one line or several.
    ///
    /// # Errors
    /// [`Failure`] of the first statement that fails; the ones behind it are not carried out.
    pub fn run(&mut self, text: &str, output: &mut Output<'_>) -> Result<(), Failure> {
        let Some(log) = self.log.clone() else { return self.carried_out(text, output) };
        let failed = |e| Failure::new(format!("failed to write the log: {e}; ::log -d ends it"));
        let mut tee = log.line(text, &self.prompt, output.to).map_err(failed)?;
        let mut both = Output { to: &mut tee, style: output.style, requires_clean: output.requires_clean };
        let result = self.carried_out(text, &mut both);
        if let Err(failure) = &result {
            log.error(&failure.told(text));
        }
        result
    }

    fn carried_out(&mut self, text: &str, output: &mut Output<'_>) -> Result<(), Failure> {
        if text.trim().is_empty() && self.repeats_last && self.last.is_some() {
            return self.again(output);
        }
        for statement in parse(text)? {
            self.statement(&statement, output)?;
        }
        Ok(())
    }

    /// What an expression is worth here and now.
    ///
    /// # Errors
    /// [`Failure`] with the place of what has no value.
    pub fn value(&self, of: &Expr) -> Result<u64, Failure> {
        evaluate(of, self)
    }

    /// What a text is worth as an expression.
    ///
    /// # Errors
    /// [`Failure`] if it is none. Its places are those in `text`.
    pub fn value_of(&self, text: &str) -> Result<u64, Failure> {
        match &parse(text)?[..] {
            [one] if one.pipeline.is_empty() && one.count.is_none() && one.shell.is_none() => match &one.addr
            {
                Some(expr) => self.value(expr),
                None => Err(Failure::new(format!("`{text}` is no expression"))),
            },
            _ => Err(Failure::new(format!("`{text}` is no expression"))),
        }
    }
}

impl Session<'_> {
    /// `<rip` and its like: a register of the CPU whose number the variable `cpu` has.
    fn register(&self, name: &str) -> Option<u64> {
        let cpu = self.variables.get(CPU).copied().unwrap_or(0);
        let all = self.source.guest().ok()?.registers(u32::try_from(cpu).ok()?, Asking::Still).ok()?;
        all.named().find(|(register, _)| *register == name).map(|(_, value)| value)
    }
}

impl Meaning for Session<'_> {
    fn dot(&self) -> u64 {
        self.dot
    }

    fn symbol(&self, name: &str) -> Result<u64, Failure> {
        match self.source {
            Source::Guest(view) => view.symbol(name),
            Source::Recording(recorded) => recorded.thread_named(name),
        }
    }

    fn variable(&self, name: &str) -> Option<u64> {
        if name == "." {
            return Some(self.dot);
        }
        self.variables.get(name).copied().or_else(|| self.register(name))
    }

    fn fetch(&self, addr: u64, width: Width) -> Result<u64, Failure> {
        self.source.guest()?.number(addr, width.bytes())
    }

    fn fetch_object(&self, addr: u64, width: Width) -> Result<u64, Failure> {
        let mut raw = [0; 8];
        if self.source.guest()?.image().bytes_at(addr, &mut raw[..width.bytes()]) {
            return Ok(u64::from_le_bytes(raw));
        }
        Err(Failure::new(format!("failed to read data from the image: it has none at {addr:#x}")))
    }
}

impl fmt::Debug for Session<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("source", &self.source)
            .field("dot", &self.dot)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod noise_tests;
