//! `swtch`: choose the next thread and become it.
//!
//! # Invariants
//! - From `disp()` to the end of `finish_switch` the priority level is `DISP_LEVEL` or above.
//! - A CPU resumes a thread's context only while it holds the thread's `t_lock`. The new thread releases the old one's `t_lock`; it
//!   runs on its own stack by then.
//! - A CPU never waits for a `t_lock` while it holds another thread's: if the next thread is still being
//!   saved elsewhere, the CPU goes through its idle thread first. `resume` in Solaris uses the idle thread's stack for the same
//!   reason. Otherwise two CPUs that each want the thread that the other is leaving would wait for ever:
//!
//! ```text
//!   CPU 0                                CPU 1
//!   leaves a, holds t_lock of a           leaves b, holds t_lock of b
//!   next is b: waits for its t_lock       next is a: waits for its t_lock
//! ```

use core::sync::atomic::{Ordering, fence};

use super::resched::clear_flags;
use super::steal::{Best, disp_getbest, disp_getwork};
use super::{setbackdq, setfrontdq};
use crate::cell::{Cell, Counter};
use crate::disp::thread_unpin;
use crate::lock::{thread_lock_high, thread_unlock_high};
use crate::sys::cpu::{CPU_IDLE_PRI, disp_flag};
use crate::sys::spin::Spin;
use crate::sys::thread::{thread_onproc, thread_transition, ts};
use crate::sys::{Cpu, Disp, Kthread};
use crate::{mstate, platform, probe, spl};
use umpire_shared::event::{Kind, on_queue};
use umpire_shared::mutant;

/// How long the mutant that does not look again waits before it clears the flags: what comes meanwhile is forgotten. The mutant
/// that changes `t_lockp` unlocked waits so long at most, and so does one whose queue is never right between two choices.
const MUTANT_WINDOW_NS: u64 = 50_000;

/// Gives the CPU to the best thread, which may be the caller (`disp.c swtch`). Returns at level 0.
// Not inlined, and what it calls inlined into it, so that every stack of a thread that waits begins as in Solaris.
#[inline(never)]
pub fn swtch() {
    let t = platform::curthread();
    if let Some(pinned) = t.t_intr.get() {
        // The dispatcher does not choose here: the interrupted thread goes on, and comes onto its CPU without having waited.
        pinned.t_moves.set(pinned.t_moves.get().wrapping_add(1));
        thread_unpin(t, pinned);
        finish_switch();
        spl::spl0();
        return;
    }
    let next = disp();
    let cp = platform::cpu();
    cp.clear_disp_flags(disp_flag::DONTSTEAL);
    if core::ptr::eq(next, t) {
        let now = mstate::swtch_time(cp);
        mstate::restore_mstate(cp, t, now);
        if platform::kernel().is_mutant(mutant::STALE_WAITRQ) {
            // The thread has just lost its stamp. Nothing clears this one before it waits again (6840801).
            t.t_waitrq.set(now);
        }
        probe::fire(Kind::RemainCpu, t, 0);
        spl::spl0();
    } else {
        switch_to(t, next);
    }
}

/// Becomes `next`, which the idle loop has stolen (`disp.c swtch_to`). Called at `DISP_LEVEL` or above.
pub(super) fn swtch_to(next: &'static Kthread) {
    platform::cpu().clear_disp_flags(disp_flag::DONTSTEAL);
    switch_to(platform::curthread(), next);
}

/// The end of an interrupt thread that has blocked and is back in its pool: another thread runs. Called at `DISP_LEVEL` or
/// above; returns, at level 15, when an interrupt takes `t` from the pool.
pub(crate) fn swtch_from_intr(t: &'static Kthread) {
    let next = disp();
    platform::cpu().clear_disp_flags(disp_flag::DONTSTEAL);
    note_switch(t);
    leave(t, next);
}

#[inline(always)]
fn switch_to(t: &'static Kthread, next: &'static Kthread) {
    note_switch(t);
    resume(t, next);
    spl::spl0();
}

#[inline(always)]
fn note_switch(t: &'static Kthread) {
    let cp = platform::cpu();
    let lbolt = platform::kernel().lbolt.get();
    cp.cpu_stats.pswitch.bump();
    cp.cpu_last_swtch.set(lbolt);
    t.t_disp_time.set(lbolt);
    // The next interrupt pins a thread that has pinned none itself.
    cp.cpu_intrcnt.set(0);
}

/// Leaves `t` and continues `next` (`resume`); returns when `t` is continued.
#[inline(always)]
fn resume(t: &'static Kthread, next: &'static Kthread) {
    leave(t, next);
    finish_switch();
}

#[inline(always)]
fn leave(t: &'static Kthread, next: &'static Kthread) {
    let cp = platform::cpu();
    let is_free = next.try_claim_context();
    // The clock is read after the claim, so that the reading is later than that of the CPU that left `next`:
    //
    //   a CPU that leaves next              this CPU
    //   reads its clock
    //   releases the context of next
    //                                       claims the context of next
    //                                       reads its clock
    let now = mstate::swtch_time(cp);
    probe::fire_at(now, Kind::OffCpu, t, u64::from(next.t_did));
    mstate::mstate_off_cpu(t, now);
    if is_free {
        mstate::restore_mstate(cp, next, now);
        jump(cp, t, next);
    } else {
        let idle = cp.cpu_idle_thread.get().expect("invariant: a CPU has an idle thread");
        cp.cpu_switch_next.set(Some(next));
        if !core::ptr::eq(idle, t) {
            let claimed = idle.try_claim_context();
            assert!(claimed, "swtch: idle thread of CPU {} runs elsewhere", cp.cpu_id);
            jump(cp, t, idle);
        }
    }
}

/// What every thread does first when it is continued: releases the context of the thread that ran here before. If the idle thread
/// was only a stopover, it goes on to the thread of `cpu_switch_next`.
pub fn finish_switch() {
    loop {
        let cp = platform::cpu();
        if let Some(prev) = cp.cpu_switch_prev.get() {
            cp.cpu_switch_prev.set(None);
            prev.release_context();
        }
        let me = platform::curthread();
        let Some(next) = cp.cpu_switch_next.get() else {
            probe::fire_at(cp.cpu_ms.cpu_swtch_time.get(), Kind::OnCpu, me, 0);
            return;
        };
        debug_assert!(cp.cpu_idle_thread.is(me), "only the idle thread is a stopover");
        cp.cpu_switch_next.set(None);
        let mut spin = Spin::for_word(&next.t_lock);
        while !next.try_claim_context() {
            spin.turn();
        }
        // Before the jump: this thread may come back on another CPU.
        drop(spin);
        mstate::restore_mstate(cp, next, mstate::swtch_time(cp));
        jump(cp, me, next);
    }
}

/// Makes `to` the thread that runs here; returns when `from` is continued. At `DISP_LEVEL` or above, with both `t_lock`s held; the
/// thread that is continued releases that of `cpu_switch_prev`.
#[inline]
pub(crate) fn jump(cp: &'static Cpu, from: &'static Kthread, to: &'static Kthread) {
    cp.cpu_switch_prev.set(Some(from));
    // Other CPUs' mutex_enter asks "does the owner run?" by reading this; the barrier pairs with mutex_exit, whose look at the waiters
    // bit must not come before it.
    cp.cpu_thread.set_with_barrier(Some(to));
    platform::set_curthread(to);
    platform::switch(from, to);
}

/// Chooses the thread that runs next here (`disp.c disp`). Returns at `DISP_LEVEL`, with the choice noted in `cpu_dispthread`.
fn disp() -> &'static Kthread {
    spl::splhigh();
    let kpq = &platform::cpu().part().cp_kp_queue;
    loop {
        let cp = platform::cpu();
        while let pri = kpq.disp_maxrunpri.get()
            && pri >= 0
            && pri >= cp.cpu_disp.disp_maxrunpri.get()
            && !cp.is_offline()
        {
            let Best::Thread(t) = disp_getbest(kpq) else { break };
            if disp_ratify(t, kpq) {
                return t;
            }
        }
        if let Some(t) = take_local(cp) {
            if disp_ratify(t, kpq) {
                return t;
            }
            let kernel = platform::kernel();
            if kernel.is_mutant(mutant::STALE_MAXRUNPRI) || kernel.is_mutant(mutant::WRONG_QACTMAP) {
                // The mutant's queue promises a better thread for ever. The loop does not run at full speed, because a reader from
                // outside must find the lock free.
                platform::spin(MUTANT_WINDOW_NS);
            }
            continue;
        }
        if !cp.is_offline()
            && let Best::Thread(t) = getwork_unmasked(cp)
        {
            return t;
        }
        return choose_idle(cp);
    }
}

/// Looks for other CPUs' work with interrupts open, as they will be when `swtch` returns to its caller. Returns at `DISP_LEVEL`.
/// A wake-up that comes meanwhile finds a CPU that is still looking; the idle loop finds what it brings, at the latest.
///
/// An interrupt thread that has ended looks with interrupts masked: it is in the pool already, and the next interrupt would
/// take it while it is still on its stack.
fn getwork_unmasked(cp: &'static Cpu) -> Best {
    let t = platform::curthread();
    if t.t_state.get() == ts::FREE {
        return disp_getwork(cp);
    }
    t.t_preempt.set(t.t_preempt.get() + 1);
    spl::spl0();
    let best = disp_getwork(cp);
    spl::splhigh();
    t.t_preempt.set(t.t_preempt.get() - 1);
    best
}

/// Takes the best of the CPU's own queue.
fn take_local(cp: &'static Cpu) -> Option<&'static Kthread> {
    let dp = &cp.cpu_disp;
    dp.disp_lock.enter_high();
    let Some((t, pri)) = dp.pop() else {
        dp.disp_lock.exit_high();
        return None;
    };
    probe::fire(Kind::Dequeue, t, on_queue(Some(cp.cpu_id), false));
    cp.cpu_dispthread.set(Some(t));
    cp.cpu_dispatch_pri.set(pri as i16);
    count_migration(cp, t);
    if platform::kernel().is_mutant(mutant::UNLOCKED_LOCKP) {
        onproc_unlocked(t, cp, dp);
    } else {
        thread_onproc(t, cp);
        dp.disp_lock.exit_high();
    }
    Some(t)
}

/// What the mutant does that changes `t_lockp` when it does not hold the old lock any more (6294464). It waits until another CPU
/// has that lock, or for its time at most:
///
/// ```text
///   this CPU                                CPU B
///   releases disp_lock
///   waits until disp_lock is held            thread_lock(t) takes disp_lock, which t_lockp names
///   t_lockp = its cpu_thread_lock
///                                            thread_unlock(t) releases a lock that CPU B does not hold
/// ```
#[cold]
fn onproc_unlocked(t: &'static Kthread, cp: &'static Cpu, dp: &'static Disp) {
    t.t_cpu.set(Some(cp));
    t.t_state.set(ts::ONPROC);
    dp.disp_lock.exit_high();
    let until = platform::now() + MUTANT_WINDOW_NS;
    while !dp.disp_lock.is_held() && platform::now() < until {
        platform::interleave();
    }
    thread_onproc(t, cp);
}

fn choose_idle(cp: &'static Cpu) -> &'static Kthread {
    let idle = cp.cpu_idle_thread.get().expect("invariant: a CPU has an idle thread");
    cp.cpu_dispthread.set(Some(idle));
    if platform::kernel().is_mutant(mutant::BORROWED_DISPTHREAD) {
        let cpus = &platform::kernel().k_cpus;
        cp.cpu_dispthread.set(cpus[(cp.cpu_id as usize + 1) % cpus.len()].cpu_dispthread.get());
    }
    cp.cpu_dispatch_pri.set(CPU_IDLE_PRI);
    clear_flags(cp);
    cp.cpu_chosen_level.set(-1);
    cp.cpu_stats.idlethread.bump();
    idle
}

/// Clears the flags that asked for this choice, then makes sure that it is still right: a better thread may have come between
/// the choice and the clearing (`disp.c disp_ratify`), or `t` may not run here any more. False: `t` is back on a queue.
pub(super) fn disp_ratify(t: &'static Kthread, kpq: &'static Disp) -> bool {
    let cp = platform::cpu();
    let is_blind = platform::kernel().is_mutant(mutant::NO_RATIFY);
    if is_blind || platform::kernel().is_mutant(mutant::RATIFY_TO_BACK) {
        platform::spin(MUTANT_WINDOW_NS);
    }
    clear_flags(cp);
    if cp.cpu_chosen_level.get() != -1 {
        cp.cpu_chosen_level.set(-1);
    }
    // The flags are cleared before disp_maxrunpri is read: see the picture in `enqueue`.
    fence(Ordering::SeqCst);
    platform::interleave();
    if is_blind {
        return true;
    }
    let best = cp.cpu_disp.disp_maxrunpri.get().max(kpq.disp_maxrunpri.get());
    if i32::from(best) <= t.pri() && belongs_here(t, cp) {
        return true;
    }
    if cp.is_offline() && platform::kernel().is_mutant(mutant::STRANDED_QUEUE) {
        // An offline CPU takes nothing from the kp queue, and yet puts its own choice back as long as a thread waits there: one
        // by one, the threads that the mutant has left behind would go to the CPUs that are online.
        return true;
    }
    let me = platform::curthread();
    cp.cpu_dispthread.set(Some(me));
    cp.cpu_dispatch_pri.set(me.pri() as i16);
    thread_lock_high(t);
    thread_transition(t);
    if platform::kernel().is_mutant(mutant::RATIFY_TO_BACK) {
        setbackdq(t);
    } else {
        setfrontdq(t);
    }
    thread_unlock_high(t);
    false
}

/// False if `t` was bound to another CPU, or moved to another partition, after it was put on the queue that it was chosen from:
///
/// ```text
///   this CPU                                  CPU B
///   chooses t, which is TS_ONPROC now
///                                             binds t to another CPU           (leave_cpu)
///                                             (full barrier)
///                                             t is TS_ONPROC: sets the flags here, pokes
///   disp_ratify clears the flags
///   (full barrier)
///   reads the binding of t: it does not belong here
/// ```
/// If the flags are set after disp_ratify has cleared them, they stay set, and `t` leaves at its next preemption point.
#[inline(always)]
fn belongs_here(t: &Kthread, cp: &Cpu) -> bool {
    match t.t_weakbound_cpu.get().or_else(|| t.t_bound_cpu.get()) {
        Some(bound) => core::ptr::eq(bound, cp),
        // A partition without a CPU sends its threads where they were.
        None => t.t_cpupart.is(cp.part()) || t.part().cp_ncpus.get() == 0,
    }
}

/// Counts a thread that comes from another CPU; called before `t_cpu` changes.
pub(super) fn count_migration(cp: &'static Cpu, t: &Kthread) {
    if !t.t_cpu.is(cp) {
        cp.cpu_stats.cpumigrate.bump();
    }
}
