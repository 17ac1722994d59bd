//! The log of a session: what was typed and what came back, appended to a file.
//!
//! # Invariants
//! - What goes to the stream goes to the log too, in the same order; a log that takes no more ends, and the session goes on.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::rc::Rc;

use super::Session;
use crate::lang::Failure;

/// A file that a session is logged to.
#[derive(Debug)]
pub(super) struct Log {
    name: String,
    file: File,
}

impl Session<'_> {
    /// Appends the session to a file from the next line on.
    ///
    /// # Errors
    /// [`Failure`] if the file cannot be written.
    pub(crate) fn begin_log(&mut self, name: &str) -> Result<(), Failure> {
        let failed = |e: io::Error| Failure::new(format!("failed to open `{name}` for the log: {e}"));
        let file = OpenOptions::new().create(true).append(true).open(name).map_err(failed)?;
        self.log = Some(Rc::new(Log { name: name.to_owned(), file }));
        Ok(())
    }

    /// Logs no more. The file that was logged to, if one was.
    pub(crate) fn end_log(&mut self) -> Option<String> {
        self.log.take().map(|log| log.name.clone())
    }

    /// The file that is logged to.
    pub(crate) fn log_file(&self) -> Option<&str> {
        self.log.as_ref().map(|log| log.name.as_str())
    }
}

impl Log {
    /// A stream for one more line, which it appends with the prompt in front.
    pub(super) fn line<'l>(&self, typed: &str, prompt: &str, to: &'l mut dyn Write) -> io::Result<Tee<'l>> {
        let mut file = self.file.try_clone()?;
        file.write_all(format!("{prompt}{typed}\n").as_bytes())?;
        Ok(Tee { to, file })
    }

    /// Appends an error, which goes to another stream.
    pub(super) fn error(&self, told: &str) {
        // The person has seen it.
        let _ = self.file.try_clone().and_then(|mut file| file.write_all(format!("{told}\n").as_bytes()));
    }
}

/// Two streams as one.
pub(super) struct Tee<'l> {
    to: &'l mut dyn Write,
    file: File,
}

impl Write for Tee<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        // The person sees what is not in the log: a full disk is no reason to stop looking.
        let _ = self.file.write_all(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
