//! Writing a recording, front to back, as it comes.
//!
//! # Invariants
//! - Each call hands a whole block on: what was written before an end by force can be read.

use std::io::{self, Write};

use serde::Serialize;

use super::block::{self, Content};
use super::{MAGIC, VERSION, records};
use crate::recording::{Ending, Header, Sample, Thread};
use umpire_watch::glass::TraceRecord;

/// Records of a block, at most: a tenth of a second of a busy guest.
const BLOCK_RECORDS: usize = 1 << 16;
/// Samples of a block, at most.
const BLOCK_SAMPLES: usize = 1 << 12;

/// Writes a recording.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
}

impl<W: Write> Writer<W> {
    /// Begins one.
    ///
    /// # Errors
    /// What the writer says.
    pub fn begin(mut out: W, header: &Header) -> io::Result<Writer<W>> {
        out.write_all(&MAGIC)?;
        out.write_all(&VERSION.to_le_bytes())?;
        let mut writer = Writer { out };
        writer.json(Content::Header, (0, 0), header)?;
        Ok(writer)
    }

    /// The guest's threads.
    ///
    /// # Errors
    /// What the writer says.
    pub fn roster(&mut self, threads: &[Thread]) -> io::Result<()> {
        self.json(Content::Roster, (0, 0), threads)
    }

    /// What the places are called that threads slept on.
    ///
    /// # Errors
    /// What the writer says.
    pub fn objects(&mut self, names: &[(u32, String)]) -> io::Result<()> {
        self.json(Content::Objects, (0, 0), names)
    }

    /// Records, by time.
    ///
    /// # Errors
    /// What the writer says.
    pub fn records(&mut self, all: &[TraceRecord]) -> io::Result<()> {
        for some in all.chunks(BLOCK_RECORDS) {
            let times = some.iter().map(|record| record.time_ns);
            let times = (times.clone().min().unwrap_or(0), times.max().unwrap_or(0));
            block::write(&mut self.out, Content::Records, times, &records::encode(some))?;
        }
        Ok(())
    }

    /// What the sampler saw, by time.
    ///
    /// # Errors
    /// What the writer says.
    pub fn samples(&mut self, all: &[Sample]) -> io::Result<()> {
        for some in all.chunks(BLOCK_SAMPLES) {
            let ends = |sample: Option<&Sample>| sample.map_or(0, |sample| sample.at_ns);
            self.json(Content::Samples, (ends(some.first()), ends(some.last())), some)?;
        }
        Ok(())
    }

    /// Hands on what the writer holds back.
    ///
    /// # Errors
    /// What the writer says.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// How the run ended. The recording is complete.
    ///
    /// # Errors
    /// What the writer says.
    pub fn finish(mut self, ending: &Ending) -> io::Result<()> {
        self.json(Content::Ending, (0, 0), ending)?;
        self.out.flush()
    }

    fn json<T: Serialize + ?Sized>(&mut self, content: Content, times: (u64, u64), of: &T) -> io::Result<()> {
        block::write(&mut self.out, content, times, &serde_json::to_vec(of)?)
    }
}
