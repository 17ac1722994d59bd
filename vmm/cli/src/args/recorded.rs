//! The arguments of commands that look at what a run recorded.
//!
//! # Invariants
//! - What is about a scenario says so: it is refused where a file is read.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;

use umpire_scenario::duration;

/// Where events come from.
#[derive(Debug, clap::Args)]
pub(crate) struct RecordedArgs {
    /// A recording made by `umpire run ID --record FILE`; a core of a machine on KVM, for the time before it; or a scenario, which is run
    /// for it
    #[arg(value_name = "FILE|ID")]
    pub source: OsString,
    #[command(flatten)]
    pub how: HowArgs,
    /// The VM of this name that runs, as `umpire ps` lists it: what its rings hold now
    #[arg(long, conflicts_with_all = ["sim", "variant"])]
    pub live: bool,
}

/// How a scenario is run for its events.
#[derive(Debug, clap::Args)]
pub(crate) struct HowArgs {
    /// Of a scenario: run it in the simulator instead of KVM
    #[arg(long)]
    pub sim: bool,
    /// Of a scenario in the simulator: the seed
    #[arg(long, value_name = "N", requires = "sim", default_value_t = 1)]
    pub seed: u64,
    /// Of a scenario that names none: the variant; without it the first
    #[arg(long, value_name = "NAME")]
    pub variant: Option<String>,
}

#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  umpire events run.rec                                    every event, a line each
  umpire events run.rec --probe wakeup --from 1s --to 1100ms
  umpire events run.rec --by thread,probe                  how many of each, and the longest gap
  umpire events run.rec --by probe --quantize              the times from one to the next, as quantize() draws them
  umpire events i1532 --sim --by probe                     run the scenario for it
  umpire events cores/i1532.kpreemptpri=100.core           the last events of each CPU before a core was written
  umpire events i1532 --live --by thread,probe             the same of a VM that runs now")]
pub(crate) struct EventsArgs {
    #[command(flatten)]
    pub of: RecordedArgs,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
    /// Only events of this CPU; may be repeated
    #[arg(long = "cpu", value_name = "N", value_delimiter = ',')]
    pub cpus: Vec<u32>,
    /// Only events of this thread, by name or number; may be repeated
    #[arg(long = "thread", value_name = "NAME", value_delimiter = ',')]
    pub threads: Vec<String>,
    /// Only events of this probe; may be repeated
    #[arg(long = "probe", value_name = "NAME", value_delimiter = ',')]
    pub probes: Vec<String>,
    /// Only events from so long after boot on, like 1.5s
    #[arg(long = "from", value_name = "TIME", value_parser = moment)]
    pub from_ns: Option<u64>,
    /// Only events up to so long after boot
    #[arg(long = "to", value_name = "TIME", value_parser = moment)]
    pub to_ns: Option<u64>,
    /// Count events that have these in common, instead of showing each
    #[arg(long, value_name = "KEY", value_delimiter = ',',
          value_parser = PossibleValuesParser::new(umpire_record::Key::ALL.map(|(_, name)| name)))]
    pub by: Vec<String>,
    /// Draw the times from one such event to the next in powers of two, as DTrace's quantize does; --json has them anyway
    #[arg(long, requires = "by")]
    pub quantize: bool,
}

#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  umpire latency run.rec
  umpire latency i1532 --sim --variant kpreemptpri=99 --json")]
pub(crate) struct LatencyArgs {
    #[command(flatten)]
    pub of: RecordedArgs,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  umpire compare old.rec new.rec                                     two recordings
  umpire compare i1532:kpreemptpri=100 i1532:kpreemptpri=99 --sim    two variants, under one seed
  umpire compare old.rec i1532 --json                                a recording, and a run of now

A difference of waits is told with its confidence: 1 - p of the test of Mann and Whitney, which asks nothing of how they are
distributed. That two differ is no failure.")]
pub(crate) struct CompareArgs {
    /// The first: a recording; or a scenario, with a variant behind a colon, which is run for it
    #[arg(value_name = "A")]
    pub a: OsString,
    /// The second
    #[arg(value_name = "B")]
    pub b: OsString,
    #[command(flatten)]
    pub how: HowArgs,
    /// Only so many rows; the surest differences come first
    #[arg(long, value_name = "N")]
    pub rows: Option<usize>,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  umpire why run.rec                              every violation, and the five longest waits
  umpire why run.rec squeue_worker                the longest waits of one thread
  umpire why run.rec squeue_worker 120ms          the wait that lasts at that moment, or the next
  umpire why i1532 --sim --worst 1 --json         run the scenario for it")]
pub(crate) struct WhyArgs {
    #[command(flatten)]
    pub of: RecordedArgs,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
    /// Only waits of this thread, by name or number
    #[arg(value_name = "THREAD")]
    pub thread: Option<String>,
    /// The wait that lasts so long after boot, or else the next one
    #[arg(value_name = "TIME", value_parser = moment)]
    pub at_ns: Option<u64>,
    /// How many of the longest waits, beside those that broke a bound
    #[arg(long, value_name = "K", default_value_t = 5)]
    pub worst: usize,
}

#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  umpire timeline run.rec -o run.html       a page to zoom, pan and search in, without network
  umpire timeline run.rec -o run.svg        a picture: what each CPU ran, who waited
  umpire timeline run.rec -o run.pftrace    for https://ui.perfetto.dev
  umpire timeline i1532 --sim -o run.json   for viewers of Chrome's trace events")]
pub(crate) struct TimelineArgs {
    #[command(flatten)]
    pub of: RecordedArgs,
    /// What to write: a file that ends with .html, .svg, .pftrace or .json
    #[arg(short = 'o', long = "out", value_name = "FILE")]
    pub out: PathBuf,
    /// Only from so long after boot on
    #[arg(long = "from", value_name = "TIME", value_parser = moment)]
    pub from_ns: Option<u64>,
    /// Only up to so long after boot
    #[arg(long = "to", value_name = "TIME", value_parser = moment)]
    pub to_ns: Option<u64>,
}

fn moment(text: &str) -> Result<u64, String> {
    duration::parse(text).map_err(|e| e.to_string())
}
