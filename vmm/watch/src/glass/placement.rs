//! Where a thread may be, and how it came to its place: its bindings, its partition, and the waits in which it was moved.
//!
//! # Invariants
//! - Of a thread on a run queue it is read with the queue, under the queue's generation. Of a thread that runs it is single words.
//! - CPUs and partitions are numbers here. What points to neither is none.

use super::layout::Layout;
use super::look::Look;
use super::record::record;
use super::root::KernelView;
use super::walk::Arena;

record! {
    /// What a thread's own words say of its place.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct Placement / PlacementPlaces of Kthread {
        read {
            /// `t_bound_cpu`: strong binding.
            bound_at: u64 = pointer "t_bound_cpu",
            /// `t_weakbound_cpu`: weak binding.
            weakbound_at: u64 = pointer "t_weakbound_cpu",
            /// `t_cpupart`: its partition.
            part_at: u64 = pointer "t_cpupart",
            /// `t_cpu`: where it runs or last ran.
            cpu_at: u64 = pointer "t_cpu",
            /// `t_nomigrate`: how often it pinned itself to its CPU.
            nomigrate: i16 = number "t_nomigrate",
            /// `t_flag`.
            flag: u16 = number "t_flag",
            /// `t_runs`: times that it came onto a CPU.
            runs: u32 = number "t_runs",
            /// `t_front_wait`: the wait in which it was last put before its equals.
            front_wait: u32 = number "t_front_wait",
            /// `t_moves`: times that it was put before its equals, taken off its queue and put onto one anew, or came back from under
            /// an interrupt thread without having waited.
            moves: u32 = number "t_moves",
            /// `t_level`: the level on which it was last put.
            level: i16 = number "t_level",
        }
        known {
            /// The CPU of its strong binding.
            bound: Option<u32>,
            /// The CPU of its weak binding.
            weakbound: Option<u32>,
            /// Its partition.
            part: Option<u32>,
            /// The CPU where it runs or last ran.
            cpu: Option<u32>,
        }
    }
}

impl Placement {
    /// The CPU that it has to be on, if there is one: a weak binding comes first.
    pub fn fixed_cpu(&self) -> Option<u32> {
        self.weakbound.or(self.bound)
    }

    /// True if it was put before its equals in the wait before which it had run `runs` times.
    pub fn was_put_in_front(&self, runs: u32) -> bool {
        self.front_wait == runs.wrapping_add(1)
    }
}

/// Where the CPUs and the partitions lie.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grounds {
    cpus: Arena,
    parts: Arena,
}

impl Grounds {
    pub(super) fn new(kernel: &KernelView, layout: &Layout) -> Grounds {
        let says = &kernel.says;
        let nparts = u32::try_from(says.nparts).unwrap_or(u32::MAX);
        Grounds {
            cpus: Arena { base: says.cpus, stride: layout.sizes.cpu, count: kernel.ncpus },
            parts: Arena { base: says.parts, stride: layout.sizes.part, count: nparts },
        }
    }

    /// Reads what the thread at this address says; nothing but defaults if that cannot be read.
    pub(super) fn placement(&self, look: &mut Look<'_>, thread: u64) -> Placement {
        let mut placement = Placement::default();
        if !look.layout.placement.read(look.memory, thread, look.room, &mut placement) {
            return Placement::default();
        }
        placement.bound = self.cpus.index_of(placement.bound_at);
        placement.weakbound = self.cpus.index_of(placement.weakbound_at);
        placement.cpu = self.cpus.index_of(placement.cpu_at);
        placement.part = self.parts.index_of(placement.part_at);
        placement
    }
}
