//! A recording as a session sees it: what it holds, at the moment that the session stands at.
//!
//! Threads and CPUs are named by their numbers where a guest's are by their addresses: a recording has no addresses.
//!
//! # Invariants
//! - What a recording lacks goes out with everything that was read out of it.
//! - The moment is within what was recorded.

mod time;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use umpire_record::{Recording, Replay, Scene, ThreadScene, Violation};

use crate::lang::Failure;
use crate::session::Trust;

pub(crate) use time::{Time, exact_ms};

/// A recording, and the moment that is looked at.
pub struct Recorded<'r> {
    name: String,
    replay: Replay<'r>,
    violations: Vec<Violation>,
    at_ns: Cell<u64>,
    /// The moment as it was last asked for.
    scene: RefCell<Option<Rc<Scene>>>,
    /// True if anything was read since [`Recorded::begin`].
    is_read: Cell<bool>,
}

impl<'r> Recorded<'r> {
    /// A recording that is called `name`. The moment is that of the first violation, or else the end.
    pub fn new(name: impl Into<String>, recording: &'r Recording) -> Recorded<'r> {
        let replay = Replay::of(recording);
        let violations = replay.violations();
        let (first, last) = recording.interval();
        let at_ns = violations.first().map_or(last, |violation| violation.at_ns.clamp(first, last));
        Recorded {
            name: name.into(),
            replay,
            violations,
            at_ns: Cell::new(at_ns),
            scene: RefCell::new(None),
            is_read: Cell::new(false),
        }
    }

    /// What it is called: its file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The recording.
    pub fn recording(&self) -> &'r Recording {
        self.is_read.set(true);
        self.replay.recording()
    }

    /// The bounds that were broken and whose moments are known.
    pub(crate) fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// The moment, in ns after boot.
    pub fn at_ns(&self) -> u64 {
        self.at_ns.get()
    }

    /// Stands at another moment from now on.
    ///
    /// # Errors
    /// [`Failure`] if nothing was recorded then.
    pub(crate) fn stand_at(&self, at_ns: u64) -> Result<(), Failure> {
        let (first, last) = self.replay.recording().interval();
        if !(first..=last).contains(&at_ns) {
            let (at, first, last) = (exact_ms(at_ns), exact_ms(first), exact_ms(last));
            return Err(Failure::new(format!(
                "nothing was recorded at {at}: the recording goes from {first} to {last}"
            )));
        }
        self.at_ns.set(at_ns);
        *self.scene.borrow_mut() = None;
        Ok(())
    }

    /// How everything stood at the moment.
    pub(crate) fn scene(&self) -> Rc<Scene> {
        self.is_read.set(true);
        let at_ns = self.at_ns();
        Rc::clone(self.scene.borrow_mut().get_or_insert_with(|| Rc::new(self.replay.at(at_ns))))
    }

    /// The number of the thread of a name.
    ///
    /// # Errors
    /// [`Failure`] if none has it, or several have.
    pub(crate) fn thread_named(&self, name: &str) -> Result<u64, Failure> {
        let threads = &self.recording().threads;
        let named: Vec<u64> = threads.iter().filter(|t| t.name == name).map(|t| t.id).collect();
        match named[..] {
            [one] => Ok(one),
            [] => Err(Failure::new(format!(
                "no thread of the recording is called {name}, and it holds no symbols; ::threadlist has the names"
            ))),
            ref several => {
                let numbers: Vec<String> = several.iter().map(|id| format!("{id:x}")).collect();
                Err(Failure::new(format!("several threads are called {name}: {}", numbers.join(", "))))
            }
        }
    }

    /// The thread of a number, at the moment.
    ///
    /// # Errors
    /// [`Failure`] if there is none.
    pub(crate) fn thread(&self, scene: &Scene, number: u64) -> Result<ThreadScene, Failure> {
        let missing = || Failure::new(format!("no thread has the number {number:x}; ::threadlist has them"));
        scene.threads.get(&number).copied().ok_or_else(missing)
    }

    /// True if a thread is a CPU's idle thread.
    pub(crate) fn is_idle(&self, thread: u64) -> bool {
        self.replay.recording().thread(thread).is_some_and(|thread| thread.is_idle)
    }

    /// What to call a thread: an idle one as mdb does.
    pub(crate) fn proc(&self, thread: u64) -> String {
        if self.is_idle(thread) { "(idle)".to_owned() } else { self.replay.recording().name(thread) }
    }

    /// Begins a new count of what is read.
    pub(crate) fn begin(&self) {
        self.is_read.set(false);
    }

    /// How far what was read since then can be trusted.
    pub(crate) fn trust(&self) -> Trust {
        let lacks = if self.is_read.get() { self.replay.recording().lacks() } else { Vec::new() };
        match lacks.is_empty() {
            true => Trust { word: "clean".to_owned(), doubt: None },
            false => Trust {
                word: "incomplete".to_owned(),
                doubt: Some(format!("incomplete: {}", lacks.join("; "))),
            },
        }
    }
}

impl fmt::Debug for Recorded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorded")
            .field("name", &self.name)
            .field("at_ns", &self.at_ns)
            .finish_non_exhaustive()
    }
}
