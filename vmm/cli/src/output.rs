//! Files that are written where the arguments say.
//!
//! # Invariants
//! - To open one never waits: a FIFO without a reader is an error at once. One with a reader, like the pipe behind `/dev/stdout`, is as
//!   good as a file.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{Mode, OFlags, fcntl_setfl, open};
use rustix::io::Errno;

/// What a file may be for others before the user's mask.
const MODE: u32 = 0o666;

/// Creates a file, or empties the one that is there.
///
/// # Errors
/// What the host says, or what stands in the file's place.
pub(super) fn create(path: &Path) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = open(path, flags, Mode::from_raw_mode(MODE)).map_err(|e| match e {
        Errno::NXIO => {
            let what = "it is a FIFO that nobody reads, a socket or a device without a driver";
            io::Error::new(io::ErrorKind::InvalidInput, what)
        }
        e => e.into(),
    })?;
    // What is written to it may wait.
    fcntl_setfl(&file, OFlags::empty())?;
    Ok(File::from(file))
}
