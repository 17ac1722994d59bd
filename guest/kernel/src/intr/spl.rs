//! Priority levels: raise, lower, and take what became pending meanwhile.
//!
//! # Invariants
//! - The level belongs to the thread: a switch saves it in the caller's frame, and the thread gets it back wherever it continues.
//! - Lowering the level takes everything pending above the new one before it returns.

use super::DISP_LEVEL;
use super::dispatch::drain;
use crate::cell::Cell;
use crate::platform;

/// Raises to `DISP_LEVEL` unless already there; returns the old level (`splhigh`).
#[inline(always)]
pub fn splhigh() -> u32 {
    splr(DISP_LEVEL)
}

/// Raises to `level` unless already there; returns the old level (`splr`).
///
/// If the thread moves to another CPU between the two steps nothing is lost: it can only move while its level is
/// below `DISP_LEVEL`, and then the level on the new CPU is the same, its own.
#[inline(always)]
pub fn splr(level: u32) -> u32 {
    let old = platform::pil();
    if old < level {
        platform::set_pil(level);
    }
    old
}

/// Sets the level, no lower than the CPU's base level, and takes what is pending above it (`splx`).
#[inline(always)]
pub fn splx(level: u32) {
    let level = level.max(u32::from(platform::cpu().cpu_base_spl.get()));
    platform::set_pil(level);
    if platform::pending() >> (level + 1) != 0 {
        drain(level);
    }
}

/// Down to the base level (`spl0`).
#[inline(always)]
pub fn spl0() {
    splx(0);
}
