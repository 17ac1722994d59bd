//! The threaded mode of tick accounting (`clock_tick.c`): for machines whose ticks one CPU cannot charge in time.
//!
//! CPUs come in sets of `clock_tick_ncpus`. `clock()` charges its own CPU, then has each set charged by a soft interrupt of
//! `LOCK_LEVEL` on one of the set's CPUs, another one each time. If the soft interrupts of an earlier tick are not all done, it
//! only counts the tick: the next round charges all CPUs for all ticks that are pending.
//!
//! ```text
//!   clock()                                   the CPU that was asked
//!   pending += 1
//!   active != 0: that is all
//!   charges its own CPU
//!   for each set: POSTED, active += 1, poke   ...
//!   pending = 0                               level 10: POSTED -> RUNNING
//!                                             charges the set, may block
//!                                             RUNNING -> IDLE, active -= 1
//! ```
//!
//! # Invariants
//! - `ct_lock` guards every word here. It is taken at `DISP_LEVEL`, and nothing is locked under it.
//! - `ct_active` is the number of sets that are not `IDLE`. So `clock()` posts sets only when no CPU works on any. A set that is
//!   posted stays so until the CPU that was asked has taken it, or until that CPU goes offline and another one is asked: no
//!   soft interrupt is lost to an earlier one, and none is taken twice (6811269, 6802283).
//! - The level is posted after `POSTED` is written, and a soft interrupt that finds nothing posted for its CPU does nothing. So a
//!   poke that an offline overtakes is harmless:
//!
//! ```text
//!   CPU A, which was asked                    CPU B: clock_tick_offline of A
//!   the poke is on its way
//!                                             ct_lock: A leaves ct_online
//!                                             the set is POSTED for A: now for C, pokes C
//!   level 10: POSTED for A? -> no: returns
//! ```
//! - A CPU that is offline, or about to be, is not in `ct_online` and is not asked. If it has taken a set already, it is in an
//!   active interrupt, and the offline waits for that to end.
//! - A tick is charged once: to what runs when it is charged, and to no thread more ticks than have passed since its last.
//!
//! # What is not here
//! `clock_tick_proc_max`: after how many ticks a process is checked against its task's limit of CPU time. There are no such
//! limits here.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};

use super::clock_tick::{clock_tick_other, clock_tick_own};
use crate::cell::{Cell, Counter};
use crate::intr::device::xtrap;
use crate::kernel::Kernel;
use crate::lock::DispLock;
use crate::sys::Cpu;
use crate::{platform, spl};
use umpire_shared::sys::machlock::LOCK_LEVEL;
use umpire_shared::{mutant, program, tunable};

/// Values of `cts_state`.
pub mod state {
    /// No CPU was asked.
    pub const IDLE: u8 = 0;
    /// `cts_cpu` was asked and has not begun.
    pub const POSTED: u8 = 1;
    /// `cts_cpu` charges the set.
    pub const RUNNING: u8 = 2;
}

/// Some CPUs whose ticks are charged together (`clock_tick_set_t`).
#[repr(C)]
#[derive(Debug)]
pub struct ClockTickSet {
    /// Its CPUs, a bit each.
    pub cts_cpus: u32,
    /// One of [`state`].
    pub cts_state: AtomicU8,
    /// The CPU that was asked last: the next one comes after it (`ct_scan`).
    pub cts_cpu: AtomicU32,
    /// Soft interrupts that have charged it.
    pub cts_rounds: AtomicU64,
}

/// The state of the threaded mode.
#[repr(C)]
#[derive(Debug)]
pub struct ClockTick {
    /// Guards what follows.
    pub ct_lock: DispLock,
    /// CPUs that may be asked, and are charged, a bit each (`clock_tick_online_cpuset`).
    pub ct_online: AtomicU32,
    /// Sets that are not done (`clock_tick_active`).
    pub ct_active: AtomicU32,
    /// Ticks that no CPU has been asked to charge yet (`clock_tick_pending`).
    pub ct_pending: AtomicU32,
    /// Ticks that the round in progress charges.
    pub ct_ticks: AtomicU32,
    /// `lbolt` when the round was posted. If it moved on during the round, a thread that goes from one CPU to another could be
    /// charged twice.
    pub ct_lbolt: AtomicU64,
    /// The sets; none in the single mode.
    pub ct_sets: Box<[ClockTickSet]>,
}

impl ClockTick {
    /// Decides on the mode: threaded if there are more than `clock_tick_threshold` CPUs, and that is not 0.
    pub fn new(ncpus: u32, header: &program::Header) -> ClockTick {
        let threshold = header.tunables[tunable::CLOCK_TICK_THRESHOLD];
        let size = header.tunables[tunable::CLOCK_TICK_NCPUS] as u32;
        let is_threaded = threshold != 0 && i64::from(ncpus) > threshold;
        let nsets = if is_threaded { ncpus.div_ceil(size) } else { 0 };
        let set = |n: u32| ClockTickSet {
            cts_cpus: (n * size..ncpus.min((n + 1) * size)).fold(0, |cpus, cpu| cpus | 1 << cpu),
            cts_state: AtomicU8::new(state::IDLE),
            cts_cpu: AtomicU32::new(n * size),
            cts_rounds: AtomicU64::new(0),
        };
        ClockTick {
            ct_lock: DispLock::new(),
            ct_online: AtomicU32::new(0),
            ct_active: AtomicU32::new(0),
            ct_pending: AtomicU32::new(0),
            ct_ticks: AtomicU32::new(0),
            ct_lbolt: AtomicU64::new(0),
            ct_sets: (0..nsets).map(set).collect(),
        }
    }

    /// True in the threaded mode.
    #[inline(always)]
    pub fn is_threaded(&self) -> bool {
        !self.ct_sets.is_empty()
    }

    fn locked<R>(&self, body: impl FnOnce() -> R) -> R {
        let level = spl::splhigh();
        self.ct_lock.enter_high();
        let result = body();
        self.ct_lock.exit_high();
        spl::splx(level);
        result
    }

    fn set_of(&self, cp: &Cpu) -> Option<&ClockTickSet> {
        self.ct_sets.iter().find(|set| set.cts_cpus >> cp.cpu_id & 1 == 1)
    }
}

/// A tick: charges this CPU and has the others charged, or leaves it all to a later tick (`clock_tick_schedule`).
pub(super) fn schedule(lbolt: u64) {
    let kernel = platform::kernel();
    let ct = &kernel.k_clock.clock_tick;
    let pending = ct.locked(|| {
        ct.ct_pending.bump();
        if ct.ct_active.get() == 0 { ct.ct_pending.get() } else { 0 }
    });
    if pending == 0 {
        return;
    }
    // The clock's own CPU is charged here, since another CPU would find only the clock's interrupt thread running on it; and it
    // is charged first, before the thread that is pinned can get away. This may block, but no other CPU counts or posts
    // meanwhile: the clock's level stays masked until the clock is done.
    clock_tick_own(lbolt, pending);
    ct.locked(|| {
        ct.ct_pending.set(ct.ct_pending.get() - pending);
        let is_lost = kernel.is_mutant(mutant::LOST_TICK_PENDING);
        ct.ct_ticks.set(if is_lost { 1 } else { pending });
        ct.ct_lbolt.set(lbolt);
        for set in &ct.ct_sets {
            post(kernel, set, platform::cpu().cpu_id);
        }
    });
}

/// Asks the set's next CPU; none if only the clock's CPU is online in the set, since that is charged already. The caller holds
/// `ct_lock`, and the set is `IDLE`.
fn post(kernel: &'static Kernel, set: &ClockTickSet, clock_cpu: u32) {
    let ct = &kernel.k_clock.clock_tick;
    let may_be_asked = set.cts_cpus & ct.ct_online.get() & !(1 << clock_cpu);
    if may_be_asked == 0 {
        return;
    }
    let next = next_after(may_be_asked, set.cts_cpu.get());
    set.cts_cpu.set(next);
    set.cts_state.set(state::POSTED);
    ct.ct_active.bump();
    if !kernel.is_mutant(mutant::LOST_TICK_SOFTINT) {
        xtrap(&kernel.k_cpus[next as usize], LOCK_LEVEL);
    }
}

/// The lowest of these CPUs above `last`, or else the lowest. `cpus` is not empty.
fn next_after(cpus: u32, last: u32) -> u32 {
    let above = cpus & !((1 << last) | ((1 << last) - 1));
    if above != 0 { above.trailing_zeros() } else { cpus.trailing_zeros() }
}

/// Level 10's handler: charges the set if this CPU was asked to (`clock_tick_execute`).
pub(crate) fn clock_tick_execute(_: u32) -> bool {
    execute();
    // This does not count as a handler that is done: it belongs to the tick, whose own handler counts.
    false
}

fn execute() {
    let kernel = platform::kernel();
    let ct = &kernel.k_clock.clock_tick;
    let own = platform::cpu();
    let Some(set) = ct.set_of(own) else { return };
    let is_asked = ct.locked(|| {
        let is_asked = set.cts_state.get() == state::POSTED && set.cts_cpu.get() == own.cpu_id;
        if is_asked {
            set.cts_state.set(state::RUNNING);
        }
        is_asked
    });
    if !is_asked {
        return;
    }
    // Neither of these two is written before this set is done.
    let (lbolt, ticks) = (ct.ct_lbolt.get(), ct.ct_ticks.get());
    let online = set.cts_cpus & ct.ct_online.get();
    let clock_cpu = kernel.k_clock.clock_cpu.get();
    if own.cpu_id != clock_cpu {
        clock_tick_own(lbolt, ticks);
    }
    // The order begins with the CPU after this one. Another CPU is asked each time, so each CPU comes first in its turn.
    let (first, ncpus) = (own.cpu_id, kernel.k_ncpus);
    for id in (1..ncpus).map(|k| (first + k) % ncpus) {
        if online >> id & 1 == 1 && id != clock_cpu {
            clock_tick_other(&kernel.k_cpus[id as usize], lbolt, ticks);
        }
    }
    ct.locked(|| {
        set.cts_state.set(state::IDLE);
        set.cts_rounds.bump();
        ct.ct_active.drop_one();
    });
}

/// A CPU takes part from now on (`clock_tick_cpu_setup`, `CPU_ON`).
pub(crate) fn clock_tick_online(cp: &Cpu) {
    let ct = &platform::kernel().k_clock.clock_tick;
    if ct.is_threaded() {
        ct.locked(|| ct.ct_online.set(ct.ct_online.get() | 1 << cp.cpu_id));
    }
}

/// A CPU is about to go offline: it is not asked any more, and a set that it was asked for and has not begun is given to another
/// CPU (`clock_tick_cpu_setup`, `CPU_OFF`).
pub(crate) fn clock_tick_offline(cp: &Cpu) {
    let kernel = platform::kernel();
    let ct = &kernel.k_clock.clock_tick;
    let Some(set) = ct.set_of(cp) else { return };
    ct.locked(|| {
        ct.ct_online.set(ct.ct_online.get() & !(1 << cp.cpu_id));
        if set.cts_state.get() == state::POSTED && set.cts_cpu.get() == cp.cpu_id {
            set.cts_state.set(state::IDLE);
            ct.ct_active.drop_one();
            post(kernel, set, kernel.k_clock.clock_cpu.get());
        }
    });
}
