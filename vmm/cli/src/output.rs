//! Files that are written where the arguments say.
//!
//! # Invariants
//! - To open one never waits: a FIFO without a reader is an error at once. One with a reader, like the pipe behind `/dev/stdout`, is as
//!   good as a file.
//! - Two paths are the same where they lead to one place, by whatever links, and also before anything is there.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, fcntl_setfl, open};
use rustix::io::Errno;

/// What a file may be for others before the user's mask.
const MODE: u32 = 0o666;

/// Links that a path may lead through, as the kernel has it.
const LINKS: usize = 40;

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

/// True if what is written to one of two paths would be written over what the other has. Devices have nothing.
pub(super) fn is_same(a: &Path, b: &Path) -> bool {
    match (fs::metadata(a), fs::metadata(b)) {
        (Ok(a), Ok(b)) => a.is_file() && (a.dev(), a.ino()) == (b.dev(), b.ino()),
        (Err(_), Err(_)) => place(a, LINKS) == place(b, LINKS),
        _ => false,
    }
}

/// Where a path leads, as far as anything of it is there.
fn place(path: &Path, links: usize) -> PathBuf {
    if let Ok(whole) = fs::canonicalize(path) {
        return whole;
    }
    let folder =
        path.parent().map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
    match (folder, path.file_name(), fs::read_link(path)) {
        // A link to what is not there yet.
        (Some(folder), _, Ok(to)) if links > 0 => place(&folder.join(to), links - 1),
        (Some(folder), Some(name), _) => place(folder, links).join(name),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn paths_that_lead_to_one_place_are_the_same_before_it_is_there_and_after() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("dir")).expect("made");
        symlink("new", at("link")).expect("made");
        symlink(at("dir"), at("also")).expect("made");
        symlink("loop", at("loop")).expect("made");
        let pairs = [
            ("new", "./new"),
            ("new", "link"),
            ("new", "dir/../new"),
            ("dir/x", "also/x"),
            ("none/x", "./none/x"),
        ];
        for (a, b) in pairs {
            assert!(is_same(&at(a), &at(b)), "{a} {b}");
        }
        for (a, b) in [("new", "dir/new"), ("loop", "new"), ("dir", "also")] {
            assert!(!is_same(&at(a), &at(b)), "{a} {b}");
        }
        fs::write(at("new"), "").expect("written");
        fs::hard_link(at("new"), at("hard")).expect("made");
        for other in ["link", "hard", "dir/../new"] {
            assert!(is_same(&at("new"), &at(other)), "{other}");
        }
        assert!(!is_same(Path::new("/dev/null"), Path::new("/dev/null")));
    }
}
