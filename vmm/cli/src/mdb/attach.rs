//! `umpire mdb NAME|FILE`: the debugger looks at a machine that runs in another process, at a core, or at a recording.
//!
//! # Invariants
//! - Until a command asks for more, the machine is only read: no vCPU stops or exits.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use umpire_machine::{GUEST_IMAGE, signals};
use umpire_mdb::recorded::Recorded;
use umpire_mdb::view::View;
use umpire_reach::Attached;
use umpire_reach::client::Connected;
use umpire_reach::core::CoreFile;
use umpire_reach::names::Directory;
use umpire_record::FileError;
use umpire_watch::glass::{Glass, Layout, Symbols, Target};

use super::{Exit, MdbArgs, Streams, converse, opened};
use crate::recorded::legible;
use crate::shell::shell;
use crate::stand::Image;

/// For how long a guest that boots is waited for: one that hangs in its boot is what somebody came to look at.
const BOOT_LIMIT: Duration = Duration::from_secs(2);
/// How often it is looked whether its kernel is there.
const BOOT_POLL: Duration = Duration::from_millis(1);

type Told<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;
/// What a target has to know of its image.
type Understood = (Arc<Layout>, Arc<Symbols>);

/// Attaches to the VM that the arguments name, and carries out what is asked.
pub(super) fn attach_and_look(args: &MdbArgs, streams: &mut Streams<'_>) -> io::Result<Exit> {
    if let Some(word) = args.target.as_deref().filter(|word| is_file(word)) {
        return look_at_file(Path::new(word), args, streams);
    }
    // Three readers of the image's debug information go side by side.
    let mut image = Image::read()?;
    let attached = match attach(args.target.as_deref().and_then(OsStr::to_str), args.write) {
        Ok(attached) => attached,
        Err(error) => {
            streams.say(&format!("umpire: {error}"));
            return Ok(Exit::Usage);
        }
    };
    let image = match image.get() {
        Ok(image) => image,
        Err(error) => {
            streams.say(&format!("umpire: {error}"));
            return Ok(Exit::Usage);
        }
    };
    let is_there = || attached.is_there();
    converse(args, &opened(args, View::new(&attached, image)), Some(&is_there), streams)
}

/// True if a word is the path of a file, or could be nothing else: it is no VM's name.
pub(crate) fn is_file(word: impl AsRef<OsStr>) -> bool {
    let path = Path::new(word.as_ref());
    // The name of a VM is text.
    let Some(word) = word.as_ref().to_str() else { return true };
    let names = Directory::of_user().and_then(|directory| directory.names());
    let is_vm = names.is_ok_and(|all| all.iter().any(|name| name == word));
    !is_vm && (word.contains('/') || path.exists())
}

/// Looks at a recording or a core.
fn look_at_file(path: &Path, args: &MdbArgs, streams: &mut Streams<'_>) -> io::Result<Exit> {
    match signals::at_once(|| umpire_record::open(path, 0..=u64::MAX)) {
        Ok(_) if args.write => {
            refuse(&"a recording is never written to: -w is for a VM that runs; nothing was changed", streams)
        }
        Ok(recording) => match legible(recording, &path.display()) {
            Ok(recording) => {
                converse(args, &Recorded::new(path.display().to_string(), &recording), None, streams)
            }
            Err(message) => refuse(&message, streams),
        },
        // What is neither is said as of a core.
        Err(FileError::Foreign(_) | FileError::Unopened(_) | FileError::NoFile) => {
            look_at_core(path, args, streams)
        }
        Err(cause) => refuse(&format!("cannot read {}: {cause}", path.display()), streams),
    }
}

/// Looks at a core.
fn look_at_core(path: &Path, args: &MdbArgs, streams: &mut Streams<'_>) -> io::Result<Exit> {
    let mut image = Image::read()?;
    let core = match args.write {
        true => Err("a core is never written to: -w is for a VM that runs; nothing was changed".into()),
        false => core(path),
    };
    match (core, image.get()) {
        (Ok(core), Ok(image)) => {
            let view = View::new(&core, image).after_a_panic(core.meta().panic.clone());
            converse(args, &opened(args, view), None, streams)
        }
        (Err(error), _) => refuse(&*error, streams),
        (_, Err(error)) => refuse(&error, streams),
    }
}

fn refuse(error: &dyn fmt::Display, streams: &mut Streams<'_>) -> io::Result<Exit> {
    streams.say(&format!("umpire: {error}"));
    Ok(Exit::Usage)
}

/// The core in a file, as a target. Other commands that look at a core begin here as well.
///
/// # Errors
/// What is to be said if it is none.
pub(crate) fn core(path: &Path) -> Told<CoreFile> {
    if umpire_record::open(path, 0..=0).is_ok() {
        let (name, typed) = (path.display(), shell(path));
        let looks = format!("`umpire mdb {typed}` shows what it holds");
        return Err(format!("{name} is a recording, which holds no memory: {looks}").into());
    }
    let (layout, symbols) = understood(|| Ok(()))?.0;
    Ok(CoreFile::open(path, layout, symbols)?)
}

/// The VM that a word means, as a target. Other commands that look at a VM by its name begin here as well.
///
/// # Errors
/// What is to be said if there is none, if it refuses, or if the image cannot be understood.
pub(crate) fn attach(word: Option<&str>, writable: bool) -> Told<Attached> {
    let ((layout, symbols), connected) = understood(|| {
        let directory = Directory::of_user()?;
        Ok(Connected::meant(&directory, word, writable)?)
    })?;
    let attached = connected.attach(layout, symbols)?;
    await_kernel(&attached);
    Ok(attached)
}

/// Waits until the guest has a kernel: who types a command right after the run wants to see that. A machine that is held at its start
/// has none, and is shown as it is.
fn await_kernel(attached: &Attached) {
    let (begin, glass) = (Instant::now(), Glass::new(attached as &dyn Target));
    while glass.root() == 0 && begin.elapsed() < BOOT_LIMIT && attached.runs() {
        thread::sleep(BOOT_POLL);
    }
}

/// Where the fields of the built-in guest lie and what its code is called, and what is to be had `meanwhile`.
fn understood<M>(meanwhile: impl FnOnce() -> Told<M>) -> Told<(Understood, M)> {
    let layout = thread::Builder::new().name("dwarf".to_owned()).spawn(|| Layout::from_elf(&GUEST_IMAGE))?;
    let had = meanwhile();
    let symbols = Symbols::from_elf(&GUEST_IMAGE)?;
    let layout = layout.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    Ok(((Arc::new(layout), Arc::new(symbols)), had?))
}
