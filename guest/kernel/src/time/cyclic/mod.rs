//! Cyclics (`cyclic.c`): what a CPU does again and again, or once at a set time.
//!
//! | file | what |
//! |---|---|
//! | `fire.rs` | the timer's interrupt and the soft interrupts: running what is due |
//! | `add.rs` | adding, removing, reprogramming |
//! | `place.rs` | which CPU: choosing, binding, juggling, offline and online, omni cyclics |
//! | `trace.rs` | what each CPU's cyclics did last, if that is kept |
//!
//! # Invariants
//! - `cyp_lock` guards a CPU's heap and the `cy_expire`, `cy_interval` and `cy_flags` of its cyclics. It is held at
//!   `HIGH_PIL` or above, never while a handler runs, and is the last lock in the order: sleep queue > callout table >
//!   `cyp_lock`. The locks of two CPUs are taken in the order of the CPUs' numbers.
//! - A timer is armed only by its own CPU. A CPU that makes something due earlier on another CPU pokes that one, which arms its
//!   timer in the poke. A CPU that masks pokes learns of it when its timer fires next or when it lowers its level: as late as it
//!   would take Solaris's cross call.
//!
//! ```text
//!   CPU A: cyclic_reprogram                   CPU B, which has the cyclic
//!   B's cyp_lock: first due < cyp_armed
//!   cyp_rearm = 1
//!   poke  ----------------------------------> cyclic_poked: cyp_rearm 1 -> 0
//!   releases B's cyp_lock
//!                                             cyp_lock: arms its timer for the first cyclic
//! ```
//! - `cy_pend` above 0 means that a call of the handler is owed or runs. A cyclic leaves its CPU only when it is out of the heap
//!   *and* `cy_pend` is 0, so a handler never runs twice at a time and no call owed is lost on the way:
//!
//! ```text
//!   CPU A: cyclic_fire                        CPU B: moves the cyclic from A to B
//!   cyp_lock: it is due, cy_pend = 1
//!   its handler runs
//!                                             A's cyp_lock: out of the heap, MOVING
//!                                             cy_pend == 0? -> no: waits
//!   cyp_lock: cy_pend = 0
//!   MOVING: writes the next cy_expire,
//!     does not touch the heap
//!                                             cy_pend == 0? -> yes
//!                                             both locks: to B's heap with that cy_expire
//! ```
//! - A cyclic is in its level's buffer exactly while `cy_pend` went from 0 up and the soft interrupt has not taken it yet:
//!   at most once, so a buffer with a place for each cyclic cannot overflow.
//! - The owner of a cyclic serialises adding, removing, binding and juggling it (`cpu_lock`); reprogramming is not serialised.
//!
//! # What is not here
//! Resizing: a CPU has room for [`MAX_CYCLICS`], and adding one more fails.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64};

use super::heap::{Due, Heap, NOWHERE};
use crate::cell::Cell;
use crate::lock::{DispLock, SharedPtr};
use crate::sys::Cpu;

mod add;
mod fire;
mod place;
mod trace;

pub use add::{ON_DEMAND, cyclic_add, cyclic_add_at, cyclic_remove, cyclic_reprogram, ids_for};
pub use fire::{cyclic_fire, cyclic_poked, cyclic_softint};
pub use place::{
    cyclic_add_omni, cyclic_bind, cyclic_juggle, cyclic_move_here, cyclic_offline, cyclic_online,
    cyclic_start,
};
pub use trace::{CY_NTRACEREC, CycTraceBuf, CycTraceRec};
pub use umpire_shared::sys::cyclic::{
    CY_HIGH_LEVEL, CY_LOCK_LEVEL, CY_LOW_LEVEL, LOW_PIL, flag, handler, pil_of,
};

/// Cyclics, beside what each CPU has of them.
#[repr(C)]
#[derive(Debug)]
pub struct CyclicState {
    /// Where each cyclic is.
    pub cyclic_ids: Box<[CycId]>,
    /// Cyclics that every online CPU has.
    pub omni: [Omni; MAX_OMNI],
    /// Where the choice of a CPU for a cyclic begins.
    pub cyclic_rotor: AtomicU32,
    /// What each CPU's cyclics did last; empty unless that is kept.
    pub cyc_trace: Box<[CycTraceBuf]>,
}

impl CyclicState {
    /// No cyclic, and ids for those of so many CPUs; `keeps_trace` is the tunable `cyc_trace`.
    pub fn new(ncpus: u32, keeps_trace: bool) -> CyclicState {
        let cyclic_ids = (0..ids_for(ncpus)).map(|_| CycId::default()).collect();
        let traced = if keeps_trace { ncpus } else { 0 };
        CyclicState {
            cyclic_ids,
            omni: Default::default(),
            cyclic_rotor: AtomicU32::new(0),
            cyc_trace: (0..traced).map(|_| CycTraceBuf::new()).collect(),
        }
    }
}

/// Cyclics that a CPU may have: 16 devices, the kernel's own, and guests of CPUs that are offline.
pub const MAX_CYCLICS: usize = 32;
/// Kinds of omni cyclics that a kernel may have.
pub const MAX_OMNI: usize = 4;
/// "Never" (`CY_INFINITY`): the interval of one-shot cyclics, and when they are due until they are reprogrammed.
pub const CY_INFINITY: u64 = u64::MAX;

/// A function that cyclics may run (`cyc_func_t`): one static for each function, in the module that has the function.
#[derive(Debug)]
pub struct CycFunc {
    /// Its number for readers from outside: one of [`handler`].
    pub number: u8,
    /// Called with the cyclic's argument, at the cyclic's level.
    pub run: fn(u32),
    /// Called with the argument when the cyclic has come to another CPU, under both CPUs' `cyp_lock`.
    pub moved: fn(u32, &Cpu),
}

/// The `moved` of a function that may run on any CPU.
pub fn anywhere(_: u32, _: &Cpu) {}

/// What to run, and at which level (`cyc_handler_t`).
#[derive(Debug, Clone, Copy)]
pub struct CycHandler {
    /// The function.
    pub func: &'static CycFunc,
    /// What the function is called with.
    pub arg: u32,
    /// `CY_LOW_LEVEL`, `CY_LOCK_LEVEL` or `CY_HIGH_LEVEL`.
    pub level: u8,
}

/// When to run it (`cyc_time_t`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CycTime {
    /// The first time, in ns of `gethrtime`; [`CY_INFINITY`] to wait for [`cyclic_reprogram`].
    pub when: u64,
    /// ns between two times; [`CY_INFINITY`] for a one-shot. Not 0.
    pub interval: u64,
}

/// Names a cyclic for as long as it exists (`cyclic_id_t`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CyclicId(u64);

impl CyclicId {
    /// As a word to be stored; never 0.
    pub const fn word(self) -> u64 {
        self.0
    }

    /// From a stored word.
    pub const fn from_word(word: u64) -> CyclicId {
        CyclicId(word)
    }
}

/// One cyclic (`cyclic_t`).
#[repr(C)]
#[derive(Debug)]
pub struct Cyclic {
    /// When it is due, in ns.
    pub cy_expire: AtomicU64,
    /// ns between two times, [`CY_INFINITY`] for a one-shot.
    pub cy_interval: AtomicU64,
    /// Calls owed, the one that runs included.
    pub cy_pend: AtomicU32,
    /// What the handler is about: a device, a table, a signal.
    pub cy_arg: AtomicU32,
    /// Place in the CPU's heap.
    pub cy_place: AtomicU32,
    /// Its place in `cyclic_ids`.
    pub cy_id: AtomicU32,
    /// Bits of [`flag`].
    pub cy_flags: AtomicU16,
    /// The level it runs at: low 0, lock 1, high 2. [`pil_of`] gives the priority level.
    pub cy_level: AtomicU8,
    /// What it runs: clock 1, deadman 2, device 3, hres tick 4, callout table 5, signal 6.
    pub cy_handler: AtomicU8,
    /// The function itself; null until the slot is used for the first time.
    cy_func: SharedPtr<CycFunc>,
}

impl Cyclic {
    const fn new() -> Cyclic {
        Cyclic {
            cy_expire: AtomicU64::new(CY_INFINITY),
            cy_interval: AtomicU64::new(CY_INFINITY),
            cy_pend: AtomicU32::new(0),
            cy_arg: AtomicU32::new(0),
            cy_place: AtomicU32::new(NOWHERE),
            cy_id: AtomicU32::new(0),
            cy_flags: AtomicU16::new(0),
            cy_level: AtomicU8::new(CY_LOW_LEVEL),
            cy_handler: AtomicU8::new(handler::NONE),
            cy_func: SharedPtr::null(),
        }
    }

    fn has(&self, bits: u16) -> bool {
        self.cy_flags.get() & bits != 0
    }

    fn set_flags(&self, bits: u16) {
        self.cy_flags.set(self.cy_flags.get() | bits);
    }

    fn func(&self) -> &'static CycFunc {
        self.cy_func.get().expect("invariant: a slot in use has a function")
    }

    fn clear_flags(&self, bits: u16) {
        self.cy_flags.set(self.cy_flags.get() & !bits);
    }
}

impl Due for Cyclic {
    type Key = u64;

    fn key(&self) -> u64 {
        self.cy_expire.get()
    }

    fn place(&self) -> &AtomicU32 {
        &self.cy_place
    }
}

/// The cyclics that await one level's soft interrupt (`cyc_pcbuffer_t`).
///
/// One producer, `cyclic_fire` of this CPU; one consumer, this CPU's soft interrupt of the level, which the level itself
/// keeps from nesting.
#[repr(C)]
#[derive(Debug)]
pub struct SoftBuffer {
    /// Indices ever put in.
    pub cypc_prod: AtomicU32,
    /// Indices ever taken out.
    pub cypc_cons: AtomicU32,
    /// Index `n` is at `n % MAX_CYCLICS`.
    pub cypc_buf: [AtomicU8; MAX_CYCLICS],
}

/// The cyclics of one CPU (`cyc_cpu_t`).
#[repr(C)]
#[derive(Debug)]
pub struct CyclicCpu {
    /// Guards the heap, and when its members are due.
    pub cyp_lock: DispLock,
    /// What the timer is armed for, in ns.
    pub cyp_armed: AtomicU64,
    /// Times that the timer fired.
    pub cyp_fires: AtomicU64,
    /// Non-zero if another CPU has made something due earlier, so that the timer is to be armed again.
    pub cyp_rearm: AtomicU8,
    /// Non-zero while cyclics may be placed here (`CYS_ONLINE`).
    pub cyp_online: AtomicU8,
    /// What awaits the soft interrupts of the low and the lock level.
    pub cyp_softbuf: [SoftBuffer; 2],
    /// The slots.
    pub cyp_cyclics: [Cyclic; MAX_CYCLICS],
    cyp_heap: Heap,
}

impl CyclicCpu {
    /// No cyclic.
    pub fn new() -> CyclicCpu {
        CyclicCpu {
            cyp_lock: DispLock::new(),
            cyp_armed: AtomicU64::new(CY_INFINITY),
            cyp_fires: AtomicU64::new(0),
            cyp_rearm: AtomicU8::new(0),
            cyp_online: AtomicU8::new(0),
            cyp_softbuf: [const {
                SoftBuffer {
                    cypc_prod: AtomicU32::new(0),
                    cypc_cons: AtomicU32::new(0),
                    cypc_buf: [const { AtomicU8::new(0) }; MAX_CYCLICS],
                }
            }; 2],
            cyp_cyclics: [const { Cyclic::new() }; MAX_CYCLICS],
            cyp_heap: Heap::new(MAX_CYCLICS),
        }
    }

    /// When the first of the CPU's cyclics is due.
    fn first_due(&self) -> u64 {
        self.cyp_heap.first().map_or(CY_INFINITY, |n| self.cyp_cyclics[n as usize].cy_expire.get())
    }
}

impl Default for CyclicCpu {
    fn default() -> Self {
        CyclicCpu::new()
    }
}

/// Where a cyclic is (`cyc_id_t`). Changes under the `cyp_lock` of the CPU that it leaves and of the one that it comes to.
#[repr(C)]
#[derive(Debug, Default)]
pub struct CycId {
    /// Its CPU plus one; 0 if this is not in use.
    pub cyi_cpu: AtomicU32,
    /// Its slot there.
    pub cyi_ndx: AtomicU32,
    /// Grows with each use, so that the id of an earlier use does not name the next cyclic.
    pub cyi_gen: AtomicU32,
}

/// A cyclic that every online CPU has (`cyc_omni_handler_t`).
#[repr(C)]
#[derive(Debug, Default)]
pub struct Omni {
    /// ns between two times; 0 if this is not in use.
    pub omni_interval: AtomicU64,
    /// What it runs.
    pub omni_func: SharedPtr<CycFunc>,
    /// At which level.
    pub omni_level: AtomicU8,
}
