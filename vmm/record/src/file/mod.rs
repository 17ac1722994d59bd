//! The file of a recording, version 1. All numbers are little-endian.
//!
//! ```text
//!   "UMPIREC\n"    8 bytes
//!   version        u32
//!   block          as often as there are
//!
//!   block:  "BLK\n"            4 bytes
//!           kind               u32: 1 header, 2 roster, 3 records, 4 samples, 5 ending, 6 objects
//!           first_ns, last_ns  u64 each: of what is in it; 0 where it has no times
//!           raw, stored        u32 each: its bytes before and after compression
//!           crc                u32: CRC-32 of the stored bytes
//!           stored bytes       one zstd frame
//! ```
//! Header, roster, samples, ending and objects (pairs of a place and its name) are JSON. A block of records says how many there are (u32) and has a column a field: times (u64, in any
//! order), CPUs (u16), kinds (u16), threads (u64), priorities (i32), arguments (u64). A reader that wants an interval skips blocks by their times. A block of a kind that a reader does not know is skipped.
//!
//! # Invariants
//! - A block stands for itself: one that is broken, or missing because the file ends, costs itself and what follows, and is said.
//! - A file is never trusted: no size in it makes the reader take more memory than [`MOST_BYTES`] a block.

mod block;
mod read;
mod records;
mod stored;
mod window;
mod write;

pub use read::{open, read};
pub use stored::Stored;
pub use window::{window, window_of};
pub use write::Writer;

use std::io;

const MAGIC: [u8; 8] = *b"UMPIREC\n";
const VERSION: u32 = 1;

/// Bytes of a block before compression, at most.
const MOST_BYTES: u32 = 64 << 20;

/// Why a file cannot be read as a recording, or not be written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The operating system says so.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It cannot be opened.
    #[error("it cannot be opened: {0}")]
    Unopened(io::Error),
    /// It has no contents to read from beginning to end.
    #[error("it is a directory or a device")]
    NoFile,
    /// It is something else.
    #[error("it is no recording: it begins with {0:?}; `umpire run ID --record FILE` makes one")]
    Foreign(String),
    /// It is of another version.
    #[error(
        "it has version {0} of the format, and this umpire reads version {VERSION}: read it with the umpire that wrote it"
    )]
    Version(u32),
    /// There is nothing in it.
    #[error("it ends before its header: its writer was ended before the guest came up")]
    Empty,
}

#[cfg(test)]
mod tests;
