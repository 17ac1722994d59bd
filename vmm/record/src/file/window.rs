//! Which part of a long recording to read, or to show.
//!
//! # Invariants
//! - Of a file only heads of blocks and the ending are looked at: no records are taken into memory.

use std::ops::RangeInclusive;
use std::path::Path;

use super::block::{self, Content};
use super::records::BYTES;
use super::{FileError, read};
use crate::recording::{Ending, Recording};
use umpire_watch::glass::TraceRecord;

/// Records in memory that are one block here.
const CHUNK: usize = 4096;

/// The interval with the `most` records, or a block more, that tell best what happened: all of a recording that has no more, or else those
/// before the first bound that was broken, with some behind it, or the last ones.
///
/// # Errors
/// [`FileError`] if there is no recording to be had. One that is damaged is looked at up to there.
pub fn window(path: &Path, most: u64) -> Result<RangeInclusive<u64>, FileError> {
    let mut input = read::file(path)?;
    read::check(&mut input)?;
    let mut blocks: Vec<(u64, u64, u64)> = Vec::new();
    let mut ending = Ending::default();
    loop {
        let is_wanted = |content, (first_ns, last_ns), raw: u32| {
            if content == Content::Records {
                blocks.push((first_ns, last_ns, u64::from(raw) / BYTES as u64));
            }
            content == Content::Ending
        };
        match block::read(&mut input, is_wanted) {
            Ok(Some(block)) if block.content == Some(Content::Ending) => {
                ending = read::json(&block).unwrap_or_default();
            }
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => break,
        }
    }
    Ok(part(blocks, ending.breaches.iter().filter_map(|breach| breach.passed_ns).min(), most))
}

/// The same of a recording in memory.
pub fn window_of(recording: &Recording, most: u64) -> RangeInclusive<u64> {
    let block = |records: &[TraceRecord]| {
        Some((records.first()?.time_ns, records.last()?.time_ns, records.len() as u64))
    };
    let blocks = recording.records.chunks(CHUNK).filter_map(block).collect();
    let breaches = recording.ending.iter().flat_map(|ending| &ending.breaches);
    part(blocks, breaches.filter_map(|breach| breach.passed_ns).min(), most)
}

/// The part of blocks with so many, or a block more, about a moment or else the last ones; of each: from when, to when, how many.
pub(super) fn part(
    mut blocks: Vec<(u64, u64, u64)>,
    broken_ns: Option<u64>,
    most: u64,
) -> RangeInclusive<u64> {
    if blocks.iter().fold(0, |sum: u64, (.., n)| sum.saturating_add(*n)) <= most {
        return 0..=u64::MAX;
    }
    blocks.sort_unstable();
    let behind = broken_ns.map_or(blocks.len(), |at| blocks.partition_point(|(first, ..)| *first <= at));
    // An eighth of them tells how it went on.
    let after = blocks.get(behind.max(1)..).unwrap_or_default();
    let to = behind.max(1) + fit(after.iter(), most / 8);
    // The last block is there whatever it holds.
    let last = blocks.get(to - 1).map_or(0, |(.., n)| *n);
    let before = blocks.get(..to - 1).unwrap_or_default();
    let from = to - 1 - fit(before.iter().rev(), most.saturating_sub(last));
    let last_ns = blocks.get(from..to).into_iter().flatten().map(|(_, last, _)| *last).max();
    blocks.get(from).map_or(0, |(first, ..)| *first)..=last_ns.unwrap_or(u64::MAX)
}

/// How many blocks, one after the other, have no more records than `most`.
fn fit<'b>(blocks: impl Iterator<Item = &'b (u64, u64, u64)>, most: u64) -> usize {
    blocks
        .scan(0_u64, |sum, (.., n)| {
            *sum = sum.saturating_add(*n);
            Some(*sum)
        })
        .take_while(|sum| *sum <= most)
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn part_ends_a_little_behind_the_breach_and_has_no_more_than_was_asked_for() {
        let blocks: Vec<_> = (0..10).map(|n| (100 * n, 100 * n + 99, 1000)).collect();
        assert_eq!(part(blocks.clone(), Some(550), 10_000), 0..=u64::MAX);
        assert_eq!(part(blocks.clone(), None, 3000), 700..=999);
        assert_eq!(part(blocks.clone(), Some(550), 3000), 300..=599);
        assert_eq!(part(blocks.clone(), Some(550), 8000), 0..=699);
        assert_eq!(part(blocks, Some(0), 10), 0..=99, "a block at least");
        assert_eq!(part(Vec::new(), None, 0), 0..=u64::MAX);
    }
}
