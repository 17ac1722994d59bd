//! The glass: how host code sees a running guest.
//!
//! | file | what |
//! |---|---|
//! | `target.rs`, `live.rs` | what can be looked at: a machine on KVM, and anything else that is a target |
//! | `record.rs` | what the host reads of a structure: each field declared once, with its decoding |
//! | `layout.rs`, `guest.rs` | all records and structures, found by name |
//! | `types.rs`, `dwarf.rs` | where a name leads, from the guest's own debug information |
//! | `read.rs`, `walk.rs`, `look.rs` | verified reads, bounded walks, and what every look needs |
//! | `root.rs` | where the kernel's arenas lie |
//! | `sampler.rs`, `snapshot.rs` | one pass over the whole dispatcher, and what it saw |
//! | `cpu.rs`, `queue.rs` | what every pass reads: a CPU's own words, a run queue with its threads |
//! | `needs.rs` | what a pass reads only if a monitor needs it: the three that follow, and more of a CPU |
//! | `interrupts.rs` | what a CPU owes its interrupts: level, pending, taken, timer |
//! | `owners.rs`, `workers.rs`, `times.rs` | which threads own locks, how far workloads are, CPU times |
//! | `picture.rs`, `stack.rs` | a CPU at one moment, with the stacks of chosen threads |
//! | `memory.rs` | free memory, who sleeps for some, and the caches |
//! | `streams.rs` | the scenario's streams, and their queues |
//! | `taskqs.rs` | task queues, and what their threads do |
//! | `symbols.rs` | addresses to names |
//! | `typed.rs` | any value of the kernel by its path, any object by its address |
//! | `script.rs` | what became of the scenario's events |
//! | `trace.rs` | records of the sched provider's probes out of the guest's rings |
//!
//! # Invariants
//! - The glass only reads. Nothing in the guest knows that it is watched.
//! - No reference into guest memory: everything is a copy, and a value that is made of several words has a verdict.
//! - A guest that writes nonsense into its own structures makes a read fail; it cannot make the host loop, allocate
//!   without bound, or panic.

mod accounts;
mod control;
mod cpu;
mod dwarf;
mod error;
#[cfg(test)]
pub(crate) mod fake;
mod guest;
#[cfg(test)]
pub(crate) mod hostile;
mod interrupts;
mod layout;
mod live;
mod look;
mod memory;
mod metered;
mod needs;
mod network;
mod owners;
mod picture;
mod placement;
mod queue;
mod read;
mod record;
mod root;
mod sampler;
mod script;
mod snapshot;
mod stack;
mod streams;
mod symbols;
mod target;
mod taskqs;
mod times;
mod trace;
mod typed;
mod types;
mod walk;
mod workers;

use std::fmt;
use std::sync::Arc;

use umpire_machine::memory::GuestMemory;

pub use accounts::{CpuAccount, Doings, LevelTimes, ThreadAccount};
pub use control::{BoundVerdict, Control, ControlError, Identity, Panic, Poke, Verdicts};
pub use cpu::{CpuSample, CyclicSample, Runner};
pub use error::GlassError;
pub use interrupts::{InterruptSample, NLEVELS};
pub use layout::Layout;
pub use live::LiveMachine;
pub use memory::{CacheSample, MemorySample};
pub use needs::Needs;
pub use network::{NicSample, ReaderSample};
pub use owners::OwnerSample;
pub use picture::{CpuPicture, IntrRow, Picture, PinnedRow, QueueRow, ThreadCard};
pub use placement::Placement;
pub use queue::{LevelSample, QueueSample, QueuedThread, Wait};
pub use read::{MAX_RETRIES, Read, Verdict};
pub use sampler::{ReadCounts, Sampler};
pub use script::EventResult;
pub use snapshot::{CpuReading, Place, Snapshot};
pub use stack::{Frame, Stack};
pub use streams::{StrQueueSample, StreamSample};
pub use symbols::{CodeLine, Symbol, Symbols, short_name, short_path};
pub use target::{Ability, AskCpu, Asking, CpuClocks, Lacks, Pause, Root, Target};
pub use taskqs::TaskqSample;
pub use times::{ProjectSample, ThreadTime, has_duty_cycle, is_fair_share};
pub use trace::{Held, Kinds, Trace, TraceReader, TraceRecord};
pub use typed::{Datum, Object, TypeTable};
pub use walk::{Arena, WalkEnd};
pub use workers::WorkerSample;

/// A guest's memory, and the knowledge of what lies where in it.
pub struct Glass {
    memory: Arc<dyn GuestMemory>,
    layout: Arc<Layout>,
    root: Root,
    /// What asks a CPU where it is, or why none can be asked.
    asker: Result<Arc<dyn AskCpu>, Lacks>,
    /// Which CPUs it asks.
    whom: Asking,
}

impl Glass {
    /// A glass in front of a target. It keeps the target's memory, not the target.
    pub fn new(target: &dyn Target) -> Glass {
        Glass::asking(target, Asking::Running)
    }

    /// The same glass, which asks those CPUs only where they are.
    pub fn asking(target: &dyn Target, whom: Asking) -> Glass {
        let asker = target.asker(whom);
        Glass { memory: target.memory(), layout: target.layout(), root: target.root(), asker, whom }
    }

    /// The guest's memory.
    pub fn memory(&self) -> Arc<dyn GuestMemory> {
        Arc::clone(&self.memory)
    }

    /// Where the fields lie.
    pub fn layout(&self) -> Arc<Layout> {
        Arc::clone(&self.layout)
    }
}

impl fmt::Debug for Glass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Glass").field("root", &self.root).finish_non_exhaustive()
    }
}
