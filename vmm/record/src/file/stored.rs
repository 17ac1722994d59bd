//! A recording in its file: what is told of it as a whole in memory, and its events and samples gone through block by block, as often as is
//! needed.
//!
//! # Invariants
//! - What is in memory of events is a block and what overlaps it in time, of samples a block, and of every block where and when it is.
//! - It goes through what [`open`](super::open) has, in that order.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader, Seek, SeekFrom};
use std::ops::RangeInclusive;
use std::path::Path;

use super::block::{self, Block, Content};
use super::{FileError, read, records, window};
use crate::recording::{Recording, Sample, Seen};
use umpire_watch::glass::TraceRecord;

/// A recording in its file.
#[derive(Debug)]
pub struct Stored {
    file: File,
    interval: RangeInclusive<u64>,
    told: Recording,
    blocks: Vec<Place>,
}

/// Where a block with times is.
#[derive(Debug, Clone, Copy)]
struct Place {
    at: u64,
    is_records: bool,
    times: (u64, u64),
    bytes: u32,
}

/// What is wrong with a block, and where that is.
type Damage = (u64, String);

impl Stored {
    /// Looks at a file for what it has of an interval, in ns after boot.
    ///
    /// # Errors
    /// [`FileError`] if there is no recording to be had.
    pub fn open(path: &Path, interval: RangeInclusive<u64>) -> Result<Stored, FileError> {
        let file = read::file(path)?.into_inner();
        let mut stored = Stored { file, interval, told: Recording::default(), blocks: Vec::new() };
        stored.outline(None)?;
        Ok(stored)
    }

    /// All but its events and samples.
    pub fn told(&self) -> &Recording {
        &self.told
    }

    /// Bytes of its events and samples in the file before compression: in memory they are somewhat more.
    pub fn bytes(&self) -> u64 {
        self.blocks.iter().map(|block| u64::from(block.bytes)).fold(0, u64::saturating_add)
    }

    /// The part of an interval with so many bytes, or a block more: all of it, or what is about a moment, or its end.
    pub(crate) fn part(&self, of: (u64, u64), about: Option<u64>, most: u64) -> (u64, u64) {
        let (from, to) = of;
        let its = self.blocks.iter().filter(|block| read::lies_in(block.times, &(from..=to)));
        let its = its.map(|block| (block.times.0, block.times.1, u64::from(block.bytes))).collect();
        let part = window::part(its, about, most);
        ((*part.start()).max(from), (*part.end()).min(to))
    }

    /// Takes all of it into memory.
    ///
    /// # Errors
    /// [`FileError`] if there is no recording to be had.
    pub fn whole(mut self) -> Result<Recording, FileError> {
        self.file.seek(SeekFrom::Start(0))?;
        read::read(BufReader::new(self.file), self.interval)
    }

    /// Shows everything to what `make` makes, which is made again, and shown what is before, if there is damage that could not be seen from
    /// outside: what comes after it is not in the recording.
    pub fn fold<F>(
        &mut self,
        make: impl Fn(&Recording) -> F,
        mut see: impl FnMut(&mut F, &Recording, Seen<'_>),
    ) -> F {
        loop {
            let mut fold = make(&self.told);
            let (at, damage) = match self.each(&mut |seen| see(&mut fold, &self.told, seen)) {
                Ok(unknown) => {
                    read::miss(&mut self.told, unknown);
                    return fold;
                }
                Err(found) => found,
            };
            // What was a recording up to there still is one, unless the file is no longer what it was.
            if self.outline(Some((at, damage.clone()))).is_err() {
                (self.told.damage, self.blocks) = (Some(damage), Vec::new());
            }
        }
    }

    /// Looks at the blocks, up to where damage was found if it was.
    fn outline(&mut self, found: Option<Damage>) -> Result<(), FileError> {
        let mut input = BufReader::new(&self.file);
        input.seek(SeekFrom::Start(0))?;
        read::check(&mut input)?;
        (self.told, self.blocks) = (Recording::default(), Vec::new());
        let mut has_header = false;
        loop {
            let at = input.stream_position()?;
            if let Some((_, damage)) = found.as_ref().filter(|(from, _)| at >= *from) {
                self.told.damage = Some(damage.clone());
                break;
            }
            let mut place = None;
            let is_wanted = |content: Content, times, bytes| {
                let is_records = content == Content::Records;
                place = content.has_times().then_some(Place { at, is_records, times, bytes });
                place.is_none()
            };
            let taken = match block::read(&mut input, is_wanted) {
                Ok(None) => break,
                Ok(Some(block)) => read::take(&mut self.told, &block),
                Err(damage) => Err(damage),
            };
            if let Err(damage) = taken {
                self.told.damage = Some(damage);
                break;
            }
            self.blocks.extend(place.filter(|block| read::lies_in(block.times, &self.interval)));
            has_header |= !self.told.header.scenario.is_empty();
        }
        if has_header { Ok(()) } else { Err(FileError::Empty) }
    }

    /// Shows everything once, by time, of one moment samples first; how many records were of no known probe.
    fn each(&self, see: &mut dyn FnMut(Seen<'_>)) -> Result<u64, Damage> {
        let of = |is_records| self.blocks.iter().filter(move |block| block.is_records == is_records).copied();
        let mut samples = Samples { blocks: of(false).collect(), held: VecDeque::new() };
        let mut records = Records::of(of(true).collect());
        while records.load(self)? {
            for record in records.ready() {
                while let Some(sample) = samples.next(self, record.time_ns)? {
                    see(Seen::Sample(&sample));
                }
                see(Seen::Record(record));
            }
        }
        while let Some(sample) = samples.next(self, u64::MAX)? {
            see(Seen::Sample(&sample));
        }
        Ok(records.unknown)
    }

    /// The block at a place.
    fn block(&self, place: Place) -> Result<Block, Damage> {
        let read = || -> Result<Block, String> {
            let mut input = BufReader::with_capacity(1 << 18, &self.file);
            input.seek(SeekFrom::Start(place.at)).map_err(|cause: io::Error| cause.to_string())?;
            block::read(&mut input, |_, _, _| true)?.ok_or_else(|| "it ends sooner than it did".to_owned())
        };
        read().map_err(|damage| (place.at, damage))
    }
}

/// The events of blocks, by time, though blocks overlap.
struct Records {
    blocks: VecDeque<(Place, u64)>,
    /// Read, and by time as far as they are ready.
    held: Vec<TraceRecord>,
    ready: usize,
    unknown: u64,
}

impl Records {
    /// Of blocks, with each the earliest moment of those behind it.
    fn of(blocks: Vec<Place>) -> Records {
        let mut later = u64::MAX;
        let mut with = VecDeque::with_capacity(blocks.len());
        for block in blocks.into_iter().rev() {
            with.push_front((block, later));
            later = later.min(block.times.0);
        }
        Records { blocks: with, held: Vec::new(), ready: 0, unknown: 0 }
    }

    /// Reads on until some are ready: nothing that is still to be read comes before them. False if there are no more.
    fn load(&mut self, of: &Stored) -> Result<bool, Damage> {
        self.held.drain(..self.ready);
        let mut least = self.held.first().map_or(u64::MAX, |record| record.time_ns);
        let mut later = u64::MAX;
        while let Some((place, behind)) = self.blocks.pop_front() {
            let decoded = records::decode(&of.block(place)?).map_err(|damage| (place.at, damage))?;
            let (mut records, unknown) = decoded;
            self.unknown += unknown;
            records.retain(|record| of.interval.contains(&record.time_ns));
            least = records.iter().map(|record| record.time_ns).fold(least, u64::min);
            self.held.append(&mut records);
            later = behind;
            if least < later {
                break;
            }
        }
        self.held.sort_by_key(|record| (record.time_ns, record.cpu));
        self.ready = match self.blocks.is_empty() {
            true => self.held.len(),
            false => self.held.partition_point(|record| record.time_ns < later),
        };
        Ok(self.ready > 0)
    }

    fn ready(&self) -> &[TraceRecord] {
        &self.held[..self.ready]
    }
}

/// The samples of blocks, in their order.
struct Samples {
    blocks: VecDeque<Place>,
    held: VecDeque<Sample>,
}

impl Samples {
    /// The next one, if it is from no later than this.
    fn next(&mut self, of: &Stored, until_ns: u64) -> Result<Option<Sample>, Damage> {
        while self.held.is_empty() {
            let Some(place) = self.blocks.front().copied().filter(|place| place.times.0 <= until_ns) else {
                return Ok(None);
            };
            self.blocks.pop_front();
            let read = read::json(&of.block(place)?);
            let mut samples: Vec<Sample> = read.map_err(|damage| (place.at, damage))?;
            samples.retain(|sample| of.interval.contains(&sample.at_ns));
            self.held = samples.into();
        }
        let is_next = self.held.front().is_some_and(|sample| sample.at_ns <= until_ns);
        Ok(if is_next { self.held.pop_front() } else { None })
    }
}

#[cfg(test)]
#[path = "stored_tests.rs"]
mod tests;
