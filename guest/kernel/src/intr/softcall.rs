//! Soft calls: what a high-level handler wants done below `DISP_LEVEL` (`softint.c`).
//!
//! The machine has one FIFO. A CPU that queues a soft call and finds the FIFO idle posts level 1 on itself. If that CPU does not
//! come down to level 1 within `softcall_delay`, or gets no further there, the next soft call pokes another CPU, which steals
//! the whole FIFO; after the same time again the next soft call pokes yet another.
//!
//! # Invariants
//! - `sc_lock` guards every word here and `dev_softcall`. It is taken at level 15, since handlers of any level queue, and
//!   nothing else is locked under it.
//! - A device is in the FIFO at most once, so the FIFO has room for all of them.
//! - `IDLE` -> `PEND` -> `DRAIN` -> `IDLE`; the CPU that changes the state to `DRAIN` empties the FIFO, until another CPU does so.
//!   `STEAL` is set beside `PEND` or `DRAIN`: the state is tested and changed under one lock, so no drain is lost (6278650).
//! - Each drain has a number, `sc_drain`. A CPU from which the FIFO was stolen sees another drain's number, takes no more, and
//!   leaves the state alone:
//!
//! ```text
//!   CPU A: softint                            CPU B: softint, after a poke
//!   locked: PEND -> DRAIN, sc_drain = 7
//!   locked: takes an entry
//!   device_drain takes long
//!                                             locked: DRAIN + STEAL -> DRAIN, sc_drain = 8
//!                                             takes entry after entry, each locked
//!   locked: sc_drain is 8: takes nothing
//!                                             locked: the FIFO is empty: IDLE
//! ```

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use super::device::device_drain;
use super::intrload;
use crate::cell::{Cell, Counter};
use crate::lock::DispLock;
use crate::spl::siron;
use crate::sys::Cpu;
use crate::sys::cpu::flag;
use crate::{platform, spl};
use umpire_shared::tunable;

/// ns in a unit of `softcall_delay`.
const DELAY_UNIT_NS: u64 = 10_000_000;
/// Pokes a second beyond which `softcall_delay` grows (`softcall_pokemax`).
const POKEMAX: u32 = 10;
const SECOND_NS: u64 = 1_000_000_000;

/// Values of `sc_state`.
pub mod state {
    /// Nothing queued.
    pub const IDLE: u8 = 0;
    /// Queued, and a CPU was asked.
    pub const PEND: u8 = 1;
    /// Being emptied.
    pub const DRAIN: u8 = 2;
    /// Beside `PEND` or `DRAIN`: another CPU was asked as well.
    pub const STEAL: u8 = 4;
}

/// The FIFO of soft calls.
#[derive(Debug)]
pub struct SoftcallTable {
    /// Guards what follows.
    pub sc_lock: DispLock,
    /// Bits of [`state`].
    pub sc_state: AtomicU8,
    /// The CPUs that were asked, a bit each (`softcall_cpuset`).
    pub sc_asked: AtomicU32,
    /// `gethrtime` when a CPU was last asked, or an entry last taken (`softcall_countstart`).
    pub sc_start: AtomicU64,
    /// The number of the last drain.
    sc_drain: AtomicU32,
    /// What the tunable `softcall_delay` has grown by, in its units.
    pub sc_delay_more: AtomicU32,
    /// Pokes since `sc_pokes_since`.
    pub sc_pokes: AtomicU32,
    /// `gethrtime` when the count of pokes began.
    pub sc_pokes_since: AtomicU64,
    /// Times that the FIFO was stolen.
    pub sc_steals: AtomicU64,
    /// Place of the oldest entry.
    sc_head: AtomicU32,
    /// How many entries there are.
    sc_len: AtomicU32,
    /// Device numbers, a ring.
    sc_ring: Box<[AtomicU32]>,
}

impl SoftcallTable {
    /// An empty FIFO for so many devices.
    pub fn new(devices: u32) -> SoftcallTable {
        SoftcallTable {
            sc_lock: DispLock::new(),
            sc_state: AtomicU8::new(state::IDLE),
            sc_asked: AtomicU32::new(0),
            sc_start: AtomicU64::new(0),
            sc_drain: AtomicU32::new(0),
            sc_delay_more: AtomicU32::new(0),
            sc_pokes: AtomicU32::new(0),
            sc_pokes_since: AtomicU64::new(0),
            sc_steals: AtomicU64::new(0),
            sc_head: AtomicU32::new(0),
            sc_len: AtomicU32::new(0),
            sc_ring: (0..devices).map(|_| AtomicU32::new(0)).collect(),
        }
    }

    fn put(&self, device: u32) {
        let at = (self.sc_head.get() + self.sc_len.get()) as usize % self.sc_ring.len();
        self.sc_ring[at].set(device);
        self.sc_len.bump();
    }

    fn take(&self) -> Option<u32> {
        if self.sc_len.get() == 0 {
            return None;
        }
        let head = self.sc_head.get();
        let device = self.sc_ring[head as usize].get();
        self.sc_head.set((head + 1) % self.sc_ring.len() as u32);
        self.sc_len.drop_one();
        Some(device)
    }

    fn locked<R>(&self, body: impl FnOnce() -> R) -> R {
        let level = spl::splr(15);
        self.sc_lock.enter_high();
        let result = body();
        self.sc_lock.exit_high();
        spl::splx(level);
        result
    }
}

/// Which CPU a new soft call has to ask to empty the FIFO.
enum Ask {
    Nobody,
    Here,
    Another,
}

/// Has [`device_drain`] called for device `n` at level 1, soon, on some CPU (`softcall`). From any level.
pub(super) fn softcall(n: usize) {
    let kernel = platform::kernel();
    let table = &kernel.k_intr.softcall;
    let queued = &kernel.k_intr.devices[n].dev_softcall;
    let ask = table.locked(|| {
        if queued.get() == 0 {
            queued.set(1);
            table.put(n as u32);
        }
        let now = platform::now();
        match table.sc_state.get() {
            state::IDLE => {
                table.sc_state.set(state::PEND);
                table.sc_start.set(now);
                table.sc_asked.set(1 << platform::cpu().cpu_id);
                Ask::Here
            }
            was if now.saturating_sub(table.sc_start.get()) >= delay_ns(table) => {
                table.sc_state.set(was | state::STEAL);
                table.sc_start.set(now);
                count_poke(table, now);
                Ask::Another
            }
            _ => Ask::Nobody,
        }
    });
    match ask {
        Ask::Nobody => {}
        Ask::Here => siron(),
        Ask::Another => poke_another(table),
    }
}

/// Level 1's handler: empties the FIFO unless another CPU does (`softint`).
pub(super) fn softint() {
    let table = &platform::kernel().k_intr.softcall;
    if table.sc_state.load(Ordering::Relaxed) & (state::PEND | state::STEAL) == 0 {
        // `kpreempt` posted the level, for the return path. This look may come too early, but not too late:
        //
        //   softint                                 softcall, or the CPU that it pokes
        //   sc_state -> IDLE
        //                                           locked: IDLE -> PEND, or STEAL is set
        //   returns
        //                                           posts level 1 on itself, and so runs softint
        return;
    }
    let drain = table.locked(|| {
        let was = table.sc_state.get();
        if was & (state::PEND | state::STEAL) == 0 {
            return None;
        }
        if was & state::STEAL != 0 {
            table.sc_steals.bump();
        }
        table.sc_state.set(state::DRAIN);
        table.sc_start.set(platform::now());
        table.sc_asked.set(1 << platform::cpu().cpu_id);
        table.sc_drain.set(table.sc_drain.get().wrapping_add(1));
        Some(table.sc_drain.get())
    });
    let Some(drain) = drain else { return };
    while let Some(n) = take_or_end(table, drain) {
        device_drain(n as usize);
    }
}

/// Takes the oldest soft call. If there is none, it makes the FIFO idle under the same lock. `None` as well if another CPU has
/// stolen the FIFO from this drain.
fn take_or_end(table: &SoftcallTable, drain: u32) -> Option<u32> {
    table.locked(|| {
        if table.sc_drain.get() != drain {
            return None;
        }
        let next = table.take();
        match next {
            Some(n) => {
                platform::kernel().k_intr.devices[n as usize].dev_softcall.set(0);
                table.sc_start.set(platform::now());
            }
            None => table.sc_state.set(state::IDLE),
        }
        next
    })
}

/// A poke arrived: posts level 1 if the poke asked for soft calls. Called at the poke's level.
pub(super) fn poked(cp: &Cpu) {
    // A swap: the flag is down before level 1's handler looks at the FIFO, and a CPU that sets it again after that pokes
    // again. Acquire: the handler sees the FIFO that the flag is about.
    if cp.cpu_siron.get() != 0 && cp.cpu_siron.swap(0, Ordering::AcqRel) != 0 {
        siron();
    }
}

fn delay_ns(table: &SoftcallTable) -> u64 {
    let units = platform::kernel().tunable(tunable::SOFTCALL_DELAY) as u64;
    (units + u64::from(table.sc_delay_more.get())) * DELAY_UNIT_NS
}

/// More than [`POKEMAX`] pokes within a second: wait longer from now on.
fn count_poke(table: &SoftcallTable, now: u64) {
    if now.saturating_sub(table.sc_pokes_since.get()) >= SECOND_NS {
        table.sc_pokes_since.set(now);
        table.sc_pokes.set(0);
    }
    table.sc_pokes.bump();
    if table.sc_pokes.get() > POKEMAX {
        table.sc_delay_more.bump();
        table.sc_pokes.set(0);
    }
}

/// Asks the first CPU without interrupt load, or else all CPUs with the least (`softcall_choose_cpu`). No CPU is asked again
/// before every CPU has been asked.
fn poke_another(table: &SoftcallTable) {
    let asked = table.sc_asked.get();
    let chosen = least_loaded(asked);
    if chosen == 0 {
        // No other CPU is left to ask: this one asks at least itself, and next time all of them may be asked again.
        table.sc_asked.set(0);
        return siron();
    }
    // Without the lock, since all that the race costs is a delay:
    //
    //   poke_another                            CPU B: softint
    //   asked = sc_asked, chooses C
    //                                           locked: a new drain, sc_asked = B
    //   sc_asked |= C: for one delay, a steal from B's drain does not ask C
    table.sc_asked.fetch_or(chosen, Ordering::Relaxed);
    for cp in platform::kernel().k_cpus.iter().filter(|cp| chosen >> cp.cpu_id & 1 == 1) {
        // Release: the poke's handler sees the flag. The poke itself orders it on hardware.
        cp.cpu_siron.store(1, Ordering::Release);
        platform::cpu().cpu_stats.xcalls.bump();
        platform::poke(cp.cpu_id);
    }
}

/// The CPUs to ask, a bit each, none of them in `asked` nor the caller's own; 0 if there is none. Each CPU's load is looked at
/// once: a second look may give another load, and then the CPU that was the least loaded at the first would not be chosen.
fn least_loaded(asked: u32) -> u32 {
    let takes = flag::READY | flag::ENABLE;
    let not_asked = !(asked | 1 << platform::cpu().cpu_id);
    let (mut least, mut chosen) = (u8::MAX, 0);
    for cp in platform::kernel().k_cpus.iter().filter(|cp| not_asked >> cp.cpu_id & 1 == 1) {
        if cp.cpu_flags.get() & (takes | flag::OFFLINE | flag::QUIESCED) != takes {
            continue;
        }
        let load = intrload::of(cp);
        if load == 0 {
            return 1 << cp.cpu_id;
        }
        if load < least {
            (least, chosen) = (load, 0);
        }
        if load == least {
            chosen |= 1 << cp.cpu_id;
        }
    }
    chosen
}
