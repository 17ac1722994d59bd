//! A variant: the scenario under one setting, and what is expected of it.
//!
//! # Invariants
//! - A variant is complete: it has the defaults, the scenario's settings, its own and the command line's, merged.

use umpire_shared::mutant;
use umpire_shared::program::trace;
use umpire_shared::program::{Interrupt, Stream, TableRow, TaskQueue, Thread};
use umpire_shared::tunable::{self, COUNT};

use super::event::ScriptedEvent;
use super::settings::Script;
use super::ticks::{Place, Span};
use umpire_watch::monitor::MonitorKind;

/// A scenario under one setting of tunables, mutants, threads, interrupts and tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// Its name, unique in the scenario.
    pub name: String,
    /// What has to be observed for it to pass.
    pub expect: Expect,
    /// The monitors of which bounds have to be violated; if empty, any will do.
    pub violates: Vec<MonitorKind>,
    /// The bounds on probes that have to be violated, by name.
    pub violates_probes: Vec<String>,
    /// The monitors whose bounds may have nothing to judge.
    pub unjudged: Vec<MonitorKind>,
    /// What a guest that has to panic must say.
    pub panic: Option<String>,
    /// What the in-guest deadman has to do, if it matters.
    pub guest_deadman: Option<GuestDeadman>,
    /// Every tunable, by its number in [`umpire_shared::tunable::TUNABLES`].
    pub tunables: [i64; COUNT],
    /// The rules that the kernel breaks.
    pub mutants: mutant::Set,
    /// True if events come from an operator at a console, whom no thread keeps off a CPU.
    pub console: bool,
    /// At what priority events happen otherwise.
    pub script: Script,
    /// The threads, in the order of the file.
    pub threads: Vec<Thread>,
    /// The task queues, in the order of the file.
    pub taskqs: Vec<TaskQueue>,
    /// Streams.
    pub streams: Vec<Stream>,
    /// Sources of device interrupts, in the order of the file.
    pub interrupts: Vec<Interrupt>,
    /// What happens while it runs, by time.
    pub events: Vec<ScriptedEvent>,
    /// Rows of the dispatcher tables that replace built-in ones, a class after the other.
    pub tables: Vec<TableRow>,
    /// Quanta that the file gives in time: their ticks depend on `hz`.
    pub(super) spans: Vec<(Place, Span)>,
}

impl Variant {
    /// The names of the bounds that have to be violated, those of monitors first; none if any will do.
    pub fn violated_names(&self) -> impl Iterator<Item = &str> {
        self.violates.iter().map(|kind| kind.name()).chain(self.violates_probes.iter().map(String::as_str))
    }
}

/// What a variant expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Bounds are violated: a bug that is kept.
    Violated,
    /// Every bound is held.
    Held,
    /// The guest panics.
    Panic,
}

impl Expect {
    /// The words of scenario files, in the order of the variants.
    pub const WORDS: [&'static str; 3] = ["violated", "held", "panic"];

    /// The word for it in scenario files and results.
    pub fn as_str(self) -> &'static str {
        match self {
            Expect::Violated => "violated",
            Expect::Held => "held",
            Expect::Panic => "panic",
        }
    }

    pub(super) fn from_place(place: usize) -> Expect {
        [Expect::Violated, Expect::Held, Expect::Panic][place]
    }
}

/// What the in-guest deadman does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuestDeadman {
    /// It never fires.
    Silent,
    /// It fires at least once.
    Fired,
}

impl GuestDeadman {
    /// The words of scenario files, in the order of the variants.
    pub const WORDS: [&'static str; 2] = ["silent", "fired"];

    /// The word for it in scenario files.
    pub fn as_str(self) -> &'static str {
        match self {
            GuestDeadman::Silent => "silent",
            GuestDeadman::Fired => "fired",
        }
    }
}

/// Which scheduler events the kernel writes into its rings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tracing {
    /// All.
    On,
    /// Those of a flight recorder: all but what comes with every message.
    Kept,
    /// None, which costs nothing.
    Off,
}

impl Tracing {
    /// How it is told to the kernel: one of [`umpire_shared::program::trace`].
    pub(crate) fn number(self) -> u32 {
        match self {
            Tracing::On => trace::ALL,
            Tracing::Kept => trace::KEPT,
            Tracing::Off => trace::OFF,
        }
    }
}

impl Variant {
    /// How many records each CPU of a VM keeps, if it keeps any: the tunable `trace_records`.
    pub fn kept_records(&self) -> u64 {
        self.tunables[tunable::TRACE_RECORDS].max(0) as u64
    }
}
