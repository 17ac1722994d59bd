//! `umpire mdb NAME`: the debugger looks at a machine that runs in another process.
//!
//! # Invariants
//! - Until a command asks for more, the machine is only read: no vCPU stops or exits.

use std::io;
use std::sync::Arc;
use std::thread;

use umpire_machine::GUEST_IMAGE;
use umpire_mdb::image::GuestImage;
use umpire_mdb::view::View;
use umpire_reach::Attached;
use umpire_reach::client::Connected;
use umpire_reach::names::Directory;
use umpire_watch::glass::{Layout, Symbols};

use super::{Exit, MdbArgs, Streams, converse};

type Told<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Attaches to the VM that the arguments name, and carries out what is asked.
pub(super) fn attach_and_look(args: &MdbArgs, streams: &mut Streams<'_>) -> io::Result<Exit> {
    // Three readers of the image's debug information go side by side.
    let image = thread::Builder::new().name("image".to_owned()).spawn(|| GuestImage::read(GUEST_IMAGE))?;
    let attached = match attach(args.target.as_deref(), args.write) {
        Ok(attached) => attached,
        Err(error) => {
            streams.say(&format!("umpire: {error}"));
            return Ok(Exit::Usage);
        }
    };
    let image = match image.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)) {
        Ok(image) => Arc::new(image),
        Err(error) => {
            streams.say(&format!("umpire: {error}"));
            return Ok(Exit::Usage);
        }
    };
    let is_there = || attached.is_there();
    converse(args, View::new(&attached, image), Some(&is_there), streams)
}

/// The VM that a word means, as a target. Other commands that look at a VM by its name begin here as well.
///
/// # Errors
/// What is to be said if there is none, if it refuses, or if the image cannot be understood.
pub(crate) fn attach(word: Option<&str>, writable: bool) -> Told<Attached> {
    let layout = thread::Builder::new().name("dwarf".to_owned()).spawn(|| Layout::from_elf(GUEST_IMAGE))?;
    let connected = Directory::of_user().map_err(Into::into).and_then(|directory| {
        Connected::meant(&directory, word, writable).map_err(Box::<dyn std::error::Error + Send + Sync>::from)
    });
    let symbols = Symbols::from_elf(GUEST_IMAGE)?;
    let layout = layout.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    Ok(connected?.attach(Arc::new(layout), Arc::new(symbols))?)
}
