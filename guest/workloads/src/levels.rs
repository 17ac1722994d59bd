//! Workloads at a raised priority level: they hold interrupts off, take spin mutexes, make cross calls.
//!
//! # Invariants
//! - Each lowers the level again before its turn is done.

use crate::turn::{US, finish_turn, progress, thread, wait_first};
use umpire_kernel::intr::xcall::{XcFunc, xc_call, xc_sync};
use umpire_kernel::sync::{SpinMutex, sema_p, sema_v, spin_enter, spin_exit};
use umpire_kernel::{Kthread, platform, spl};
use umpire_shared::work::levels::{How, Levels, PilHold, SpinMix, Woken, XcallMix};

umpire_shared::levels_workloads!();

/// Holds off interrupts of a level, and those below, for a time.
fn pil_hold(t: &'static Kthread, PilHold { pil, hold_us, after_us, times, sink }: PilHold) {
    let sink = sink.map(|to| platform::kernel().k_work.bell_of(thread(to)));
    for _ in 0..times {
        platform::spin(after_us * US);
        let level = spl::splr(pil as u32);
        platform::spin(hold_us * US);
        if let Some(bell) = sink {
            sema_v(bell);
        }
        spl::splx(level);
        progress(t);
    }
}

/// Waits to be woken.
fn woken(t: &'static Kthread, Woken {}: Woken) {
    let bell = platform::kernel().k_work.bell_of(t);
    loop {
        sema_p(bell);
        progress(t);
    }
}

/// Takes a spin mutex, holds it at its level.
fn spin_mix(t: &'static Kthread, SpinMix { pil, hold_us, think_us, rest_ticks }: SpinMix) {
    let mp = work_spin(pil);
    loop {
        spin_enter(mp);
        platform::spin(hold_us * US);
        spin_exit(mp);
        finish_turn(t, think_us, rest_ticks);
    }
}

/// Makes cross calls, perhaps while it holds a spin mutex.
fn xcall_mix(t: &'static Kthread, p: XcallMix) {
    let mp = p.pil.map(work_spin);
    let call = match p.how {
        How::Call => xc_call,
        How::Sync => xc_sync,
    };
    wait_first(p.after_us);
    loop {
        if let Some(mp) = mp {
            spin_enter(mp);
        }
        platform::spin(p.hold_us * US);
        call(u32::MAX, XcFunc::Sync, 0);
        if let Some(mp) = mp {
            spin_exit(mp);
        }
        finish_turn(t, p.think_us, p.rest_ticks);
    }
}

/// The workloads' spin mutex of a level.
fn work_spin(pil: u64) -> &'static SpinMutex {
    platform::kernel().k_work.spin_of(pil as u32)
}
