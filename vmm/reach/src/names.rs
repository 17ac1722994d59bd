//! Where sessions have their names: sockets in a directory of the user's.
//!
//! # Invariants
//! - The directory is the user's own, and nobody else may enter it: otherwise it is not used.
//! - A name is one component of a path, made of harmless characters, whatever it was made from.
//! - Names are given and taken away under a lock, so a name that nobody listens to is taken away only if nobody has taken it since.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, fchmod, flock};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};
use rustix::process::geteuid;

/// Characters that a name may have: a socket's path has 107.
const MAX_NAME: usize = 56;
/// Bytes that a socket's path may have.
const MAX_PATH: usize = 107;
/// Who may wait to be accepted.
const BACKLOG: i32 = 128;
/// Sessions that may have the same name but for a number.
const MAX_SAME: u32 = 1000;

/// The directory of this user's sessions.
#[derive(Debug, Clone)]
pub struct Directory {
    path: PathBuf,
}

impl Directory {
    /// `umpire` in `$XDG_RUNTIME_DIR`, or `umpire-UID` in /tmp; it is made if it is not there.
    ///
    /// # Errors
    /// If it cannot be made, or is not what it must be.
    pub fn of_user() -> io::Result<Directory> {
        let own = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let own = own.filter(|path| path.is_absolute() && path.is_dir());
        if let Some(own) = own {
            let path = own.join("umpire");
            if path.as_os_str().len() + 1 + MAX_NAME <= MAX_PATH {
                return Directory::at(path);
            }
        }
        Directory::at(PathBuf::from(format!("/tmp/umpire-{}", geteuid().as_raw())))
    }

    /// The directory at a path.
    ///
    /// # Errors
    /// As [`Directory::of_user`].
    pub fn at(path: PathBuf) -> io::Result<Directory> {
        let told =
            |what: String| io::Error::other(format!("cannot use {} for sessions: {what}", path.display()));
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(told(e.to_string())),
        }
        let found = fs::symlink_metadata(&path).map_err(|e| told(e.to_string()))?;
        let (owner, me) = (found.uid(), geteuid().as_raw());
        if !found.is_dir() {
            return Err(told("it is no directory; remove it".to_owned()));
        }
        if owner != me {
            return Err(told(format!("it belongs to user {owner}, not to {me}; set XDG_RUNTIME_DIR")));
        }
        if found.mode() & 0o077 != 0 {
            return Err(told(format!("others may enter it (mode {:o}); chmod 700 it", found.mode() & 0o777)));
        }
        Ok(Directory { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Listens under the first of these names that is free, or under the last with a number.
    ///
    /// # Errors
    /// If no name can be had.
    pub fn claim(&self, wanted: &[String]) -> io::Result<(Name, UnixListener)> {
        let _lock = self.lock()?;
        let last = wanted.last().cloned().unwrap_or_default();
        let numbered = (2..MAX_SAME).map(|n| {
            let suffix = format!("-{n}");
            safe(&last).chars().take(MAX_NAME - suffix.len()).collect::<String>() + &suffix
        });
        for name in wanted.iter().map(|name| safe(name)).chain(numbered) {
            let path = self.path.join(&name);
            if is_stale(&path) {
                let _gone = fs::remove_file(&path);
            }
            match bind_private(&path) {
                Ok(listener) => {
                    let inode = fs::symlink_metadata(&path)?.ino();
                    return Ok((Name { name, path, inode, directory: self.clone() }, listener));
                }
                Err(e) if e.kind() == io::ErrorKind::AddrInUse => {}
                Err(e) => {
                    return Err(io::Error::new(
                        e.kind(),
                        format!("cannot listen at {}: {e}", path.display()),
                    ));
                }
            }
        }
        Err(io::Error::other(format!("{MAX_SAME} sessions are called {last} already")))
    }

    /// Every name, in order. Those that nobody listens to any more are taken away.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let _lock = self.lock()?;
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if safe(&name) != name {
                continue;
            }
            if is_stale(&entry.path()) {
                let _gone = fs::remove_file(entry.path());
            } else {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// Connects to a name.
    ///
    /// # Errors
    /// If nobody has that name, or it could not be one.
    pub fn connect(&self, name: &str) -> io::Result<UnixStream> {
        if safe(name) != name {
            return Err(io::Error::new(io::ErrorKind::NotFound, "this is no name of a VM"));
        }
        UnixStream::connect(self.path.join(name))
    }

    /// Held by whoever gives or takes away names.
    fn lock(&self) -> io::Result<File> {
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(self.path.join(".lock"))?;
        flock(&lock, FlockOperation::LockExclusive)?;
        Ok(lock)
    }
}

/// A name, for as long as it is needed.
#[derive(Debug)]
pub struct Name {
    name: String,
    path: PathBuf,
    inode: u64,
    directory: Directory,
}

impl Name {
    /// It.
    pub fn as_str(&self) -> &str {
        &self.name
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let _lock = self.directory.lock();
        // Somebody may have taken it away and another one may have it now.
        if fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.inode) {
            let _gone = fs::remove_file(&self.path);
        }
    }
}

/// A name made of a text: harmless in a path and in a shell, not hidden, not too long.
pub fn safe(text: &str) -> String {
    let is_harmless = |c: char| c.is_ascii_alphanumeric() || "._:=+-,@".contains(c);
    let name: String = text.chars().map(|c| if is_harmless(c) { c } else { '_' }).take(MAX_NAME).collect();
    match name.chars().next() {
        None => "vm".to_owned(),
        Some('.' | '-') => format!("_{}", &name[1..]),
        Some(_) => name,
    }
}

/// Listens at a path where only this user may connect, from the moment at which it is there.
///
/// # Errors
/// What the host says; [`io::ErrorKind::AddrInUse`] if something is there.
pub(crate) fn bind_private(path: &Path) -> io::Result<UnixListener> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // Linux gives the file the mode that the socket has when it is bound: there is no time in which others may connect.
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    if let Err(e) = listen(&socket, BACKLOG) {
        // Nobody will ever listen to what was bound just now.
        let _gone = fs::remove_file(path);
        return Err(e.into());
    }
    Ok(UnixListener::from(socket))
}

/// True if this is a socket that nobody listens to.
fn is_stale(path: &Path) -> bool {
    matches!(UnixStream::connect(path), Err(e) if e.kind() == io::ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn directory() -> (tempfile::TempDir, Directory) {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let directory = Directory::at(folder.path().join("umpire")).expect("a directory");
        (folder, directory)
    }

    fn claim(directory: &Directory, wanted: &[&str]) -> (Name, UnixListener) {
        let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
        directory.claim(&wanted).expect("a name")
    }

    #[test]
    fn name_cannot_lead_out_of_the_directory() {
        for text in [
            "../../etc/passwd",
            "/etc/passwd",
            "..",
            ".",
            "",
            ".lock",
            "-x",
            "a b\n;$(x)",
            "\u{e4}",
            &"x".repeat(500),
        ] {
            let name = safe(text);
            assert!(
                !name.contains('/') && !name.starts_with(['.', '-']) && (1..=MAX_NAME).contains(&name.len()),
                "{name}"
            );
            assert_eq!(safe(&name), name);
        }
        let (_folder, directory) = directory();
        for name in ["../x", "..", "/tmp", "a/b", ""] {
            assert!(directory.connect(name).is_err_and(|e| e.kind() == io::ErrorKind::NotFound), "{name}");
        }
    }

    #[test]
    fn names_that_are_taken_get_the_next_choice_and_then_a_number() {
        let (_folder, directory) = directory();
        let all = [(); 4].map(|()| claim(&directory, &["i1532", "i1532:fix"]));
        let names = all.each_ref().map(|(name, _)| name.as_str());
        assert_eq!(names, ["i1532", "i1532:fix", "i1532:fix-2", "i1532:fix-3"]);
        assert_eq!(directory.names().expect("readable"), names);
        let mode = fs::metadata(directory.path().join("i1532")).expect("there").mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(all);
        assert!(directory.names().expect("readable").is_empty());
    }

    #[test]
    fn name_of_a_killed_process_is_taken_away_and_given_again() {
        let (_folder, directory) = directory();
        let (name, listener) = claim(&directory, &["vm"]);
        // As when the process is killed: the socket file stays, nobody listens.
        std::mem::forget(name);
        drop(listener);
        assert!(directory.connect("vm").is_err());
        let (again, _listener) = claim(&directory, &["vm"]);
        assert_eq!(again.as_str(), "vm");
        let (second, listener) = claim(&directory, &["second"]);
        std::mem::forget(second);
        drop(listener);
        assert_eq!(directory.names().expect("readable"), ["vm"]);
        assert!(!directory.path().join("second").exists());
    }

    #[test]
    fn socket_is_this_user_s_alone_from_the_beginning() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = folder.path().join("socket");
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let seen = scope.spawn(|| {
                let mut modes = std::collections::BTreeSet::new();
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    modes.extend(fs::symlink_metadata(&path).map(|found| found.mode() & 0o777));
                }
                modes
            });
            for _ in 0..2_000 {
                drop(bind_private(&path).expect("nothing is there"));
                fs::remove_file(&path).expect("it is there");
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(seen.join().expect("it only looks").iter().all(|mode| *mode == 0o600));
        });
        let _first = bind_private(&path).expect("nothing is there");
        assert_eq!(bind_private(&path).map_err(|e| e.kind()).err(), Some(io::ErrorKind::AddrInUse));
    }

    #[test]
    fn directory_that_others_may_enter_or_that_is_a_link_is_refused() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let open = folder.path().join("open");
        fs::create_dir(&open).expect("made");
        fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).expect("ours");
        let said = Directory::at(open.clone()).map(|_| ()).expect_err("open to others").to_string();
        assert!(said.contains("others may enter it"), "{said}");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&open, &link).expect("made");
        assert!(Directory::at(link).is_err());
    }
}
