//! Commands that look at what a run recorded: `umpire events`, `umpire latency`, `umpire timeline`, `umpire why`, `umpire compare`.
//!
//! # Invariants
//! - What cannot be read is an error with what was found and what to do. What is missing from a recording is said on stderr, and what is
//!   there is shown.
//! - The first signal counts: it ends the machine of a run in order, and whatever is done with a recording at once.

pub(super) mod compare;
pub(super) mod events;
pub(super) mod latency;
pub(super) mod timeline;
pub(super) mod why;

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::path::Path;

use super::Backends;
use super::args::{HowArgs, RecordedArgs};
use super::exit::Exit;
use super::mdb::attach::{attach, core};
use super::stand::variant_of;
use super::streams::Streams;
use umpire_machine::signals;
use umpire_record::{Events, FileError, Recording};
use umpire_referee::{RunOptions, rings};
use umpire_rows::number;
use umpire_scenario::load;

/// Lets `show` see the recording that the arguments name, of an interval in ns after boot.
fn with_recording(
    args: &RecordedArgs,
    interval: RangeInclusive<u64>,
    backends: Backends<'_>,
    streams: &mut Streams<'_>,
    show: impl FnOnce(&Recording, &mut Streams<'_>) -> io::Result<Exit>,
) -> io::Result<Exit> {
    let Some(found) = found(args, interval, backends, streams) else { return Ok(Exit::Usage) };
    match found.events.whole() {
        Ok(recording) => show(&recording, streams).map(|exit| exit.worse(found.exit)),
        Err(cause) => {
            streams.say(&format!("umpire: cannot read {}: {cause}", args.source.display()));
            Ok(Exit::Usage)
        }
    }
}

/// Lets `show` see the same without having all of it in memory.
fn with_events(
    args: &RecordedArgs,
    interval: RangeInclusive<u64>,
    backends: Backends<'_>,
    streams: &mut Streams<'_>,
    show: impl FnOnce(&mut Events, &mut Streams<'_>) -> io::Result<Exit>,
) -> io::Result<Exit> {
    let Some(mut found) = found(args, interval, backends, streams) else { return Ok(Exit::Usage) };
    let said = found.events.told().lacks();
    let exit = show(&mut found.events, streams)?;
    // Some of what it lacks is seen only when it is read.
    let mut lacks = found.events.told().lacks();
    lacks.retain(|lacks| !said.contains(lacks));
    warn(&lacks, &args.source.to_string_lossy(), streams);
    Ok(exit.worse(found.exit))
}

/// What the arguments name.
struct Found {
    events: Events,
    /// How a run of it ended: what was seen until a signal is shown.
    exit: Exit,
}

/// Finds it, or says why not.
fn found(
    args: &RecordedArgs,
    interval: RangeInclusive<u64>,
    mut backends: Backends<'_>,
    streams: &mut Streams<'_>,
) -> Option<Found> {
    let source = args.source.display();
    let events = check_interval(&interval)
        .and_then(|()| check_options(&[Source::of(&args.source)], &args.how))
        .and_then(|()| match args.live {
            true => of_live(&args.source.to_string_lossy(), &interval).map(Events::Whole),
            false => events_of(&args.source, &args.how, interval, &mut backends, streams),
        })
        .and_then(|events| match events {
            Events::Whole(recording) => legible(recording, &source).map(Events::Whole),
            // There is much in it.
            Events::Stored(_) => Ok(events),
        });
    let events = match events {
        Ok(events) => events,
        Err(message) => {
            streams.say(&format!("umpire: {message}"));
            return None;
        }
    };
    warn(&events.told().lacks(), &args.source.to_string_lossy(), streams);
    if signals::interrupted() {
        return Some(Found { events, exit: Exit::interrupted() });
    }
    // There is no machine any more, and no folder to take away.
    signals::end_at_once();
    Some(Found { events, exit: Exit::Pass })
}

/// A recording of which something could be read.
///
/// # Errors
/// A sentence, if nothing could.
pub(super) fn legible(recording: Recording, source: &dyn fmt::Display) -> Result<Recording, String> {
    match &recording.damage {
        Some(damage) if recording.records.is_empty() => {
            Err(format!("{source}: nothing of it can be read: {damage}; record the run again"))
        }
        _ => Ok(recording),
    }
}

/// An interval in words: `from 10s on`.
fn told(interval: &RangeInclusive<u64>) -> String {
    let (from, to) = (number::exact(*interval.start()), number::exact(*interval.end()));
    match (*interval.start(), *interval.end()) {
        (_, u64::MAX) => format!("from {from} on"),
        (0, _) => format!("up to {to}"),
        _ => format!("from {from} to {to}"),
    }
}

/// Says what a recording lacks.
fn warn(lacks: &[String], source: &str, streams: &mut Streams<'_>) {
    for lacks in lacks {
        streams.say(&format!("umpire: {source}: {lacks}; what is there is shown"));
    }
}

/// What rings held, of an interval.
fn held(
    rings: Result<Recording, String>,
    source: &str,
    interval: &RangeInclusive<u64>,
) -> Result<Recording, String> {
    let mut recording = rings.map_err(|why| format!("cannot read events of {source}: {why}"))?;
    recording.records.retain(|record| interval.contains(&record.time_ns));
    Ok(recording)
}

/// What a word names.
#[derive(Debug, Clone, Copy)]
enum Source<'w> {
    /// A recording or a core.
    File(&'w Path),
    /// A scenario, which is run, and its variant if the word names that too.
    Scenario(&'w str, Option<&'w str>),
}

impl<'w> Source<'w> {
    fn of(word: &'w OsStr) -> Source<'w> {
        // What is no text is a file, and a file is one, whatever is in its name.
        let Some(text) = word.to_str() else { return Source::File(Path::new(word)) };
        match text.split_once(':') {
            Some((id, variant)) if is_scenario(id) && fs::metadata(word).is_err() => {
                Source::Scenario(id, Some(variant))
            }
            _ if is_scenario(text) => Source::Scenario(text, None),
            _ => Source::File(Path::new(word)),
        }
    }

    /// Why an option about scenarios means nothing here, if it means nothing.
    fn ignores(self, option: &str) -> Option<String> {
        match self {
            // What is no file at all is told by who tries to read it.
            Source::File(path) => path.is_file().then(|| {
                format!("{} is a file, which holds what was run when it was written", path.display())
            }),
            Source::Scenario(id, Some(variant)) if option == VARIANT => {
                Some(format!("`{id}:{variant}` names its variant itself"))
            }
            Source::Scenario(..) => None,
        }
    }
}

const VARIANT: &str = "--variant";

/// Every option about scenarios that was given has to mean something for one of the sources.
///
/// # Errors
/// A sentence with the option.
fn check_options(sources: &[Source<'_>], how: &HowArgs) -> Result<(), String> {
    let options = [("--sim", how.sim), (VARIANT, how.variant.is_some())];
    for (option, _) in options.into_iter().filter(|(_, is_given)| *is_given) {
        let ignored: Option<Vec<String>> = sources.iter().map(|source| source.ignores(option)).collect();
        if let Some(why) = ignored {
            return Err(format!("{option} means nothing here: {}; leave it out", why.join(", and ")));
        }
    }
    Ok(())
}

/// What has an end before its beginning holds nothing.
///
/// # Errors
/// A sentence with both.
fn check_interval(interval: &RangeInclusive<u64>) -> Result<(), String> {
    if !interval.is_empty() {
        return Ok(());
    }
    let (from, to) = (number::exact(*interval.start()), number::exact(*interval.end()));
    Err(format!("nothing lies between --from {from} and --to {to}: give a --to that is not before it"))
}

/// What the rings of the VM of this name hold.
fn of_live(name: &str, interval: &RangeInclusive<u64>) -> Result<Recording, String> {
    let attached = attach(Some(name), false).map_err(|error| error.to_string())?;
    held(rings(&attached), name, interval)
}

/// The recording of the file, or, if there is none of that name, of a run of the scenario, in memory.
fn recording(
    source: &OsStr,
    how: &HowArgs,
    interval: RangeInclusive<u64>,
    backends: &mut Backends<'_>,
    streams: &mut Streams<'_>,
) -> Result<Recording, String> {
    let events = events_of(source, how, interval, backends, streams)?;
    events.whole().map_err(|cause| format!("cannot read {}: {cause}", source.display()))
}

/// The same where its events are.
fn events_of(
    source: &OsStr,
    how: &HowArgs,
    interval: RangeInclusive<u64>,
    backends: &mut Backends<'_>,
    streams: &mut Streams<'_>,
) -> Result<Events, String> {
    let (source, variant) = match Source::of(source) {
        Source::File(path) => return signals::at_once(|| of_file(path, interval)),
        Source::Scenario(id, variant) => (id, variant.or(how.variant.as_deref())),
    };
    let scenario = load(source).map_err(|error| error.to_string())?;
    let variant = variant_of(&scenario, variant)?;
    let folder = tempfile::tempdir().map_err(|cause| format!("no folder for a recording: {cause}"))?;
    let path = folder.path().join("recording");
    let seed = how.sim.then_some(how.seed);
    let options = RunOptions { seed, record: Some(path.clone()), ..RunOptions::default() };
    streams.narrate(&format!("{} {}: running", scenario.id, variant.name));
    let run = if how.sim { &mut backends.sim } else { &mut backends.kvm };
    run(&scenario, &variant, &options).map_err(|error| error.to_string())?;
    of_file(&path, interval)
}

/// What a file holds: a recording, or a core with what its rings held.
fn of_file(path: &Path, interval: RangeInclusive<u64>) -> Result<Events, String> {
    let source = path.display();
    match Events::open(path, interval.clone()) {
        Err(FileError::Foreign(_)) if umpire_reach::core::is_core(path) => {
            let core = core(path).map_err(|error| error.to_string())?;
            held(rings(&core), &source.to_string(), &interval).map(Events::Whole)
        }
        Err(cause @ (FileError::Unopened(_) | FileError::NoFile)) => Err(format!(
            "cannot read {source}: {cause}; give a recording of `umpire run ID --record FILE`, or a scenario"
        )),
        read => read.map_err(|cause| format!("cannot read {source}: {cause}")),
    }
}

/// True for a word that names a scenario and not a recording.
fn is_scenario(word: &str) -> bool {
    word.ends_with(".toml") || umpire_scenario::builtin::find(word).is_some()
}
