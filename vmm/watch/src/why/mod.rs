//! Why a thread does not run: what it waits for, who has that, what that one waits for, and so on.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | the answer as data, and the walk from a thread to those that it waits for |
//! | `stall.rs` | what one thread is at |
//! | `asleep.rs` | what a sleeping thread sleeps on, and which timeout is to wake it |
//! | `stream.rs` | what a thread waits for that sleeps in a stream |
//! | `object.rs` | what the kernel's objects are called |
//! | `text.rs` | the answer in words |
//! | `json.rs` | the answer as rows |
//!
//! # Invariants
//! - An answer is data, made of the glass and of a pass; it is not rendered before a reader wants to see it.
//! - A walk visits each thread once and [`MAX_LINKS`] threads at most. A thread that is met again on its own path closes a circle,
//!   which is a deadlock and is named.
//! - The guest may have written anything: what cannot be followed is said to be unknown.
//! - The words are read while the guest runs, each right by itself. For a thread that stands still they fit each other.

mod asleep;
pub mod json;
mod object;
mod stall;
mod stream;
mod text;

use crate::glass::{Glass, Object, Place, Snapshot, ThreadCard};

pub use object::name as object_name;

/// Threads that an answer has at most.
pub const MAX_LINKS: usize = 16;
/// Threads that are followed from one that waits for several.
const MAX_BRANCHES: usize = 4;

/// Why a thread does not run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Why {
    /// The thread, then those that it waits for, each once: the nearest of a path first.
    pub links: Vec<Link>,
    /// The threads that wait for each other in a circle, if some do, in the order in which they wait.
    pub circle: Vec<u32>,
    /// True if there would have been more links.
    pub is_cut: bool,
}

/// A thread, and what it is at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its number.
    pub thread: u32,
    /// What is known of it.
    pub card: ThreadCard,
    /// What it is at.
    pub stall: Stall,
    /// The threads that it waits for, as far as that is known.
    pub waits_for: Vec<u32>,
}

/// What a thread is at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stall {
    /// Blocked on a lock of a turnstile.
    Blocked {
        /// The lock.
        lock: Object,
        /// How it wants it, and what other threads hold it.
        hold: Hold,
        /// Its place among those that wait as it does, from 1, and how many those are.
        place: Option<(u32, u32)>,
    },
    /// Asleep until somebody wakes it.
    Asleep {
        /// What it sleeps on.
        on: Object,
        /// What is to be known of that.
        about: About,
        /// The timeout that is to wake it.
        timeout: Option<Timeout>,
    },
    /// On a run queue.
    Queued {
        /// Whose; `None` if it is on its way there.
        queue: Option<Place>,
        /// Its place on it, from 1, and how many threads that has.
        place: (u32, u32),
        /// What the CPU of that queue runs.
        runs: Option<u32>,
        /// Why that CPU takes nothing, if it does not.
        is_closed: bool,
    },
    /// Held by a CPU cap.
    Capped {
        /// True for a zone's, false for a project's.
        is_zone: bool,
        /// The zone's first project, or the project.
        project: String,
        /// What the cap allows, in per cent of a CPU.
        percent: u64,
        /// What has been used of late, in per cent of a CPU.
        used_percent: u64,
        /// Its place among those that wait, from 1, and how many those are.
        place: Option<(u32, u32)>,
    },
    /// Runs.
    Runs {
        /// Where.
        cpu: u32,
        /// How.
        mode: Mode,
        /// What its CPU waits for without giving itself up, if it does, and the CPUs that can end that, a bit each.
        spins: Option<(Object, u64)>,
    },
    /// Set aside by an interrupt thread.
    Pinned {
        /// Where.
        cpu: u32,
        /// The interrupt thread.
        by: Option<u32>,
    },
    /// Chosen by a CPU and not come onto it yet.
    Switching {
        /// Which, if known.
        cpu: Option<u32>,
    },
    /// Not started yet.
    NotStarted,
    /// Stopped, because somebody asked for it.
    Stopped {
        /// When the event that asked for it was due, and when it was carried out, in ns after boot; none if no event did.
        event: Option<(u64, u64)>,
    },
    /// Ended.
    Ended,
    /// Something that no thread is.
    Unknown {
        /// `t_state`.
        state: u32,
    },
}

/// How a thread wants a lock, and what holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// A mutex: its owner, if it has one.
    Mutex(Option<u32>),
    /// An rwlock.
    Rwlock {
        /// True if the thread wants to write.
        wants_write: bool,
        /// The writer that holds it.
        writer: Option<u32>,
        /// How many readers hold it. The kernel keeps no record of which.
        readers: u64,
    },
}

/// What is to be known of what a thread sleeps on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// No more than what it is.
    Nothing,
    /// It sleeps for a time (`delay` or a sleep until a moment), on nothing.
    Time,
    /// A semaphore with so many free units.
    Units(u64),
    /// So many packets for a worker of the network, and the device that brings them.
    Packets(u64, Option<String>),
    /// A signal that was sent so often, and the callout that is to send it, if one is known.
    Signal(u64, Option<Sender>),
    /// A callout that is being run by that thread.
    Callout(Option<u32>),
    /// The tasks of a task queue.
    Tasks {
        /// The queue's name.
        name: String,
        /// Its instance.
        instance: u64,
        /// True if there are some.
        are_there: bool,
    },
    /// Something in a stream.
    Stream(StreamWait),
}

/// What a thread waits for that sleeps in a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamWait {
    /// The scenario's name of the stream, or one by the address of its head.
    pub stream: String,
    /// What it waits for there.
    pub what: Awaited,
}

/// What can be waited for in a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Awaited {
    /// Room to write: on that queue, if one can be told.
    Room(Option<QueueCard>),
    /// Something to read.
    Message,
    /// A queue that a close lets send what it has.
    Drain(Option<QueueCard>),
    /// The answer to an ioctl, or the end of an open, a push or a pop.
    Answer,
    /// An event for who polls.
    Poll,
    /// So many threads that use the stream, to notice that it is closed.
    Users(u64),
    /// The end of an open or a close.
    Turn,
    /// A service procedure that a close lets end.
    Service(QueueCard),
    /// The perimeter of that queue, in which so many threads are.
    Perimeter(Option<QueueCard>, u64),
}

/// A queue as sentences speak of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueCard {
    /// True for a read queue.
    pub is_read: bool,
    /// Its module.
    pub module: String,
    /// Bytes of band 0 on it.
    pub bytes: u64,
    /// Its high-water mark.
    pub hiwat: u64,
    /// Messages of all bands on it.
    pub messages: u64,
}

/// A callout that is to send a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sender {
    /// Its number.
    pub callout: u64,
    /// The CPU whose callout table it is in, or was.
    pub cpu: u64,
    /// True if a callout thread has to run it, false if an interrupt does.
    pub is_normal: bool,
    /// One of [`umpire_shared::sys::callo::state`].
    pub state: u8,
    /// The thread that runs it.
    pub executor: Option<u32>,
}

/// The timeout that is to wake a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeout {
    /// The CPU whose callout table has it.
    pub cpu: u64,
    /// True if a callout thread has to run for it, false if an interrupt does it.
    pub is_normal: bool,
    /// One of [`umpire_shared::sys::callo::state`].
    pub state: u8,
    /// When it is due, in the guest's ns.
    pub due_ns: u64,
    /// What the guest's clock reads, at least.
    pub now_ns: u64,
}

impl Timeout {
    /// How long it should have been over, at least, in ns; 0 if it is still to come.
    pub fn overdue_ns(&self) -> u64 {
        self.now_ns.saturating_sub(self.due_ns)
    }
}

/// How a thread runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// In user mode.
    User,
    /// In the kernel.
    Kernel,
    /// In the kernel, not to be preempted: `t_preempt`.
    Unpreemptible(u8),
    /// As an interrupt thread of this level.
    Interrupt(u8),
    /// It is the CPU's idle thread.
    Idle,
}

impl Why {
    /// Why this thread does not run; empty if there is no such thread.
    pub fn of(glass: &Glass, seen: &Snapshot, thread: u32) -> Why {
        let mut walk = Walk { look: stall::Look::new(glass, seen), why: Why::default(), path: Vec::new() };
        walk.visit(thread);
        walk.why
    }

    /// The thread that the answer is about.
    pub fn subject(&self) -> Option<&Link> {
        self.links.first()
    }

    /// What is known of a thread of the answer.
    pub fn link(&self, thread: u32) -> Option<&Link> {
        self.links.iter().find(|link| link.thread == thread)
    }
}

/// A walk from a thread to those that it waits for.
struct Walk<'g> {
    look: stall::Look<'g>,
    why: Why,
    /// The threads from the first to the one that is looked at.
    path: Vec<u32>,
}

impl Walk<'_> {
    fn visit(&mut self, thread: u32) {
        if let Some(from) = self.path.iter().position(|&met| met == thread) {
            if self.why.circle.is_empty() {
                self.why.circle = self.path[from..].to_vec();
            }
            return;
        }
        if self.why.link(thread).is_some() {
            return;
        }
        if self.why.links.len() == MAX_LINKS {
            self.why.is_cut = true;
            return;
        }
        let Some(link) = self.look.link(thread) else { return };
        let next: Vec<u32> = link.waits_for.iter().copied().take(MAX_BRANCHES).collect();
        self.why.links.push(link);
        self.path.push(thread);
        next.into_iter().for_each(|thread| self.visit(thread));
        self.path.pop();
    }
}

#[cfg(test)]
mod tests;
