//! `umpire mdb`: the debugger looks at a machine that runs in another process, or at that of a scenario which is run up to a moment.
//!
//! # Invariants
//! - What was asked goes to stdout, every error to stderr; the exit code is 1 if a command failed, 2 if the machine could not be had.
//! - Of a script each line is carried out, whatever became of the one before it.

mod attach;
mod prompt;

use std::io::{self, BufRead, IsTerminal, Write};
use std::sync::Arc;
use std::thread;

use umpire_machine::GUEST_IMAGE;
use umpire_mdb::answer::Row;
use umpire_mdb::image::GuestImage;
use umpire_mdb::lang::Failure;
use umpire_mdb::session::{Output, Session, Style};
use umpire_mdb::types::TypesError;
use umpire_mdb::view::View;
use umpire_referee::{Look, RunError, RunOptions, VariantReport};
use umpire_rows::number;
use umpire_scenario::{Overrides, Scenario, Variant, load};
use umpire_watch::glass::Target;

use super::Backends;
use super::args::{MdbArgs, Require};
use super::exit::Exit;
use super::streams::Streams;

/// Runs a variant to its end, and lets a debugger look at the machine before it goes away: scenario, variant, options, and whether in
/// the simulator.
pub type Inspect<'a> =
    dyn FnMut(&Scenario, &Variant, &RunOptions, bool, &mut Look<'_>) -> Result<VariantReport, RunError> + 'a;

/// Does what the arguments ask for.
pub(super) fn mdb(args: &MdbArgs, backends: Backends<'_>, streams: &mut Streams<'_>) -> io::Result<Exit> {
    match &args.run {
        Some(run) => run_and_look(run, args, backends, streams),
        None => attach::attach_and_look(args, streams),
    }
}

/// Runs a scenario up to a moment, and looks at its machine.
fn run_and_look(
    run: &str,
    args: &MdbArgs,
    mut backends: Backends<'_>,
    streams: &mut Streams<'_>,
) -> io::Result<Exit> {
    let (scenario, variant) = match chosen(run, args) {
        Ok(chosen) => chosen,
        Err(message) => {
            streams.say(&format!("umpire: {message}"));
            return Ok(Exit::Usage);
        }
    };
    // The debugger wants to know the whole image; that is read while the machine runs.
    let image = thread::Builder::new().name("image".to_owned()).spawn(|| GuestImage::read(GUEST_IMAGE))?;
    let mut image = Some(image);
    let until = args.at_ns.map_or_else(|| "its violation or end".to_owned(), number::exact);
    streams.narrate(&format!("{} {}: running up to {until}", scenario.id, variant.name));
    let options = RunOptions {
        seed: args.sim.then_some(args.seed),
        until_first_violation: args.at_ns.is_none(),
        ..RunOptions::default()
    };
    let mut result = Ok(Exit::Pass);
    let run = (backends.inspect)(&scenario, &variant, &options, args.sim, &mut |target, report| {
        let image =
            image.take().map(|reader| reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        result = match image {
            Some(Ok(image)) => look(args, target, report, Arc::new(image), streams),
            Some(Err(error)) => unknown(&error, streams),
            None => Ok(Exit::Usage),
        };
    });
    match run {
        Ok(_) => result,
        Err(error) => {
            streams.say(&format!("umpire: {error}"));
            Ok(Exit::Usage)
        }
    }
}

fn unknown(error: &TypesError, streams: &mut Streams<'_>) -> io::Result<Exit> {
    streams.say(&format!("umpire: {error}"));
    Ok(Exit::Usage)
}

/// The scenario and the variant that `ID[:VARIANT]` means: the first one if none is named.
fn chosen(run: &str, args: &MdbArgs) -> Result<(Scenario, Variant), String> {
    let whole = load(run);
    let (id, name) = match (&whole, run.split_once(':')) {
        (Err(_), Some((id, name))) => (id, Some(name)),
        _ => (run, None),
    };
    let scenario = if name.is_some() { load(id) } else { whole }.map_err(|e| e.to_string())?;
    let overrides =
        Overrides { settings: args.settings.clone(), cpus: args.cpus, run_ns: args.at_ns, sample_hz: None };
    let scenario = scenario.with(&overrides).map_err(|e| e.to_string())?;
    let variant = match name {
        None => scenario.variants.first(),
        Some(name) => scenario.variants.iter().find(|v| v.name == name),
    };
    let all: Vec<&str> = scenario.variants.iter().map(|v| v.name.as_str()).collect();
    let missing =
        || format!("there is no variant `{}`; there are: {}", name.unwrap_or_default(), all.join(", "));
    let variant = variant.cloned().ok_or_else(missing)?;
    Ok((scenario, variant))
}

/// Looks at the machine until the commands are at an end.
fn look(
    args: &MdbArgs,
    target: &dyn Target,
    report: &VariantReport,
    image: Arc<GuestImage>,
    streams: &mut Streams<'_>,
) -> io::Result<Exit> {
    let stopped = format!("stopped after {}: {}", number::rounded(report.run_ns), report.observed.as_str());
    streams.narrate(&format!("{} {}: {stopped}", report.scenario, report.variant));
    let view = View::new(target, image).after_a_run(verdicts(report), &report.console);
    converse(args, view, None, streams)
}

/// Carries out what is typed, or the commands that were given, until there are no more.
fn converse(
    args: &MdbArgs,
    view: View<'_>,
    is_there: Option<&dyn Fn() -> bool>,
    streams: &mut Streams<'_>,
) -> io::Result<Exit> {
    let view = if args.kick { view.kicking() } else { view };
    let view = if args.write { view.writable() } else { view };
    let is_typed = args.commands.is_empty() && io::stdin().is_terminal();
    let session = Session::new(&view, is_typed);
    let mut debugger = Debugger { session, args, exit: Exit::Pass, is_there };
    if !args.commands.is_empty() {
        for command in &args.commands {
            debugger.carry_out(command, streams)?;
        }
    } else if is_typed {
        prompt::converse(&mut debugger, streams)?;
    } else {
        for line in io::stdin().lock().lines() {
            debugger.carry_out(&line?, streams)?;
            if debugger.session.is_over() {
                break;
            }
        }
    }
    Ok(debugger.exit)
}

/// A session, and what became of it.
pub(super) struct Debugger<'d, 'v> {
    pub(super) session: Session<'v>,
    args: &'d MdbArgs,
    exit: Exit,
    /// Whether the machine is still there, while it is and may go.
    is_there: Option<&'d dyn Fn() -> bool>,
}

impl Debugger<'_, '_> {
    /// Carries out what was typed.
    pub(super) fn carry_out(&mut self, text: &str, streams: &mut Streams<'_>) -> io::Result<()> {
        streams.progress_done();
        if self.is_there.is_some_and(|is_there| !is_there()) {
            streams.say("umpire: the VM has ended; what is shown is its memory as it was last");
            self.is_there = None;
        }
        let mut stream = Remembering { to: &mut streams.out, error: None };
        let style = if self.args.json { Style::Json } else { Style::Text };
        let requires_clean = self.args.require == Some(Require::Clean);
        let result = self.session.run(text, &mut Output { to: &mut stream, style, requires_clean });
        let flushed = stream.flush();
        if let Some(error) = stream.error.take() {
            return Err(error);
        }
        flushed?;
        if let Err(failure) = result {
            self.exit = Exit::Failed;
            say(&failure, text, streams);
        }
        Ok(())
    }
}

fn say(failure: &Failure, text: &str, streams: &mut Streams<'_>) {
    streams.say(&failure.told(text));
}

/// A stream that remembers why it took no more, which a failure of the debugger does not tell.
struct Remembering<'r> {
    to: &'r mut dyn Write,
    error: Option<io::Error>,
}

impl Write for Remembering<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to.write(bytes).map_err(|error| self.kept(error))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush().map_err(|error| self.kept(error))
    }
}

impl Remembering<'_> {
    fn kept(&mut self, error: io::Error) -> io::Error {
        let same = io::Error::new(error.kind(), error.to_string());
        if error.kind() != io::ErrorKind::Interrupted {
            self.error = Some(error);
        }
        same
    }
}

/// What the referee found, as rows of `::umpire`.
fn verdicts(report: &VariantReport) -> Vec<Row> {
    let bound = |bound: &umpire_referee::BoundReport| {
        let word = if bound.held { "held" } else { "violated" };
        let (worst, limit) = (number::rounded(bound.worst_ns), number::exact(bound.limit_ns));
        let thread = bound.thread.as_deref().map(|name| format!(" of {name}")).unwrap_or_default();
        Row::line(format!("{word}: {}{thread} {worst}, limit {limit}", bound.monitor))
            .with("monitor", bound.monitor.as_str())
            .with("thread", bound.thread.clone())
            .with("worst_ns", bound.worst_ns)
            .with("limit_ns", bound.limit_ns)
            .with("held", bound.held)
    };
    let first = format!(
        "{} {}: {}, {} passes of the sampler, {} torn reads",
        report.scenario,
        report.variant,
        report.observed.as_str(),
        report.samples,
        report.torn
    );
    let first = Row::line(first).with("samples", report.samples).with("torn", report.torn);
    let sentences = report.why.iter().map(Row::line);
    std::iter::once(first).chain(report.bounds.iter().map(bound)).chain(sentences).collect()
}
