//! The root: every piece of kernel state hangs off one [`Kernel`].
//!
//! # Invariants
//! - Arenas are sized at boot and never grow; an object keeps its address.
//! - `k_threads` is in the order of [`umpire_shared::roster`]: idle threads, the scenario's threads, system threads.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicI32, AtomicI64, AtomicU32, AtomicU64};

use crate::cell::Cell;
use crate::class::ClassTable;
use crate::class::fss_proj::{Fss, FssProj};
use crate::class::sdc::Sdc;
use crate::class::ts::TsQueue;
use crate::cpu::pause::PauseInfo;
use crate::cpucaps::Cpucaps;
use crate::intr::avintr::Avintr;
use crate::intr::device::Device;
use crate::intr::softcall::SoftcallTable;
use crate::kstat::Sysinfo;
use crate::lock::{DispLock, SharedPtr};
use crate::script::ScriptEvent;
use crate::spl::SplState;
use crate::sync::{Mutex, SleepQueue, Turnstile, TurnstileChain};
use crate::sys::{Cpu, Cpupart, Kthread, Lpl, Pg, Places};
use crate::time::callout::{Callout, CalloutPool, CalloutTable};
use crate::time::clock::ClockFunc;
use crate::time::clock_tick_mp::ClockTick;
use crate::time::cyclic::{CycId, MAX_OMNI, Omni};
use crate::time::signal::Signal;
use crate::work::WorkState;
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
    /// `cpu[]`.
    pub k_cpus: Box<[Cpu]>,
    /// Every thread, in the order of [`umpire_shared::roster`].
    pub k_threads: Box<[Kthread]>,
    /// The partition of every CPU and thread that is in no processor set.
    pub cp_default: Cpupart,
    /// The scenario's processor sets.
    pub k_psets: Box<[Cpupart]>,
    /// Guards which CPUs are online, partitions, and `processor_bind` bindings; taken before any other lock.
    pub cpu_lock: Mutex,
    /// The CPU that is about to go offline or to another partition.
    pub cpu_inmotion: SharedPtr<Cpu>,
    /// Not 0 while `thread_nomigrate` makes no weak bindings.
    pub weakbindingbarrier: AtomicU32,
    /// `cpu_pause_info`.
    pub k_pause: PauseInfo,
    /// Locality groups that the CPUs divide into.
    pub k_nlgrps: u32,
    /// What they have in the partitions: one partition after the other, its root first.
    pub k_lpls: Box<[Lpl]>,
    /// Processor groups: chips, then cores.
    pub k_pgs: Box<[Pg]>,
    /// What the script thread does, by time.
    pub k_events: Box<[ScriptEvent]>,
    /// Sleep queues, hashed by the address slept on.
    pub k_sleepq: Box<[SleepQueue]>,
    /// Interrupt sources of the scenario.
    pub k_devices: Box<[Device]>,
    /// Soft calls that are due.
    pub k_softcall: SoftcallTable,
    /// What workloads need.
    pub k_work: WorkState,
    /// Chains of turnstiles in use, hashed by the address of the lock.
    pub k_turnstile_table: Box<[TurnstileChain]>,
    /// Turnstiles: thread `n` brings number `n`.
    pub k_turnstiles: Box<[Turnstile]>,
    /// Lets one loser of a race for two thread locks try again at a time (`turnstile.c`).
    pub turnstile_loser_lock: DispLock,
    /// Threads of class TS, for `ts_update`.
    pub k_ts: TsQueue,
    /// Dispatcher tables of the scenario, by class.
    pub k_class_tables: Box<[ClassTable]>,
    /// Projects, zones and partitions of class FSS.
    pub k_fss: Fss,
    /// A project's account in each partition; the default partition's come first, in the order of the projects.
    pub k_projects: Box<[FssProj]>,
    /// CPU caps of the projects.
    pub k_cpucaps: Cpucaps,
    /// Lists and breaks of class SDC.
    pub k_sdc: Sdc,

    /// The lock of threads in transition; always held.
    pub transition_lock: DispLock,
    /// The lock of stopped threads.
    pub stop_lock: DispLock,

    /// Tunables by number, as the scenario set them.
    pub k_tunables: [AtomicI64; COUNT],
    /// `kpreemptpri` after dispinit.
    pub kpreemptpri: AtomicI32,
    /// `kpqpri` after dispinit.
    pub kpqpri: AtomicI32,
    /// `upreemptpri`.
    pub upreemptpri: AtomicI32,
    /// `v.v_nglobpris`: dispatcher levels in use.
    pub v_nglobpris: AtomicI32,
    /// `hz`.
    pub hz: AtomicU32,
    /// The rules that it breaks: the words of a [`mutant::Set`].
    pub k_mutants: [AtomicU64; mutant::WORDS],
    /// Non-zero if scheduler events are wanted.
    pub k_trace: AtomicU32,

    /// Ticks since boot.
    pub lbolt: AtomicU64,
    /// Times that `clock()` ran.
    pub k_clock_ticks: AtomicU64,
    /// Bumped by `clock()` once a second (`clock.c`).
    pub deadman_counter: AtomicU32,
    /// Times that the in-guest deadman fired or would have fired (`clock.c`).
    pub deadman_panics: AtomicU32,
    /// The CPU whose timer drives `clock()`.
    pub k_clock_cpu: AtomicU32,
    /// Charging of ticks with several CPUs.
    pub k_clock_tick: ClockTick,
    /// Load averages of 1, 5 and 15 minutes, fixed point with 16 fraction bits (`hp_avenrun`).
    pub k_hp_avenrun: [AtomicI64; 3],
    /// When the clock's cyclic began: a tick is due at a multiple of the tick's length from here, in ns.
    pub k_tick_origin: AtomicU64,
    /// Time of day, in ns from boot (`hrestime`). Only `hres_tick()` writes it.
    pub k_hrestime: AtomicU64,
    /// `gethrtime` when that was last updated.
    pub k_hres_last: AtomicU64,
    /// Full seconds that `clock()` has not yet taken notice of (`one_sec`).
    pub k_one_sec: AtomicU32,
    /// `deadman_seconds`: how long the clock may stand still.
    pub deadman_seconds: AtomicU32,
    /// `deadman_enabled`: non-zero if the deadman panics.
    pub deadman_enabled: AtomicU32,
    /// The CPU whose deadman panicked, [`crate::time::deadman::NO_CPU`] if none has.
    pub k_panic_cpu: AtomicU32,
    /// Where each cyclic is.
    pub k_cyclic_ids: Box<[CycId]>,
    /// Cyclics that every online CPU has.
    pub k_omni: [Omni; MAX_OMNI],
    /// Where the choice of a CPU for a cyclic begins.
    pub k_cyclic_rotor: AtomicU32,
    /// Callouts: one a thread in the order of `k_threads`, then those of `timeout`.
    pub k_callouts: Box<[Callout]>,
    /// The callouts of `timeout` that are free.
    pub k_callout_pool: CalloutPool,
    /// Callout tables: two a CPU, realtime and normal.
    pub k_callout_tables: Box<[CalloutTable]>,
    /// Signals.
    pub k_signals: Box<[Signal]>,
    /// `unix:0:sysinfo`.
    pub k_sysinfo: Sysinfo,
    /// Numbers for what is hashed or ordered by address.
    pub k_places: Places,
    /// Who takes what is pending.
    pub k_spl: SplState,
    /// Handlers of levels.
    pub k_autovect: &'static [Avintr],
    /// What the clock does for others.
    pub k_clock_funcs: &'static [ClockFunc],
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

    /// The scenario's threads, in its order.
    pub fn scenario_threads(&self) -> &[Kthread] {
        &self.k_threads[self.k_ncpus as usize..][..self.k_nthreads as usize]
    }

    /// Where in the kernel's memory an address is; see [`Places`].
    #[inline(always)]
    pub fn place_of(&self, addr: usize) -> usize {
        self.k_places.of(addr)
    }
}
