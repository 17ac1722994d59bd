//! Asking a CPU to think again: `cpu_resched` and `cpu_surrender`.
//!
//! # Invariants
//! - Both only set flags and poke; the target's own dispatcher decides.
//! - `kpreemptpri` is consulted here and nowhere else. This is where illumos #1532 lives: a 99 behind a kernel-resident
//!   thread sets `cpu_runrun`, which only the way to user mode looks at, and not `cpu_kprunrun`, because 99 < 100.

use core::sync::atomic::{Ordering, fence};

use crate::cell::{Cell, Counter};
use crate::sys::cpu::CPU_IDLE_PRI;
use crate::sys::thread::{lwp, ts};
use crate::sys::{Cpu, Kthread, class};
use crate::{platform, probe};
use umpire_shared::event::{Kind, raised, why};
use umpire_shared::mutant;

/// A thread of priority `pri` became runnable on `cp`: sets the flags that make it preempt what runs there
/// (`disp.c cpu_resched`). The caller holds `cp`'s `disp_lock`.
pub fn cpu_resched(cp: &'static Cpu, pri: i32) {
    let kernel = platform::kernel();
    let current = cp.cpu_dispatch_pri.get();
    platform::interleave();
    let mut poke = false;
    let is_better =
        i32::from(current) < pri || i32::from(current) == pri && kernel.is_mutant(mutant::EQUAL_ASKS);
    if current != CPU_IDLE_PRI && is_better {
        let is_other = !core::ptr::eq(cp, platform::cpu());
        let running = cp.cpu_dispthread.get();
        let asks = pri >= kernel.k_disp.upreemptpri.get() && cp.cpu_runrun.get() == 0;
        let mut forces_kernel = pri >= kernel.k_disp.kpreemptpri.get();
        if asks {
            raise_runrun(cp, why::ENQUEUE, pri);
            if let Some(t) = running {
                t.aston();
            }
            if !forces_kernel {
                // cpu_runrun before the look at t_aggressive: see the picture in kpreempt_aggressively.
                fence(Ordering::SeqCst);
                platform::interleave();
            }
        }
        forces_kernel |= running.is_some_and(|t| t.t_aggressive.get() != 0);
        poke |= asks && !forces_kernel && is_other;
        let is_news = cp.cpu_kprunrun.get() == 0 || kernel.is_mutant(mutant::ASKS_AGAIN);
        if forces_kernel && is_news && !kernel.is_mutant(mutant::LOST_KPRUNRUN) {
            raise_kprunrun(cp, why::ENQUEUE, pri);
            poke |= is_other;
        }
    }
    if poke {
        // The flags must be visible before the poke arrives.
        fence(Ordering::SeqCst);
        poke_cpu(cp);
    }
}

/// Asks `t`, which the caller has locked, to give its CPU up (`disp.c cpu_surrender`).
pub fn cpu_surrender(t: &'static Kthread) {
    if t.t_state.get() != ts::ONPROC {
        return;
    }
    let Some(cp) = t.disp_queue().disp_cpu.get() else { return };
    let kernel = platform::kernel();
    let best = i32::from(cp.cpu_disp.disp_maxrunpri.get())
        .max(i32::from(cp.part().cp_kp_queue.disp_maxrunpri.get()));
    platform::interleave();
    if t.t_aggressive.get() != 0 {
        // The treatment of the SDC class, without its "or equal": the flag promises preemption by better threads only.
        if best <= t.pri() {
            return;
        }
        raise_runrun(cp, why::SURRENDER, best);
        raise_kprunrun(cp, why::SURRENDER, best);
    } else if class::is_sysdc(t) {
        // Batch work gives way to its equals, in the kernel and in user mode: kpreemptpri has no say.
        if t.pri() > best {
            return;
        }
        raise_runrun(cp, why::SURRENDER, best);
        raise_kprunrun(cp, why::SURRENDER, best);
    } else {
        raise_runrun(cp, why::SURRENDER, best);
        if best >= kernel.k_disp.kpreemptpri.get()
            && cp.cpu_kprunrun.get() == 0
            && !kernel.is_mutant(mutant::LOST_KPRUNRUN)
        {
            raise_kprunrun(cp, why::SURRENDER, best);
        }
    }
    fence(Ordering::SeqCst);
    probe::fire(Kind::Surrender, t, 0);
    if !core::ptr::eq(t, platform::curthread()) || t.lwp_state.get() != lwp::USER {
        t.aston();
        if !core::ptr::eq(cp, platform::cpu()) {
            poke_cpu(cp);
        }
    }
}

/// Sets `cpu_runrun`: what runs on `cp` is to give way on its way to user mode, for one of [`why`] and perhaps for
/// a priority, else -1. At `DISP_LEVEL` or above.
#[inline(always)]
pub(crate) fn raise_runrun(cp: &Cpu, why: u8, pri: i32) {
    if cp.cpu_runrun.get() == 0 {
        probe::fire(Kind::RunrunRaise, platform::curthread(), raised(cp.cpu_id, why, pri));
    }
    // Also if it seems to be set: `cp` may be clearing it.
    cp.cpu_runrun.set(1);
}

/// Sets `cpu_kprunrun`: what runs on `cp` is to give way at its next preemption point; see [`raise_runrun`]. At `DISP_LEVEL` or
/// above.
#[inline(always)]
pub(crate) fn raise_kprunrun(cp: &Cpu, why: u8, pri: i32) {
    if cp.cpu_kprunrun.get() == 0 {
        probe::fire(Kind::KprunrunRaise, platform::curthread(), raised(cp.cpu_id, why, pri));
    }
    cp.cpu_kprunrun.set(1);
}

/// Clears both flags of this CPU, which has made its choice. At `DISP_LEVEL` or above.
#[inline(always)]
pub(super) fn clear_flags(cp: &Cpu) {
    if probe::is_wanted() {
        note_cleared(cp);
    }
    cp.cpu_runrun.set(0);
    cp.cpu_kprunrun.set(0);
}

/// Clears `cpu_kprunrun` of this CPU, which is about to look at its queues for another reason. At `DISP_LEVEL` or above.
pub(super) fn clear_kprunrun(cp: &Cpu) {
    if cp.cpu_kprunrun.get() != 0 {
        probe::fire(Kind::KprunrunClear, platform::curthread(), u64::from(cp.cpu_id));
    }
    cp.cpu_kprunrun.set(0);
}

#[cold]
fn note_cleared(cp: &Cpu) {
    let (me, id) = (platform::curthread(), u64::from(cp.cpu_id));
    if cp.cpu_runrun.get() != 0 {
        probe::fire(Kind::RunrunClear, me, id);
    }
    if cp.cpu_kprunrun.get() != 0 {
        probe::fire(Kind::KprunrunClear, me, id);
    }
}

/// Makes `cp` take an interrupt, whose return path looks at the flags (`poke_cpu`).
pub(crate) fn poke_cpu(cp: &Cpu) {
    platform::cpu().cpu_stats.xcalls.bump();
    // Several CPUs may poke one. Relaxed: it is a count, and orders nothing.
    cp.cpu_pokes.fetch_add(1, Ordering::Relaxed);
    probe::fire(Kind::Poke, platform::curthread(), u64::from(cp.cpu_id));
    platform::poke(cp.cpu_id);
}

/// True if a better thread waits on the queue of `t`'s CPU or on the kp queue (`DISP_MUST_SURRENDER`).
pub fn must_surrender(t: &'static Kthread) -> bool {
    let pri = t.pri();
    let kpq = &t.part().cp_kp_queue;
    i32::from(t.disp_queue().disp_maxrunpri.get()) > pri || i32::from(kpq.disp_maxrunpri.get()) > pri
}
