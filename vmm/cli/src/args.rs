//! The arguments: what may be typed, and the help that shows it, examples first.
//!
//! # Invariants
//! - Every value is checked here, where clap can point at it; what leaves is ready to use.

mod recorded;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, RangedU64ValueParser};
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};

use super::streams::Volume;
pub(super) use recorded::{
    CompareArgs, EventsArgs, HowArgs, LatencyArgs, RecordedArgs, TimelineArgs, WhyArgs,
};
use umpire_machine::HostAbsence;
use umpire_reach::gdb::Address;
use umpire_rows::number;
use umpire_scenario::{RUN_NS, SAMPLE_HZ, Setting, duration};

/// What `umpire` alone says.
pub(super) const GREETING: &str = "\
umpire referees kernel schedulers from outside.

  umpire run i1532                        see a VCPU loop starve two priority-99 threads, and the fix
  umpire run i1532 --set kpreemptpri=100  take the fix away: the scenario fails
  umpire run i1532 --sim --seeds 50       the same kernel, simulated, under 50 interleavings

Next: `umpire list` shows the scenarios, `umpire doctor` looks at this host, `umpire --help` says the rest.
";

/// Of what is told only where all is told.
const NO_SECCOMP: &str =
    "Let threads make every system call, to find out what a filter does; UMPIRE_NO_SECCOMP=1 does so too";

const EXAMPLES: &str = "\
Examples:
  umpire run i1532                        one scenario, all its variants, on KVM
  umpire run                              every built-in scenario
  umpire run my/scenario.toml --json      a file of your own, results as JSON lines
  umpire run i1532 --set kpreemptpri=100  with a tunable set over the scenario and its variants
  umpire run i1532 --sim --seed 7         in the simulator; the same seed gives the same run
  umpire run i1532 --hold violation       keep the machine where a bound breaks, for `umpire mdb i1532`
  umpire ps                               the VMs that run; `umpire mdb NAME` looks into one
  umpire mdb --run i1532                  look at the machine where a bound broke, with the debugger
  umpire ps -elcL --run i1532 --sim       the guest's processes as Solaris's ps prints them
  umpire list                             what there is to run
  umpire doctor                           is there a /dev/kvm, what kind, how noisy";

pub(super) const EXIT_CODES: &str = "\
Exit codes: 0 all as expected; 1 a bound or expectation failed; 2 usage or set-up; 3 guest panic or deadman;
4 inconclusive (noisy host); 129, 130, 143 ended by
SIGHUP, Ctrl-C, SIGTERM. Data goes to stdout, narration to stderr.";

/// Referees kernel schedulers from outside.
#[derive(Debug, Parser)]
#[command(name = "umpire", version, before_help = EXAMPLES, after_help = EXIT_CODES)]
pub(super) struct Args {
    /// When to colour.
    #[arg(long, value_enum, default_value_t = Color::Auto, global = true, value_name = "WHEN")]
    pub color: Color,
    #[arg(long, global = true, hide_short_help = true, long_help = NO_SECCOMP)]
    pub no_seccomp: bool,
    /// Say nothing on stderr but errors
    #[arg(short = 'q', long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say on stderr how it went as well: what a run gives up, how long its machine took to boot, how the reads went
    #[arg(short = 'v', long, global = true)]
    pub verbose: bool,
    #[command(subcommand)]
    pub command: Option<Command>,
}

impl Args {
    /// How much is to be said on stderr.
    pub fn volume(&self) -> Volume {
        match (self.quiet, self.verbose) {
            (true, _) => Volume::Errors,
            (false, false) => Volume::Narration,
            (false, true) => Volume::Details,
        }
    }
}

/// The commands that are read here, with what `--help` says behind them.
pub(super) fn command() -> clap::Command {
    Args::command()
        .after_help(format!("{EXIT_CODES}\n\n{}", super::tool::help()))
        .mut_subcommand("ps", |ps| ps.after_help(super::tool::ps()))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run scenarios and judge them
    Run(RunArgs),
    /// List the built-in scenarios, or say what is in some of them
    List(ListArgs),
    /// Look at a VM with the debugger: at one that runs, or at that of a scenario which is run up to a moment
    Mdb(MdbArgs),
    /// Serve gdb for a VM that runs
    Gdb(GdbArgs),
    /// Write the guest's ELF file, with its debug information, for `gdb FILE CORE`
    Image {
        /// Where to
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// List the VMs of this user that run; with a VM, a core or --run, the processes of its guest
    Ps(JsonArgs),
    /// Show or count the scheduler's events of a recording
    Events(EventsArgs),
    /// Say how long threads waited to run, from a recording
    Latency(LatencyArgs),
    /// Draw a recording, or turn it into a file for Perfetto or Chrome
    Timeline(TimelineArgs),
    /// Compare two recordings, runs or variants: where they go apart, and whose waits are longer
    Compare(CompareArgs),
    /// Say who is to blame for a wait, which rule kept the thread, and what would end it
    Why(WhyArgs),
    /// Watch a run on a live screen: CPUs, run queues, who waits, verdicts
    Watch(WatchArgs),
    /// Look at this host: is there a KVM, what kind, how noisy
    Doctor(JsonArgs),
    /// Measure what Umpire promises, as a table
    Bench(BenchArgs),
    /// Print completions for a shell: `umpire completions bash > ~/.local/share/bash-completion/completions/umpire`
    Completions {
        /// For which
        shell: clap_complete::Shell,
    },
    /// Print the manual page of umpire or of a command: `umpire man run | man -l -`
    Man(ManArgs),
    /// Print the JSON Schema of an output, or of scenario files: `umpire schema scenario`; without a name, the names
    Schema {
        /// Of what
        name: Option<String>,
    },
    /// Boot once and print ns since the given time of day to the first thread, and ns of KVM's part; for `bench`
    #[command(hide = true)]
    BootProbe {
        /// When the process was started, in ns since 1970.
        spawned_at_ns: u64,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct JsonArgs {
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct ManArgs {
    /// The command; none: umpire itself
    #[arg(value_name = "COMMAND")]
    pub command: Option<String>,
}

#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  umpire bench
  umpire bench queue switch --json")]
pub(super) struct BenchArgs {
    /// What to measure; none: all
    #[arg(value_name = "WHAT", value_parser = PossibleValuesParser::new(umpire_referee::bench::names()))]
    pub wanted: Vec<String>,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    /// IDs, paths, or `-` for standard input: say what is in these; none: list every built-in scenario
    #[arg(value_name = "ID|PATH")]
    pub scenarios: Vec<OsString>,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  umpire run i1532
  umpire run i1532 healthy --run 500ms --sample-hz 10000
  umpire run i1532 --variant kpreemptpri=100 --trace events.txt
  umpire run i1532 --variant kpreemptpri=100 --record run.rec
  umpire run i1532 --report pages                 pages to read: open pages/index.html
  umpire run --junit junit.xml --tap results.tap --markdown summary.md
  umpire run i1532 --core-on violation cores
  umpire run i1532 --gdb --hold start             debug it with gdb from the first instruction on
  umpire run i1532 --sim --seeds 50
  umpire run - --sim < my.toml                    a scenario on standard input")]
pub(super) struct RunArgs {
    /// IDs of built-in scenarios, paths to scenario files, or `-` for standard input; none: all built-in scenarios but the mutants
    #[arg(value_name = "ID|PATH")]
    pub scenarios: Vec<OsString>,
    /// Set a tunable, over the scenario and every variant; may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub settings: Vec<Setting>,
    /// Virtual CPUs, 1 to 16
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=umpire_shared::MAX_CPUS as i64))]
    pub cpus: Option<u32>,
    /// How long to run each variant, like 2s or 500ms
    #[arg(long = "run", value_name = "TIME", value_parser = run_time)]
    pub run_ns: Option<u64>,
    /// End a variant that is to be violated as soon as it has been, unless events or the guest's deadman are still to come
    #[arg(long)]
    pub until_violated: bool,
    /// Fail a variant in which a bound judged nothing, or has a limit below what sampling can see
    #[arg(long)]
    pub strict: bool,
    /// Samples a second
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(SAMPLE_HZ.0..=SAMPLE_HZ.1))]
    pub sample_hz: Option<u32>,
    /// Run in the simulator instead of KVM
    #[arg(long)]
    pub sim: bool,
    /// The simulator's seed
    #[arg(long, value_name = "N", requires = "sim", default_value_t = 1)]
    pub seed: u64,
    /// Run under this many seeds, from --seed on
    #[arg(long, value_name = "N", requires = "sim", default_value_t = 1,
          value_parser = RangedU64ValueParser::<u64>::new().range(1..=1_000_000))]
    pub seeds: u64,
    /// Run each variant so many times on this host, and say how often each verdict came and how far the bounds' values spread
    #[arg(long, value_name = "N", conflicts_with = "sim", default_value_t = 1,
          value_parser = RangedU64ValueParser::<u64>::new().range(1..=100_000))]
    pub repeat: u64,
    /// Have the host take vCPUs off again and again: every so long on average (each in the simulator, one at a time on KVM), for so
    /// long at most, as 10ms:30ms. For tests of what a host can do to a verdict
    #[arg(long, value_name = "EVERY:MOST", value_parser = host_absence, hide = true)]
    pub host_absence: Option<HostAbsence>,
    /// Hold the machine for inspectors: paused, until `:c` in `umpire mdb` lets it go on or Ctrl-C ends the run
    #[arg(long, value_name = "WHEN", conflicts_with = "sim")]
    pub hold: Option<Hold>,
    /// Serve gdb while it runs: at a socket of its own, or at this path or port of this host. What gdb writes, breakpoints
    /// included, is said with the verdict
    #[arg(long, value_name = "ADDR", num_args = 0..=1, require_equals = true, default_missing_value = "",
          conflicts_with = "sim")]
    pub gdb: Option<Address>,
    /// Write a core into a directory: at the first violation of a bound, when the guest has died, or when the run is over
    #[arg(long, num_args = 2, value_names = ["violation|panic|end", "DIR"])]
    pub core_on: Option<Vec<OsString>>,
    /// Compress the core with zstd; gdb does not read that
    #[arg(long, requires = "core_on")]
    pub core_zstd: bool,
    /// Only the variant of this name
    #[arg(long, value_name = "NAME")]
    pub variant: Option<String>,
    /// One JSON object a line, one line a run
    #[arg(long)]
    pub json: bool,
    /// Write the scheduler's events of the run to this file, as text; `-` is standard output. Not with --report and --flight
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Write pages into a folder: the verdicts, and of each run its recording, timeline, latencies, who is to blame, the host's noise.
    /// Not with --record and --trace, which take one run: each has its recording there
    #[arg(long, value_name = "DIR", conflicts_with_all = ["record", "trace"])]
    pub report: Option<PathBuf>,
    /// Write the results as JUnit's XML
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Write the results in the Test Anything Protocol
    #[arg(long, value_name = "FILE")]
    pub tap: Option<PathBuf>,
    /// Write a summary in GitHub-flavoured Markdown, as for $GITHUB_STEP_SUMMARY
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
    /// Tell how long threads and classes waited, as `umpire latency` does, with each run. Not with --flight
    #[arg(long)]
    pub latency: bool,
    /// Write what the flight recorder holds into a folder, as a recording: at the first violation of a bound, when the guest has died,
    /// or when the run is ended by Ctrl-C. Not with --record, --trace, --report and --latency: those take all events out of the rings
    /// while it runs, so that nothing is left in them to write
    #[arg(long, value_name = "DIR", conflicts_with_all = ["record", "trace", "report", "latency"])]
    pub flight: Option<PathBuf>,
    /// Record the run: its events, run queues and verdicts, for `umpire events`, `latency` and `timeline`. Not with --report, which
    /// records each run into its folder, and --flight
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  umpire gdb i1532                                  serve the VM of this name, until it ends or Ctrl-C
  umpire gdb i1532 --listen :1234                   at a port of this host; in gdb: target remote :1234
  gdb -ex 'target remote | umpire gdb i1532 --stdio'   no socket: gdb starts it
  umpire run i1532 --gdb --hold start               from the first instruction on

In gdb, a thread is a virtual CPU; the guest's symbols come with the connection; Ctrl-C stops all CPUs; `detach` lets them go.
The verdict of the run says what gdb wrote: breakpoints, memory, registers. Time in which gdb holds all CPUs is charged to nobody.")]
pub(super) struct GdbArgs {
    /// A VM that runs: its name, or the beginning of it; none: the only one
    #[arg(value_name = "NAME")]
    pub target: Option<String>,
    /// Serve at this path, or port of this host, like :1234; without it at a socket among this user's sessions
    #[arg(long, value_name = "ADDR", default_value = "", hide_default_value = true)]
    pub listen: Address,
    /// Speak with gdb over standard input and output
    #[arg(long, conflicts_with = "listen")]
    pub stdio: bool,
    /// Say the address as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Hold {
    /// Before the first instruction.
    Start,
    /// At the first violation of a bound, or when the guest dies.
    Violation,
    /// When the run is over.
    End,
}

fn host_absence(text: &str) -> Result<HostAbsence, String> {
    let (every, most) = text.split_once(':').ok_or("expected two durations, like 10ms:30ms")?;
    let parse = |text| duration::parse(text).map_err(|e| e.to_string());
    HostAbsence::new(parse(every)?, parse(most)?)
        .ok_or_else(|| "expected 10us:10us at least, and 1s:1s at most".into())
}

#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  umpire mdb i1532                                         the VM of this name, while it runs (umpire ps lists them)
  umpire mdb i1532 -e '::cpuinfo -v' --json                one command, as JSON
  umpire mdb -w i1532 -e 'kpreemptpri/W 0t99'              set a tunable of it
  umpire mdb cores/i1532.core                              a core, as `run --core-on` and ::dump write it
  umpire mdb run.rec                                       a recording, as `run --record` and --flight write it: no memory
  umpire mdb --run i1532                                   at the violation, on KVM; type ::help
  umpire mdb --run i1532 --sim -e '::cpuinfo -v'           in the simulator, one command
  umpire mdb --run i1532:kpreemptpri=99 --sim --at 100ms   a variant, at a moment
  umpire mdb --run i1532 --sim < script                    commands from a file")]
pub(super) struct MdbArgs {
    /// A VM that runs: its name, or the beginning of it; none: the only one. Or the path of a core or of a recording
    #[arg(value_name = "NAME|FILE", conflicts_with_all = ["run", "at_ns", "settings", "cpus", "sim"])]
    pub target: Option<OsString>,
    /// Run this scenario instead, and look at its machine; without a variant the first
    #[arg(long, value_name = "ID[:VARIANT]")]
    pub run: Option<String>,
    /// Open the VM for writing: /v /w /W /Z change it, and the verdict of its run says so
    #[arg(short = 'w', conflicts_with = "run")]
    pub write: bool,
    /// Kick a CPU that runs out of the guest for the time of one read where its registers are needed, as ::findstack -k does
    #[arg(short = 'k')]
    pub kick: bool,
    /// Stop after so much guest time, like 100ms; without it at the first violation, or at the end
    #[arg(long = "at", value_name = "TIME", value_parser = run_time, requires = "run", allow_hyphen_values = true)]
    pub at_ns: Option<u64>,
    /// Carry out this command; may be repeated. Without it commands are read from standard input
    #[arg(short = 'e', long = "eval", value_name = "CMD", allow_hyphen_values = true)]
    pub commands: Vec<String>,
    /// Set a tunable, over the scenario and the variant; may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE", requires = "run")]
    pub settings: Vec<Setting>,
    /// Virtual CPUs, 1 to 16
    #[arg(long, value_name = "N", requires = "run",
          value_parser = clap::value_parser!(u32).range(1..=umpire_shared::MAX_CPUS as i64))]
    pub cpus: Option<u32>,
    /// Run in the simulator instead of KVM
    #[arg(long, requires = "run")]
    pub sim: bool,
    /// The simulator's seed
    #[arg(long, value_name = "N", requires = "sim", default_value_t = 1)]
    pub seed: u64,
    /// Fail where what was read is not consistent
    #[arg(long, value_enum, value_name = "WHAT")]
    pub require: Option<Require>,
    /// One JSON object a row
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  umpire watch i1532                          a run on KVM that is started for it; or the VM of that name
  umpire watch i1532 --sim                    simulated, moment by moment
  umpire watch i1532:kpreemptpri=99 --sim --every 1ms")]
pub(super) struct WatchArgs {
    /// A VM that runs, or the scenario to run; none: the only VM
    #[arg(value_name = "NAME|ID[:VARIANT]")]
    pub run: Option<String>,
    /// In the simulator
    #[arg(long)]
    pub sim: bool,
    /// The simulator's seed
    #[arg(long, value_name = "N", requires = "sim", default_value_t = 1)]
    pub seed: u64,
    /// In the simulator, guest time from one moment to the next, like 20ms
    #[arg(long = "every", requires = "sim", value_name = "TIME", value_parser = run_time, default_value = "20ms")]
    pub every_ns: u64,
    /// In the simulator, the first moment, like 100ms
    #[arg(long = "at", requires = "sim", value_name = "TIME", value_parser = run_time)]
    pub at_ns: Option<u64>,
    /// Set a tunable, over the scenario and the variant; may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub settings: Vec<Setting>,
    /// Virtual CPUs, 1 to 16
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=umpire_shared::MAX_CPUS as i64))]
    pub cpus: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Require {
    /// Nothing torn and nothing stale.
    Clean,
}

pub(super) fn run_time(text: &str) -> Result<u64, String> {
    let ns = duration::parse(text).map_err(|e| e.to_string())?;
    if !(RUN_NS.0..=RUN_NS.1).contains(&ns) {
        return Err(format!("expected {} to {}", number::exact(RUN_NS.0), number::exact(RUN_NS.1)));
    }
    Ok(ns)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn tree_of_arguments_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn help_begins_with_examples() {
        let help = Args::command().render_long_help().to_string();
        assert!(help.starts_with("Examples:"), "{help}");
    }
}
