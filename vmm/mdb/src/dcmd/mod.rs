//! Commands: each one file and one line of [`DCMDS`].
//!
//! # Invariants
//! - A command is a function from a view, a recording (or, for those that are a part of the language, a session) and a call to an
//!   answer. It prints nothing, and keeps nothing.
//! - What a command can look at is told by its [`Run`], and by nothing else: a session lists and runs what fits what it looks at.
//! - Every command has a usage, a summary, a description and examples: a test checks that the examples can be read.

use crate::answer::Answer;
use crate::call::Call;
use crate::lang::Failure;
use crate::recorded::Recorded;
use crate::session::Session;
use crate::source::{NO_MEMORY, Source};
use crate::view::View;

macro_rules! dcmds {
    ($($file:ident),* $(,)?) => {
        $(mod $file;)*
        /// Every command, by name.
        pub static DCMDS: &[&Dcmd] = &[$(&$file::DCMD),*];
    };
}

dcmds! {
    array, at, callout, calloutid, class, cont, cpucaps, cpuinfo, cpupart, cycid, cycinfo, cyclic, cyctrace, dcmds,
    dis, dmods, dump, enumeration, eval, events, findstack, formats, grep, head, help, kill, kmem_cache, kstat, lgrp, list,
    log, mac_srs, map, mblk, mblk2dblk, mblk_verify, msgbuf, mutex, nm, nmadd, nmdel, offsetof, panicinfo, pg, print, printf, psrset, q2otherq, q2rdq, q2stream, q2syncq, q2wrq, queue, quit, regs,
    rwlock, set, sizeof, sobj2ts, softring, squeue, stack, stacks, status, stdata, stop, str2mate, str2wrq, stream, syncq, syncq2q, taskq, taskq_entry, thread, threadlist, turnstile, typedef,
    umpire, vars, walk, walkers, wchaninfo, whatis,
}

pub use help::reference;

/// Whether a command wants an address in front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Address {
    /// It has no use for one.
    None,
    /// It takes one: `[ addr ] ::name`.
    Optional,
    /// It needs one: `addr ::name`.
    Required,
}

/// How a command is run.
#[derive(Clone, Copy)]
pub enum Run {
    /// It looks at a guest.
    View(OfView),
    /// It looks at a recording.
    Recorded(OfRecording),
    /// It looks at either.
    Either(OfView, OfRecording),
    /// It is a part of the language.
    Session(fn(&mut Session<'_>, &Call<'_>) -> Result<Answer, Failure>),
    /// It is a part of the language that knows the guest's types.
    Types(fn(&mut Session<'_>, &View<'_>, &Call<'_>) -> Result<Answer, Failure>),
}

/// How a command looks at a guest.
type OfView = fn(&View<'_>, &Call<'_>) -> Result<Answer, Failure>;
/// How a command looks at a recording.
type OfRecording = fn(&Recorded<'_>, &Call<'_>) -> Result<Answer, Failure>;

impl Run {
    /// True if it can look at this.
    pub fn takes(self, source: Source<'_>) -> bool {
        match self {
            Run::Either(..) | Run::Session(_) => true,
            Run::View(_) | Run::Types(_) => !source.is_recording(),
            Run::Recorded(_) => source.is_recording(),
        }
    }

    /// What it can look at, as `::help` has it.
    fn targets(self) -> &'static str {
        match self {
            Run::Either(..) | Run::Session(_) => "kvm, sim, recording",
            Run::View(_) | Run::Types(_) => "kvm, sim",
            Run::Recorded(_) => "recording",
        }
    }
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Run::View(_) => "Run::View",
            Run::Recorded(_) => "Run::Recorded",
            Run::Either(..) => "Run::Either",
            Run::Session(_) => "Run::Session",
            Run::Types(_) => "Run::Types",
        })
    }
}

/// A command.
#[derive(Debug)]
pub struct Dcmd {
    /// Its name, without `::`; `$c` and the like have it with the `$`.
    pub name: &'static str,
    /// Other names of it.
    pub aliases: &'static [&'static str],
    /// Whether it wants an address.
    pub address: Address,
    /// True if it takes all addresses of a pipe in one call.
    pub takes_all: bool,
    /// Its options and arguments, as `::help` shows them.
    pub usage: &'static str,
    /// What it does, in a line.
    pub about: &'static str,
    /// What it does, in sentences.
    pub help: &'static str,
    /// Lines that may be typed, each with what it shows.
    pub examples: &'static [(&'static str, &'static str)],
    /// It.
    pub run: Run,
}

impl Dcmd {
    /// How it is typed: `[ addr ] ::name [-v]`.
    pub fn synopsis(&self) -> String {
        let addr = match self.address {
            Address::None => "",
            Address::Optional => "[ addr ] ",
            Address::Required => "addr ",
        };
        format!("{addr}{} {}", self.typed(), self.usage).trim_end().to_owned()
    }

    /// Its name as it is typed.
    fn typed(&self) -> String {
        let colons = if self.name.starts_with(['$', ':']) { "" } else { "::" };
        format!("{colons}{}", self.name)
    }

    /// What is said if it cannot look at this.
    pub(crate) fn refused(&self, source: Source<'_>) -> String {
        let name = self.typed();
        if source.is_recording() {
            return format!("{name} is not for recordings: {NO_MEMORY}");
        }
        format!(
            "{name} is for recordings, which `umpire run ID --record FILE` makes: this target stands at one moment, and `umpire events` \
             has what led to it"
        )
    }
}

/// The command of a name.
pub fn find(name: &str) -> Option<&'static Dcmd> {
    DCMDS.iter().find(|dcmd| dcmd.name == name || dcmd.aliases.contains(&name)).copied()
}

/// Every command that can look at this, by name.
pub(crate) fn fitting(source: Source<'_>) -> impl Iterator<Item = &'static Dcmd> {
    DCMDS.iter().copied().filter(move |dcmd| dcmd.run.takes(source))
}

/// What to say of a name that no command has.
pub(crate) fn unknown(name: &str, source: Source<'_>) -> String {
    let likeness = |dcmd: &&Dcmd| strsim::jaro_winkler(dcmd.name, name);
    let near = fitting(source).max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    let near = near
        .filter(|dcmd| likeness(dcmd) > 0.7)
        .map_or_else(String::new, |dcmd| format!(" (near it: ::{})", dcmd.name));
    let colons = if name.starts_with(['$', ':']) { "" } else { "::" };
    format!("invalid command '{colons}{name}': unknown dcmd name{near}")
}

/// The arguments as one text.
fn text_of(call: &Call<'_>) -> Result<String, Failure> {
    match call.args {
        [] => Err(call.misused("it needs an argument")),
        words => Ok(words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lang::{Verb, parse};

    #[test]
    fn every_name_means_one_command_and_they_are_in_order() {
        let mut names: Vec<&str> =
            DCMDS.iter().flat_map(|d| d.aliases.iter().copied().chain([d.name])).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
        assert!(DCMDS.is_sorted_by_key(|d| d.name.trim_start_matches(['$', ':'])));
    }

    #[test]
    fn every_command_explains_itself_with_examples_that_can_be_read() {
        for dcmd in DCMDS {
            assert!(
                !dcmd.help.is_empty() && !dcmd.about.is_empty() && !dcmd.examples.is_empty(),
                "{}",
                dcmd.name
            );
            for (line, about) in dcmd.examples {
                let read = parse(line).unwrap_or_else(|e| panic!("{}", e.told(line)));
                let names = |verb: &Verb| match verb {
                    Verb::Dcmd { name, .. } => find(name).is_some_and(|found| std::ptr::eq(found, *dcmd)),
                    _ => false,
                };
                let is_used = read.iter().flat_map(|s| &s.pipeline).any(|c| names(&c.verb));
                assert!(is_used && !about.is_empty(), "{}: {line}", dcmd.name);
            }
        }
    }
}
