//! Giving the CPU up because a better thread waits: `preempt` and `kpreempt`.
//!
//! # Invariants
//! - `cpu_kprunrun` is looked at in exactly these places: return from interrupt to kernel mode (`intr/dispatch.rs`),
//!   `kpreempt_enable`, `disp_lock_exit` and `thread_unlock`, and explicit `kpreempt_sync` calls.
//! - `cpu_runrun` is looked at only on the way to user mode (`intr/user.rs`), and by `kpreempt_aggressively`.

use core::sync::atomic::{Ordering, fence};

use crate::cell::{Cell, Counter};
use crate::lock::{thread_lock, thread_unlock_high, thread_unlock_nopreempt};
use crate::spl::siron;
use crate::sys::thread::{thread_transition, ts};
use crate::sys::{Cpu, Kthread, class};
use crate::{platform, probe, spl};
use umpire_shared::event::Kind;
use umpire_shared::mutant;
use umpire_shared::sys::machlock::{DISP_LEVEL, LOCK_LEVEL};

use super::resched::clear_kprunrun;
use super::swtch;

/// `asyncspl` of a synchronous call: no level to go back to.
pub const KPREEMPT_SYNC: i32 = -1;

/// Puts the current thread back on a run queue and switches (`disp.c preempt`).
pub fn preempt() {
    let t = platform::curthread();
    thread_lock(t);
    let cp = platform::cpu();
    if t.t_state.get() != ts::ONPROC || !t.t_disp_queue.is(&cp.cpu_disp) {
        // The thread is asleep already, or chosen elsewhere: the code that put it to sleep, or the CPU that chose it, will look at
        // the queues.
        clear_kprunrun(cp);
        thread_unlock_nopreempt(t);
        return;
    }
    if probe::is_wanted() {
        note_taken(t, cp);
    }
    t.t_nivcsw.bump();
    cp.cpu_stats.inv_swtch.bump();
    thread_transition(t);
    class::cl_preempt(t);
    probe::fire(Kind::Preempt, t, 0);
    // The level stays high until swtch has chosen.
    crate::lock::thread_unlock_high(t);
    swtch();
}

/// Records for which flag the thread leaves; it may leave for none.
#[cold]
fn note_taken(t: &'static Kthread, cp: &Cpu) {
    if cp.cpu_kprunrun.get() != 0 {
        probe::fire(Kind::KprunrunTake, t, u64::from(cp.cpu_id));
    } else if cp.cpu_runrun.get() != 0 {
        probe::fire(Kind::RunrunTake, t, u64::from(cp.cpu_id));
    }
}

/// "Let any thread that is strictly better run now" (`kpreempt(KPREEMPT_SYNC)`).
pub fn kpreempt_sync() {
    kpreempt(KPREEMPT_SYNC);
}

/// Preempts the current thread in the kernel if that is allowed now (`i86pc trap.c kpreempt`). `asyncspl` is
/// [`KPREEMPT_SYNC`], or the level of the interrupt's return; it only decides what is counted. The body runs at least once,
/// whatever `cpu_kprunrun` says.
///
/// Returns false if it was refused: the flag stays set, and is looked at again elsewhere.
pub fn kpreempt(asyncspl: i32) -> bool {
    let t = platform::curthread();
    let level = spl::own_level();
    loop {
        let cp = platform::cpu();
        // Interrupt threads and idle threads have t_preempt raised for ever.
        if t.t_preempt.get() != 0 {
            refuse(t);
            return false;
        }
        if t.t_state.get() != ts::ONPROC || !t.t_disp_queue.is(&cp.cpu_disp) {
            cp.cpu_stats.kpc_notonproc.bump();
            if !is_dispthread_running() {
                cp.cpu_stats.kpc_inswtch.bump();
                siron();
            }
            return false;
        }
        if level >= DISP_LEVEL {
            if !platform::kernel().is_mutant(mutant::UNPOSTED_REFUSAL) {
                siron();
            }
            cp.cpu_stats.kpc_prilevel.bump();
            return false;
        }
        if asyncspl == KPREEMPT_SYNC {
            cp.cpu_stats.kpc_spreempt.bump();
        } else {
            cp.cpu_stats.kpc_apreempt.bump();
        }
        t.t_preempt.set(t.t_preempt.get() + 1);
        preempt();
        t.t_preempt.set(t.t_preempt.get() - 1);
        // swtch returns at level 0.
        spl::splx(level);
        if platform::cpu().cpu_kprunrun.get() == 0 {
            return true;
        }
    }
}

/// `t_preempt` forbids a preemption: counts the reason, and sees to it that the flags are looked at again.
fn refuse(t: &'static Kthread) {
    let cp = platform::cpu();
    let stats = &cp.cpu_stats;
    if t.t_pri.get() < 0 {
        stats.kpc_idle.bump();
        if !is_dispthread_running() {
            siron();
        }
    } else if t.is_intr() {
        // The return to the thread at the bottom of the pinned threads looks at the flags again.
        stats.kpc_intr.bump();
        if u32::from(t.t_pil.get()) == LOCK_LEVEL {
            stats.kpc_clock.bump();
        }
    } else {
        stats.kpc_blocked.bump();
        if !is_dispthread_running() {
            siron();
        }
    }
    if let Some(d) = cp.cpu_dispthread.get() {
        d.aston();
    }
}

fn is_dispthread_running() -> bool {
    let cp = platform::cpu();
    cp.cpu_dispthread.get().is_some_and(|d| cp.cpu_thread.is(d))
}

/// `kpreempt_aggressively` as #1532 proposed it: until [`kpreempt_normally`], a thread that is strictly better
/// preempts the caller in the kernel, whatever `kpreemptpri` says. A thread that was better already, and for which only
/// `cpu_runrun` was set, goes first at once: nothing would ask again on its behalf.
pub fn kpreempt_aggressively() {
    platform::curthread().t_aggressive.set(1);
    // At least one of the two sees what the other wrote:
    //
    //   this thread                               a CPU in cpu_resched
    //   t_aggressive = 1                           cpu_runrun = 1
    //   (full barrier)                             (full barrier)
    //   cpu_runrun? -> yes: preempts itself        t_aggressive? -> yes: sets cpu_kprunrun, pokes
    fence(Ordering::SeqCst);
    platform::interleave();
    if platform::cpu().cpu_runrun.get() != 0 {
        kpreempt_sync();
    }
}

/// Ends [`kpreempt_aggressively`].
pub fn kpreempt_normally() {
    platform::curthread().t_aggressive.set(0);
}

/// Gives the CPU up; the caller's class decides behind which threads the caller queues (`yield`).
pub fn thread_yield() {
    let t = platform::curthread();
    thread_lock(t);
    thread_transition(t);
    class::cl_yield(t);
    let old = t.t_oldspl.get();
    thread_unlock_high(t);
    swtch();
    spl::splx(old);
}
