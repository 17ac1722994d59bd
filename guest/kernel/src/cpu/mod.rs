//! CPUs and their partition.
//!
//! # Invariants
//! - `cpu_runrun` and `cpu_kprunrun` are requests: anybody may set them, only the CPU's own dispatcher clears them.
//! - `cpu_dispthread` and `cpu_dispatch_pri` describe the dispatcher's choice, `cpu_thread` what really runs:
//!   they differ during a switch and under an interrupt.

use core::sync::atomic::{AtomicI16, AtomicU8, AtomicU32, AtomicU64};

use crate::cell::Cell;
use crate::disp::Disp;
use crate::intr::LOCK_LEVEL;
use crate::lock::{DispLock, SharedPtr};
use crate::thread::Kthread;
use crate::time::cyclic::CyclicCpu;

/// `cpu_dispatch_pri` while the idle thread runs.
pub const CPU_IDLE_PRI: i16 = -1;

/// Bits of `cpu_flags` (`sys/cpuvar.h`).
pub mod flag {
    /// Has reached its idle loop.
    pub const RUNNING: u32 = 0x001;
    /// May be paused and counted.
    pub const READY: u32 = 0x002;
    /// Never select for work; idles without looking at queues.
    pub const QUIESCED: u32 = 0x004;
    /// Configured.
    pub const EXISTS: u32 = 0x008;
    /// Takes interrupts.
    pub const ENABLE: u32 = 0x010;
    /// Taken offline.
    pub const OFFLINE: u32 = 0x020;
}

/// Bits of `cpu_disp_flags` (`sys/cpuvar.h`).
pub mod disp_flag {
    /// The only thread on the queue is about to be switched to: do not steal it.
    pub const DONTSTEAL: u8 = 0x01;
    /// Halted in its idle loop.
    pub const HALTED: u8 = 0x02;
}

/// `cpu_t`.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Cpu {
    /// Its number.
    pub cpu_id: u32,
    /// Bits of [`flag`].
    pub cpu_flags: AtomicU32,
    /// What runs here.
    pub cpu_thread: SharedPtr<Kthread>,
    /// What runs here when nothing does.
    pub cpu_idle_thread: SharedPtr<Kthread>,
    /// What the dispatcher chose.
    pub cpu_dispthread: SharedPtr<Kthread>,
    /// Its priority, [`CPU_IDLE_PRI`] for the idle thread.
    pub cpu_dispatch_pri: AtomicI16,
    /// Priority of the best thread aimed here through the kp queue, -1 if none.
    pub cpu_chosen_level: AtomicI16,
    /// Preempt on the way to user mode.
    pub cpu_runrun: AtomicU8,
    /// Preempt in the kernel.
    pub cpu_kprunrun: AtomicU8,
    /// Bits of [`disp_flag`].
    pub cpu_disp_flags: AtomicU8,
    /// Floor below which the priority level may not be lowered.
    pub cpu_base_spl: AtomicU8,
    /// Bit `p` set while an interrupt of level `p` is active.
    pub cpu_intr_actv: AtomicU32,
    /// `lbolt` of the last switch.
    pub cpu_last_swtch: AtomicU64,
    /// Who ran before the switch in progress: its `t_lock` is released by who comes next.
    pub cpu_switch_prev: SharedPtr<Kthread>,
    /// Who the idle thread shall switch to once that thread's context is free; see `disp/swtch.rs`.
    pub cpu_switch_next: SharedPtr<Kthread>,
    /// The lock of whatever runs here.
    pub cpu_thread_lock: DispLock,
    /// Timers.
    pub cpu_cyclic: CyclicCpu,
    /// `deadman_counter` as this CPU last saw it.
    pub cpu_deadman_counter: AtomicU32,
    /// Seconds until this CPU's deadman fires.
    pub cpu_deadman_countdown: AtomicU32,
    /// Times the idle thread halted.
    pub cpu_halts: AtomicU64,
    /// Statistics.
    pub cpu_stats: CpuStats,
    /// Its run queue.
    pub cpu_disp: Disp,
}

/// The `cpu:N:sys` counters that the dispatcher keeps. Each has one writer, its own CPU.
#[repr(C)]
#[derive(Debug, Default)]
pub struct CpuStats {
    /// Switches.
    pub pswitch: AtomicU64,
    /// Switches that the thread did not ask for.
    pub inv_swtch: AtomicU64,
    /// Threads that came from another CPU.
    pub cpumigrate: AtomicU64,
    /// Interrupts.
    pub intr: AtomicU64,
    /// Threads stolen by this CPU.
    pub steal: AtomicU64,
    /// Mutexes that had to wait.
    pub mutex_adenters: AtomicU64,
    /// Pokes that this CPU sent.
    pub xcalls: AtomicU64,
    /// `kpreempt_cnts`: preempted from an interrupt's return.
    pub kpc_apreempt: AtomicU64,
    /// Preempted synchronously.
    pub kpc_spreempt: AtomicU64,
    /// The idle thread ran.
    pub kpc_idle: AtomicU64,
    /// An interrupt handler ran.
    pub kpc_intr: AtomicU64,
    /// That handler was the clock's.
    pub kpc_clock: AtomicU64,
    /// `t_preempt` forbade it.
    pub kpc_blocked: AtomicU64,
    /// The thread was not on the CPU any more.
    pub kpc_notonproc: AtomicU64,
    /// A switch was in progress.
    pub kpc_inswtch: AtomicU64,
    /// The priority level forbade it.
    pub kpc_prilevel: AtomicU64,
}

impl Cpu {
    /// CPU number `id`, not yet running.
    pub fn new(id: u32) -> Cpu {
        Cpu {
            cpu_id: id,
            cpu_flags: AtomicU32::new(flag::EXISTS),
            cpu_thread: SharedPtr::null(),
            cpu_idle_thread: SharedPtr::null(),
            cpu_dispthread: SharedPtr::null(),
            cpu_dispatch_pri: AtomicI16::new(CPU_IDLE_PRI),
            cpu_chosen_level: AtomicI16::new(-1),
            cpu_runrun: AtomicU8::new(0),
            cpu_kprunrun: AtomicU8::new(0),
            cpu_disp_flags: AtomicU8::new(0),
            cpu_base_spl: AtomicU8::new(0),
            cpu_intr_actv: AtomicU32::new(0),
            cpu_last_swtch: AtomicU64::new(0),
            cpu_switch_prev: SharedPtr::null(),
            cpu_switch_next: SharedPtr::null(),
            cpu_thread_lock: DispLock::new(),
            cpu_cyclic: CyclicCpu::new(),
            cpu_deadman_counter: AtomicU32::new(u32::MAX),
            cpu_deadman_countdown: AtomicU32::new(0),
            cpu_halts: AtomicU64::new(0),
            cpu_stats: CpuStats::default(),
            cpu_disp: Disp::new(),
        }
    }

    /// True if it was taken offline.
    #[inline(always)]
    pub fn is_offline(&self) -> bool {
        self.cpu_flags.get() & flag::OFFLINE != 0
    }

    /// True if a handler of level 1 to `LOCK_LEVEL` is active here: in Solaris an interrupt thread would be
    /// `cpu_thread`, pinning whatever it interrupted.
    #[inline(always)]
    pub fn is_pinned(&self) -> bool {
        const THREAD_LEVELS: u32 = (2 << LOCK_LEVEL) - 2;
        self.cpu_intr_actv.get() & THREAD_LEVELS != 0
    }

    /// True if an interrupt above `LOCK_LEVEL` is active here (`CPU_ON_INTR`).
    #[inline(always)]
    pub fn on_intr(&self) -> bool {
        self.cpu_intr_actv.get() >> 11 != 0
    }

    /// Sets bits of `cpu_disp_flags`. Only this CPU writes them.
    #[inline(always)]
    pub fn set_disp_flags(&self, bits: u8) {
        self.cpu_disp_flags.set(self.cpu_disp_flags.get() | bits);
    }

    /// Clears bits of `cpu_disp_flags`. Only this CPU writes them.
    #[inline(always)]
    pub fn clear_disp_flags(&self, bits: u8) {
        self.cpu_disp_flags.set(self.cpu_disp_flags.get() & !bits);
    }

    /// True if any of these bits of `cpu_disp_flags` is set.
    #[inline(always)]
    pub fn has_disp_flags(&self, bits: u8) -> bool {
        self.cpu_disp_flags.get() & bits != 0
    }
}

/// `cpupart_t`: CPUs that share a queue for threads that preempt the kernel.
#[repr(C)]
#[derive(Debug)]
pub struct Cpupart {
    /// Threads at `kpqpri` or better that are bound to no CPU.
    pub cp_kp_queue: Disp,
    /// CPUs that are halted, a bit each.
    pub cp_haltset: AtomicU64,
    /// Accumulated by `clock()`: threads on the kp queue.
    pub cp_nrunnable_cum: AtomicU64,
    /// Clock ticks that `cp_nrunnable_cum` covers.
    pub cp_updates: AtomicU64,
}
