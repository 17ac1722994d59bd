//! What a CPU owes its interrupts: its level, what is pending, how many handlers of each level have begun, and its timer.
//!
//! # Invariants
//! - These are single words, each right by itself. That a bit and a count belong together follows from two passes: see
//!   [`InterruptSample::pending`].

use super::cpu::CpuSample;
use super::look::Look;
use super::record::record;
use umpire_shared::sys::cyclic::flag;

/// Levels that are counted: 1 to 15.
pub const NLEVELS: usize = 15;

record! {
    /// What a CPU owes its interrupts.
    #[derive(Debug, Clone, Default)]
    pub struct InterruptSample / InterruptPlaces of Cpu {
        read {
            /// `cpu_mach`: where its level and its pending interrupts are.
            mach: u64 = pointer "cpu_mach",
            /// `cpu_base_spl`: the floor of its level, that of a handler that is blocked.
            base_spl: u8 = number "cpu_base_spl",
            /// `cpu_pause_thread`: what runs while `pause_cpus` holds the CPU.
            pause_thread: u64 = pointer "cpu_pause_thread",
            /// `cpu_pokes`: times that the dispatcher has poked it.
            pokes: u64 = number "cpu_pokes",
            /// `cyp_fires`: how often its timer has fired.
            fires: u64 = number "cpu_cyclic.cyp_fires",
            /// `cpu_mstate_start`: when its microstate last changed, in ns of `gethrtime`, which is no less now.
            since_ns: u64 = number "cpu_ms.cpu_mstate_start",
        }
        known {
            /// Handlers that have begun, by level.
            taken: Taken,
            /// Its priority level.
            pil: u32,
            /// Interrupts that have arrived and were not taken, bit `n` for level `n`. Taking one clears its bit before it is
            /// counted in `taken`: a bit that is set at two passes, with the same count, was set all the time.
            pending: u32,
        }
    }
}

record! {
    /// Handlers that have begun on a CPU.
    #[derive(Debug, Clone, Copy, Default)]
    pub struct Taken / TakenPlaces of Cpu {
        read {
            /// Of level `n` at place `n - 1`.
            counts: [u64; NLEVELS] = array "cpu_intrstat.level_count",
        }
        known {}
    }
}

record! {
    /// The words that belong to the machine.
    #[derive(Debug, Clone, Copy, Default)]
    pub struct MachWords / MachPlaces of MachCpu {
        read {
            /// `mcpu_hw_pending`.
            hw_pending: u32 = number "mcpu_hw_pending",
            /// `mcpu_soft_pending`.
            soft_pending: u32 = number "mcpu_soft_pending",
            /// `mcpu_pri`.
            pil: u32 = number "mcpu_pri",
        }
        known {}
    }
}

record! {
    /// What a run queue counts by itself, whoever has it locked.
    #[derive(Debug, Clone, Copy, Default)]
    pub struct Enqueues / EnqueuePlaces of Disp {
        read {
            /// `disp_enqueues`: enqueues ever made there.
            count: u64 = number "disp_enqueues",
        }
        known {}
    }
}

record! {
    /// What of the kernel concerns the interrupts of all CPUs.
    #[derive(Debug, Clone, Copy, Default)]
    pub struct Pauser / PauserPlaces of Kernel {
        read {
            /// `cp_paused`: the thread that has paused all CPUs but its own.
            thread: u64 = pointer "k_cpu_ops.pause.cp_paused",
        }
        known {}
    }
}

impl Taken {
    /// Those of a level from 1 to 15.
    pub fn of_level(&self, level: u32) -> u64 {
        (level as usize).checked_sub(1).and_then(|n| self.counts.get(n)).copied().unwrap_or(0)
    }
}

impl CpuSample {
    /// When the first of its cyclics is due, `u64::MAX` if none is. Needs [`super::Needs::cyclics`].
    pub fn first_due_ns(&self) -> u64 {
        // A slot that is free keeps its last handler and time.
        let all = flag::USED | flag::REMOVED | flag::MOVING;
        let in_heap = |c: &&super::CyclicSample| c.flags & all == flag::USED;
        self.cyclics.iter().filter(in_heap).map(|c| c.expire_ns).min().unwrap_or(u64::MAX)
    }

    /// Reads what it owes its interrupts.
    pub(super) fn look_at_interrupts(&mut self, look: &mut Look<'_>) {
        let mut mach = MachWords::default();
        let into = &mut self.interrupts;
        if look.layout.interrupts.read(look.memory, self.addr, look.room, into)
            && look.layout.taken.read(look.memory, self.addr, look.room, &mut into.taken)
            && look.layout.mach.read(look.memory, into.mach, look.room, &mut mach)
        {
            into.pil = mach.pil;
            into.pending = mach.hw_pending | mach.soft_pending;
        } else {
            into.pending = 0;
        }
    }
}
