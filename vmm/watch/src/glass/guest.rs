//! The guest's structures by name, and what a record may ask about them.
//!
//! # Invariants
//! - Where a structure is found follows from another one and a path, down from the kernel's root: only the root's type
//!   is found by its own name.

use super::error::GlassError;
use super::record::Field;
use super::typed::TypeTable;

/// A structure of the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is called as in the kernel")]
pub enum Structure {
    Kernel,
    Cpu,
    Cyclic,
    MachCpu,
    Disp,
    DispQ,
    Kthread,
    Cpupart,
    TurnstileChain,
    Turnstile,
    Kproject,
    ScriptEvent,
    Taskq,
    KmemCache,
    Streams,
    ScenarioStream,
    Stdata,
    Queue,
    Syncq,
}

/// How a structure's type is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// It is the root: it is found by its own name.
    Root,
    /// A pointer of another structure leads to it.
    Behind(Member),
    /// It is a member of another structure.
    Within(Member),
    /// It is an element of another structure's array.
    Element(Member),
}

/// A member of a structure: the structure, and the path from it.
pub(super) type Member = (Structure, &'static str);

/// A CPU's own run queue.
pub(super) const CPU_DISP: Member = (Structure::Cpu, "cpu_disp");
/// The kp queue of a partition.
pub(super) const KP_QUEUE: Member = (Structure::Cpupart, "cp_kp_queue");
/// The levels of a run queue.
pub(super) const LEVELS: Member = (Structure::Disp, "disp_q");
/// The cyclics of a CPU.
pub(super) const CYCLICS: Member = (Structure::Cpu, "cpu_cyclic.cyp_cyclics");

impl Structure {
    /// How its type is found.
    pub(super) fn origin(self) -> Origin {
        match self {
            Structure::Kernel => Origin::Root,
            Structure::Cpu => Origin::Behind((Structure::Kernel, "k_cpus.data_ptr")),
            Structure::Cyclic => Origin::Element(CYCLICS),
            Structure::MachCpu => Origin::Behind((Structure::Cpu, "cpu_mach")),
            Structure::Disp => Origin::Within(CPU_DISP),
            Structure::DispQ => Origin::Element(LEVELS),
            Structure::Kthread => Origin::Behind((Structure::Kernel, "k_threads.data_ptr")),
            Structure::Cpupart => Origin::Behind((Structure::Kernel, "k_parts.parts.data_ptr")),
            Structure::TurnstileChain => {
                Origin::Behind((Structure::Kernel, "k_sync.turnstile_table.data_ptr"))
            }
            Structure::Turnstile => Origin::Behind((Structure::Kernel, "k_sync.turnstiles.data_ptr")),
            Structure::Kproject => Origin::Behind((Structure::Kernel, "k_class.fss.fss_kprojects.data_ptr")),
            Structure::ScriptEvent => Origin::Behind((Structure::Kernel, "k_events.data_ptr")),
            Structure::Taskq => Origin::Behind((Structure::Kernel, "k_taskq.taskq_cache.objects.data_ptr")),
            Structure::KmemCache => Origin::Behind((Structure::Kernel, "k_kmem.kmem_caches.data_ptr")),
            Structure::Streams => Origin::Behind((Structure::Kernel, "k_streams")),
            Structure::ScenarioStream => Origin::Behind((Structure::Streams, "scenario.data_ptr")),
            Structure::Stdata => Origin::Behind((Structure::ScenarioStream, "ss_stp")),
            Structure::Queue => Origin::Behind((Structure::Stdata, "sd_wrq")),
            Structure::Syncq => Origin::Behind((Structure::Queue, "q_syncq")),
        }
    }
}

/// What a field has to be.
#[allow(non_camel_case_types, reason = "the words of a record's declaration")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A number, or something that holds just one.
    number,
    /// A pointer, or something that holds just one.
    pointer,
    /// An array of numbers.
    array,
}

/// An array of structures within a structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct List {
    /// Bytes from the structure's beginning.
    pub offset: usize,
    /// Bytes from one element to the next.
    pub stride: usize,
    /// Elements.
    pub count: usize,
}

/// What knows where things lie in a guest.
pub(super) trait Guest {
    /// Bytes of a structure.
    ///
    /// # Errors
    /// [`GlassError`] if it is not known.
    fn size(&mut self, of: Structure) -> Result<usize, GlassError>;

    /// A field of a structure, with `count` elements if it is an array. `natural` is how the host would hold one: bytes,
    /// and whether it has a sign.
    ///
    /// # Errors
    /// [`GlassError`] if there is none, or if it is of another kind.
    fn field(
        &mut self,
        of: Structure,
        kind: Kind,
        path: &str,
        count: usize,
        natural: (usize, bool),
    ) -> Result<Field, GlassError>;

    /// Offset of a structure within another.
    ///
    /// # Errors
    /// [`GlassError`] if there is none.
    fn place(&mut self, member: Member) -> Result<usize, GlassError>;

    /// An array of structures within a structure.
    ///
    /// # Errors
    /// [`GlassError`] if there is none.
    fn list(&mut self, member: Member) -> Result<List, GlassError>;

    /// Every type that the kernel's root leads to.
    ///
    /// # Errors
    /// [`GlassError`] if what is known does not parse.
    fn table(&mut self) -> Result<TypeTable, GlassError>;
}
