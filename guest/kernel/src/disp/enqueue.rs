//! `setbackdq`, `setfrontdq`, `setkpdq`: onto which queue a runnable thread goes.
//!
//! # Invariants
//! - The caller has the thread locked, in transition, at `DISP_LEVEL` or above. Afterwards it is `TS_RUN`, locked by
//!   its queue's `disp_lock`.
//! - `cpu_resched` is called only when the level was empty *and* `disp_maxrunpri` rises; a second 99 behind a 99
//!   triggers nothing. `setkpdq` alone always calls it.
//! - An unbound thread at `kpqpri` or better is never on a CPU's queue, unless there is one CPU.
//! - A `QUIESCED` CPU's own interrupt threads are the only ones that are enqueued on it: that is 6256245.
//! - `t_waitrq` is stamped here if it is 0, before another CPU can take the thread, and cleared by the CPU that then runs the
//!   thread (`restore_mstate`). So a thread has one stamp a wait, however often it changes its queue or its place there
//!   meanwhile. disp.c stamps a thread that requeues itself only in `swtch` (6840801):
//!
//! ```text
//!   CPU A, in disp.c                     CPU B
//!   the thread requeues itself, unstamped
//!                                        steals the thread and runs it
//!   swtch stamps the thread, which waits no more
//! ```
//!
//! # What is not here
//! Swapped-out threads (`TS_LOAD`) and SMT exclusion.

use core::sync::atomic::{Ordering, fence};

use super::idle::disp_enq_thread;
use super::queue::End;
use super::{RUNQ_MATCH_PRI, cpu_resched, disp_lowpri_cpu, dispdeq};
use crate::cell::Cell;
use crate::disp::cmt::cmt_balance;
use crate::lock::thread_unlock_high;
use crate::sys::cpu::disp_flag;
use crate::sys::thread::{role, schedflag, thread_run, ts};
use crate::sys::{Cpu, Disp, Kthread};
use crate::{mstate, platform, probe};
use umpire_shared::event::{Kind, on_queue};
use umpire_shared::{mutant, tunable};

/// Puts `t` behind the others of its priority (`disp.c setbackdq`).
pub fn setbackdq(t: &'static Kthread) {
    let pri = t.pri();
    let cp = match fixed_cpu(t) {
        Some(_) if is_mislaid(t) => disp_lowpri_cpu(t.cpu(), t, pri),
        Some(cp) => cp,
        None if is_for_kpq(pri) => return setkpdq(t, End::Back),
        None if is_at_home(t) && is_cache_warm(t) && !is_in_motion(t.cpu()) => {
            balance(cmt_balance(t, t.cpu()), t, pri)
        }
        None if !t.part().has_online(t.cpu()) => other_partition_cpu(t),
        None => balance(cmt_balance(t, disp_lowpri_cpu(t.cpu(), t, pri)), t, pri),
    };
    enqueue(cp, t, pri, End::Back);
}

/// Puts `t` before the others of its priority (`disp.c setfrontdq`).
pub fn setfrontdq(t: &'static Kthread) {
    let pri = t.pri();
    t.t_front_wait.set(t.t_runs.get().wrapping_add(1));
    t.t_moves.set(t.t_moves.get().wrapping_add(1));
    let cp = match fixed_cpu(t) {
        Some(cp) => cp,
        None if is_for_kpq(pri) => return setkpdq(t, End::Front),
        None if is_at_home(t) && may_return(t, pri) => t.cpu(),
        None if !t.part().has_online(t.cpu()) => other_partition_cpu(t),
        None => disp_lowpri_cpu(t.cpu(), t, pri),
    };
    enqueue(cp, t, pri, End::Front);
}

/// Puts an unbound thread on the partition's kp queue (`disp.c setkpdq`).
///
/// The kp queue's lock, which is `t`'s lock by then, stays held while a CPU queue's lock is taken: kp queue before CPU queue.
fn setkpdq(t: &'static Kthread, end: End) {
    let kpq = &t.part().cp_kp_queue;
    let pri = t.pri();
    stamp_waitrq(t);
    kpq.disp_lock.enter_high();
    probe::fire(Kind::Enqueue, t, on_queue(None, end == End::Front));
    thread_run(t, &kpq.disp_lock);
    t.t_disp_queue.set(Some(kpq));
    if kpq.insert(t, pri, end) {
        raise(&kpq.disp_max_unbound_pri, pri);
        raise(&kpq.disp_maxrunpri, pri);
    }
    // The barrier is the one of `enqueue`. It is needed even if the level was not empty: the enqueue that filled the level looked at
    // another CPU's words.
    fence(Ordering::SeqCst);
    // The base priority, as disp.c passes it: a quirk that aims a thread that inherits as if it did not.
    let cp = disp_lowpri_cpu(t.cpu(), t, i32::from(t.t_pri.get()));
    cp.cpu_disp.disp_lock.enter_high();
    raise(&cp.cpu_chosen_level, pri);
    if !platform::kernel().is_mutant(mutant::UNASKED_KP) {
        cpu_resched(cp, pri);
    }
    cp.cpu_disp.disp_lock.exit_high();
    disp_enq_thread(cp, false);
}

/// Puts every unbound thread of `cp`'s queue on other CPUs' queues (`disp_cpu_inactive`). Called with the CPUs paused, when `cp` is
/// off its partition's list and is the last CPU of no thread but those bound to it.
pub fn disp_cpu_inactive(cp: &'static Cpu) {
    if platform::kernel().is_mutant(mutant::STRANDED_QUEUE) {
        return;
    }
    let dp = &cp.cpu_disp;
    loop {
        dp.disp_lock.enter_high();
        let Some(t) = dp.best_unbound() else {
            dp.disp_max_unbound_pri.set(-1);
            dp.disp_lock.exit_high();
            return;
        };
        // The queue's lock is the thread's: dispdeq releases it.
        dispdeq(t);
        setbackdq(t);
        thread_unlock_high(t);
    }
}

/// A strong binding of `t`, which is locked, is about to be removed: if it waits to run, other CPUs may take it from
/// now on (`disp_adjust_unbound_pri`).
pub fn disp_adjust_unbound_pri(t: &'static Kthread) {
    if t.t_state.get() == ts::RUN {
        raise(&t.disp_queue().disp_max_unbound_pri, t.pri());
    }
}

fn enqueue(cp: &'static Cpu, t: &'static Kthread, pri: i32, end: End) {
    let is_self = core::ptr::eq(t, platform::curthread());
    let is_bound = t.is_bound();
    debug_assert!(t.is_intr() || !cp.is_quiesced(), "enqueue on a quiesced CPU");
    stamp_waitrq(t);
    let dp: &'static Disp = &cp.cpu_disp;
    dp.disp_lock.enter_high();
    probe::fire(Kind::Enqueue, t, on_queue(Some(cp.cpu_id), end == End::Front));
    thread_run(t, &dp.disp_lock);
    t.t_disp_queue.set(Some(dp));
    let was_empty = dp.insert(t, pri, end);
    if was_empty && pri > i32::from(dp.disp_maxrunpri.get()) {
        dp.disp_maxrunpri.set(pri as i16);
        // The two barriers make sure that disp_ratify reads the new disp_maxrunpri, or cpu_resched the cleared flags, or both:
        //
        //   this CPU                            cp, in disp_ratify
        //   disp_maxrunpri = pri                 cpu_runrun = cpu_kprunrun = 0
        //   (full barrier)                       (full barrier)
        //   cpu_resched sets the flags           reads disp_maxrunpri
        fence(Ordering::SeqCst);
        platform::interleave();
        cpu_resched(cp, pri);
    }
    if !is_bound && pri > i32::from(dp.disp_max_unbound_pri.get()) {
        if is_self && dp.disp_max_unbound_pri.get() == -1 && core::ptr::eq(cp, platform::cpu()) {
            // The thread is about to be picked again by its own swtch: not worth stealing.
            cp.set_disp_flags(disp_flag::DONTSTEAL);
        }
        dp.disp_max_unbound_pri.set(pri as i16);
    }
    disp_enq_thread(cp, is_bound);
}

/// The CPU on whose queue `t` has to be: the only one there is, or the one that it is bound to; weak wins over strong.
#[inline(always)]
fn fixed_cpu(t: &Kthread) -> Option<&'static Cpu> {
    match platform::kernel().k_ncpus {
        1 => Some(t.cpu()),
        _ => t.t_weakbound_cpu.get().or_else(|| t.t_bound_cpu.get()),
    }
}

/// True if a mutant does not look at the binding of `t`. Each CPU keeps its own threads.
#[inline(always)]
fn is_mislaid(t: &Kthread) -> bool {
    platform::kernel().is_mutant(mutant::BOUND_ANYWHERE) && t.t_role.get() == role::SCENARIO
}

/// True if an unbound thread of this priority goes to the partition's kp queue.
#[inline(always)]
fn is_for_kpq(pri: i32) -> bool {
    pri >= platform::kernel().k_disp.kpqpri.get()
}

/// True if `t` last ran on a CPU of its home, which is then of its partition and online. A thread that is at home everywhere is at
/// home on every online CPU of its partition.
#[inline(always)]
fn is_at_home(t: &Kthread) -> bool {
    t.lpl().has_online(t.cpu())
}

/// True if `t` may go back to the front of its CPU's queue: the CPU stays, and either no better thread waits there or its caches
/// still know `t`.
fn may_return(t: &'static Kthread, pri: i32) -> bool {
    let cp = t.cpu();
    !is_in_motion(cp) && (pri >= i32::from(cp.cpu_disp.disp_maxrunpri.get()) || is_cache_warm(t))
}

/// True if `t` ran so lately that its CPU's caches still know it (`disp.c THREAD_HAS_CACHE_WARMTH`).
fn is_cache_warm(t: &'static Kthread) -> bool {
    let kernel = platform::kernel();
    core::ptr::eq(t, platform::curthread())
        || kernel.lbolt.get().saturating_sub(t.t_disp_time.get())
            <= kernel.tunable(tunable::RECHOOSE_INTERVAL) as u64
}

/// True if `cp` is about to be taken away.
#[inline(always)]
fn is_in_motion(cp: &Cpu) -> bool {
    platform::kernel().k_disp.cpu_inmotion.is(cp)
}

/// A CPU for a thread that last ran where it may not run any more. It is chosen by the base priority, as disp.c passes it.
#[cold]
fn other_partition_cpu(t: &'static Kthread) -> &'static Cpu {
    disp_lowpri_cpu(t.cpu(), t, i32::from(t.t_pri.get()))
}

/// Takes the next CPU instead of `cp` if `t` would wait there behind fewer (`disp.c setbackdq`, run-queue balance): the next of
/// `cp`'s leaf, or of the partition if `cp` is alone in its leaf or `t` is at home everywhere. A CPU in motion is not taken: an
/// enqueue that looked at the lists before that CPU left them may put its thread there after the CPU's queue was emptied.
fn balance(cp: &'static Cpu, t: &Kthread, pri: i32) -> &'static Cpu {
    let kernel = platform::kernel();
    let mut len = i64::from(cp.cpu_disp.level(pri).dq_sruncnt.get());
    if pri >= RUNQ_MATCH_PRI && t.t_schedflag.get() & schedflag::RUNQMATCH == 0 {
        len -= kernel.tunable(tunable::RUNQ_MAX_DIFF);
    }
    if len <= 0 {
        return cp;
    }
    let near = if t.lpl().is_root() { cp } else { cp.lpl().ring(cp.cpu_id + 1).next().unwrap_or(cp) };
    let next = if core::ptr::eq(near, cp) { t.part().ring(cp.cpu_id + 1).next().unwrap_or(cp) } else { near };
    let is_better = i64::from(next.cpu_disp.level(pri).dq_sruncnt.get()) < len && !is_in_motion(next);
    if is_better { next } else { cp }
}

#[inline(always)]
fn stamp_waitrq(t: &Kthread) {
    if t.t_waitrq.get() == 0 {
        t.t_waitrq.set(mstate::mstate_enqueue(t).max(1));
    }
}

#[inline(always)]
fn raise(cell: &core::sync::atomic::AtomicI16, pri: i32) {
    if pri > i32::from(cell.get()) {
        cell.set(pri as i16);
    }
}
