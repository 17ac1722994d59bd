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
//! - The idle thread has `t_preempt` raised: interrupts never preempt it, it looks for work by itself.

use core::sync::atomic::{Ordering, fence};

use super::resched::poke_cpu;
use super::steal::{Best, disp_anywork, disp_getwork};
use super::swtch;
use super::swtch::swtch_to;
use crate::cell::{Cell, Counter};
use crate::cpu::{Cpu, disp_flag, flag};
use crate::intr::spl;
use crate::platform;
use umpire_shared::tunable;

/// The idle thread of this CPU; never returns (`disp.c idle`).
pub fn idle() -> ! {
    loop {
        let cp = platform::cpu();
        if cp.cpu_flags.get() & (flag::QUIESCED | flag::OFFLINE) != 0 {
            if cp.cpu_disp.disp_nrunnable.get() != 0 && cp.cpu_flags.get() & flag::QUIESCED == 0 {
                swtch();
            } else {
                idle_cpu(cp);
            }
            continue;
        }
        if cp.cpu_disp.disp_nrunnable.get() != 0 {
            swtch();
            continue;
        }
        let level = spl::splhigh();
        match disp_getwork(cp) {
            Best::Thread(t) => swtch_to(t),
            Best::DontSteal => {
                spl::splx(level);
                platform::relax();
            }
            Best::None => {
                spl::splx(level);
                forget_chosen_level(cp);
                idle_cpu(cp);
            }
        }
    }
}

/// Something was enqueued for `cp`: wakes whoever should look (`mp_machdep.c cpu_wakeup`, the hook `disp_enq_thread`).
pub(super) fn disp_enq_thread(cp: &'static Cpu, is_bound: bool) {
    let kernel = platform::kernel();
    if kernel.k_ncpus == 1 {
        return;
    }
    // Enqueue, then look at the bits: see the module's picture.
    fence(Ordering::SeqCst);
    platform::interleave();
    let haltset = &kernel.k_cpupart.cp_haltset;
    let bit = 1 << cp.cpu_id;
    if haltset.get() & bit != 0 {
        if haltset.fetch_and(!bit, Ordering::SeqCst) & bit != 0 && !core::ptr::eq(cp, platform::cpu()) {
            poke_cpu(cp);
        }
        return;
    }
    // An idle thread that a handler pins does not look: somebody else should.
    let idle = cp.cpu_idle_thread.get();
    let is_looking = idle.is_some_and(|i| cp.cpu_thread.is(i)) && !cp.is_pinned();
    if is_looking || cp.has_disp_flags(disp_flag::DONTSTEAL) || is_bound {
        return;
    }
    wake_halted();
}

/// Wakes any one halted CPU of the partition, so that it steals.
pub fn wake_halted() {
    let kernel = platform::kernel();
    let haltset = &kernel.k_cpupart.cp_haltset;
    loop {
        let set = haltset.get();
        if set == 0 {
            return;
        }
        let id = set.trailing_zeros();
        if haltset.fetch_and(!(1 << id), Ordering::SeqCst) & (1 << id) != 0 {
            poke_cpu(&kernel.k_cpus[id as usize]);
            return;
        }
    }
}

/// Nobody aims at this CPU through the kp queue any more if that is empty.
fn forget_chosen_level(cp: &'static Cpu) {
    if cp.cpu_chosen_level.get() != -1 {
        let kpq = &platform::kernel().k_cpupart.cp_kp_queue;
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
    if kernel.tunable(tunable::HALT_IDLE) == 0 {
        platform::relax();
        return;
    }
    let haltset = &kernel.k_cpupart.cp_haltset;
    let bit = 1u64 << cp.cpu_id;
    let is_wakeable = kernel.k_ncpus > 1 && !cp.is_offline();
    cp.set_disp_flags(disp_flag::HALTED);
    if is_wakeable {
        haltset.fetch_or(bit, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        platform::interleave();
        if disp_anywork(cp) {
            unhalt(cp, bit);
            return;
        }
    }
    platform::interleave();
    let level = platform::swap_pil(15);
    platform::interleave();
    let is_called = is_wakeable && haltset.get() & bit == 0;
    if !is_called && cp.cpu_disp.disp_nrunnable.get() == 0 {
        cp.cpu_halts.bump();
        platform::halt();
    }
    unhalt(cp, bit);
    spl::splx(level);
}

fn unhalt(cp: &'static Cpu, bit: u64) {
    cp.clear_disp_flags(disp_flag::HALTED);
    platform::kernel().k_cpupart.cp_haltset.fetch_and(!bit, Ordering::SeqCst);
}
