//! The command line: what `umpire` understands, and which module does it.
//!
//! # Invariants
//! - Data goes to stdout, narration and errors to stderr; every command has `--json`, one object a line.
//! - The exit code is one of [`Exit`]. A reader who has seen enough (a closed pipe) changes it in nothing.
//! - Nothing here runs a machine: the backends that `main` hands in do, and other processes, which `mdb` and `ps` reach.

mod args;
pub mod bench;
mod confine;
mod contents;
mod doctor;
mod exit;
mod gdb;
mod list;
mod load;
pub mod mdb;
mod misfit;
mod output;
mod pages;
mod plan;
mod ps;
mod recorded;
mod repeat;
mod report;
mod run;
mod schema;
mod shell;
mod stand;
mod streams;
mod tool;
mod verdict;
mod watch;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::OnceLock;

use clap::FromArgMatches;

pub use exit::Exit;

use args::{Args, Color, Command};
use streams::Streams;
use umpire_referee::Runner;

/// What `main` alone knows of how the program was built.
#[derive(Debug, Clone, Copy)]
pub struct Built {
    /// The commit of the sources.
    pub commit: &'static str,
    /// What it was built for.
    pub target: &'static str,
}

static BUILT: OnceLock<Built> = OnceLock::new();

/// What `--version` says; `-V` says the first line.
fn version() -> String {
    let Built { commit, target } =
        BUILT.get().copied().unwrap_or(Built { commit: "unknown", target: "unknown" });
    let guest = umpire_reach::build_id(&umpire_machine::GUEST_IMAGE).unwrap_or_default();
    format!("{}\ncommit {commit}\nguest  {guest}\ntarget {target}", env!("CARGO_PKG_VERSION"))
}

/// What runs scenarios; `main` wires them.
pub struct Backends<'a> {
    /// Runs a variant on KVM.
    pub kvm: Box<Runner<'a>>,
    /// Runs a variant in the simulator.
    pub sim: Box<Runner<'a>>,
    /// Runs a variant and lets `umpire mdb` look at the machine.
    pub inspect: Box<mdb::Inspect<'a>>,
    /// Takes the measurements of `umpire bench`.
    pub bench: Box<bench::Bench<'a>>,
}

/// Does what the process's arguments say.
pub fn main(built: Built, backends: Backends<'_>) -> ExitCode {
    BUILT.get_or_init(|| built);
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let exit = match Asked::of(&arguments) {
        Ok(Asked::Tool(args)) => {
            let mut streams = Streams::of_process(Color::Auto);
            confine::of_tool(args.is_unfiltered());
            settle(tool::run(&args, backends, &mut streams), &mut streams)
        }
        Ok(Asked::Own(args)) => {
            let mut streams = Streams::of_process(args.color).saying(args.volume());
            confine::of_command(&args);
            settle(dispatch(*args, backends, &mut streams), &mut streams)
        }
        Err(error) => explain(&error),
    };
    exit.into()
}

/// As [`main`], with the arguments, stdout and stderr given; for tests.
pub fn main_with<I, S>(arguments: I, backends: Backends<'_>, out: &mut dyn Write, err: &mut dyn Write) -> Exit
where
    I: IntoIterator<Item = S>,
    S: Into<OsString> + Clone,
{
    let mut streams = Streams::plain(out, err);
    let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
    match Asked::of(&arguments) {
        Ok(Asked::Tool(args)) => settle(tool::run(&args, backends, &mut streams), &mut streams),
        Ok(Asked::Own(args)) => {
            let mut streams = streams.saying(args.volume());
            settle(dispatch(*args, backends, &mut streams), &mut streams)
        }
        Err(error) => {
            let text = error.render().to_string();
            let is_wrong = error.use_stderr();
            let stream: &mut dyn Write = if is_wrong { &mut streams.err } else { &mut streams.out };
            match stream.write_all(text.as_bytes()) {
                Ok(()) if is_wrong => Exit::Usage,
                _ => Exit::Pass,
            }
        }
    }
}

/// What a command line asks for.
enum Asked {
    /// A command of Umpire's own.
    Own(Box<Args>),
    /// A command of Solaris, on a guest.
    Tool(tool::ToolArgs),
}

impl Asked {
    fn of(arguments: &[OsString]) -> Result<Asked, clap::Error> {
        if let Some(tool) = tool::ToolArgs::of(arguments) {
            return tool.map(Asked::Tool);
        }
        let mut command = args::command();
        // The guest's build is read from its image: not for every command.
        if arguments.iter().any(|word| word == "--version") {
            command = command.long_version(version());
        }
        let matches = command.try_get_matches_from(arguments)?;
        Args::from_arg_matches(&matches).map(|args| Asked::Own(Box::new(args)))
    }
}

fn dispatch(args: Args, backends: Backends<'_>, streams: &mut Streams<'_>) -> io::Result<Exit> {
    match args.command {
        None => {
            streams.out.write_all(args::GREETING.as_bytes())?;
            Ok(Exit::Pass)
        }
        Some(Command::Run(args)) => run::run(&args, backends, streams),
        Some(Command::List(args)) => list::list(&args, streams),
        Some(Command::Mdb(args)) => mdb::mdb(&args, backends, streams),
        Some(Command::Gdb(args)) => gdb::gdb(&args, streams),
        Some(Command::Image { file }) => ps::image(&file, streams),
        Some(Command::Ps(args)) => ps::ps(args.json, streams),
        Some(Command::Events(args)) => recorded::events::events(&args, backends, streams),
        Some(Command::Latency(args)) => recorded::latency::latency(&args, backends, streams),
        Some(Command::Timeline(args)) => recorded::timeline::timeline(&args, backends, streams),
        Some(Command::Compare(args)) => recorded::compare::compare(&args, backends, streams),
        Some(Command::Why(args)) => recorded::why::why(&args, backends, streams),
        Some(Command::Watch(args)) => watch::watch(&args, backends, streams),
        Some(Command::Doctor(args)) => doctor::doctor(args.json, streams),
        Some(Command::Bench(args)) => bench::bench(&args, backends, streams),
        Some(Command::Completions { shell }) => pages::completions(shell, streams),
        Some(Command::Man(args)) => pages::man(&args, streams),
        Some(Command::Schema { name }) => schema::schema(name.as_deref(), streams),
        Some(Command::BootProbe { spawned_at_ns }) => bench::boot_probe(spawned_at_ns, streams),
    }
}

/// The exit code of a command that may have failed to write.
fn settle(result: io::Result<Exit>, streams: &mut Streams<'_>) -> Exit {
    let result = result.and_then(|exit| streams.out.flush().map(|()| exit));
    match result {
        Ok(exit) => exit,
        Err(e) => {
            // If stderr is gone as well there is no place left to say so.
            let _ = writeln!(streams.err, "umpire: cannot write the result: {e}");
            Exit::Usage
        }
    }
}

fn explain(error: &clap::Error) -> Exit {
    match error.print() {
        Ok(()) if error.use_stderr() => Exit::Usage,
        Ok(()) => Exit::Pass,
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe && !error.use_stderr() => Exit::Pass,
        Err(e) => {
            // As in `settle`.
            let _ = writeln!(io::stderr(), "umpire: cannot write the help: {e}");
            Exit::Usage
        }
    }
}

#[cfg(test)]
mod tests;
