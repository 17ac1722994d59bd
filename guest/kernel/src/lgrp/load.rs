//! Load averages of locality groups (`lgrp.c lgrp_loadavg`).
//!
//! # Invariants
//! - Fixed point with 16 fraction bits: 65536 is one thread for each of the group's CPUs.
//! - `clock()` ages it, once a CPU ten times a second; a CPU that gives a thread another home may change it meanwhile. So it changes
//!   by compare-and-swap, relaxed: it is a count that nothing else depends on.
//! - It never leaves the range of 32 bits.
//!
//! # What is not here
//! The tolerances within which loads count as equal, and the random start of `lgrp_choose`: the sheet leaves them open.

use core::sync::atomic::{AtomicU32, Ordering};

use crate::cell::Cell;
use crate::platform;
use crate::sys::{Cpu, Lpl};

/// What one thread that always runs adds to the load of a group of one CPU (`sys/lgrp.h`).
pub const LGRP_LOADAVG_THREAD_MAX: u32 = 65_516;
/// One thread as input of [`lgrp_loadavg`] (`LGRP_LOADAVG_IN_THREAD_MAX`).
const IN_THREAD: u32 = 128;

/// Of 65536ths of the old load that an update forgets, by the group's CPUs, one first: `n` updates come in a tenth of a second.
const EXPVAL: [u32; 31] = [
    3196, 1618, 1083, 814, 652, 543, 466, 408, 363, 326, 297, 272, 251, 233, 218, 204, 192, 181, 172, 163,
    155, 148, 142, 136, 130, 125, 121, 116, 112, 109, 105,
];

/// What happens to a group's load in [`anticipate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anticipated {
    /// A thread gets its home here.
    Comes,
    /// A thread gets another home.
    Leaves,
}

/// Weight of an update for a group of so many CPUs, at least one.
pub fn loadavg_factor(ncpu: u32) -> u32 {
    EXPVAL.get(ncpu as usize - 1).copied().unwrap_or(EXPVAL[0] / ncpu)
}

/// The load after an update by one of `ncpu` CPUs, which has `threads` that run or want to.
pub fn loadavg_aged(old: u32, threads: u32, ncpu: u32) -> u32 {
    let (old, f) = (i64::from(old), i64::from(loadavg_factor(ncpu)));
    let input = i64::from(threads * IN_THREAD);
    let (whole, rest) = ((old >> 16) << 7, (old & 0xffff) << 7);
    let new = old + (((input - whole) * f - ((rest * f) >> 16)) >> 7);
    new.clamp(0, i64::from(u32::MAX)) as u32
}

/// Brings the load of a group and of those that hold it up to date (`lgrp_loadavg`). `Some`: a CPU of it has so many threads,
/// and the old load ages. `None`: one of its threads runs on a CPU of another group; that is added.
pub fn lgrp_loadavg(lpl: &'static Lpl, threads: Option<u32>) {
    for lpl in lpl.lineage() {
        let ncpu = lpl.lpl_ncpu.get();
        if ncpu == 0 {
            return;
        }
        update(&lpl.lpl_loadavg, |old| match threads {
            Some(threads) => loadavg_aged(old, threads, ncpu),
            None => old.saturating_add(loadavg_factor(ncpu)),
        });
    }
}

/// Adds every CPU's contribution (`clock.c`, ten times a second): its queue, and what it runs. A thread that runs away from its home
/// counts for its home's load. The words of other CPUs are read as they are.
pub fn lgrp_load_update() {
    for cp in platform::kernel().k_cpus.iter().filter(|cp| !cp.is_offline()) {
        let mut threads = cp.cpu_disp.disp_nrunnable.get();
        match home_of_running(cp) {
            Some(home) if home.lpl_lgrpid != cp.lpl().lpl_lgrpid => lgrp_loadavg(home, None),
            Some(_) => threads += 1,
            None => {}
        }
        lgrp_loadavg(cp.lpl(), Some(threads));
    }
}

/// The home of the thread that the dispatcher chose for `cp`, if that is not the idle thread.
fn home_of_running(cp: &Cpu) -> Option<&'static Lpl> {
    let t = cp.cpu_dispthread.get()?;
    if cp.cpu_idle_thread.is(t) { None } else { t.t_lpl.get() }
}

/// Counts a thread that has just got a home in `lpl`, or lost it, as one that always runs. Roots are left out:
/// no home is chosen among them.
pub(super) fn anticipate(lpl: &Lpl, what: Anticipated) {
    let ncpu = lpl.lpl_ncpu.get();
    if lpl.is_root() || ncpu == 0 {
        return;
    }
    let share = LGRP_LOADAVG_THREAD_MAX / ncpu;
    update(&lpl.lpl_loadavg, |old| match what {
        Anticipated::Comes => old.saturating_add(share),
        Anticipated::Leaves => old.saturating_sub(share),
    });
}

fn update(load: &AtomicU32, change: impl Fn(u32) -> u32) {
    let mut old = load.get();
    while let Err(now) = load.compare_exchange_weak(old, change(old), Ordering::Relaxed, Ordering::Relaxed) {
        old = now;
    }
}
