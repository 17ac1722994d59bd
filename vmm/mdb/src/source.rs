//! What a session looks at: a guest through a view, or a recording.
//!
//! # Invariants
//! - A recording holds no memory: what needs some says so, and what has it, and nothing is made up in its place.

use crate::lang::Failure;
use crate::recorded::Recorded;
use crate::session::Trust;
use crate::view::View;

/// What is said of memory that a recording does not hold.
pub(crate) const NO_MEMORY: &str =
    "a recording holds no memory; a core does: `umpire run ID --core-on violation DIR` writes one";

/// What a session looks at.
#[derive(Debug, Clone, Copy)]
pub enum Source<'v> {
    /// A machine that runs or has stopped, or a core.
    Guest(&'v View<'v>),
    /// A recording.
    Recording(&'v Recorded<'v>),
}

impl<'v> From<&'v View<'_>> for Source<'v> {
    fn from(view: &'v View<'_>) -> Source<'v> {
        Source::Guest(view)
    }
}

impl<'v> From<&'v Recorded<'_>> for Source<'v> {
    fn from(recorded: &'v Recorded<'_>) -> Source<'v> {
        Source::Recording(recorded)
    }
}

impl<'v> Source<'v> {
    /// The view of a guest.
    ///
    /// # Errors
    /// [`Failure`] if it is a recording.
    pub fn guest(self) -> Result<&'v View<'v>, Failure> {
        match self {
            Source::Guest(view) => Ok(view),
            Source::Recording(_) => Err(Failure::new(NO_MEMORY)),
        }
    }

    /// True of a recording.
    pub fn is_recording(self) -> bool {
        matches!(self, Source::Recording(_))
    }

    /// Begins a new count of how reads go.
    pub(crate) fn begin(self) {
        match self {
            Source::Guest(view) => view.begin(),
            Source::Recording(recorded) => recorded.begin(),
        }
    }

    /// How far what was read since then can be trusted.
    pub(crate) fn trust(self) -> Trust {
        match self {
            Source::Guest(view) => view.verdict().into(),
            Source::Recording(recorded) => recorded.trust(),
        }
    }
}
