//! What is known of the built-in guest image: where its fields lie, and what its addresses are called.
//!
//! # Invariants
//! - Reading the debug information starts at once, on a thread of its own, so that it is done when the machine is.
//! - It is read once a process, however many machines there are.

use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};

use umpire_machine::GUEST_IMAGE;
use umpire_watch::glass::{GlassError, Layout, Symbols};

/// Why the guest image cannot be looked into. Shared by every run that wants it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("read the debug information of the built-in guest: {0}; rebuild umpire with cargo build")]
pub struct GuestError(Arc<str>);

#[derive(Debug)]
struct Known {
    layout: Arc<Layout>,
    symbols: Arc<Symbols>,
}

/// The built-in guest image, understood or about to be.
#[derive(Debug)]
pub struct Guest {
    reader: Option<JoinHandle<Result<Known, GlassError>>>,
    known: OnceLock<Result<Known, GuestError>>,
}

impl Guest {
    /// Begins to read the image.
    pub fn start_reading() -> Guest {
        let reader = thread::Builder::new().name("dwarf".to_owned()).spawn(read).ok();
        Guest { reader, known: OnceLock::new() }
    }

    /// Where the fields lie.
    ///
    /// # Errors
    /// [`GuestError`] if the image's debug information is not what this build expects.
    pub fn layout(&mut self) -> Result<Arc<Layout>, GuestError> {
        self.known().map(|k| Arc::clone(&k.layout))
    }

    /// What addresses are called.
    ///
    /// # Errors
    /// As [`Guest::layout`].
    pub fn symbols(&mut self) -> Result<Arc<Symbols>, GuestError> {
        self.known().map(|k| Arc::clone(&k.symbols))
    }

    fn known(&mut self) -> Result<&Known, GuestError> {
        let reader = self.reader.take();
        let known = self.known.get_or_init(|| {
            // Without a thread of its own it is read here; a reader that panicked is a defect that is told like an error.
            let result = reader.map_or_else(|| Ok(read()), JoinHandle::join);
            match result {
                Ok(Ok(known)) => Ok(known),
                Ok(Err(e)) => Err(GuestError(e.to_string().into())),
                Err(_) => Err(GuestError("the reader panicked".into())),
            }
        });
        known.as_ref().map_err(Clone::clone)
    }
}

fn read() -> Result<Known, GlassError> {
    let layout = Arc::new(Layout::from_elf(&GUEST_IMAGE)?);
    let symbols = Arc::new(Symbols::from_elf(&GUEST_IMAGE)?);
    Ok(Known { layout, symbols })
}
