//! Where output goes: stdout for data, stderr for narration, each with or without colour.
//!
//! # Invariants
//! - A pipe or a file never gets colour or a progress line, unless `--color always` asks for colour.
//! - The progress line is gone before anything else is written.
//! - A reader that goes away ends the output and nothing else: what is written after that is dropped, and whatever is judged is judged
//!   to its end, and exits as it would have.

use std::io::{self, IsTerminal, Write};

use anstream::adapter::StripBytes;
use anstream::{AutoStream, ColorChoice};

use super::args::Color;
use umpire_rows::text::printable;

/// Characters that a progress line may have: one line on any terminal.
const PROGRESS_WIDTH: usize = 78;

/// How much is said on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Volume {
    /// Only what went wrong.
    Errors,
    /// What is being done as well.
    Narration,
    /// And how it went.
    Details,
}

/// The two streams, and what they are good for.
pub(super) struct Streams<'s> {
    /// Data.
    pub out: Outlet<'s>,
    /// Narration, progress and errors.
    pub err: Box<dyn Write + 's>,
    /// Columns of the terminal that stdout is; none if it is none.
    pub width: Option<usize>,
    has_progress: bool,
    progress_len: usize,
    choice: ColorChoice,
    volume: Volume,
}

impl Streams<'static> {
    /// The process's own.
    pub fn of_process(color: Color) -> Streams<'static> {
        let choice = match color {
            Color::Auto => ColorChoice::Auto,
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        };
        let width = io::stdout().is_terminal().then(terminal_size::terminal_size).flatten();
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Streams {
            out: Outlet::to(AutoStream::new(io::stdout(), choice)),
            err: Box::new(AutoStream::new(io::stderr(), choice)),
            width: width.map(|(width, _)| usize::from(width.0)),
            has_progress: io::stderr().is_terminal() && !dumb,
            progress_len: 0,
            choice,
            volume: Volume::Narration,
        }
    }
}

impl<'s> Streams<'s> {
    /// Any two writers, without colour or progress.
    pub fn plain(out: &'s mut dyn Write, err: &'s mut dyn Write) -> Streams<'s> {
        Streams {
            out: Outlet::to(Plain::new(out)),
            err: Box::new(Plain::new(err)),
            width: None,
            has_progress: false,
            progress_len: 0,
            choice: ColorChoice::Never,
            volume: Volume::Narration,
        }
    }

    /// The same, saying so much.
    pub fn saying(mut self, volume: Volume) -> Streams<'s> {
        self.has_progress &= volume == Volume::Narration;
        self.volume = volume;
        self
    }

    /// True if only errors are wanted on stderr.
    pub fn is_quiet(&self) -> bool {
        self.volume == Volume::Errors
    }

    /// Says how something went, if that is wanted.
    pub fn detail(&mut self, text: impl FnOnce() -> String) {
        if self.volume == Volume::Details {
            self.say(&text());
        }
    }

    /// Has the process's stderr take the data as well: something else goes to stdout. Where only errors are wanted there, nobody has
    /// them.
    pub fn leave_stdout(&mut self) {
        self.out = match self.volume {
            Volume::Errors => Outlet { to: None },
            _ => Outlet::to(AutoStream::new(io::stderr(), self.choice)),
        };
        self.width = None;
    }

    /// Shows what is being done now, on a line that goes away; where there is no such line, shows nothing.
    pub fn progress(&mut self, text: &str) {
        if !self.has_progress {
            return;
        }
        // Blanks erase the old text, not an escape sequence: NO_COLOR would take that away.
        let text: String = text.chars().take(PROGRESS_WIDTH).collect();
        let erase = " ".repeat(std::mem::replace(&mut self.progress_len, text.chars().count()));
        // Progress is a courtesy: if it cannot be shown, the work goes on.
        let _ = write!(self.err, "\r{erase}\r{text}");
        let _ = self.err.flush();
    }

    /// As [`Streams::progress`], if `is_shown`.
    pub fn progress_if(&mut self, is_shown: bool, text: &str) {
        if is_shown {
            self.progress(text);
        }
    }

    /// Takes the progress line away.
    pub fn progress_done(&mut self) {
        if self.progress_len > 0 {
            self.progress("");
        }
    }

    /// Says something on stderr. Names of files and of guests that are in it cannot drive the terminal.
    pub fn say(&mut self, text: &str) {
        self.say_styled(&printable(text));
    }

    /// The same, of text whose styles are ours and whose names are harmless.
    pub fn say_styled(&mut self, text: &str) {
        self.progress_done();
        // Narration is a courtesy too.
        let _ = writeln!(self.err, "{text}");
    }

    /// Says something on stderr that is worth knowing and no error.
    pub fn remark(&mut self, text: &str) {
        if self.volume > Volume::Errors {
            self.say(text);
        }
    }

    /// Says something on stderr where there is no progress line to show it.
    pub fn narrate(&mut self, text: &str) {
        if !self.has_progress && self.volume > Volume::Errors {
            self.say(text);
        }
    }

    /// Writes one line of data, at once, so that a reader sees results as they come.
    pub fn line(&mut self, text: &str) -> io::Result<()> {
        self.progress_done();
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }
}

/// A stream whose reader may go away: from then on it takes everything, and gives it to nobody.
pub(super) struct Outlet<'s> {
    /// `None` when the reader has gone.
    to: Option<Box<dyn Write + 's>>,
}

impl<'s> Outlet<'s> {
    fn to(writer: impl Write + 's) -> Outlet<'s> {
        Outlet { to: Some(Box::new(writer)) }
    }

    /// True if nobody reads any more: what would go on for ever may end.
    pub fn is_closed(&self) -> bool {
        self.to.is_none()
    }

    fn unless_closed<T>(
        &mut self,
        dropped: T,
        act: impl FnOnce(&mut dyn Write) -> io::Result<T>,
    ) -> io::Result<T> {
        match self.to.as_mut().map(|to| act(to)) {
            None => Ok(dropped),
            Some(Err(e)) if e.kind() == io::ErrorKind::BrokenPipe => {
                self.to = None;
                Ok(dropped)
            }
            Some(result) => result,
        }
    }
}

impl Write for Outlet<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.unless_closed(bytes.len(), |to| to.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.unless_closed((), |to| to.flush())
    }
}

/// A borrowed writer from which styles are taken away.
struct Plain<'s> {
    to: &'s mut dyn Write,
    strip: StripBytes,
}

impl<'s> Plain<'s> {
    fn new(to: &'s mut dyn Write) -> Plain<'s> {
        Plain { to, strip: StripBytes::new() }
    }
}

impl Write for Plain<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for text in self.strip.strip_next(bytes) {
            self.to.write_all(text)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
