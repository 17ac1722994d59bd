//! Which CPU a cyclic is on: the choice, bindings, juggling, and what happens when a CPU goes offline or comes back
//! (`cyclic.c cyclic_pick_cpu`, `cyclic_juggle`, `cyclic_offline`, `cyclic_omni_start`).
//!
//! # Invariants
//! - Everything here runs in a thread that holds `cpu_lock`, below the levels of the cyclics it moves; `cyclic_start` runs
//!   before its CPU's other cyclics exist.
//! - A cyclic moves in three steps, so that nothing owed is lost and nothing runs twice (picture in `mod.rs`): the mover takes
//!   it out of the heap; it waits until the calls owed have been made; then it puts the cyclic on the new CPU, under both CPUs'
//!   locks, with the time when it is due. If the calls are not made in time, the cyclic goes back to where it was and stays:
//!   there they are still owed.
//! - `clock_cpu` and a device's `dev_cpu` follow their cyclics under those locks.

use core::sync::atomic::Ordering;

use super::add::{detach, finish, free_slot, is_paid_in_time, lock, lock_by_id, name, settle, unlock};
use super::fire::arm_timer;
use super::{
    CY_HIGH_LEVEL, CY_INFINITY, CY_LOCK_LEVEL, CycFunc, CycHandler, CycTime, Cyclic, CyclicId, cyclic_add_at,
    cyclic_remove, cyclic_reprogram, flag, handler,
};
use crate::cell::Cell;
use crate::sys::cpu::flag as cpu_flag;
use crate::sys::{Cpu, Cpupart, NANOSEC};
use crate::time::callout;
use crate::time::clock::{CLOCK, HRES_TICK};
use crate::time::device::DEVICE;
use crate::{platform, spl};
use umpire_shared::mutant;
use umpire_shared::sys::machlock::HIGH_PIL;

/// Adds an omni cyclic: each CPU that is or comes online has it (`cyclic_add_omni`). At boot, before CPUs start theirs.
///
/// # Panics
/// If there are [`super::MAX_OMNI`] already.
pub fn cyclic_add_omni(func: &'static CycFunc, level: u8, interval: u64) {
    let free = platform::kernel().k_cyclic.omni.iter().find(|o| o.omni_interval.get() == 0);
    let omni = free.expect("cyclic_add_omni: too many omni cyclics");
    omni.omni_func.set(Some(func));
    omni.omni_level.set(level);
    omni.omni_interval.set(interval);
}

/// Adds this CPU's cyclics and arms its timer (`cyclic_init`, `clkset`). Called once by each CPU, at level 15.
pub fn cyclic_start() {
    let kernel = platform::kernel();
    let cp = platform::cpu();
    let now = platform::now();
    cyclic_online(cp);
    let add = |func, arg, level, interval, start| {
        let what = CycHandler { func, arg, level };
        let when = if start == 0 { now + interval } else { start };
        let added = cyclic_add_at(cp, what, CycTime { when, interval }, 0);
        added.expect("cyclic_start: too many cyclics on one CPU");
    };
    if cp.cpu_id == kernel.k_clock.clock_cpu.get() {
        let tick = NANOSEC / u64::from(kernel.hz.get());
        kernel.k_clock.tick_origin.set(now);
        kernel.k_clock.hres_last.set(now);
        add(&HRES_TICK, 0, CY_HIGH_LEVEL, tick, 0);
        add(&CLOCK, 0, CY_LOCK_LEVEL, tick, 0);
    }
    callout::callout_start(cp);
    for (n, dev) in kernel.k_intr.devices.iter().enumerate() {
        if dev.home() == cp.cpu_id {
            // The device has its own level; its cyclic only asserts it.
            add(&DEVICE, n as u32, CY_HIGH_LEVEL, dev.dev_interval_ns, dev.dev_start_ns);
        }
    }
    // Armed even if nothing is due, so that no earlier setting of the timer remains.
    let level = lock(&cp.cpu_cyclic);
    arm_timer(&cp.cpu_cyclic);
    unlock(&cp.cpu_cyclic, level);
}

/// Binds a cyclic to a CPU, or to a partition, or to neither, and moves it there if need be (`cyclic_bind`). False: it is gone,
/// or there is no room or no CPU, or it is owed calls that are not made; then its place and its binding are as before.
pub fn cyclic_bind(id: CyclicId, cpu: Option<&'static Cpu>, part: Option<&'static Cpupart>) -> bool {
    let Some((at, n)) = detach(id, flag::MOVING) else { return false };
    let is_good = |cp: &Cpu| part.is_none_or(|p| cp.cpu_part.is(p));
    let stays = cpu.is_none_or(|cp| core::ptr::eq(cp, at)) && is_good(at);
    let to = if stays { Some(at) } else { cpu.or_else(|| pick_cpu(part, Some(at))) };
    let is_done = to.is_some_and(|to| transfer(at, n, to));
    if !is_done {
        transfer(at, n, at);
        return false;
    }
    let bits = if cpu.is_some() {
        flag::CPU_BOUND
    } else if part.is_some() {
        flag::PART_BOUND
    } else {
        0
    };
    mark(id, bits);
    true
}

/// Moves a cyclic to the CPU that the caller runs on (`cyclic_move_here`). False: it is gone, is bound to another CPU, is owed
/// calls, or has no room here.
pub fn cyclic_move_here(id: CyclicId) -> bool {
    let Some((at, n)) = detach(id, flag::MOVING) else { return false };
    let here = platform::cpu();
    let is_bound = at.cpu_cyclic.cyp_cyclics[n as usize].has(flag::CPU_BOUND);
    if is_bound || !transfer(at, n, here) {
        transfer(at, n, at);
        return is_bound && core::ptr::eq(at, here);
    }
    true
}

/// Moves all cyclics that may move from `cp` to other CPUs (`cyclic_juggle`). False: some must stay, or had no room elsewhere.
/// It stops at the first cyclic that has no room or is owed calls: the CPU stays as it is, and others of that level would have
/// to wait as long.
pub fn cyclic_juggle(cp: &'static Cpu) -> bool {
    let mut is_empty = true;
    for c in &cp.cpu_cyclic.cyp_cyclics {
        if !c.has(flag::USED) || c.has(flag::OMNI) {
            continue;
        }
        if c.cy_handler.get() == handler::CLOCK && platform::kernel().is_mutant(mutant::CLOCK_STAYS) {
            cyclic_reprogram(name(c.cy_id.get()), CY_INFINITY);
            continue;
        }
        let part = c.has(flag::PART_BOUND).then(|| cp.part());
        let to = if c.has(flag::CPU_BOUND) { None } else { pick_cpu(part, Some(cp)) };
        match to {
            None => is_empty = false,
            Some(to) if !send(name(c.cy_id.get()), to) => return false,
            Some(_) => {}
        }
    }
    is_empty
}

/// Moves the cyclics of a CPU that goes offline to others; false if one must stay, and then the CPU is as online as before
/// (`cyclic_offline`). Called by the script thread, at level 0, with `cpu_lock` held.
pub fn cyclic_offline(cp: &'static Cpu) -> bool {
    // No cyclic is to be placed on it from here on.
    cp.cpu_cyclic.cyp_online.set(0);
    if !cyclic_juggle(cp) {
        cp.cpu_cyclic.cyp_online.set(1);
        return false;
    }
    for c in &cp.cpu_cyclic.cyp_cyclics {
        if c.has(flag::OMNI) {
            cyclic_remove(name(c.cy_id.get()));
        }
    }
    true
}

/// A CPU is online, or still is: it has the omni cyclics, and others may be placed on it (`cyclic_online`).
pub fn cyclic_online(cp: &'static Cpu) {
    cp.cpu_cyclic.cyp_online.set(1);
    for omni in platform::kernel().k_cyclic.omni.iter().filter(|o| o.omni_interval.get() != 0) {
        let interval = omni.omni_interval.get();
        let func = omni.omni_func.get().expect("invariant: an omni cyclic has a function");
        let is_its = |c: &Cyclic| c.has(flag::OMNI) && c.cy_func.is(func);
        if cp.cpu_cyclic.cyp_cyclics.iter().any(is_its) {
            continue;
        }
        let what = CycHandler { func, arg: 0, level: omni.omni_level.get() };
        let time = CycTime { when: omni_first(cp, interval), interval };
        let added = cyclic_add_at(cp, what, time, flag::CPU_BOUND | flag::OMNI);
        added.expect("cyclic_online: too many cyclics on one CPU");
    }
}

/// A CPU for a cyclic: one that takes interrupts, else one that is merely online, starting one further each time; in
/// `part` if that is given, and not `avoid` (`cyclic_pick_cpu`).
pub(super) fn pick_cpu(part: Option<&Cpupart>, avoid: Option<&Cpu>) -> Option<&'static Cpu> {
    let kernel = platform::kernel();
    let cpus = &kernel.k_cpus;
    // The rotor only spreads cyclics: two callers that get the same start do no harm.
    let start = kernel.k_cyclic.cyclic_rotor.fetch_add(1, Ordering::Relaxed) as usize;
    let order = || (0..cpus.len()).map(|k| &cpus[start.wrapping_add(k) % cpus.len()]);
    let fits = |cp: &&'static Cpu| {
        cp.cpu_cyclic.cyp_online.get() != 0
            && part.is_none_or(|p| cp.cpu_part.is(p))
            && avoid.is_none_or(|a| !core::ptr::eq(a, *cp))
    };
    let takes_interrupts = |cp: &&'static Cpu| cp.cpu_flags.get() & cpu_flag::ENABLE != 0;
    order().filter(fits).find(takes_interrupts).or_else(|| order().find(fits))
}

/// Moves a cyclic to another CPU. False: there is no room, or its owed calls are not made in time; then it stays.
fn send(id: CyclicId, to: &'static Cpu) -> bool {
    let Some((at, n)) = detach(id, flag::MOVING) else {
        // The cyclic is gone meanwhile: nothing is left to move.
        return true;
    };
    let is_moved = transfer(at, n, to);
    if !is_moved {
        transfer(at, n, at);
    }
    is_moved
}

/// The first time of an omni cyclic on a CPU: a share of the interval further for each CPU, and half a share, so
/// that on no CPU it races with what the clock does at the full second (`deadman_init` staggers by whole shares).
fn omni_first(cp: &Cpu, interval: u64) -> u64 {
    let stagger = interval / u64::from(platform::kernel().k_ncpus);
    platform::now() + stagger * u64::from(cp.cpu_id) + stagger / 2
}

/// The last two steps of moving slot `n` of `from`, which is detached: waits for the calls owed and puts the cyclic on `to`.
/// False: there is no room, or the calls owed are not made in time; the cyclic is then still detached.
fn transfer(from: &'static Cpu, n: u32, to: &'static Cpu) -> bool {
    let c = &from.cpu_cyclic.cyp_cyclics[n as usize];
    if core::ptr::eq(from, to) {
        // The cyclic goes back where it was, whatever it is owed: the calls are made there, from the same slot, as if nothing
        // had been tried.
        let level = lock(&from.cpu_cyclic);
        c.clear_flags(flag::MOVING);
        let poke = settle(from, n, c.cy_id.get());
        finish(from, poke);
        unlock(&from.cpu_cyclic, level);
        return true;
    }
    if !is_paid_in_time(c) {
        return false;
    }
    let (first, second) = if from.cpu_id < to.cpu_id { (from, to) } else { (to, from) };
    let level = spl::splr(HIGH_PIL);
    first.cpu_cyclic.cyp_lock.enter_high();
    second.cpu_cyclic.cyp_lock.enter_high();
    let slot = free_slot(&to.cpu_cyclic);
    let mut poke = false;
    if let Some(m) = slot {
        let new = &to.cpu_cyclic.cyp_cyclics[m as usize];
        new.cy_expire.set(c.cy_expire.get());
        new.cy_interval.set(c.cy_interval.get());
        new.cy_pend.set(0);
        new.cy_arg.set(c.cy_arg.get());
        new.cy_level.set(c.cy_level.get());
        new.cy_handler.set(c.cy_handler.get());
        new.cy_flags.set(c.cy_flags.get() & !flag::MOVING);
        c.cy_flags.set(0);
        c.cy_expire.set(CY_INFINITY);
        new.cy_func.set(Some(c.func()));
        (c.func().moved)(c.cy_arg.get(), to);
        poke = settle(to, m, c.cy_id.get());
    }
    second.cpu_cyclic.cyp_lock.exit_high();
    first.cpu_cyclic.cyp_lock.exit_high();
    finish(to, poke);
    spl::splx(level);
    slot.is_some()
}

/// Sets what a cyclic is bound to.
fn mark(id: CyclicId, bits: u16) {
    if let Some((cp, n, level)) = lock_by_id(id) {
        let c = &cp.cpu_cyclic.cyp_cyclics[n as usize];
        c.clear_flags(flag::CPU_BOUND | flag::PART_BOUND);
        c.set_flags(bits);
        unlock(&cp.cpu_cyclic, level);
    }
}
