//! What happens when an interrupt arrives: the handlers of its level run, then the CPU looks whether to preempt.
//!
//! # Invariants
//! - Hardware delivers high levels only, 11 to 15; the others are posted by the kernel and taken here, at level 15.
//!   So a level is handled on the CPU that took it, and no interrupt finds a thread that is being pinned.
//! - High levels are handled on the interrupted stack, the others on an interrupt thread (`thread.rs`).
//! - On return the level is what it was before, or the CPU's base level if that is higher, and everything pending above
//!   it has been taken.
//! - A return to kernel mode looks at `cpu_kprunrun`, a return to user mode looks at the AST; never the other way round.

use core::sync::atomic::{Ordering, compiler_fence};

use super::avintr;
use super::device::{cross_traps, device_softint};
use super::softcall::{poked, softint};
use super::thread::{handler_done, intr_thread};
use super::user::return_to_user;
use super::xcall::xc_intr;
use crate::cell::{Cell, Counter};
use crate::disp::kpreempt;
use crate::sys::thread::lwp;
use crate::{mstate, platform, probe};
use umpire_shared::event::Kind;
use umpire_shared::mutant;
use umpire_shared::sys::machlock::{DISP_LEVEL, LOCK_LEVEL, POKE_PIL, SOFT_PIL, XC_SYS_PIL};

/// The platform's interrupt entry: an interrupt of level `level`, 11 to 15, was delivered while the level was `old`. The
/// level is `level` now, and `old` or the base level when this returns (`cmnint`, `sys_rtt_common`).
pub fn interrupt(level: u32, old: u32) {
    debug_assert!(level > LOCK_LEVEL, "hardware delivers high levels only, not {level}");
    handle_high(level);
    let floor = if platform::kernel().is_mutant(mutant::STUCK_LEVEL) { stuck_floor(old) } else { floor(old) };
    platform::set_pil(floor);
    if platform::pending() >> (floor + 1) != 0 {
        take_all(old);
    }
    return_from_interrupt(old);
}

/// Takes what is pending above `level`, which is the CPU's level now.
#[cold]
pub(crate) fn drain(level: u32) {
    take_all(level);
    if platform::kernel().is_mutant(mutant::BLIND_SPLX) {
        return;
    }
    return_from_interrupt(level);
}

fn take_all(old: u32) {
    loop {
        platform::set_pil(15);
        let level = platform::take_pending(floor(old));
        match level {
            0 => {}
            1..=LOCK_LEVEL => intr_thread(level),
            _ => {
                platform::set_pil(level);
                handle_high(level);
            }
        }
        // The thread that goes on here is still on the same CPU, but a handler that blocked has raised the base.
        let floor = floor(old);
        platform::set_pil(floor);
        // What arrives from here on is delivered, not pending.
        if platform::pending() >> (floor + 1) == 0 {
            break;
        }
    }
    if platform::curthread().t_intr.is_null() {
        platform::cpu().cpu_intrcnt.set(0);
    }
}

/// The level to go back to.
#[inline(always)]
fn floor(old: u32) -> u32 {
    old.max(u32::from(platform::cpu().cpu_base_spl.get()))
}

/// The level to which the mutant `stuck_level` goes back.
#[cold]
fn stuck_floor(old: u32) -> u32 {
    let kernel = platform::kernel();
    let is_time = 2 * kernel.lbolt.get() >= u64::from(kernel.hz.get());
    if is_time && platform::cpu().cpu_id != 0 { 15 } else { floor(old) }
}

/// Runs the handlers of a level from 11 to 15, on the interrupted stack. They may not block, wake a thread or preempt.
fn handle_high(level: u32) {
    let cp = platform::cpu();
    let bit = 1 << level;
    platform::set_pil(15);
    cp.cpu_stats.intr.bump();
    let interrupted = mstate::intr_begin(cp, level);
    probe::fire_at(interrupted.since, Kind::IntrBegin, platform::curthread(), u64::from(level));
    cp.cpu_intr_actv.set(cp.cpu_intr_actv.get() | bit);
    platform::set_pil(level);
    if platform::pending() >> (level + 1) != 0 {
        take_all(level);
    }
    avintr::dispatch(platform::kernel().k_intr.autovect, level);
    match level {
        XC_SYS_PIL => xc_intr(cp),
        POKE_PIL => {
            poked(cp);
            cross_traps(cp);
        }
        _ => {}
    }
    if cp.cpu_dev_pils.get() & bit != 0 {
        device_softint(level);
    }
    // What arrives while the level is 15 is pending, and the caller looks for it before it lowers the level further.
    platform::set_pil(15);
    cp.cpu_intr_actv.set(cp.cpu_intr_actv.get() & !bit);
    let now = mstate::intr_end(cp, level, &interrupted);
    probe::fire_at(now, Kind::IntrEnd, platform::curthread(), u64::from(level));
    platform::set_pil(level);
}

/// Runs the handlers of a level from 1 to `LOCK_LEVEL`, on the level's interrupt thread.
pub(super) fn handle_low(level: u32) {
    if level == SOFT_PIL {
        softint();
    }
    if avintr::dispatch(platform::kernel().k_intr.autovect, level) {
        handler_done();
    }
    if platform::cpu().cpu_dev_pils.get() >> level & 1 != 0 {
        device_softint(level);
    }
}

fn return_from_interrupt(old: u32) {
    let t = platform::curthread();
    // An interrupt on top of a high-level handler returns to that handler, whatever mode the thread below was in.
    if t.lwp_state.get() == lwp::USER && old < DISP_LEVEL {
        return_to_user(t);
        return;
    }
    if platform::kernel().is_mutant(mutant::DEAF_RETURN) {
        return;
    }
    // t_preempt_lk keeps an interrupt on top of this from preempting the thread a second time; that one leaves the flag to us:
    //
    //   this return                             an interrupt on top of it
    //   t_preempt_lk = 1
    //   kpreempt
    //                                           cpu_kprunrun = 1
    //                                           its return: t_preempt_lk is 1, so it does not preempt
    //   t_preempt_lk = 0
    //   cpu_kprunrun? -> 1: kpreempt again
    while platform::cpu().cpu_kprunrun.get() != 0 && t.t_preempt_lk.get() == 0 {
        t.t_preempt_lk.set(1);
        let done = kpreempt(old as i32);
        t.t_preempt_lk.set(0);
        // The compiler must not look at the flag before the store.
        compiler_fence(Ordering::SeqCst);
        if !done {
            return;
        }
    }
}
