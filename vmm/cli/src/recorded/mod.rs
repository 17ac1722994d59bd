//! Commands that look at what a run recorded: `umpire events`, `umpire latency`, `umpire timeline`, `umpire why`, `umpire compare`.
//!
//! # Invariants
//! - What cannot be read is an error with what was found and what to do. What is missing from a recording is said on stderr, and what is
//!   there is shown.

pub(super) mod compare;
pub(super) mod events;
pub(super) mod latency;
pub(super) mod timeline;
pub(super) mod why;

use std::fmt;
use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::path::Path;

use super::Backends;
use super::args::RecordedArgs;
use super::exit::Exit;
use super::mdb::attach::{attach, core};
use super::stand::variant_of;
use super::streams::Streams;
use umpire_record::{FileError, Recording};
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
    let mut backends = backends;
    let source = args.source.display();
    let recording = match recording(args, interval, &mut backends, streams)
        .and_then(|recording| legible(recording, &source))
    {
        Ok(recording) => recording,
        Err(message) => {
            streams.say(&format!("umpire: {message}"));
            return Ok(Exit::Usage);
        }
    };
    warn(&recording, &args.source.to_string_lossy(), streams);
    show(&recording, streams)
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

/// Says what a recording lacks.
fn warn(recording: &Recording, source: &str, streams: &mut Streams<'_>) {
    for lacks in recording.lacks() {
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

/// The recording of the file, or, if there is none of that name, of a run of the scenario.
fn recording(
    args: &RecordedArgs,
    interval: RangeInclusive<u64>,
    backends: &mut Backends<'_>,
    streams: &mut Streams<'_>,
) -> Result<Recording, String> {
    // What is no text is a file, and a file is one, whatever is in its name.
    let text = args.source.to_str();
    let is_there = fs::metadata(&args.source).is_ok();
    let split = text.and_then(|text| text.split_once(':')).filter(|(id, _)| is_scenario(id) && !is_there);
    let (source, variant) = match (split, text) {
        (Some((id, variant)), _) => (id, Some(variant)),
        (None, Some(text)) => (text, args.variant.as_deref()),
        (None, None) => return of_file(Path::new(&args.source), interval),
    };
    if interval.is_empty() {
        let (from, to) = (number::exact(*interval.start()), number::exact(*interval.end()));
        return Err(format!(
            "nothing lies between --from {from} and --to {to}: give a --to that is not before it"
        ));
    }
    if args.live {
        let attached = attach(Some(source), false).map_err(|error| error.to_string())?;
        return held(rings(&attached), source, &interval);
    }
    if !is_scenario(source) {
        return of_file(Path::new(source), interval);
    }
    let scenario = load(source).map_err(|error| error.to_string())?;
    let variant = variant_of(&scenario, variant)?;
    let folder = tempfile::tempdir().map_err(|cause| format!("no folder for a recording: {cause}"))?;
    let path = folder.path().join("recording");
    let seed = args.sim.then_some(args.seed);
    let options = RunOptions { seed, record: Some(path.clone()), ..RunOptions::default() };
    streams.narrate(&format!("{} {}: running", scenario.id, variant.name));
    let run = if args.sim { &mut backends.sim } else { &mut backends.kvm };
    run(&scenario, &variant, &options).map_err(|error| error.to_string())?;
    of_file(&path, interval)
}

/// What a file holds: a recording, or a core with what its rings held.
fn of_file(path: &Path, interval: RangeInclusive<u64>) -> Result<Recording, String> {
    let source = path.display();
    match umpire_record::open(path, interval.clone()) {
        Err(FileError::Foreign(_)) if umpire_reach::core::is_core(path) => {
            let core = core(path).map_err(|error| error.to_string())?;
            held(rings(&core), &source.to_string(), &interval)
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
