//! Partitions (`sys/cpupart.h`): CPUs that share a kp queue, and the threads that may run on them.
//!
//! # Invariants
//! - Every CPU is in one partition, every thread too; an unbound thread is put only on queues of its own partition.
//! - `cp_cpus`, `cp_onln` and `cp_ncpus` change under `cpu_lock` with every other CPU paused. Code that may not be preempted reads
//!   them without a lock; other code reads a hint that the next enqueue corrects.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU32, AtomicU64};

use super::{Cpu, Disp};
use crate::cell::Cell;
use crate::kernel::Kernel;
use crate::platform;

/// The partitions.
#[repr(C)]
#[derive(Debug)]
pub struct PartState {
    /// The default partition, of every CPU and thread that is in no processor set; then the scenario's processor sets.
    pub parts: Box<[Cpupart]>,
}

impl PartState {
    /// The default partition, and so many processor sets.
    pub fn new(psets: u32) -> PartState {
        PartState { parts: (0..=psets).map(Cpupart::new).collect() }
    }
}

/// `cpupart_t`: CPUs that share a queue for threads that preempt the kernel.
#[repr(C)]
#[derive(Debug)]
pub struct Cpupart {
    /// Threads at `kpqpri` or better that are bound to no CPU.
    pub cp_kp_queue: Disp,
    /// 0 for the default partition, else its place among the scenario's processor sets plus one.
    pub cp_id: u32,
    /// CPUs that are online.
    pub cp_ncpus: AtomicU32,
    /// The CPUs in it, a bit each, offline ones included.
    pub cp_cpus: AtomicU64,
    /// Those of them that are online (`cp_cpulist`).
    pub cp_onln: AtomicU64,
    /// CPUs that are halted, a bit each.
    pub cp_haltset: AtomicU64,
    /// Accumulated by `clock()`: threads on the kp queue.
    pub cp_nrunnable_cum: AtomicU64,
    /// Accumulated once a second: threads on its CPUs' queues.
    pub cp_nrunnable: AtomicU64,
    /// Accumulated once a second: its CPUs that run a thread.
    pub cp_nrunning: AtomicU64,
    /// Clock ticks that `cp_nrunnable_cum` covers.
    pub cp_updates: AtomicU64,
}

impl Cpupart {
    /// An empty partition, number `id`.
    pub fn new(id: u32) -> Cpupart {
        Cpupart {
            cp_kp_queue: Disp::new(),
            cp_id: id,
            cp_ncpus: AtomicU32::new(0),
            cp_cpus: AtomicU64::new(0),
            cp_onln: AtomicU64::new(0),
            cp_haltset: AtomicU64::new(0),
            cp_nrunnable_cum: AtomicU64::new(0),
            cp_nrunnable: AtomicU64::new(0),
            cp_nrunning: AtomicU64::new(0),
            cp_updates: AtomicU64::new(0),
        }
    }

    /// True if `cp` is in it and online.
    #[inline(always)]
    pub fn has_online(&self, cp: &Cpu) -> bool {
        self.cp_onln.get() >> cp.cpu_id & 1 != 0
    }

    /// Its online CPUs, each once, in the order of the ring (`cpu_next_part`): from CPU `first` on, or from the next one
    /// after it.
    #[inline(always)]
    pub fn ring(&self, first: u32) -> Ring {
        Ring::new(self.cp_onln.get(), first)
    }
}

/// The CPUs of a set, each once, in the order of their numbers from a given one on and round to the one before it.
#[derive(Debug, Clone, Copy)]
pub struct Ring {
    /// Those at or after the first, still to come.
    later: u64,
    /// Those before it.
    earlier: u64,
}

impl Ring {
    /// The CPUs of `set`, a bit each, starting at number `first`, which is less than 64.
    #[inline(always)]
    pub fn new(set: u64, first: u32) -> Ring {
        let before = (1 << (first & 63)) - 1;
        Ring { later: set & !before, earlier: set & before }
    }
}

impl Iterator for Ring {
    type Item = &'static Cpu;

    #[inline(always)]
    fn next(&mut self) -> Option<&'static Cpu> {
        if self.later == 0 {
            self.later = core::mem::take(&mut self.earlier);
        }
        if self.later == 0 {
            return None;
        }
        let id = self.later.trailing_zeros();
        self.later &= self.later - 1;
        Some(&platform::kernel().k_cpus[id as usize])
    }
}

impl Kernel {
    /// The default partition.
    #[inline(always)]
    pub fn cp_default(&self) -> &Cpupart {
        &self.k_parts.parts[0]
    }

    /// Every partition, the default one first.
    pub fn partitions(&self) -> impl Iterator<Item = &Cpupart> {
        self.k_parts.parts.iter()
    }

    /// The partition of this number, 0 for the default one.
    pub fn partition(&self, id: usize) -> Option<&Cpupart> {
        self.k_parts.parts.get(id)
    }

    /// CPUs online, a bit each.
    pub fn online_cpus(&self) -> u64 {
        self.partitions().fold(0, |all, part| all | part.cp_onln.get())
    }
}
