//! An interrupt arrives: run what belongs to its level, then look whether to preempt.
//!
//! # Invariants
//! - A level that was taken is handled on the CPU that took it: between taking and handling the level is 15.
//! - On return the level is what it was before, and everything pending above it has been taken.
//! - On return to kernel mode `cpu_kprunrun` is looked at, on return to user mode the AST; never the other way round.

use super::device::device_softint;
use super::user::return_to_user;
use super::{HIGH_PIL, POKE_PIL, SOFT_PIL};
use crate::cell::{Cell, Counter};
use crate::disp::kpreempt;
use crate::platform;
use crate::thread::lwp;
use crate::time::cyclic::{cyclic_fire, cyclic_softint};

/// The platform's interrupt entry: an interrupt of level `level` was delivered while the level was `old`. The
/// level is `level` now, and `old` when this returns (`cmnint`, `sys_rtt_common`).
pub fn interrupt(level: u32, old: u32) {
    handle(level);
    platform::set_pil(old);
    if platform::pending() >> (old + 1) != 0 {
        take_all(old);
    }
    return_from_interrupt(old);
}

/// Takes what is pending above `level`, which is the CPU's level now.
#[cold]
pub(super) fn drain(level: u32) {
    take_all(level);
    return_from_interrupt(level);
}

/// Has the return path of a soft interrupt look at the flags again, once the level permits (`siron`).
pub fn siron() {
    platform::post(SOFT_PIL);
}

fn take_all(old: u32) {
    loop {
        platform::set_pil(15);
        let level = platform::take_pending(old);
        if level != 0 {
            platform::set_pil(level);
            handle(level);
        }
        platform::set_pil(old);
        // What arrives from here on is delivered, not pending.
        if platform::pending() >> (old + 1) == 0 {
            return;
        }
    }
}

fn handle(level: u32) {
    let cp = platform::cpu();
    cp.cpu_stats.intr.bump();
    let bit = 1 << level;
    cp.cpu_intr_actv.set(cp.cpu_intr_actv.get() | bit);
    match level {
        HIGH_PIL => cyclic_fire(),
        POKE_PIL | SOFT_PIL => {}
        _ => {
            cyclic_softint(level);
            device_softint(level);
        }
    }
    cp.cpu_intr_actv.set(cp.cpu_intr_actv.get() & !bit);
}

fn return_from_interrupt(old: u32) {
    let t = platform::curthread();
    // On top of a handler it returns to that handler, whatever mode the thread below was in.
    if t.lwp_state.get() == lwp::USER && platform::cpu().cpu_intr_actv.get() == 0 {
        return_to_user(t);
        return;
    }
    // t_preempt_lk keeps an interrupt on top of this from preempting the thread a second time.
    while platform::cpu().cpu_kprunrun.get() != 0 && t.t_preempt_lk.get() == 0 {
        t.t_preempt_lk.set(1);
        let done = kpreempt(old as i32);
        t.t_preempt_lk.set(0);
        if !done {
            return;
        }
    }
}
