//! The idle loop, and how a CPU halts without missing a wake-up.
//!
//! # Invariants
//! - Sleeper: publish the halt bit, *then* look for work, then mask interrupts, then look at the bit again, then halt.
//!   Waker: enqueue, *then* look at the bits, clear the bit, then poke. Whatever the order in time, one of them sees the other:
//!
//! ```text
//!   idle CPU                         waker
//!   haltset |= me     (full barrier)  enqueue          (full barrier)
//!   any work? -> no                   me in haltset? -> yes
//!   level = 15                        haltset &= !me
//!   me in haltset? -> no: don't halt  poke -> pending, so halt() returns at once
//! ```
//! - An offline CPU is in no halt set; its picture is that of `halt_alone`.
//! - The idle thread has `t_preempt` raised: interrupts never preempt it, it looks for work by itself.
//! - A halt ends when anything is pending. What the base level masks stays pending, so a CPU whose interrupt thread is blocked
//!   looks for work again and again instead of halting; it needs no poke meanwhile.

use core::sync::atomic::{Ordering, fence};

use super::resched::poke_cpu;
use super::steal::{Best, disp_anywork, disp_getwork};
use super::swtch;
use super::swtch::swtch_to;
use crate::cell::{Cell, Counter};
use crate::disp::cmt::{pg_busy, pg_idle};
use crate::sys::cpu::{disp_flag, flag};
use crate::sys::{Cpu, Cpupart};
use crate::{platform, spl};
use umpire_shared::{mutant, tunable};

/// How long the mutant waits between its look and its bit: longer than a host lets a vCPU run at a time, so that the waker
/// has its turn meanwhile even if both share one CPU of the host.
const MUTANT_WINDOW_NS: u64 = 5_000_000;

/// How long an offline CPU that cannot halt waits between two looks.
const MASKED_LOOK_NS: u64 = 10_000;

/// The idle thread of this CPU; never returns (`disp.c idle`).
pub fn idle() -> ! {
    let cp = platform::cpu();
    loop {
        if cp.is_quiesced() {
            idle_cpu(cp);
        } else if cp.cpu_disp.disp_nrunnable.get() != 0 {
            pg_busy(cp);
            swtch();
            pg_idle(cp);
        } else if cp.is_offline() {
            idle_cpu(cp);
        } else {
            look_for_work(cp);
        }
    }
}

/// Takes work from elsewhere, or halts.
fn look_for_work(cp: &'static Cpu) {
    match disp_getwork(cp) {
        Best::Thread(t) => {
            pg_busy(cp);
            swtch_to(t);
            pg_idle(cp);
        }
        Best::DontSteal => platform::relax(),
        Best::None => {
            forget_chosen_level(cp);
            idle_cpu(cp);
        }
    }
}

/// Something was enqueued for `cp`: wakes `cp` if it is halted; else, unless the thread is bound or `cp` is about to take it
/// itself, another halted CPU (`mp_machdep.c cpu_wakeup`, the hook `disp_enq_thread`).
pub(super) fn disp_enq_thread(cp: &'static Cpu, is_bound: bool) {
    let kernel = platform::kernel();
    if kernel.k_ncpus == 1 || kernel.is_mutant(mutant::LOST_WAKEUP) {
        return;
    }
    // Enqueue, then look at the bits: see the module's picture.
    fence(Ordering::SeqCst);
    platform::interleave();
    if cp.is_offline() {
        // An offline CPU is not in the set, so that no enqueue elsewhere wakes it to steal.
        if cp.has_disp_flags(disp_flag::HALTED) && !core::ptr::eq(cp, platform::cpu()) {
            poke_cpu(cp);
        }
        return;
    }
    let haltset = &cp.part().cp_haltset;
    let bit = 1 << cp.cpu_id;
    if haltset.get() & bit != 0 {
        if haltset.fetch_and(!bit, Ordering::SeqCst) & bit != 0 && !core::ptr::eq(cp, platform::cpu()) {
            poke_cpu(cp);
        }
        return;
    }
    // An idle thread that an interrupt thread pins does not look for work: another CPU should.
    let is_looking = cp.cpu_idle_thread.get().is_some_and(|i| cp.cpu_thread.is(i));
    if is_looking || cp.has_disp_flags(disp_flag::DONTSTEAL) || is_bound {
        return;
    }
    wake_halted(cp.part());
}

/// Wakes any one halted CPU of a partition, so that it steals.
fn wake_halted(part: &Cpupart) {
    let kernel = platform::kernel();
    let haltset = &part.cp_haltset;
    loop {
        let set = haltset.get();
        if set == 0 {
            return;
        }
        let id = set.trailing_zeros();
        if kernel.is_mutant(mutant::WAKE_ALL) {
            let halted = kernel.k_cpus.iter().filter(|cp| set >> cp.cpu_id & 1 == 1);
            halted.for_each(poke_cpu);
            return;
        }
        if haltset.fetch_and(!(1 << id), Ordering::SeqCst) & (1 << id) != 0 {
            poke_cpu(&kernel.k_cpus[id as usize]);
            return;
        }
    }
}

/// Clears `cpu_chosen_level` if the kp queue is empty: no thread is aimed at this CPU through it any more.
fn forget_chosen_level(cp: &'static Cpu) {
    if cp.cpu_chosen_level.get() != -1 {
        let kpq = &cp.part().cp_kp_queue;
        let level = spl::splhigh();
        kpq.disp_lock.enter_high();
        if kpq.disp_maxrunpri.get() == -1 {
            cp.cpu_chosen_level.set(-1);
        }
        kpq.disp_lock.exit_high();
        spl::splx(level);
    }
}

/// Halts until something is pending (`mp_machdep.c cpu_idle`).
fn idle_cpu(cp: &'static Cpu) {
    let kernel = platform::kernel();
    let state = cp.cpu_flags.get();
    if kernel.tunable(tunable::HALT_IDLE) == 0 {
        platform::relax();
    } else if state & flag::OFFLINE != 0 || kernel.k_ncpus == 1 {
        platform::interleave();
        halt_alone(cp, state);
    } else if kernel.is_mutant(mutant::HALT_BEFORE_PUBLISH) {
        if !disp_anywork(cp) {
            platform::spin(MUTANT_WINDOW_NS);
            publish(cp);
            halt_unless_called(cp);
        }
    } else {
        publish(cp);
        fence(Ordering::SeqCst);
        platform::interleave();
        if disp_anywork(cp) {
            unpublish(cp);
        } else {
            platform::interleave();
            halt_unless_called(cp);
        }
    }
}

/// Halts a CPU that steals from no other: it waits for its own queue, or to be brought online. `state` is the flags for which
/// it halts.
///
/// ```text
///   this CPU                         a CPU that enqueues here, or brings this one online
///   HALTED is set     (full barrier)  enqueues, or changes cpu_flags   (full barrier)
///   level = 15                        HALTED? -> yes: pokes (after a change of the flags it always does)
///   queue and flags as before? -> yes
///   halt() returns at once if a poke is pending
/// ```
/// A poke that came before the level was raised followed a change, which the look at queue and flags sees. A poke that comes
/// later is pending.
fn halt_alone(cp: &'static Cpu, state: u32) {
    cp.set_disp_flags(disp_flag::HALTED);
    fence(Ordering::SeqCst);
    let level = platform::swap_pil(15);
    platform::interleave();
    let has_work = cp.cpu_disp.disp_nrunnable.get() != 0 && !cp.is_quiesced();
    if !has_work && cp.cpu_flags.get() == state {
        cp.cpu_halts.bump();
        platform::halt();
    }
    cp.clear_disp_flags(disp_flag::HALTED);
    spl::splx(level);
    if cp.cpu_base_spl.get() != 0 {
        // What is masked stays pending and ends every halt.
        platform::spin(MASKED_LOOK_NS);
    }
}

fn halt_unless_called(cp: &'static Cpu) {
    let level = platform::swap_pil(15);
    platform::interleave();
    let is_called = cp.part().cp_haltset.get() >> cp.cpu_id & 1 == 0;
    if !is_called && cp.cpu_disp.disp_nrunnable.get() == 0 {
        cp.cpu_halts.bump();
        platform::halt();
    }
    unpublish(cp);
    spl::splx(level);
}

fn publish(cp: &Cpu) {
    cp.set_disp_flags(disp_flag::HALTED);
    cp.part().cp_haltset.fetch_or(1 << cp.cpu_id, Ordering::SeqCst);
}

fn unpublish(cp: &Cpu) {
    cp.clear_disp_flags(disp_flag::HALTED);
    cp.part().cp_haltset.fetch_and(!(1 << cp.cpu_id), Ordering::SeqCst);
}
