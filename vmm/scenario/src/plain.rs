//! Plain files: what may be read as a scenario or a table.
//!
//! # Invariants
//! - Nothing else is opened: to open a FIFO waits for its writer, and a device may do anything.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// Opens a plain file.
///
/// # Errors
/// What the host says, or what it is instead.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let kind = fs::metadata(path)?.file_type();
    let what = match () {
        () if kind.is_fifo() => "a FIFO",
        () if kind.is_socket() => "a socket",
        () if kind.is_dir() => "a directory",
        () if kind.is_file() => return File::open(path),
        () => "a device",
    };
    let message = format!("it is {what}, and must be a plain file: copy it into one");
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_plain_file_is_not_opened_and_is_told_by_its_kind() {
        for (path, what) in [("/dev/zero", "a device"), ("/", "a directory")] {
            let said = open(Path::new(path)).expect_err("no plain file").to_string();
            assert!(said.contains(what), "{said}");
        }
        assert!(open(Path::new("/proc/self/cmdline")).is_ok());
        assert_eq!(open(Path::new("/no/such")).map_err(|e| e.kind()).err(), Some(io::ErrorKind::NotFound));
    }
}
