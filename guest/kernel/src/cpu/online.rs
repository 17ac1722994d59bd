//! Taking CPUs offline and bringing them online (`cpu.c`, `p_online.c`).
//!
//! # Invariants
//! - `cpu_lock` is held throughout, across the delays too.
//! - `cpu_inmotion` names the CPU that is about to go, so that no thread that has a choice is put there. A thread that was on its
//!   way there already arrives before the pause, and is moved in the pause:
//!
//! ```text
//!   a CPU that enqueues, at DISP_LEVEL     the CPU that takes CPU 2 offline
//!   chooses CPU 2: it is not in motion
//!                                           cpu_inmotion = CPU 2           (full barrier)
//!                                           pause_cpus waits for every other CPU
//!   enqueues on CPU 2
//!   lowers its level: its pause thread runs
//!                                           disp_cpu_inactive moves the thread away
//! ```
//! - An offline CPU runs only the threads that are bound to it: its own. A quiesced CPU looks at no queue.
//! - Every way out leaves the CPU either wholly online or wholly offline.
//!
//! # What is not here
//! Faulted and spare CPUs, and the callbacks of subsystems that are not here.

use core::sync::atomic::{Ordering, fence};

use super::bind::{
    break_bindings, has_bound_threads, rehome_threads, wait_for_bound, weakbinding_start, weakbinding_stop,
};
use super::pause::{pause_cpus, start_cpus};
use crate::cell::Cell;
use crate::disp::{disp_cpu_inactive, poke_cpu};
use crate::kernel::Kernel;
use crate::sync::{mutex_enter, mutex_exit};
use crate::sys::Cpu;
use crate::sys::cpu::flag;
use crate::time::callout::{callout_cpu_offline, callout_cpu_online};
use crate::time::clock_tick_mp::{clock_tick_offline, clock_tick_online};
use crate::time::cyclic::{cyclic_offline, cyclic_online};
use crate::{platform, probe};
use umpire_shared::event::{Kind, cpu_state};
use umpire_shared::{errno, tunable};

/// What [`p_online`] shall do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum POnline {
    /// `P_ONLINE`.
    Online,
    /// `P_OFFLINE`.
    Offline,
    /// `P_OFFLINE | P_FORCED`: breaks hard bindings too.
    OfflineForced,
}

/// Changes the state of CPU number `id` (`p_online(2)`). Called at level 0; may sleep. Returns an errno, 0 for success,
/// which it also is if the CPU is in that state already.
///
/// EINVAL: there is no such CPU. EBUSY: see [`cpu_offline`].
pub fn p_online(id: u32, what: POnline) -> u32 {
    let kernel = platform::kernel();
    let Some(cp) = kernel.k_cpus.get(id as usize) else { return errno::EINVAL };
    mutex_enter(&kernel.k_cpu_ops.cpu_lock);
    let errno = match what {
        POnline::Online => cpu_online(cp),
        POnline::Offline => cpu_offline(cp, false),
        POnline::OfflineForced => cpu_offline(cp, true),
    };
    if errno == 0 {
        kernel.k_cpu_ops.notify();
    }
    mutex_exit(&kernel.k_cpu_ops.cpu_lock);
    errno
}

/// True if the caller holds `cpu_lock` (`MUTEX_HELD`).
pub(super) fn is_cpu_lock_held(kernel: &Kernel) -> bool {
    kernel.k_cpu_ops.cpu_lock.m_owner.owner().is_some_and(|t| core::ptr::eq(t, platform::curthread()))
}

/// Takes a CPU offline (`cpu_offline`). The caller holds `cpu_lock`, at level 0. Returns an errno, 0 for success.
///
/// EBUSY: it is the last CPU online of its partition; or no CPU would take interrupts any more; or threads are bound to it
/// whose bindings may not be broken, the caller among them; or cyclics that cannot move.
pub fn cpu_offline(cp: &'static Cpu, is_forced: bool) -> u32 {
    if cp.is_offline() {
        return 0;
    }
    let kernel = platform::kernel();
    if cp.part().cp_ncpus.get() == 1 || is_last_for_interrupts(kernel, cp) {
        return errno::EBUSY;
    }
    if let Err(busy) = break_bindings(cp, is_forced) {
        return busy;
    }
    // Before the look for active interrupts: no interrupt of a tick begins there from now on.
    clock_tick_offline(cp);
    let no_quiesce = cpu_intr_disable(cp);
    // A CPU that enqueues from now on avoids it; see the invariants for one that has chosen it before.
    kernel.k_disp.cpu_inmotion.set(Some(cp));
    fence(Ordering::SeqCst);
    let errno = take_offline(cp, no_quiesce);
    kernel.k_disp.cpu_inmotion.set(None);
    if errno != 0 {
        cpu_intr_enable(cp);
        clock_tick_online(cp);
    }
    errno
}

/// Moves away what uses the CPU, then changes it while no other CPU runs. Undoes its own part if it fails.
fn take_offline(cp: &'static Cpu, no_quiesce: bool) -> u32 {
    let mut is_juggled = false;
    let errno = loop {
        if let Err(busy) = wait_for_bound(cp, no_quiesce) {
            break busy;
        }
        if !is_juggled {
            callout_cpu_offline(cp);
            is_juggled = true;
            if !cyclic_offline(cp) {
                break errno::EBUSY;
            }
        }
        if pause_and_inactivate(cp, no_quiesce) {
            return 0;
        }
    };
    if is_juggled {
        cyclic_online(cp);
        callout_cpu_online(cp);
    }
    errno
}

/// Changes the CPU while no other CPU runs. False if a thread that must stay has come to it meanwhile.
///
/// Until here `cpu_inmotion` alone keeps weak bindings from the CPU: a thread that wants one there is moved off it first. The barrier
/// is for threads that are in the middle of that when the CPUs are paused.
fn pause_and_inactivate(cp: &'static Cpu, no_quiesce: bool) -> bool {
    weakbinding_stop();
    pause_cpus(Some(cp));
    let is_interrupted = !no_quiesce && cp.cpu_intr_actv.get() != 0;
    let is_free = !is_interrupted && !has_bound_threads(cp, no_quiesce);
    if is_free {
        inactivate(cp, no_quiesce);
    }
    start_cpus();
    weakbinding_start();
    is_free
}

/// Every other CPU is paused, and `cp` among them.
fn inactivate(cp: &'static Cpu, no_quiesce: bool) {
    cp.part().deactivate(cp);
    rehome_threads(cp);
    cp.cpu_flags.set(cp.cpu_flags.get() | flag::OFFLINE);
    disp_cpu_inactive(cp);
    if !no_quiesce {
        cp.cpu_flags.set(cp.cpu_flags.get() | flag::QUIESCED);
    }
    note_state(cp);
}

/// Tells what state a CPU is in now.
pub(super) fn note_state(cp: &Cpu) {
    probe::fire_masked(Kind::CpuState, cpu_state(cp.cpu_id, cp.cpu_flags.get()));
}

/// Brings a CPU online (`cpu_online`). The caller holds `cpu_lock`, at level 0. Returns 0.
pub fn cpu_online(cp: &'static Cpu) -> u32 {
    if !cp.is_offline() {
        return 0;
    }
    pause_cpus(None);
    cp.part().activate(cp);
    // READY again too, if it was powered off.
    cp.cpu_flags.set(cp.cpu_flags.get() & !(flag::QUIESCED | flag::OFFLINE) | flag::READY);
    // The CPU is called out of its halt, in which it is in no halt set, before any other CPU runs and may take it for one that looks
    // for work.
    fence(Ordering::SeqCst);
    poke_cpu(cp);
    start_cpus();
    cpu_intr_enable(cp);
    note_state(cp);
    cyclic_online(cp);
    callout_cpu_online(cp);
    clock_tick_online(cp);
    0
}

/// Sends no more interrupts to a CPU. True if the platform cannot keep them all away: then the CPU may go offline but is not
/// quiesced, so that its interrupt threads go on (`cpu_intr_disable`).
fn cpu_intr_disable(cp: &Cpu) -> bool {
    cp.cpu_flags.set(cp.cpu_flags.get() & !flag::ENABLE);
    platform::kernel().tunable(tunable::CPU_NO_QUIESCE) != 0
}

/// Undoes [`cpu_intr_disable`].
fn cpu_intr_enable(cp: &Cpu) {
    cp.cpu_flags.set(cp.cpu_flags.get() | flag::ENABLE);
}

/// True if `cp` is the only CPU online that takes interrupts (`cpu_intr_count`).
fn is_last_for_interrupts(kernel: &Kernel, cp: &Cpu) -> bool {
    let takes = |c: &Cpu| c.cpu_flags.get() & (flag::ENABLE | flag::OFFLINE) == flag::ENABLE;
    takes(cp) && kernel.k_cpus.iter().filter(|c| takes(c)).count() < 2
}
