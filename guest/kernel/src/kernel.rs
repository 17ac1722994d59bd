//! The root: every piece of kernel state hangs off one [`Kernel`].
//!
//! # Invariants
//! - Arenas are sized at boot and never grow; an object keeps its address.
//! - `k_threads` is in the order of [`umpire_shared::roster`]: idle threads, the scenario's threads, system threads.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicI32, AtomicI64, AtomicU32, AtomicU64};

use crate::cell::Cell;
use crate::class::ClassState;
use crate::cpu::CpuState;
use crate::cpucaps::Cpucaps;
use crate::disp::DispState;
use crate::intr::IntrState;
use crate::kmem::KmemState;
use crate::kstat::Sysinfo;
use crate::lock::DispLock;
use crate::net::NetState;
use crate::script::{ConsoleKey, ScriptEvent};
use crate::spl::SplState;
use crate::streams::StreamsState;
use crate::sync::SyncState;
use crate::sys::lgrp::LgrpState;
use crate::sys::part::PartState;
use crate::sys::pg::CmtState;
use crate::sys::{Cpu, Kthread, Places, Proc};
use crate::taskq::TaskqState;
use crate::time::callout::CalloutState;
use crate::time::clock::ClockState;
use crate::time::cyclic::CyclicState;
use crate::time::deadman::DeadmanState;
use crate::time::signal::Signal;
use crate::vm::VmState;
use crate::work::WorkState;
use crate::zfs::ZfsState;
use umpire_shared::mutant;
pub use umpire_shared::sys::KERNEL_MAGIC;
use umpire_shared::sys::machlock::LOCK_LEVEL;
use umpire_shared::tunable::{COUNT, Read, TUNABLES};

/// One kernel.
#[repr(C)]
#[derive(Debug)]
pub struct Kernel {
    /// `KERNEL_MAGIC`.
    pub k_magic: u64,
    /// CPUs: `ncpus`.
    pub k_ncpus: u32,
    /// Scenario threads: neither idle threads nor system threads are counted.
    pub k_nthreads: u32,
    /// Threads that task queues may use; they come after the scenario's.
    pub k_npool: u32,
    /// `cpu[]`.
    pub k_cpus: Box<[Cpu]>,
    /// Every thread, in the order of [`umpire_shared::roster`].
    pub k_threads: Box<[Kthread]>,
    /// The processes of the scenario's threads, one each, in their order.
    pub k_procs: Box<[Proc]>,
    /// The partitions.
    pub k_parts: PartState,
    /// What guards the CPUs while they come and go.
    pub k_cpu_ops: CpuState,
    /// The locality groups.
    pub k_lgrp: LgrpState,
    /// The processor groups.
    pub k_cmt: CmtState,
    /// What the script thread does, by time.
    pub k_events: Box<[ScriptEvent]>,
    /// The operator who does it, if it comes from a console.
    pub k_console: ConsoleKey,
    /// The threads that sleep, and on what.
    pub k_sync: SyncState,
    /// The devices that interrupt, and what is to be done about it.
    pub k_intr: IntrState,
    /// What workloads need.
    pub k_work: WorkState,
    /// What the classes keep beside their threads.
    pub k_class: ClassState,
    /// Memory.
    pub k_kmem: KmemState,
    /// Task queues.
    pub k_taskq: TaskqState,
    /// CPU caps of the projects.
    pub k_cpucaps: Cpucaps,
    /// The lock of threads in transition; always held.
    pub transition_lock: DispLock,
    /// The lock of stopped threads.
    pub stop_lock: DispLock,
    /// Tunables by number, as the scenario set them.
    pub k_tunables: [AtomicI64; COUNT],
    /// The values by which the dispatcher decides.
    pub k_disp: DispState,
    /// `v.v_nglobpris`: dispatcher levels in use.
    pub v_nglobpris: AtomicI32,
    /// `hz`.
    pub hz: AtomicU32,
    /// The rules that this kernel breaks: the words of a [`mutant::Set`].
    pub k_mutants: [AtomicU64; mutant::WORDS],
    /// Which scheduler events are wanted: one of [`umpire_shared::program::trace`].
    pub k_trace: AtomicU32,
    /// Ticks since boot.
    pub lbolt: AtomicU64,
    /// What the clock counts.
    pub k_clock: ClockState,
    /// What the deadman watches, and what it has found.
    pub k_deadman: DeadmanState,
    /// Cyclics, beside what each CPU has of them.
    pub k_cyclic: CyclicState,
    /// Callouts and their tables.
    pub k_callout: CalloutState,
    /// Signals.
    pub k_signals: Box<[Signal]>,
    /// `unix:0:sysinfo`.
    pub k_sysinfo: Sysinfo,
    /// Numbers for what is hashed or ordered by address.
    pub k_places: Places,
    /// The way from `splx` to the interrupt system.
    pub k_spl: SplState,
    /// Messages, queues and streams.
    pub k_streams: Box<StreamsState>,
    /// The network.
    pub k_net: NetState,
    /// The pool.
    pub k_zfs: Box<ZfsState>,
    /// Paging.
    pub k_vm: Box<VmState>,
}

impl Kernel {
    /// The value of tunable `n`, which may change while the kernel runs.
    #[inline(always)]
    pub fn tunable(&self, n: usize) -> i64 {
        debug_assert!(TUNABLES[n].read == Read::Live, "tunable {n} is not declared as read live");
        self.k_tunables[n].get()
    }

    /// The value of tunable `n`, which is read at boot, or from which others are derived at boot and when it changes.
    pub fn tunable_at_boot(&self, n: usize) -> i64 {
        debug_assert!(TUNABLES[n].read != Read::Live, "tunable {n} is declared as read live");
        self.k_tunables[n].get()
    }

    /// `intr_pri`: an interrupt thread of level `p` has priority `intr_pri + p` (`disp.c disp_setup`).
    #[inline(always)]
    pub fn intr_pri(&self) -> i32 {
        self.maxglobpri()
    }

    /// True if this kernel is the given mutant. The mutant is a constant, so that this is one load and one test.
    #[inline(always)]
    pub fn is_mutant(&self, id: mutant::Id) -> bool {
        self.k_mutants[id.word()].get() & id.bit() != 0
    }

    /// True if this kernel breaks no rule.
    #[inline(always)]
    pub fn is_honest(&self) -> bool {
        self.k_mutants.iter().all(|word| word.get() == 0)
    }

    /// The highest priority of a thread that is not an interrupt thread (`maxglobpri`): 159 with class RT, 99 without.
    pub fn maxglobpri(&self) -> i32 {
        self.v_nglobpris.get() - LOCK_LEVEL as i32 - 1
    }

    /// Threads that come before the system's in [`umpire_shared::roster`]: the scenario's, and those of task queues.
    pub fn roster_threads(&self) -> u32 {
        self.k_nthreads + self.k_npool
    }

    /// The scenario's threads, in its order.
    pub fn scenario_threads(&self) -> &[Kthread] {
        &self.k_threads[self.k_ncpus as usize..][..self.k_nthreads as usize]
    }

    /// Every thread that has been created, system threads included. One that has not has no lock.
    pub fn threads(&self) -> impl Iterator<Item = &Kthread> {
        self.k_threads.iter().filter(|t| !t.t_lockp.is_null())
    }

    /// Where in the kernel's memory an address is; see [`Places`].
    #[inline(always)]
    pub fn place_of(&self, addr: usize) -> usize {
        self.k_places.of(addr)
    }
}
