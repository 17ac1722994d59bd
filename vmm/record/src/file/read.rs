//! Reading a recording.
//!
//! # Invariants
//! - What comes before a fault in the file is in the recording, and the fault is in its `damage`.

use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::ops::RangeInclusive;
use std::path::Path;

use serde::de::DeserializeOwned;
use umpire_shared::MAX_CPUS;

use super::block::{self, Block, Content};
use super::{FileError, MAGIC, VERSION, records};
use crate::recording::{Header, Recording};

/// Reads what the recording in a file holds of an interval, in ns after boot.
///
/// # Errors
/// [`FileError`] if there is no recording to be had.
pub fn open(path: &Path, interval: RangeInclusive<u64>) -> Result<Recording, FileError> {
    read(file(path)?, interval)
}

/// A file to read a recording from.
pub(super) fn file(path: &Path) -> Result<BufReader<File>, FileError> {
    // To open a FIFO would wait for its writer.
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(FileError::NoFile);
    }
    Ok(BufReader::new(File::open(path).map_err(FileError::Unopened)?))
}

/// The same of what a reader gives.
///
/// # Errors
/// [`FileError`] if there is no recording to be had.
pub fn read(mut input: impl Read, interval: RangeInclusive<u64>) -> Result<Recording, FileError> {
    check(&mut input)?;
    let mut recording = Recording::default();
    let is_wanted =
        |content: Content, times: (u64, u64), _| !content.has_times() || lies_in(times, &interval);
    let (mut has_header, mut unknown) = (false, 0);
    loop {
        let taken = match block::read(&mut input, is_wanted) {
            Ok(None) => break,
            Ok(Some(block)) => take(&mut recording, &block),
            Err(damage) => Err(damage),
        };
        match taken {
            Ok(left_out) => unknown += left_out,
            Err(damage) => {
                recording.damage = Some(damage);
                break;
            }
        }
        has_header |= !recording.header.scenario.is_empty();
    }
    if !has_header {
        return Err(FileError::Empty);
    }
    miss(&mut recording, unknown);
    recording.records.retain(|record| interval.contains(&record.time_ns));
    recording.records.sort_by_key(|record| (record.time_ns, record.cpu));
    recording.samples.retain(|sample| interval.contains(&sample.at_ns));
    Ok(recording)
}

/// True if what is from one moment to another has to do with an interval.
pub(super) fn lies_in((first_ns, last_ns): (u64, u64), interval: &RangeInclusive<u64>) -> bool {
    first_ns <= *interval.end() && last_ns >= *interval.start()
}

/// Says of so many records that they are not there.
pub(super) fn miss(recording: &mut Recording, unknown: u64) {
    if unknown > 0 && recording.damage.is_none() {
        recording.damage = Some(format!("{unknown} records are of probes that this umpire does not know"));
    }
}

/// Reads what stands before the first block.
pub(super) fn check(input: &mut impl Read) -> Result<(), FileError> {
    let mut magic = Vec::new();
    input.by_ref().take(MAGIC.len() as u64).read_to_end(&mut magic)?;
    if magic != MAGIC {
        return Err(FileError::Foreign(String::from_utf8_lossy(&magic).into_owned()));
    }
    let mut version = [0; 4];
    input.read_exact(&mut version).map_err(|_| FileError::Empty)?;
    match u32::from_le_bytes(version) {
        VERSION => Ok(()),
        other => Err(FileError::Version(other)),
    }
}

/// Takes what a block holds; how many records in it are of no known probe.
pub(super) fn take(recording: &mut Recording, block: &Block) -> Result<u64, String> {
    match block.content {
        Some(Content::Header) => recording.header = header(block)?,
        Some(Content::Roster) => recording.threads = json(block)?,
        Some(Content::Samples) => recording.samples.append(&mut json(block)?),
        Some(Content::Objects) => recording.objects = json(block)?,
        Some(Content::Ending) => recording.ending = Some(json(block)?),
        Some(Content::Records) => {
            let (mut records, unknown) = records::decode(block)?;
            recording.records.append(&mut records);
            return Ok(unknown);
        }
        None => {}
    }
    Ok(0)
}

/// What was run. What is read out of a recording has room for each CPU that it claims.
fn header(block: &Block) -> Result<Header, String> {
    let header: Header = json(block)?;
    match header.cpus as usize {
        0..=MAX_CPUS => Ok(header),
        cpus => Err(format!("it is of a guest with {cpus} CPUs, and none has more than {MAX_CPUS}")),
    }
}

pub(super) fn json<T: DeserializeOwned>(block: &Block) -> Result<T, String> {
    serde_json::from_slice(&block.bytes).map_err(|e| format!("a block cannot be understood: {e}"))
}
