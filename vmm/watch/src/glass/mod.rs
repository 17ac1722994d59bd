//! The glass: how host code sees a running guest.
//!
//! | file | what |
//! |---|---|
//! | `target.rs`, `live.rs` | what can be looked at: a machine on KVM, and whatever else is a target |
//! | `dwarf.rs`, `types.rs` | where each field lies, by name, from the guest's own debug information |
//! | `read.rs`, `walk.rs` | verified copies and bounded walks |
//! | `sampler.rs`, `snapshot.rs` | one pass over all run queues, and what it saw |
//! | `wanted.rs` | what a pass reads only if some bound needs it |
//! | `picture.rs`, `stack.rs` | a CPU at one moment, with the stacks of chosen threads |
//! | `symbols.rs` | addresses to names |
//! | `script.rs` | what became of the scenario's events |
//! | `trace.rs` | records of the sched provider's probes out of the guest's rings |
//!
//! # Invariants
//! - The glass only reads. Nothing in the guest knows that it is watched.
//! - No reference into guest memory: everything is a copy, and what several words make up has a verdict.
//! - A guest that writes nonsense into its own structures makes a read fail; it cannot make the host loop, allocate
//!   without bound, or panic.

mod dwarf;
mod error;
#[cfg(test)]
pub(crate) mod fake;
mod live;
mod picture;
mod read;
mod sampler;
mod script;
mod snapshot;
mod stack;
mod symbols;
mod target;
mod trace;
mod types;
mod walk;
mod wanted;

use std::fmt;
use std::sync::Arc;

use umpire_shared::sys::KERNEL_MAGIC;
use umpire_shared::{MAX_CPUS, MAX_THREADS, NAME_LEN, roster, unpack_name};

use umpire_machine::memory::GuestMemory;

pub use error::GlassError;
pub use live::LiveMachine;
pub use picture::{CpuPicture, IntrRow, Picture, PinnedRow, QueueRow, ThreadCard};
pub use read::{MAX_RETRIES, Read, Verdict};
pub use sampler::{ReadCounts, Sampler};
pub use script::EventResult;
pub use snapshot::{
    CpuReading, CpuSample, CyclicSample, LevelSample, OwnerSample, Place, ProjectSample, QueueSample,
    QueuedThread, Runner, Snapshot, ThreadTime, WorkerSample,
};
pub use stack::{Frame, Stack};
pub use symbols::{CodeLine, Symbol, Symbols};
pub use target::{Ability, CpuClocks, Lacks, Pause, Root, Target};
pub use trace::{TraceReader, TraceRecord};
pub use types::{
    ArrayField, ChainFields, CpuFields, CyclicFields, DispFields, EventFields, Field, KernelFields, Layout,
    LevelFields, PartFields, ProjectFields, SleepListFields, ThreadFields, TurnstileFields,
};
pub use walk::{Arena, WalkEnd};
pub use wanted::{Wants, has_duty_cycle, is_fair_share};

/// A guest's memory and the knowledge of what is where in it.
pub struct Glass {
    memory: Arc<dyn GuestMemory>,
    layout: Arc<Layout>,
    root: Root,
}

/// Where the arenas of a kernel lie, checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KernelView {
    pub(crate) root: u64,
    pub(crate) cpus: u64,
    pub(crate) ncpus: u32,
    pub(crate) arena: Arena,
    /// Address and number of the processor sets' partitions.
    pub(crate) psets: (u64, u64),
    /// Address and number of the chains of turnstiles.
    pub(crate) chains: (u64, u64),
    /// Address and number of the turnstiles.
    pub(crate) turnstiles: (u64, u64),
    /// Address and number of the projects.
    pub(crate) projects: (u64, u64),
}

impl KernelView {
    pub(crate) fn cpu_address(&self, n: u32, layout: &Layout) -> u64 {
        self.cpus.wrapping_add(u64::from(n).wrapping_mul(layout.cpu.size as u64))
    }
}

impl Glass {
    /// A glass in front of a target. It keeps the target's memory, not the target.
    pub fn new(target: &dyn Target) -> Glass {
        Glass { memory: target.memory(), layout: target.layout(), root: target.root() }
    }

    /// The guest's memory.
    pub fn memory(&self) -> Arc<dyn GuestMemory> {
        Arc::clone(&self.memory)
    }

    /// Where the fields lie.
    pub fn layout(&self) -> Arc<Layout> {
        Arc::clone(&self.layout)
    }

    /// The address of the kernel's root object, 0 while there is none.
    pub fn root(&self) -> u64 {
        self.root.find(&*self.memory)
    }

    /// The kernel's arenas, `None` while there is no kernel.
    ///
    /// # Errors
    /// [`GlassError::BadRoot`] if the root object does not look like one.
    pub(crate) fn kernel(&self) -> Result<Option<KernelView>, GlassError> {
        let root = self.root();
        if root == 0 {
            return Ok(None);
        }
        let bad = |found: String| GlassError::BadRoot { root, found };
        let k = &self.layout.kernel;
        let word = |field: Field| {
            let mut raw = [0; 8];
            let at = root.wrapping_add(field.offset as u64);
            let bytes = raw.get_mut(..field.size)?;
            self.memory.read(at, bytes).then(|| u64::from_le_bytes(raw))
        };
        let get = |field: Field| word(field).ok_or_else(|| bad("an address outside guest memory".into()));
        let magic = get(k.magic)?;
        if magic != KERNEL_MAGIC {
            return Err(bad(format!("first word {magic:#x}, expected {KERNEL_MAGIC:#x}")));
        }
        let (ncpus, nthreads) = (get(k.ncpus)?, get(k.nthreads)?);
        if ncpus == 0 || ncpus > MAX_CPUS as u64 {
            return Err(bad(format!("{ncpus} CPUs, expected 1 to {MAX_CPUS}")));
        }
        let most = u64::from(roster::total(MAX_CPUS as u32, MAX_THREADS as u32));
        if nthreads < ncpus || nthreads > most {
            return Err(bad(format!("{nthreads} threads, expected {ncpus} to {most}")));
        }
        let arena =
            Arena { base: get(k.threads)?, stride: self.layout.thread.size as u64, count: nthreads as u32 };
        let psets = (get(k.psets)?, get(k.npsets)?);
        if psets.1 > MAX_CPUS as u64 {
            return Err(bad(format!("{} processor sets, expected at most {MAX_CPUS}", psets.1)));
        }
        Ok(Some(KernelView {
            root,
            cpus: get(k.cpus)?,
            ncpus: ncpus as u32,
            arena,
            psets,
            chains: (get(k.chains)?, get(k.nchains)?),
            turnstiles: (get(k.turnstiles)?, get(k.nturnstiles)?),
            projects: (get(k.projects)?, get(k.nprojects)?),
        }))
    }

    /// Turns that the workloads of all threads together have done; 0 while there is no kernel.
    pub fn total_progress(&self) -> u64 {
        let Ok(Some(view)) = self.kernel() else { return 0 };
        let at = self.layout.thread.progress.offset as u64;
        (0..view.arena.count)
            .filter_map(|t| self.memory.read_u64(view.arena.address_of(t).wrapping_add(at)))
            .sum()
    }

    /// The name of the thread at this address, fit to be printed; empty if it cannot be read.
    pub fn thread_name(&self, addr: u64) -> String {
        let field = self.layout.thread.name;
        let mut record = [0; NAME_LEN];
        let len = field.count.min(NAME_LEN);
        if !self.memory.read(addr.wrapping_add(field.offset as u64), &mut record[..len]) {
            return String::new();
        }
        unpack_name(&record).chars().map(|c| if c.is_control() { '?' } else { c }).collect()
    }
}

impl fmt::Debug for Glass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Glass").field("root", &self.root).finish_non_exhaustive()
    }
}
