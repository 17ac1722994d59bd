//! `umpire mdb`: the debugger looks at a machine that runs in another process, or at that of a scenario which is run up to a moment.
//!
//! # Invariants
//! - What was asked goes to stdout, every error to stderr; the exit code is 1 if a command failed, 2 if the machine could not be had.
//! - Of a script each line is carried out, whatever became of the one before it.

pub(super) mod attach;
mod prompt;

use std::io::{self, BufRead, IsTerminal, Write};
use std::sync::Arc;

use umpire_machine::signals;
use umpire_mdb::answer::Row;
use umpire_mdb::image::GuestImage;
use umpire_mdb::lang::Failure;
use umpire_mdb::session::{Output, Session, Style};
use umpire_mdb::source::Source;
use umpire_mdb::view::View;
use umpire_referee::{Look, RunError, RunOptions, VariantReport};
use umpire_rows::number;
use umpire_scenario::{Scenario, Variant};
use umpire_watch::glass::{Panic, Target};

use super::Backends;
use super::args::{MdbArgs, Require};
use super::exit::Exit;
use super::stand::{Image, Stand, look_at};
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
    let stand = Stand {
        run: run.to_owned(),
        at_ns: args.at_ns,
        settings: args.settings.clone(),
        cpus: args.cpus,
        seed: args.sim.then_some(args.seed),
    };
    // The debugger wants to know the whole image; that is read while the machine runs.
    let mut image = Image::read()?;
    look_at(&stand, &mut image, &mut backends, streams, &mut |target, report, image, streams| {
        look(args, target, report, image, streams)
    })
}

/// Looks at the machine until the commands are at an end.
fn look(
    args: &MdbArgs,
    target: &dyn Target,
    report: &VariantReport,
    image: Arc<GuestImage>,
    streams: &mut Streams<'_>,
) -> io::Result<Exit> {
    converse(args, &opened(args, view_of(target, report, image)), None, streams)
}

/// The view as the arguments open it.
fn opened<'t>(args: &MdbArgs, view: View<'t>) -> View<'t> {
    let view = if args.kick { view.kicking() } else { view };
    if args.write { view.writable() } else { view }
}

/// Carries out what is typed, or the commands that were given, until there are no more.
fn converse<'v>(
    args: &MdbArgs,
    source: impl Into<Source<'v>>,
    is_there: Option<&dyn Fn() -> bool>,
    streams: &mut Streams<'_>,
) -> io::Result<Exit> {
    let is_typed = args.commands.is_empty() && io::stdin().is_terminal();
    let session = Session::new(source, is_typed);
    let style = if args.json { Style::Json } else { Style::Text };
    let requires_clean = args.require == Some(Require::Clean);
    let mut debugger = Debugger { session, style, requires_clean, exit: Exit::Pass, is_there };
    if !args.commands.is_empty() {
        for command in &args.commands {
            debugger.carry_out(command, streams)?;
        }
    } else if is_typed {
        prompt::converse(&mut debugger, streams)?;
    } else {
        // One that ended the run before was for that: what was asked of its machine is still answered.
        if !signals::interrupted() {
            signals::end_at_once();
        }
        for line in io::stdin().lock().lines() {
            debugger.carry_out(&line?, streams)?;
            if debugger.session.is_over() {
                break;
            }
        }
    }
    Ok(debugger.exit)
}

/// Converses with whoever sits at the terminal; the variable `thread` is the thread of this number.
pub(super) fn converse_about(
    thread: Option<u64>,
    view: &View<'_>,
    streams: &mut Streams<'_>,
) -> io::Result<Exit> {
    let mut session = Session::new(view, true);
    if let Some(addr) = thread.and_then(|number| view.thread_at(number).ok()) {
        session.set("thread", addr);
        streams.say(&format!("<thread is {addr:x}; try <thread::thread and <thread::findstack"));
    }
    let (style, exit) = (Style::Text, Exit::Pass);
    let mut debugger = Debugger { session, style, requires_clean: false, exit, is_there: None };
    prompt::converse(&mut debugger, streams)?;
    Ok(debugger.exit)
}

/// A view of the machine of a run that has stopped, with what the referee found.
pub(super) fn view_of<'t>(
    target: &'t dyn Target,
    report: &VariantReport,
    image: Arc<GuestImage>,
) -> View<'t> {
    View::new(target, image).after_a_run(verdicts(report), &report.console).after_a_panic(panic(report))
}

/// A session, and what became of it.
pub(super) struct Debugger<'d, 'v> {
    pub(super) session: Session<'v>,
    style: Style,
    requires_clean: bool,
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
        let (style, requires_clean) = (self.style, self.requires_clean);
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

/// How the guest panicked, as the report's sentence has it: `guest panic on cpu 0, thread script: ...`.
fn panic(report: &VariantReport) -> Option<Panic> {
    let dies =
        |sentence: &&String| ["guest panic ", "guest deadman "].iter().any(|how| sentence.starts_with(how));
    let (_, told) = report.why.iter().find(dies)?.split_once(" on cpu ")?;
    let (cpu, rest) = told.split_once(", thread ")?;
    let (_, message) = rest.split_once(": ")?;
    Some(Panic { cpu: cpu.parse().ok()?, message: message.to_owned() })
}

/// What the referee found, as rows of `::umpire`.
pub(super) fn verdicts(report: &VariantReport) -> Vec<Row> {
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
    let torn_rate = report.torn as f64 * 1000.0 / report.samples.max(1) as f64;
    let first = format!(
        "{} {}: {}, {} passes of the sampler, {} torn reads, {} a thousand passes",
        report.scenario,
        report.variant,
        report.observed.as_str(),
        report.samples,
        report.torn,
        number::measured(torn_rate)
    );
    let first = Row::line(first)
        .with("samples", report.samples)
        .with("torn", report.torn)
        .with("torn_per_thousand", torn_rate);
    let sentences = report.why.iter().map(Row::line);
    std::iter::once(first).chain(report.bounds.iter().map(bound)).chain(sentences).collect()
}
