//! Priority levels: raise, lower, and take what became pending meanwhile.
//!
//! # Invariants
//! - The level belongs to the thread: a switch saves it in the caller's frame, and the thread gets it back wherever it continues.
//! - The base level belongs to the CPU. What a thread saves is its own level, which is 0 while only the base keeps
//!   the CPU up: a thread that moves does not take another CPU's base along.
//! - Lowering the level takes everything pending above the new one before it returns.

use crate::cell::Cell;
use crate::platform;
use umpire_shared::sys::machlock::{DISP_LEVEL, SOFT_PIL};

/// Raises to `DISP_LEVEL` unless already there; returns the old level (`splhigh`).
#[inline(always)]
pub fn splhigh() -> u32 {
    splr(DISP_LEVEL)
}

/// Raises to `level` unless already there; returns the old level, 0 if that was the base level (`splr`).
///
/// If the thread moves to another CPU between the two steps nothing is lost: it can only move while its level is
/// below `DISP_LEVEL`, and then the level on the new CPU is the same, its own. That is so at level 0, the usual
/// case. At a higher level, what was read may be a CPU's base, and the two steps are one.
#[inline(always)]
pub fn splr(level: u32) -> u32 {
    let old = platform::pil();
    if old == 0 {
        platform::set_pil(level);
        return 0;
    }
    if old >= DISP_LEVEL && old >= level {
        return old;
    }
    own(if old < level { platform::swap_pil(level) } else { old })
}

/// The current thread's own level: what the CPU's level would be without its base.
#[inline(always)]
pub fn own_level() -> u32 {
    if platform::pil() == 0 {
        return 0;
    }
    // At level 15 no thread is moved: level and base are those of one CPU.
    let level = platform::swap_pil(15);
    let own = own(level);
    splx(level);
    own
}

/// Sets the level, no lower than the CPU's base level, and takes what is pending above it (`splx`).
#[inline(always)]
pub fn splx(level: u32) {
    if platform::pil() < DISP_LEVEL {
        // A thread that may be moved might take the base of one CPU to another, and nothing there would lower it:
        //
        //   CPU A                                  CPU B
        //   the thread reads CPU A's base, is moved
        //                                          the thread sets this level here
        platform::interleave();
        platform::set_pil(15);
    }
    let level = level.max(u32::from(platform::cpu().cpu_base_spl.get()));
    platform::set_pil(level);
    if platform::pending() >> (level + 1) != 0 {
        take_pending(level);
    }
}

/// Down to the base level (`spl0`).
#[inline(always)]
pub fn spl0() {
    splx(0);
}

/// The way to the interrupt system, which stands above: it takes what is pending once the level permits it.
#[derive(Debug)]
pub struct SplState {
    spl_drain: fn(u32),
}

impl SplState {
    /// `drain` takes everything pending above the level that it is given.
    pub const fn new(drain: fn(u32)) -> SplState {
        SplState { spl_drain: drain }
    }
}

#[cold]
fn take_pending(level: u32) {
    (platform::kernel().k_spl.spl_drain)(level);
}

/// `level` without its base. A level that a thread had raised below its CPU's base is forgotten with the base: nothing says which of
/// the two it was.
#[cold]
fn own(level: u32) -> u32 {
    if level <= u32::from(platform::cpu().cpu_base_spl.get()) { 0 } else { level }
}

/// Posts level 1 here: its handler empties the FIFO, and its return path looks at the dispatcher's flags again, once the level
/// permits (`siron`).
pub fn siron() {
    platform::post(SOFT_PIL);
}
