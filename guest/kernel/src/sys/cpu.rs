//! CPUs: what one is.
//!
//! # Invariants
//! - Which CPUs are online and which partition each is in changes only under `cpu_lock` with every other CPU paused; so
//!   code that may not be preempted reads it without a lock.
//! - `cpu_runrun` and `cpu_kprunrun` are requests: any CPU may set them, only the CPU's own dispatcher clears them.
//! - `cpu_dispthread` and `cpu_dispatch_pri` describe the dispatcher's choice, `cpu_thread` what really runs:
//!   they differ during a switch and while an interrupt thread pins the choice.

use core::sync::atomic::{AtomicI16, AtomicU8, AtomicU32, AtomicU64};

use super::pg::{LEVELS, Pg};
use super::spin::CpuSpin;
use super::{Cpupart, Lpl, MachCpu};
use crate::cell::Cell;
use crate::intr::xcall::XcCpu;
use crate::kstat::{CpuSnap, CpuStats, IntrStat};
use crate::lock::{DispLock, SharedPtr};
use crate::mstate::CpuMstate;
use crate::sys::{Disp, Kthread};
use crate::time::cyclic::CyclicCpu;

pub use umpire_shared::sys::cpuvar::{CPU_IDLE_PRI, disp_flag, flag};

/// `cpu_t`.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Cpu {
    /// Its number.
    pub cpu_id: u32,
    /// Bits of [`flag`].
    pub cpu_flags: AtomicU32,
    /// Its partition.
    pub cpu_part: SharedPtr<Cpupart>,
    /// Its leaf of that partition: the CPUs that are near.
    pub cpu_lpl: SharedPtr<Lpl>,
    /// The thread that runs here.
    pub cpu_thread: SharedPtr<Kthread>,
    /// The thread that runs here when no other does.
    pub cpu_idle_thread: SharedPtr<Kthread>,
    /// The thread that the dispatcher chose.
    pub cpu_dispthread: SharedPtr<Kthread>,
    /// Priority of `cpu_dispthread`, [`CPU_IDLE_PRI`] for the idle thread.
    pub cpu_dispatch_pri: AtomicI16,
    /// Priority of the best thread aimed here through the kp queue, -1 if none.
    pub cpu_chosen_level: AtomicI16,
    /// Preempt on the way to user mode.
    pub cpu_runrun: AtomicU8,
    /// Preempt in the kernel.
    pub cpu_kprunrun: AtomicU8,
    /// Bits of [`disp_flag`].
    pub cpu_disp_flags: AtomicU8,
    /// Floor below which the priority level may not be lowered: the level of the highest interrupt that was active when an
    /// interrupt thread last blocked, or ended after having blocked. Only this CPU writes it.
    pub cpu_base_spl: AtomicU8,
    /// Bit `p` set while an interrupt of level `p` is active: until its handler is done, even if that blocks.
    pub cpu_intr_actv: AtomicU32,
    /// `lbolt` of the last switch.
    pub cpu_last_swtch: AtomicU64,
    /// The thread that ran before the switch in progress: the thread that comes next releases its `t_lock`.
    pub cpu_switch_prev: SharedPtr<Kthread>,
    /// The thread to which the idle thread shall switch once its context is free; see `disp/swtch.rs`.
    pub cpu_switch_next: SharedPtr<Kthread>,
    /// The lock of the thread that runs here.
    pub cpu_thread_lock: DispLock,
    /// Timers.
    pub cpu_cyclic: CyclicCpu,
    /// `deadman_counter` as this CPU last saw it.
    pub cpu_deadman_counter: AtomicU32,
    /// Seconds until this CPU's deadman fires.
    pub cpu_deadman_countdown: AtomicU32,
    /// Times the idle thread halted.
    pub cpu_halts: AtomicU64,
    /// Interrupt threads that are free, last freed first, linked by `t_link`. Only this CPU touches it, at level 15.
    pub cpu_intr_thread: SharedPtr<Kthread>,
    /// Handlers run since control last was with a thread that pins no other (`cpu_m.intrcnt`); see `intr/thread.rs`.
    pub cpu_intrcnt: AtomicU32,
    /// Another CPU wants this one to run soft calls (`siron_cpu`); looked at by the poke's handler.
    pub cpu_siron: AtomicU8,
    /// Levels of cross traps that were sent here with a poke, bit `p` for level `p`.
    pub cpu_xtraps: AtomicU32,
    /// Its cross calls.
    pub cpu_xc: XcCpu,
    /// Per cent of the recent time that went to interrupt threads, 0 to 99 (`cpu_intrload`).
    pub cpu_intrload: AtomicU8,
    /// ns in interrupt threads since `cpu_intrload_since`.
    pub cpu_intracct: AtomicU64,
    /// `gethrtime` when `cpu_intrload` was last computed.
    pub cpu_intrload_since: AtomicU64,
    /// Bit `p` set if a device interrupts here at level `p`. Set at boot.
    pub cpu_dev_pils: AtomicU32,
    /// Its pause thread; see [`crate::cpu::pause`].
    pub cpu_pause_thread: SharedPtr<Kthread>,
    /// Its chip.
    pub cpu_chip: AtomicU32,
    /// Its core, counted over the whole machine.
    pub cpu_core: AtomicU32,
    /// The groups that it belongs to, widest first; null where the machine has no such group.
    pub cpu_pg: [SharedPtr<Pg>; LEVELS],
    /// State of its pseudo-random numbers; never 0. Only this CPU draws, at `DISP_LEVEL`.
    pub cpu_rand: AtomicU32,
    /// What it waits for without giving itself up.
    pub cpu_spin: CpuSpin,
    /// Times that the dispatcher poked it.
    pub cpu_pokes: AtomicU64,
    /// Its words that belong to the machine, wherever the platform has them; null until the platform has set it.
    pub cpu_mach: SharedPtr<MachCpu>,
    /// Room for them.
    pub cpu_m: MachCpu,
    /// Statistics.
    pub cpu_stats: CpuStats,
    /// Its times, as of the last second.
    pub cpu_snap: CpuSnap,
    /// Its interrupts by level.
    pub cpu_intrstat: IntrStat,
    /// Its microstates.
    pub cpu_ms: CpuMstate,
    /// Its run queue.
    pub cpu_disp: Disp,
}

impl Cpu {
    /// CPU number `id`, not yet running.
    pub fn new(id: u32) -> Cpu {
        Cpu {
            cpu_id: id,
            cpu_flags: AtomicU32::new(flag::EXISTS),
            cpu_part: SharedPtr::null(),
            cpu_lpl: SharedPtr::null(),
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
            cpu_intr_thread: SharedPtr::null(),
            cpu_intrcnt: AtomicU32::new(0),
            cpu_siron: AtomicU8::new(0),
            cpu_xtraps: AtomicU32::new(0),
            cpu_xc: XcCpu::default(),
            cpu_intrload: AtomicU8::new(0),
            cpu_intracct: AtomicU64::new(0),
            cpu_intrload_since: AtomicU64::new(0),
            cpu_dev_pils: AtomicU32::new(0),
            cpu_pause_thread: SharedPtr::null(),
            cpu_chip: AtomicU32::new(0),
            cpu_core: AtomicU32::new(0),
            cpu_pg: [const { SharedPtr::null() }; LEVELS],
            cpu_rand: AtomicU32::new(id + 1),
            cpu_spin: CpuSpin::default(),
            cpu_pokes: AtomicU64::new(0),
            cpu_mach: SharedPtr::null(),
            cpu_m: MachCpu::new(),
            cpu_stats: CpuStats::default(),
            cpu_snap: CpuSnap::default(),
            cpu_intrstat: IntrStat::default(),
            cpu_ms: CpuMstate::new(),
            cpu_disp: Disp::new(),
        }
    }

    /// The partition that it is in.
    #[inline(always)]
    pub fn part(&self) -> &'static Cpupart {
        self.cpu_part.get().expect("invariant: a CPU is in a partition from boot on")
    }

    /// Its leaf of its partition.
    #[inline(always)]
    pub fn lpl(&self) -> &'static Lpl {
        self.cpu_lpl.get().expect("invariant: a CPU is in a locality group from boot on")
    }

    /// True if it was taken offline.
    #[inline(always)]
    pub fn is_offline(&self) -> bool {
        self.cpu_flags.get() & flag::OFFLINE != 0
    }

    /// True if no thread may be put on its queue and it does not look at queues.
    #[inline(always)]
    pub fn is_quiesced(&self) -> bool {
        self.cpu_flags.get() & flag::QUIESCED != 0
    }

    /// A pseudo-random number (`CPU_PSEUDO_RANDOM`, which reads a counter; this is xorshift, so that a simulation can be
    /// repeated).
    #[inline]
    pub fn pseudo_random(&self) -> u32 {
        let mut x = self.cpu_rand.get();
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        self.cpu_rand.set(x);
        x
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
