//! The commands of Solaris for people who look at a guest: `umpire kstat`, `umpire mpstat`, `umpire ps -elcL`.
//!
//! What to look at is the first operand, a VM that runs, or stands in long options; everything else is the tool's own, in the form of
//! its Solaris command.
//!
//! # Invariants
//! - The tools are those of the table in `umpire_mdb::tool`: a new one needs nothing here.
//! - Each of several answers of a simulated machine is of the same run: the seed repeats it up to the next moment.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches, Parser};
use umpire_machine::signals;
use umpire_mdb::call::{Call, Word};
use umpire_mdb::image::GuestImage;
use umpire_mdb::lang::Failure;
use umpire_mdb::session::{Output, Style};
use umpire_mdb::tool::{self, Interval, Moment, Seen, Tool};
use umpire_mdb::view::View;
use umpire_scenario::Setting;
use umpire_watch::glass::Target;

use super::Backends;
use super::args::{Color, run_time};
use super::exit::Exit;
use super::mdb::attach::{attach, core, is_file};
use super::stand::{Image, Stand, look_at};
use super::streams::Streams;

/// Answers of a run of which no number is asked for.
const MOST_ANSWERS: u64 = 100_000;

/// A tool, what it looks at, and what it was given.
#[derive(Debug)]
pub(super) struct ToolArgs {
    tool: &'static Tool,
    at: Place,
    words: Vec<Word>,
}

/// What is looked at, and how.
#[derive(Debug, Parser)]
#[command(no_binary_name = true, disable_help_flag = true)]
struct Place {
    /// The scenario to run, and its variant
    #[arg(long, value_name = "ID[:VARIANT]")]
    run: Option<String>,
    /// Look after so much guest time
    #[arg(long = "at", value_name = "TIME", value_parser = run_time, allow_hyphen_values = true, requires = "run")]
    at_ns: Option<u64>,
    /// Set a tunable
    #[arg(long = "set", value_name = "NAME=VALUE", requires = "run")]
    settings: Vec<Setting>,
    /// Virtual CPUs
    #[arg(long, value_name = "N", requires = "run",
          value_parser = clap::value_parser!(u32).range(1..=umpire_shared::MAX_CPUS as i64))]
    cpus: Option<u32>,
    /// In the simulator
    #[arg(long, requires = "run")]
    sim: bool,
    /// The simulator's seed
    #[arg(long, value_name = "N", requires = "sim", default_value_t = 1)]
    seed: u64,
    /// One JSON object a row
    #[arg(long)]
    json: bool,
    /// When to colour: nothing here is coloured
    #[arg(long, value_enum, default_value_t = Color::Auto)]
    color: Color,
    /// Let threads make every system call
    #[arg(long)]
    no_seccomp: bool,
    /// Say what may be given
    #[arg(long)]
    help: bool,
}

/// Long options of [`Place`] that take a value.
const TAKE_VALUES: [&str; 6] = ["--run", "--at", "--set", "--cpus", "--seed", "--color"];

impl ToolArgs {
    /// The tool that a command line asks for; `None` if it asks for something else. `umpire ps` alone is no tool: it is about
    /// machines, not about a guest's processes.
    pub fn of(arguments: &[OsString]) -> Option<Result<ToolArgs, clap::Error>> {
        let name = arguments.get(1)?.to_str()?;
        let tool = tool::find(name)?;
        let given = arguments.get(2..).unwrap_or_default();
        let text: Vec<String> = given.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        if name == "ps" && !text.iter().any(|word| is_of_the_guest(word)) {
            return None;
        }
        let (mut ours, mut words) = (Vec::new(), Vec::new());
        let mut rest = text.into_iter();
        while let Some(word) = rest.next() {
            if word.len() > 2 && word.starts_with("--") {
                let takes_value = TAKE_VALUES.contains(&word.as_str());
                ours.push(word);
                if takes_value {
                    ours.extend(rest.next());
                }
            } else {
                words.push(Word { text: word, value: None, is_quoted: false, at: 0..0 });
            }
        }
        let parsed = Place::command().bin_name(format!("umpire {name}")).try_get_matches_from(ours);
        Some(parsed.and_then(|matches| Place::from_arg_matches(&matches)).map(|at| ToolArgs {
            tool,
            at,
            words,
        }))
    }
}

impl ToolArgs {
    /// True if system calls are not to be filtered.
    pub fn is_unfiltered(&self) -> bool {
        self.at.no_seccomp
    }
}

/// True for what a list of machines has no use for: an option of Solaris's `ps`, a run, or a VM or core to look at.
fn is_of_the_guest(word: &str) -> bool {
    word == "--run" || word.starts_with("--run=") || !word.starts_with("--")
}

/// Runs the tool.
pub(super) fn run(args: &ToolArgs, backends: Backends<'_>, streams: &mut Streams<'_>) -> io::Result<Exit> {
    if args.at.help {
        streams.line(args.tool.page().trim_end())?;
        return Ok(Exit::Pass);
    }
    let usage = format!("umpire {} [NAME|CORE|--run ID] {}", args.tool.name, args.tool.usage);
    let (name, words) = match &args.at.run {
        Some(_) => (None, args.words.clone()),
        None => named(args.tool, &args.words, &usage),
    };
    let call = call(&words, &usage);
    let interval = match (args.tool.check)(&call).and_then(|()| args.tool.interval(&call)) {
        Ok(interval) => interval,
        Err(failure) => return Ok(wrong(args.tool, &failure, Exit::Usage, streams)),
    };
    match (&args.at.run, name.as_deref()) {
        (Some(run), _) => of_a_run(args, run, &call, interval, backends, streams),
        (None, Some(word)) if is_file(word) => of_a_core(args, Path::new(word), &call, interval, streams),
        (None, name) => of_a_vm(args, name, &call, interval, streams),
    }
}

/// The first operand, which names the VM that is looked at, and the other words.
fn named(tool: &Tool, words: &[Word], usage: &str) -> (Option<String>, Vec<Word>) {
    let mut rest = words.to_vec();
    let Ok(options) = call(words, usage).options(tool.letters) else { return (None, rest) };
    let is_name = |word: &&Word| !word.text.starts_with(|c: char| c.is_ascii_digit());
    match options.rest.first().filter(is_name) {
        Some(name) => {
            rest.remove(words.len() - options.rest.len());
            (Some(name.text.clone()), rest)
        }
        None => (None, rest),
    }
}

/// Answers of the machine of a run, as it stands at each of the moments.
fn of_a_run(
    args: &ToolArgs,
    run: &str,
    call: &Call<'_>,
    interval: Option<Interval>,
    mut backends: Backends<'_>,
    streams: &mut Streams<'_>,
) -> io::Result<Exit> {
    let stand = Stand {
        run: run.to_owned(),
        at_ns: args.at.at_ns,
        settings: args.at.settings.clone(),
        cpus: args.at.cpus,
        seed: args.at.sim.then_some(args.at.seed),
    };
    let (count, step) = match interval {
        None => (1, 0),
        Some(_) if !args.at.sim => {
            let what =
                "a machine that has been run stands still: there is nothing to repeat; --sim repeats the run";
            return Ok(wrong(args.tool, &Failure::new(what), Exit::Usage, streams));
        }
        Some(Interval { ns, count }) => (count.unwrap_or(MOST_ANSWERS), ns),
    };
    let mut image = Image::read()?;
    let mut before = None;
    // Without a moment to begin at, the first answer comes after the first interval.
    let first = stand.at_ns.or(interval.map(|interval| interval.ns));
    for n in 0..count {
        let at_ns = first.map(|first| first.saturating_add(n.saturating_mul(step)));
        let stand = Stand { at_ns, ..stand.clone() };
        let is_last = n + 1 == count;
        let mut look = |target: &dyn Target, _: &_, image: Arc<GuestImage>, streams: &mut Streams<'_>| {
            answer(args, call, target, image, &mut before, is_last, streams)
        };
        let exit = look_at(&stand, &mut image, &mut backends, streams, &mut look)?;
        if exit != Exit::Pass || streams.out.is_closed() {
            return Ok(exit);
        }
    }
    Ok(Exit::Pass)
}

/// The answer of a core. It has one moment: what has happened since boot, as each of these commands says first.
fn of_a_core(
    args: &ToolArgs,
    path: &Path,
    call: &Call<'_>,
    interval: Option<Interval>,
    streams: &mut Streams<'_>,
) -> io::Result<Exit> {
    let mut image = Image::read()?;
    let (core, image) = match (core(path), image.get()) {
        (Ok(core), Ok(image)) => (core, image),
        (Err(error), _) => {
            return Ok(wrong(args.tool, &Failure::new(error.to_string()), Exit::Usage, streams));
        }
        (_, Err(message)) => return Ok(wrong(args.tool, &Failure::new(message), Exit::Usage, streams)),
    };
    let exit = answer(args, call, &core, image, &mut None, true, streams)?;
    if exit == Exit::Pass && interval.is_some_and(|interval| interval.count != Some(1)) {
        streams.say(&format!("{}: a core has one moment: there is nothing to repeat", args.tool.name));
    }
    Ok(exit)
}

/// Answers of a VM that runs, until there have been enough or it ends.
fn of_a_vm(
    args: &ToolArgs,
    name: Option<&str>,
    call: &Call<'_>,
    interval: Option<Interval>,
    streams: &mut Streams<'_>,
) -> io::Result<Exit> {
    // It runs no machine, and sleeps between two answers.
    signals::end_at_once();
    let mut image = Image::read()?;
    let attached = match attach(name, false) {
        Ok(attached) => attached,
        Err(error) => {
            let what = format!("{error}; --run ID[:VARIANT] looks at the machine of a run");
            return Ok(wrong(args.tool, &Failure::new(what), Exit::Usage, streams));
        }
    };
    let image = match image.get() {
        Ok(image) => image,
        Err(message) => return Ok(wrong(args.tool, &Failure::new(message), Exit::Usage, streams)),
    };
    let (count, step) = interval.map_or((1, 0), |interval| (interval.count.unwrap_or(u64::MAX), interval.ns));
    let mut before: Option<Seen> = None;
    let mut is_told = false;
    for n in 0..count {
        let moment = before.as_ref().map(|seen| seen.now_ns);
        if n > 0 {
            thread::sleep(Duration::from_nanos(step));
            if !attached.is_there() {
                streams.say(&format!("{}: the VM has ended", args.tool.name));
                break;
            }
        }
        let is_last = n + 1 == count;
        let exit = answer(args, call, &attached, Arc::clone(&image), &mut before, is_last, streams)?;
        if exit != Exit::Pass || streams.out.is_closed() {
            return Ok(exit);
        }
        let stood_still = moment.is_some() && moment == before.as_ref().map(|seen| seen.now_ns);
        if stood_still && !std::mem::replace(&mut is_told, true) {
            let why =
                "the guest's clock has not moved since: CPUs are held (umpire ps), so nothing was counted";
            streams.say(&format!("{}: {why}", args.tool.name));
        }
    }
    Ok(Exit::Pass)
}

fn call<'c>(words: &'c [Word], usage: &'c str) -> Call<'c> {
    Call { addr: None, dot: 0, args: words, index: 0, piped: None, is_piped_out: false, usage }
}

/// Looks once, and prints what there is; `before` becomes what was seen.
fn answer(
    args: &ToolArgs,
    call: &Call<'_>,
    target: &dyn Target,
    image: Arc<GuestImage>,
    before: &mut Option<Seen>,
    is_last: bool,
    streams: &mut Streams<'_>,
) -> io::Result<Exit> {
    let view = View::new(target, image);
    view.begin();
    let seen = Seen::of(&view);
    let result = seen.and_then(|now| {
        let moment = Moment { view: &view, now: &now, before: before.as_ref() };
        let rows = (args.tool.run)(&moment, call);
        *before = Some(now);
        rows
    });
    let rows = match result {
        Ok(rows) => rows,
        Err(failure) => return Ok(wrong(args.tool, &failure, Exit::Failed, streams)),
    };
    streams.progress_done();
    let style = if args.at.json { Style::Json } else { Style::Text };
    let mut output = Output { to: &mut streams.out, style, requires_clean: false };
    // Those of a guest are no machines, which `umpire.ps/1` is of.
    let of = if args.tool.name == "ps" { ".guest" } else { "" };
    let schema = format!("umpire.{}{of}/1", args.tool.name);
    output
        .answer(&schema, &rows, &view.verdict().into())
        .map_err(|failure| io::Error::other(failure.message))?;
    if !is_last && !args.at.json {
        streams.out.write_all(args.tool.between.as_bytes())?;
    }
    streams.out.flush()?;
    Ok(Exit::Pass)
}

/// Says what is wrong, in the tool's name.
fn wrong(tool: &Tool, failure: &Failure, exit: Exit, streams: &mut Streams<'_>) -> Exit {
    streams.say(&format!("{}: {}", tool.name, failure.message));
    exit
}

/// What the help of `umpire ps`, which lists machines, says of the tool of that name.
pub(super) fn ps() -> String {
    let page = tool::find("ps").map(Tool::page).unwrap_or_default();
    format!("Of a guest, `ps` is the command of Solaris. {}", page.trim_end())
}

/// What `umpire --help` says of the tools.
pub(super) fn help() -> String {
    let line = |tool: &&Tool| format!("  {:<11} {}\n", tool.name, tool.about);
    let all: String = tool::TOOLS.iter().map(line).collect();
    format!(
        "Commands of Solaris, on a guest (NAME, or --run ID; --help says more of each):\n{}",
        all.trim_end()
    )
}
