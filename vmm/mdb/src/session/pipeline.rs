//! A statement: its calls, and what goes from one command to the next.
//!
//! # Invariants
//! - A pipe carries values, one a row; a row that is worth none ends the statement with an error.
//! - One call that fails does not keep the others of a loop from being made; the statement fails after them.

use super::output::Output;
use super::{MAX_EVAL, Session};
use crate::answer::{Answer, Row};
use crate::call::{Call, Word};
use crate::dcmd::{self, Address, Dcmd, Run};
use crate::lang::{Arg, Command, Expr, Failure, FormatItem, Repeat, Statement, Verb, Width, parse};
use crate::memory::{self, From};
use crate::source::Source;

/// Times that a count may ask for.
const MAX_COUNT: u64 = 1 << 20;

/// What a command is applied to.
#[derive(Debug, Clone)]
enum Input {
    /// What was typed in front of it.
    Typed { addr: Option<u64>, count: Option<u64> },
    /// What the command before it gave. With a name each value goes into that variable instead of dot.
    Piped { values: Vec<u64>, name: Option<String> },
}

/// What came of a command: its answers, and the first failure.
#[derive(Debug, Default)]
struct Outcome {
    answers: Vec<Answer>,
    failure: Option<Failure>,
}

impl Outcome {
    fn take(&mut self, result: Result<Answer, Failure>, at: &std::ops::Range<usize>) {
        match result {
            Ok(mut answer) => {
                let ended = answer.ended.take();
                self.answers.push(answer);
                self.failed(ended.map(|failure| failure.or_at(at)));
            }
            Err(failure) => self.failed(Some(failure.or_at(at))),
        }
    }

    fn failed(&mut self, failure: Option<Failure>) {
        self.failure = self.failure.take().or(failure);
    }
}

impl Session<'_> {
    /// Carries out a statement.
    pub(super) fn statement(&mut self, of: &Statement, output: &mut Output<'_>) -> Result<(), Failure> {
        let addr = of.addr.as_ref().map(|expr| self.value(expr)).transpose()?;
        let count = of.count.as_ref().map(|expr| self.value(expr)).transpose()?;
        if let Some(addr) = addr {
            self.dot = addr;
        }
        let pipeline = match (&of.pipeline[..], &self.last) {
            ([], Some(last)) if addr.is_some() && self.is_interactive || count.is_some() => last.clone(),
            (given, _) => given.to_vec(),
        };
        if of.pipeline.is_empty() && addr.is_none() && count.is_some() {
            self.dot = self.dot.wrapping_add(self.increment);
        }
        self.source.begin();
        let outcome = match (pipeline.is_empty(), addr) {
            (false, _) => self.pipeline(&pipeline, addr, count)?,
            (true, _) => Outcome::default(),
        };
        let trust = self.source.trust();
        match &of.shell {
            Some(shell) => output.shell(shell, &outcome.answers, &trust)?,
            None => {
                let name = pipeline.last().map_or("", name_of);
                output.answers(name, &outcome.answers, &trust)?;
            }
        }
        if !of.pipeline.is_empty() {
            self.last = Some(of.pipeline.clone());
        }
        outcome.failure.map_or(Ok(()), Err)
    }

    /// Carries out the last command once more, where it left dot.
    pub(super) fn again(&mut self, output: &mut Output<'_>) -> Result<(), Failure> {
        let Some(pipeline) = self.last.clone() else { return Ok(()) };
        // A format goes on behind what it showed, as mdb's does; a command has taken nothing.
        self.dot = self.dot.wrapping_add(self.increment);
        self.statement(&Statement { addr: None, count: None, pipeline, shell: None, at: 0..0 }, output)
    }

    /// What a text is worth to a pipe, or comes to as rows: for `::eval`.
    pub(crate) fn evaluated(&mut self, text: &str) -> Result<Answer, Failure> {
        if self.depth >= MAX_EVAL {
            return Err(Failure::new(format!("::eval evaluates {MAX_EVAL} texts within each other at most")));
        }
        self.depth += 1;
        let result = self.evaluated_here(text);
        self.depth -= 1;
        result
    }

    fn evaluated_here(&mut self, text: &str) -> Result<Answer, Failure> {
        // Places in this text are not places in the line that was typed.
        let placeless = |failure: Failure| Failure::new(failure.message);
        let mut all = Answer::default();
        for statement in parse(text).map_err(placeless)? {
            if statement.shell.is_some() {
                return Err(Failure::new("::eval does not run the shell"));
            }
            let addr = statement.addr.as_ref().map(|expr| self.value(expr)).transpose().map_err(placeless)?;
            let count =
                statement.count.as_ref().map(|expr| self.value(expr)).transpose().map_err(placeless)?;
            if statement.pipeline.is_empty() {
                let value = addr.unwrap_or(self.dot);
                self.dot = value;
                all.rows.push(Row::address(value));
                continue;
            }
            let outcome = self.pipeline(&statement.pipeline, addr, count).map_err(placeless)?;
            for answer in outcome.answers {
                all.header = all.header.take().or(answer.header);
                all.rows.extend(answer.rows);
            }
            all.ended = all.ended.take().or(outcome.failure.map(placeless));
        }
        Ok(all)
    }

    fn pipeline(
        &mut self,
        commands: &[Command],
        addr: Option<u64>,
        count: Option<u64>,
    ) -> Result<Outcome, Failure> {
        let mut input = Input::Typed { addr, count };
        let mut failure = None;
        let last = commands.len().saturating_sub(1);
        for (n, command) in commands.iter().enumerate() {
            let mut outcome = self.command(command, &input, n < last)?;
            failure = failure.or(outcome.failure.take());
            if n == last {
                return Ok(Outcome { answers: outcome.answers, failure });
            }
            let rows = outcome.answers.iter().flat_map(|answer| &answer.rows);
            let values: Option<Vec<u64>> = rows.map(|row| row.value).collect();
            let values = values.ok_or_else(|| {
                let message = format!(
                    "{} gives nothing that a pipe can take: its rows are no addresses",
                    shown(command)
                );
                Failure::at(command.at.clone(), message)
            })?;
            // The right side of a pipe is not run for nothing.
            if values.is_empty() {
                return Ok(Outcome { answers: Vec::new(), failure });
            }
            input = Input::Piped { values, name: self.walks_into(command) };
        }
        Ok(Outcome { answers: Vec::new(), failure })
    }

    /// The variable that `::walk name var` is to set instead of dot.
    fn walks_into(&self, command: &Command) -> Option<String> {
        match &command.verb {
            Verb::Dcmd { name, args } if name == "walk" => args.get(1).map(|arg| arg.text.clone()),
            _ => None,
        }
    }

    fn command(&mut self, command: &Command, input: &Input, is_piped_out: bool) -> Result<Outcome, Failure> {
        let mut outcome = Outcome::default();
        match &command.verb {
            Verb::Assign { width, name } => {
                let value = match input {
                    Input::Typed { addr, .. } => addr.unwrap_or(self.dot),
                    Input::Piped { values, .. } => values.last().copied().unwrap_or(0),
                };
                self.set(name, width.cut(value));
            }
            Verb::Format { sigil, items, values } => {
                let values = values.iter().map(|expr| self.value(expr)).collect::<Result<Vec<_>, _>>()?;
                for addr in self.each(input) {
                    self.take(addr, input);
                    // A loop goes on where the command before left dot.
                    let result = self.format(
                        *sigil,
                        items,
                        &values,
                        matches!(input, Input::Piped { .. }),
                        is_piped_out,
                    );
                    outcome.take(result, &command.at);
                    if outcome.failure.is_some() && matches!(input, Input::Typed { .. }) {
                        break;
                    }
                    if matches!(input, Input::Typed { count: Some(_), .. }) {
                        self.dot = self.dot.wrapping_add(self.increment);
                    }
                }
                if matches!(input, Input::Typed { count: Some(_), .. }) {
                    self.dot = self.dot.wrapping_sub(self.increment);
                }
            }
            Verb::Dcmd { name, args } => {
                let dcmd = dcmd::find(name)
                    .ok_or_else(|| Failure::at(command.at.clone(), dcmd::unknown(name, self.source)))?;
                self.dcmd(dcmd, command, args, input, is_piped_out, &mut outcome)?;
            }
        }
        Ok(outcome)
    }

    /// The calls that an input asks for: each with its address, if it has one.
    fn each(&self, input: &Input) -> Vec<Option<u64>> {
        match input {
            Input::Typed { addr, count } => {
                let times = count.unwrap_or(1).min(MAX_COUNT) as usize;
                (0..times).map(|n| addr.filter(|_| n == 0)).collect()
            }
            Input::Piped { values, .. } => values.iter().copied().map(Some).collect(),
        }
    }

    /// Makes an address dot, or the value of the variable that the walk names.
    fn take(&mut self, addr: Option<u64>, input: &Input) {
        match (addr, input) {
            (Some(addr), Input::Piped { name: Some(name), .. }) => self.set(&name.clone(), addr),
            (Some(addr), _) => self.dot = addr,
            (None, _) => {}
        }
    }

    fn dcmd(
        &mut self,
        dcmd: &Dcmd,
        command: &Command,
        args: &[Arg],
        input: &Input,
        is_piped_out: bool,
        outcome: &mut Outcome,
    ) -> Result<(), Failure> {
        if !dcmd.run.takes(self.source) {
            return Err(Failure::at(command.at.clone(), dcmd.refused(self.source)));
        }
        let (addrs, piped) = match input {
            Input::Piped { values, .. } if dcmd.takes_all => (vec![None], Some(values.as_slice())),
            input => (self.each(input), None),
        };
        let usage = dcmd.synopsis();
        for (index, addr) in addrs.into_iter().enumerate() {
            self.take(addr, input);
            let words = args.iter().map(|arg| self.word(arg)).collect::<Result<Vec<_>, _>>()?;
            let names_it = matches!(input, Input::Piped { name: Some(_), .. });
            let repeats_typed = matches!(input, Input::Typed { addr: Some(_), .. });
            let addr = addr.filter(|_| !names_it).or((index > 0 && repeats_typed).then_some(self.dot));
            let (dot, args, index) = (self.dot, &words[..], index as u64);
            let call = Call { addr, dot, args, index, piped, is_piped_out, usage: &usage };
            if dcmd.address == Address::Required && addr.is_none() && piped.is_none() {
                return Err(call.misused("it needs an address in front").or_at(&command.at));
            }
            let result = match (dcmd.run, self.source) {
                (Run::View(run) | Run::Either(run, _), Source::Guest(view)) => run(view, &call),
                (Run::Recorded(run) | Run::Either(_, run), Source::Recording(recorded)) => {
                    run(recorded, &call)
                }
                (Run::Session(run), _) => run(self, &call),
                (Run::Types(run), Source::Guest(view)) => run(self, view, &call),
                (_, source) => Err(Failure::new(dcmd.refused(source))),
            };
            outcome.take(result, &command.at);
            self.increment = 0;
        }
        Ok(())
    }

    fn word(&self, arg: &Arg) -> Result<Word, Failure> {
        let value = arg.value.as_deref().map(|expr| self.value(expr)).transpose()?;
        Ok(Word { text: arg.text.clone(), value, is_quoted: arg.is_quoted, at: arg.at.clone() })
    }

    fn format(
        &mut self,
        sigil: char,
        items: &[FormatItem],
        values: &[u64],
        is_piped: bool,
        is_piped_out: bool,
    ) -> Result<Answer, Failure> {
        let default = [FormatItem { repeat: Repeat::Times(1), letter: 'X', at: 0..0 }];
        let items = if items.is_empty() { &default[..] } else { items };
        let times = |item: &FormatItem| match &item.repeat {
            Repeat::Times(n) => Ok(*n),
            Repeat::Computed(expr) => self.repeat(expr),
        };
        let items = items.iter().map(|item| Ok((times(item)?, item))).collect::<Result<Vec<_>, Failure>>()?;
        let from = match sigil {
            '=' => From::Value,
            '?' => From::Image,
            // `\` and `@` name physical addresses: every address of this guest is one.
            _ => From::Memory,
        };
        let view = match self.source {
            Source::Recording(_) if from == From::Value => None,
            source => Some(source.guest()?),
        };
        let shown = memory::show(view, from, self.dot, &items, values, !is_piped && !is_piped_out)?;
        self.increment = shown.increment;
        if let Some(value) = shown.value {
            self.set("0", value);
        }
        let mut row = Row { value: shown.value, text: shown.text, data: Vec::new() };
        row.data.push(("addr", self.dot.into()));
        row.data.push(("value", shown.value.into()));
        row.data.push(("text", row.text.trim().into()));
        Ok(Answer::rows([row]))
    }

    fn repeat(&self, expr: &Expr) -> Result<u64, Failure> {
        let times = self.value(expr)?;
        if times > MAX_COUNT {
            Err(Failure::new(format!("a format is repeated {MAX_COUNT} times at most")))
        } else {
            Ok(times)
        }
    }
}

/// The name of a command, for machines.
fn name_of(command: &Command) -> &str {
    match &command.verb {
        Verb::Dcmd { name, .. } => dcmd::find(name).map_or(name.as_str(), |dcmd| dcmd.name),
        Verb::Format { .. } => "format",
        Verb::Assign { .. } => "assign",
    }
}

/// A command as a person would type it, without its arguments.
fn shown(command: &Command) -> String {
    match &command.verb {
        Verb::Dcmd { name, .. } if name.starts_with(['$', ':']) => name.clone(),
        Verb::Dcmd { name, .. } => format!("::{name}"),
        Verb::Format { sigil, .. } => sigil.to_string(),
        Verb::Assign { name, width } => match width {
            Width::Eight => format!(">{name}"),
            narrow => format!(">/{}/{name}", narrow.bytes()),
        },
    }
}
