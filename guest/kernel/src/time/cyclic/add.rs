//! Adding, removing and reprogramming cyclics (`cyclic.c cyclic_add`, `cyclic_remove`, `cyclic_reprogram`).
//!
//! # Invariants
//! - A slot is taken and freed under its CPU's `cyp_lock`; an id is taken with one compare-and-swap and freed under that lock.
//! - When `cyclic_remove` returns the handler does not run and will not run.
//! - An id is looked up without a lock, so the look-up checks under the lock that the cyclic is still there:
//!
//! ```text
//!   CPU A: lock_by_id                         CPU B: moves the cyclic from CPU 1 to CPU 2
//!   cyi_cpu -> CPU 1
//!                                             locks both: cyi_cpu = CPU 2
//!   locks CPU 1's cyp_lock
//!   cyi_cpu == CPU 1? -> no: unlocks, begins again
//! ```

use core::sync::atomic::Ordering;

use super::fire::must_poke;
use super::place::pick_cpu;
use super::trace::trace;
use super::{CY_INFINITY, CycHandler, CycId, CycTime, Cyclic, CyclicCpu, CyclicId, flag};
use crate::cell::{Cell, Counter};
use crate::sys::Cpu;
use crate::sys::spin::Spin;
use crate::{platform, spl};
use umpire_shared::sys::cyclic::why;
use umpire_shared::sys::machlock::HIGH_PIL;

/// A cyclic that waits to be reprogrammed.
pub const ON_DEMAND: CycTime = CycTime { when: CY_INFINITY, interval: CY_INFINITY };

/// How long a thread that moves a cyclic waits for the calls that the cyclic is owed, in ns. A healthy CPU makes them in
/// microseconds; one whose vCPU the host has put aside may need some tens of ms.
const PATIENCE_NS: u64 = 100_000_000;

/// `cyi_cpu` between claim and placement: it is no CPU's number plus one, so no look-up finds a CPU.
const CLAIMED: u32 = u32::MAX;

/// How many ids a kernel of so many CPUs needs: one for each slot.
pub const fn ids_for(ncpus: u32) -> u32 {
    ncpus * super::MAX_CYCLICS as u32
}

/// Adds a cyclic on some CPU that takes interrupts. `None`: no room.
pub fn cyclic_add(what: CycHandler, when: CycTime) -> Option<CyclicId> {
    cyclic_add_at(pick_cpu(None, None)?, what, when, 0)
}

/// Adds a cyclic on `cp`; `flags` are of [`flag`]: `CPU_BOUND`, `PART_BOUND`, `OMNI`. `None`: no room there.
pub fn cyclic_add_at(cp: &'static Cpu, what: CycHandler, when: CycTime, flags: u16) -> Option<CyclicId> {
    let id = claim_id()?;
    let cyp = &cp.cpu_cyclic;
    let level = lock(cyp);
    let slot = free_slot(cyp);
    let mut poke = false;
    if let Some(n) = slot {
        let c = &cyp.cyp_cyclics[n as usize];
        c.cy_expire.set(when.when);
        c.cy_interval.set(when.interval);
        c.cy_pend.set(0);
        c.cy_arg.set(what.arg);
        c.cy_level.set(what.level);
        c.cy_handler.set(what.func.number);
        c.cy_func.set(Some(what.func));
        c.cy_flags.set(flag::USED | flags);
        poke = settle(cp, n, id);
    } else {
        platform::kernel().k_cyclic.cyclic_ids[id as usize].cyi_cpu.set(0);
    }
    finish(cp, poke);
    unlock(cyp, level);
    slot.map(|_| name(id))
}

/// Takes a cyclic away for ever, with the calls that it is still owed, and waits for the call that runs. Called below the
/// cyclic's level, and not by its handler. False: it was gone already.
pub fn cyclic_remove(id: CyclicId) -> bool {
    let Some((cp, n)) = detach(id, flag::REMOVED) else { return false };
    wait_until_paid(&cp.cpu_cyclic.cyp_cyclics[n as usize]);
    let cyp = &cp.cpu_cyclic;
    let level = lock(cyp);
    cyp.cyp_cyclics[n as usize].cy_flags.set(0);
    unlock(cyp, level);
    true
}

/// Gives a cyclic another time, from any context, its own handler included. [`CY_INFINITY`]: it is not due before it is
/// reprogrammed again. False: it has been removed.
pub fn cyclic_reprogram(id: CyclicId, expire: u64) -> bool {
    let Some((cp, n, level)) = lock_by_id(id) else { return false };
    let cyp = &cp.cpu_cyclic;
    let c = &cyp.cyp_cyclics[n as usize];
    c.cy_expire.set(expire);
    trace(why::REPROGRAM, n.into(), expire);
    let mut poke = false;
    // A cyclic on its way between two CPUs is in no heap; it takes the new time along.
    if !c.has(flag::MOVING) {
        cyp.cyp_heap.moved(&cyp.cyp_cyclics, n);
        poke = must_poke(cp);
    }
    finish(cp, poke);
    unlock(cyp, level);
    true
}

/// Takes a cyclic out of its CPU's heap and marks it. Returns its CPU and slot; `None` if it is gone.
pub(super) fn detach(id: CyclicId, mark: u16) -> Option<(&'static Cpu, u32)> {
    let (cp, n, level) = lock_by_id(id)?;
    let cyp = &cp.cpu_cyclic;
    cyp.cyp_heap.remove(&cyp.cyp_cyclics, n);
    cyp.cyp_cyclics[n as usize].set_flags(mark);
    if mark == flag::REMOVED {
        let slot = id_slot(id);
        slot.cyi_gen.bump();
        // Release: a CPU that claims the id next sees the new generation.
        slot.cyi_cpu.store(0, Ordering::Release);
    }
    unlock(cyp, level);
    Some((cp, n))
}

/// Puts a filled slot into the heap and notes where its id finds it; the caller holds the lock. True: poke.
pub(super) fn settle(cp: &'static Cpu, n: u32, id: u32) -> bool {
    let cyp = &cp.cpu_cyclic;
    let slot = &platform::kernel().k_cyclic.cyclic_ids[id as usize];
    cyp.cyp_cyclics[n as usize].cy_id.set(id);
    cyp.cyp_heap.insert(&cyp.cyp_cyclics, n);
    slot.cyi_ndx.set(n);
    slot.cyi_cpu.store(cp.cpu_id + 1, Ordering::Release);
    must_poke(cp)
}

/// A slot that is not in use; the caller holds the lock. Adding is rare, so it may search.
pub(super) fn free_slot(cyp: &CyclicCpu) -> Option<u32> {
    cyp.cyp_cyclics.iter().position(|c| !c.has(flag::USED)).map(|n| n as u32)
}

/// Waits until no call is owed or runs. The cyclic is out of the heap, so this ends when its CPU has taken the level and the
/// handler is over. A thread that the handler waits for may not wait here, even if the handler waits only for the CPU that the
/// thread spins on: this wait has no other end.
fn wait_until_paid(c: &Cyclic) {
    let mut spin = Spin::for_word(&c.cy_pend);
    while !is_paid(c) {
        spin.turn();
    }
}

/// As `wait_until_paid`, but not for ever. False: a call is still owed. Its level may be masked, or its handler may be blocked
/// on something whose owner gets no CPU, perhaps because the caller has that CPU: without priority inheritance nothing would
/// change that.
pub(super) fn is_paid_in_time(c: &Cyclic) -> bool {
    let until = platform::now() + PATIENCE_NS;
    let mut spin = Spin::for_word(&c.cy_pend);
    while !is_paid(c) {
        if platform::now() >= until {
            return false;
        }
        spin.turn();
    }
    true
}

fn is_paid(c: &Cyclic) -> bool {
    // Acquire: what the handler did is visible.
    c.cy_pend.load(Ordering::Acquire) == 0
}

/// Takes a CPU's lock at `HIGH_PIL`; returns the level before.
pub(super) fn lock(cyp: &CyclicCpu) -> u32 {
    let level = spl::splr(HIGH_PIL);
    cyp.cyp_lock.enter_high();
    level
}

/// Releases the lock and restores the level.
pub(super) fn unlock(cyp: &CyclicCpu, level: u32) {
    cyp.cyp_lock.exit_high();
    spl::splx(level);
}

/// Pokes `cp` if it must arm its timer anew. Called before the level goes down: otherwise a thread that preempts the caller
/// could delay the poke, and the timer would be late.
pub(super) fn finish(cp: &Cpu, must_poke: bool) {
    if must_poke {
        platform::poke(cp.cpu_id);
    }
}

/// The id that the word in a slot names now.
pub(super) fn name(id: u32) -> CyclicId {
    let generation = platform::kernel().k_cyclic.cyclic_ids[id as usize].cyi_gen.get();
    CyclicId::from_word(u64::from(generation) << 32 | u64::from(id + 1))
}

fn id_slot(id: CyclicId) -> &'static CycId {
    &platform::kernel().k_cyclic.cyclic_ids[(id.word() as u32 - 1) as usize]
}

/// Finds and locks the CPU that has the cyclic: CPU, slot, and the level before. `None`: it is gone, nothing is locked.
pub(super) fn lock_by_id(id: CyclicId) -> Option<(&'static Cpu, u32, u32)> {
    let slot = id_slot(id);
    loop {
        let cpu = slot.cyi_cpu.load(Ordering::Acquire);
        let cp = platform::kernel().k_cpus.get((cpu as usize).checked_sub(1)?)?;
        let level = lock(&cp.cpu_cyclic);
        // The cyclic may have moved, or gone, before the lock was taken: see the module's picture.
        let is_same = slot.cyi_gen.get() == (id.word() >> 32) as u32;
        if is_same && slot.cyi_cpu.get() == cpu {
            return Some((cp, slot.cyi_ndx.get(), level));
        }
        unlock(&cp.cpu_cyclic, level);
        if !is_same {
            return None;
        }
    }
}

fn claim_id() -> Option<u32> {
    let ids = &platform::kernel().k_cyclic.cyclic_ids;
    let is_claimed =
        |i: &CycId| i.cyi_cpu.compare_exchange(0, CLAIMED, Ordering::Acquire, Ordering::Relaxed).is_ok();
    ids.iter().position(is_claimed).map(|n| n as u32)
}
