//! Interrupt threads: handlers of level 1 to `LOCK_LEVEL` run on a thread of their own, on top of the thread that they
//! interrupted (`i86pc intr.c intr_thread_prolog`, `intr_thread_epilog`; `thread_intr.c`).
//!
//! The interrupted thread is *pinned*: it is still what the dispatcher chose (`cpu_dispthread`), its context is saved, its
//! `t_lock` is held, and no other CPU may run it. An interrupt thread that blocks, or is preempted by the rule of
//! `handler_done`, becomes an ordinary thread (*passivation*): the pinned thread goes on, and the interrupt thread later waits
//! its turn on its CPU's queue.
//!
//! ```text
//!   pinned thread                          interrupt thread
//!   intr_thread: take from pool, pin  -->  intr_thread_main: lower to the level, handle
//!                                             |-- done:    back to the pool
//!                                             `-- blocked: swtch -> thread_unpin, t_intr = NULL
//!   goes on, at max(old, base)        <--  jump
//!                                          ... dispatched, handles the rest, ends: pool, swtch_from_intr
//! ```
//!
//! # Invariants
//! - A thread is in the pool, or handles a level whose bit in `cpu_intr_actv` is set; the bit is cleared when the handler is
//!   done, however long it was blocked. A level whose thread is blocked is masked by `cpu_base_spl`, so no level ever needs
//!   two threads and [`umpire_shared::roster::INTR_THREADS`] suffice.
//! - `cpu_base_spl` changes in two places: when an interrupt thread leaves the thread that it pinned, and when an interrupt
//!   thread ends that had done so. An ordinary interrupt leaves it alone (facts 6.2).
//! - Pool, `t_intr` and `cpu_thread` change at level 15, on the CPU that they belong to: between taking an interrupt and
//!   running on its thread nothing comes in, so no nested return path finds the interrupted thread half pinned.
//! - `t_lock` of a thread in the pool is free. The entry takes it; the thread that runs next after the interrupt thread releases
//!   it.

use crate::cell::{Cell, Counter};
use crate::disp::{jump, preempt, set_base_spl, swtch_from_intr};
use crate::sys::cpu::flag;
use crate::sys::thread::{lms, thread_freeintr, thread_onproc, ts};
use crate::sys::{Cpu, Kthread};
use crate::{mstate, platform, probe};
use umpire_shared::event::{Kind, raised, why};
use umpire_shared::tunable;

use super::dispatch::handle_low;
use super::intrload;
use crate::spl;

/// Handles an interrupt of `level`, 1 to `LOCK_LEVEL`, on an interrupt thread; returns, at level 15, when that is done or
/// has blocked. Called at level 15.
///
/// # Panics
/// If the CPU has no free interrupt thread, which means that a level was taken while it was active.
pub(super) fn intr_thread(level: u32) {
    let cp = platform::cpu();
    let me = platform::curthread();
    let it = take(cp);
    cp.cpu_stats.intr.bump();
    cp.cpu_stats.intrthread.bump();
    let interrupted = mstate::intr_begin(cp, level);
    mstate::new_mstate(it, lms::SYSTEM, interrupted.since);
    cp.cpu_intr_actv.set(cp.cpu_intr_actv.get() | 1 << level);
    it.t_intr.set(Some(me));
    it.t_pil.set(level as u8);
    it.t_pri.set((platform::kernel().intr_pri() + level as i32) as i16);
    thread_onproc(it, cp);
    probe::fire_at(interrupted.since, Kind::IntrBegin, it, u64::from(level));
    jump(cp, me, it);
    release_prev(cp);
    let now = mstate::intr_end(cp, level, &interrupted);
    probe::fire_at(now, Kind::IntrEnd, it, u64::from(level));
    if it.t_state.get() == ts::FREE {
        mstate::new_mstate(it, lms::STOPPED, now);
    } else {
        probe::fire_at(now, Kind::OnCpu, me, 0);
    }
    if !me.is_intr() {
        intrload::account(cp, interrupted.since, now);
    }
}

/// The loop of an interrupt thread: each turn is one interrupt.
pub fn intr_thread_main() -> ! {
    let it = platform::curthread();
    loop {
        let level = u32::from(it.t_pil.get());
        spl::splx(level);
        handle_low(level);
        end(it);
    }
}

/// Puts a thread that handles nothing into its CPU's pool.
pub fn intr_thread_free(it: &'static Kthread, cp: &'static Cpu) {
    thread_freeintr(it, cp);
    it.t_link.set(cp.cpu_intr_thread.get());
    cp.cpu_intr_thread.set(Some(it));
}

/// The handler is done (`intr_thread_epilog`). Returns, at level 15, when the next interrupt takes `it`.
fn end(it: &'static Kthread) {
    platform::set_pil(15);
    let cp = platform::cpu();
    cp.cpu_intr_actv.set(cp.cpu_intr_actv.get() & !(1 << it.t_pil.get()));
    if let Some(pinned) = it.t_intr.get() {
        it.t_intr.set(None);
        intr_thread_free(it, cp);
        jump(cp, it, pinned);
    } else {
        cp.cpu_stats.intrblk.bump();
        set_base_spl(cp);
        // It is in the pool before it has left its stack; until it has left, the level is too high for an interrupt to take it.
        intr_thread_free(it, cp);
        mstate::mstate_stop(it);
        swtch_from_intr(it);
    }
}

/// Called after each handler, on the interrupt thread. This is SPARC's rule that limits how many interrupts may run on top of
/// one thread. At the limit the interrupt thread is preempted, and so on down the chain of pinned threads; the thread at the
/// bottom preempts itself and may move to another CPU (`sun4 interrupt.s intr_thread`).
pub(super) fn handler_done() {
    let kernel = platform::kernel();
    let limit = kernel.tunable(tunable::INTRCNT_LIMIT) as u32;
    let it = platform::curthread();
    if limit == 0 || !it.is_intr() {
        return;
    }
    let cp = platform::cpu();
    let is_quiesced = cp.cpu_flags.get() & flag::QUIESCED != 0;
    if is_quiesced && kernel.tunable(tunable::INTR_QUIESCE_CHECK) != 0 {
        // The idle thread of a quiesced CPU never looks at its queue: this interrupt thread would never go on (6256245).
        return;
    }
    if it.t_intr.is_null() {
        if cp.cpu_kprunrun.get() != 0 {
            preempt();
        }
        return;
    }
    let count = cp.cpu_intrcnt.get() + 1;
    if count <= limit {
        cp.cpu_intrcnt.set(count);
    }
    if count == limit {
        if cp.cpu_kprunrun.get() == 0 {
            probe::fire_masked(Kind::KprunrunRaise, raised(cp.cpu_id, why::UNPIN, -1));
        }
        cp.cpu_kprunrun.set(1);
        cp.cpu_stats.intrunpin.bump();
    }
    if count >= limit {
        preempt();
    }
}

fn take(cp: &'static Cpu) -> &'static Kthread {
    let it = cp.cpu_intr_thread.get();
    let it = it.unwrap_or_else(|| panic!("intr_thread: CPU {} has no free interrupt thread", cp.cpu_id));
    cp.cpu_intr_thread.set(it.t_link.get());
    it.t_link.set(None);
    let claimed = it.try_claim_context();
    assert!(claimed, "intr_thread: thread {} of the pool still runs", it.t_did);
    it
}

/// Frees the context of the interrupt thread that control came from.
fn release_prev(cp: &Cpu) {
    if let Some(prev) = cp.cpu_switch_prev.get() {
        cp.cpu_switch_prev.set(None);
        prev.release_context();
    }
}
