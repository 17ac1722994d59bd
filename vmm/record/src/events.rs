//! Where the events of a recording are: in memory, or in the file that they are gone through in.
//!
//! # Invariants
//! - What is made of either is the same.

use std::ops::RangeInclusive;
use std::path::Path;

use crate::file::{FileError, Stored};
use crate::recording::{Recording, Seen};

/// Bytes of events and samples, before compression, that are taken into memory: two million events.
const WHOLE_BYTES: u64 = 80 << 20;

/// A recording, and where its events are.
#[derive(Debug)]
pub enum Events {
    /// In memory.
    Whole(Recording),
    /// In its file: there are too many.
    Stored(Stored),
}

impl Events {
    /// Those of the recording in a file, of an interval in ns after boot.
    ///
    /// # Errors
    /// [`FileError`] if there is no recording to be had.
    pub fn open(path: &Path, interval: RangeInclusive<u64>) -> Result<Events, FileError> {
        let stored = Stored::open(path, interval)?;
        // What rings held is never more than they hold.
        if stored.bytes() <= WHOLE_BYTES || stored.told().header.whole_from_ns > 0 {
            return stored.whole().map(Events::Whole);
        }
        Ok(Events::Stored(stored))
    }

    /// What is told beside events and samples, which it may have as well.
    pub fn told(&self) -> &Recording {
        match self {
            Events::Whole(recording) => recording,
            Events::Stored(stored) => stored.told(),
        }
    }

    /// All of it in memory.
    ///
    /// # Errors
    /// [`FileError`] if there is no recording to be had any more.
    pub fn whole(self) -> Result<Recording, FileError> {
        match self {
            Events::Whole(recording) => Ok(recording),
            Events::Stored(stored) => stored.whole(),
        }
    }

    /// Shows everything to what `make` makes; it may be made more than once, see [`Stored::fold`].
    pub fn fold<F>(
        &mut self,
        make: impl Fn(&Recording) -> F,
        mut see: impl FnMut(&mut F, &Recording, Seen<'_>),
    ) -> F {
        match self {
            Events::Whole(recording) => {
                let mut fold = make(recording);
                recording.each(|seen| see(&mut fold, recording, seen));
                fold
            }
            Events::Stored(stored) => stored.fold(make, see),
        }
    }
}
