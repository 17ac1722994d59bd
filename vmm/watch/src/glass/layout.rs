//! The layout of what the glass looks at, found by name, once, when the glass is put up.
//!
//! # Invariants
//! - No offset is written in the host's source: each comes from the guest's own debug information.
//! - A field that is missing, or that became another kind of thing, is an error with its name in it, before the
//!   first sample. A number that merely became wider or signed is read as what it is.

use super::dwarf;
use super::error::GlassError;
use super::guest::{CPU_DISP, CYCLICS, Guest, KP_QUEUE, LEVELS, List, Structure};
use super::record::Fields;
use super::typed::TypeTable;
use super::types::GuestTypes;
use umpire_shared::sys::disp::QACTMAP_WORDS;

use super::{
    accounts, cpu, interrupts, memory, owners, picture, placement, queue, root, script, snapshot, stack,
    streams, taskqs, times, workers,
};

macro_rules! layout {
    ($($(#[$doc:meta])* $name:ident: $Places:ty,)*) => {
        /// Where everything that the glass looks at lies.
        #[derive(Debug, Clone)]
        pub struct Layout {
            $($(#[$doc])* pub $name: $Places,)*
            /// Bytes of the structures that lie in arrays.
            pub sizes: Sizes,
            /// Offset of the run queue in `Cpu`.
            pub cpu_disp: usize,
            /// Offset of the kp queue in `Cpupart`.
            pub part_kp: usize,
            /// The levels of a `Disp`.
            pub levels: List,
            /// The cyclics of a `Cpu`.
            pub cyclics: List,
            /// Every type that the kernel's root leads to.
            pub types: TypeTable,
        }

        impl Layout {
            /// Finds everything, by asking what knows the guest.
            ///
            /// # Errors
            /// [`GlassError`] naming the first thing that is missing, or that became another kind of thing.
            pub(super) fn find(guest: &mut dyn Guest) -> Result<Layout, GlassError> {
                let levels = guest.list(LEVELS)?;
                let bytes = levels.stride.saturating_mul(levels.count);
                if bytes > queue::MOST_LEVEL_BYTES || levels.count > 64 * QACTMAP_WORDS {
                    let (record, most) = ("the levels of Disp", queue::MOST_LEVEL_BYTES);
                    return Err(GlassError::TooLong { record, bytes, most });
                }
                Ok(Layout {
                    $($name: Fields::find(guest)?,)*
                    sizes: Sizes::find(guest)?,
                    cpu_disp: guest.place(CPU_DISP)?,
                    part_kp: guest.place(KP_QUEUE)?,
                    levels,
                    cyclics: guest.list(CYCLICS)?,
                    types: guest.table()?,
                })
            }
        }
    };
}

layout! {
    /// The kernel's arenas.
    root: root::RootPlaces,
    /// The kernel's own words.
    kernel: snapshot::KernelPlaces,
    /// A CPU's own words.
    cpu: cpu::CpuPlaces,
    /// A partition's own words.
    part: cpu::PartPlaces,
    /// The counts that tell one stay of a thread on a CPU from the next.
    switches: cpu::SwitchPlaces,
    /// What runs on a CPU.
    runner: cpu::RunnerPlaces,
    /// An interrupt thread.
    intr: cpu::IntrPlaces,
    /// A cyclic.
    cyclic: cpu::CyclicPlaces,
    /// What a CPU owes its interrupts.
    interrupts: interrupts::InterruptPlaces,
    /// How many handlers have begun there.
    taken: interrupts::TakenPlaces,
    /// A CPU's words that belong to the machine.
    mach: interrupts::MachPlaces,
    /// Who has paused the CPUs.
    pauser: interrupts::PauserPlaces,
    /// A run queue.
    queue: queue::QueuePlaces,
    /// How many enqueues a run queue has had.
    enqueues: interrupts::EnqueuePlaces,
    /// A level of a run queue.
    level: queue::LevelPlaces,
    /// A thread on a run queue.
    queued: queue::QueuedPlaces,
    /// Where a thread may be.
    placement: placement::PlacementPlaces,
    /// A chain of turnstiles.
    chain: owners::ChainPlaces,
    /// A turnstile.
    turnstile: owners::TurnstilePlaces,
    /// A thread at either end of a lock.
    party: owners::PartyPlaces,
    /// A thread of the scenario.
    worker: workers::WorkerPlaces,
    /// What a thread has had of the CPUs.
    times: times::TimePlaces,
    /// What a thread does.
    doings: accounts::DoingsPlaces,
    /// To what a thread's time is charged.
    thread_account: accounts::ThreadAccountPlaces,
    /// What interrupts took of a CPU.
    level_times: accounts::LevelTimePlaces,
    /// To what a CPU's time is charged.
    cpu_account: accounts::CpuAccountPlaces,
    /// A project.
    project: times::ProjectPlaces,
    /// What a picture shows of a CPU and no pass reads.
    face: picture::FacePlaces,
    /// What is said of a thread on its card.
    card: picture::CardPlaces,
    /// A thread's name.
    name: root::NamePlaces,
    /// A stack.
    stack: stack::StackPlaces,
    /// An event of the scenario.
    event: script::EventPlaces,
    /// A task queue.
    taskq: taskqs::TaskqPlaces,
    /// A thread that may serve one.
    task_thread: taskqs::TaskThreadPlaces,
    /// The arena of pages.
    memory: memory::MemoryPlaces,
    /// A cache.
    cache: memory::CachePlaces,
    /// What the kernel keeps of STREAMS.
    streams_root: streams::StreamsRootPlaces,
    /// A stream of the scenario.
    stream: streams::StreamPlaces,
    /// A stream head.
    head: streams::HeadPlaces,
    /// A queue of a stream.
    str_queue: streams::StrQueuePlaces,
    /// How much of a thread's stack was left.
    least_stack: streams::StackSamplePlaces,
    /// A perimeter.
    door: streams::DoorPlaces,
}

/// Bytes of the structures that lie in arrays, each beside the next.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "each is called as the structure")]
pub struct Sizes {
    pub cpu: u64,
    pub thread: u64,
    pub part: u64,
    pub chain: u64,
    pub turnstile: u64,
    pub project: u64,
    pub event: u64,
    pub taskq: u64,
    pub cache: u64,
    pub scenario_stream: u64,
    pub queue: u64,
}

impl Sizes {
    fn find(guest: &mut dyn Guest) -> Result<Sizes, GlassError> {
        let mut size = |of| guest.size(of).map(|bytes| bytes as u64);
        Ok(Sizes {
            cpu: size(Structure::Cpu)?,
            thread: size(Structure::Kthread)?,
            part: size(Structure::Cpupart)?,
            chain: size(Structure::TurnstileChain)?,
            turnstile: size(Structure::Turnstile)?,
            project: size(Structure::Kproject)?,
            event: size(Structure::ScriptEvent)?,
            taskq: size(Structure::Taskq)?,
            cache: size(Structure::KmemCache)?,
            scenario_stream: size(Structure::ScenarioStream)?,
            queue: size(Structure::Queue)?,
        })
    }
}

impl Layout {
    /// Finds every field in the debug information of a guest image.
    ///
    /// # Errors
    /// [`GlassError`] if the image is not ELF, has no debug information, or lacks a type or field; it names which.
    pub fn from_elf(image: &[u8]) -> Result<Layout, GlassError> {
        let sections = dwarf::sections(image)?;
        Layout::find(&mut GuestTypes::new(dwarf::borrow(&sections))?)
    }
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
