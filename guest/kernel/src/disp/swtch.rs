//! `swtch`: choose the next thread and become it.
//!
//! # Invariants
//! - From `disp()` to the end of `finish_switch` the priority level is `DISP_LEVEL` or above.
//! - A thread's context is resumed only by who holds its `t_lock`. The old thread's is released by the new one, which runs
//!   on its own stack by then.
//! - A CPU never waits for a `t_lock` while it holds another thread's: if the next thread is still being
//!   saved elsewhere, it goes through its idle thread first. (Two CPUs that each want the thread the other is leaving would
//!   otherwise wait for ever; `resume` in Solaris uses the idle thread's stack for the same reason.)

use core::sync::atomic::{Ordering, fence};

use super::steal::{Best, disp_getbest, disp_getwork};
use super::{Disp, setfrontdq};
use crate::cell::{Cell, Counter};
use crate::cpu::{CPU_IDLE_PRI, Cpu, disp_flag};
use crate::intr::spl;
use crate::lock::{thread_lock_high, thread_unlock_high};
use crate::thread::{Kthread, thread_onproc, thread_transition};
use crate::{platform, probe};
use umpire_shared::event::Kind;

/// Gives the CPU to the best thread, which may be the caller (`disp.c swtch`). Returns at level 0.
// Not inlined, and what it calls inlined into it, so that every stack of a thread that waits begins as in Solaris.
#[inline(never)]
pub fn swtch() {
    let t = platform::curthread();
    let next = disp();
    platform::cpu().clear_disp_flags(disp_flag::DONTSTEAL);
    if core::ptr::eq(next, t) {
        t.t_waitrq.set(0);
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

#[inline(always)]
fn switch_to(t: &'static Kthread, next: &'static Kthread) {
    let cp = platform::cpu();
    let lbolt = platform::kernel().lbolt.get();
    cp.cpu_stats.pswitch.bump();
    cp.cpu_last_swtch.set(lbolt);
    t.t_disp_time.set(lbolt);
    resume(t, next);
    spl::spl0();
}

/// Leaves `t` and continues `next` (`resume`); returns when `t` is continued.
#[inline(always)]
fn resume(t: &'static Kthread, next: &'static Kthread) {
    let cp = platform::cpu();
    probe::fire(Kind::OffCpu, t, u64::from(next.t_did));
    if next.try_claim_context() {
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
    finish_switch();
}

/// What every thread does first when it is continued: frees the context it came from. The idle thread goes on to
/// whoever it was only a stopover for.
pub fn finish_switch() {
    loop {
        let cp = platform::cpu();
        if let Some(prev) = cp.cpu_switch_prev.get() {
            cp.cpu_switch_prev.set(None);
            prev.release_context();
        }
        let me = platform::curthread();
        let Some(next) = cp.cpu_switch_next.get() else {
            probe::fire(Kind::OnCpu, me, 0);
            return;
        };
        debug_assert!(cp.cpu_idle_thread.is(me), "only the idle thread is a stopover");
        cp.cpu_switch_next.set(None);
        while !next.try_claim_context() {
            platform::relax();
        }
        jump(cp, me, next);
    }
}

#[inline]
fn jump(cp: &'static Cpu, from: &'static Kthread, to: &'static Kthread) {
    cp.cpu_switch_prev.set(Some(from));
    // Other CPUs' mutex_enter asks "does the owner run?" by reading this.
    cp.cpu_thread.set(Some(to));
    platform::set_curthread(to);
    platform::switch(from, to);
}

/// Chooses who runs next here (`disp.c disp`). Returns at `DISP_LEVEL`, with the choice noted in `cpu_dispthread`.
fn disp() -> &'static Kthread {
    spl::splhigh();
    let kpq = &platform::kernel().k_cpupart.cp_kp_queue;
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
            continue;
        }
        if !cp.is_offline()
            && let Best::Thread(t) = disp_getwork(cp)
        {
            return t;
        }
        return choose_idle(cp);
    }
}

/// Takes the best of the CPU's own queue.
fn take_local(cp: &'static Cpu) -> Option<&'static Kthread> {
    let dp = &cp.cpu_disp;
    dp.disp_lock.enter_high();
    let Some((t, pri)) = dp.pop() else {
        dp.disp_lock.exit_high();
        return None;
    };
    probe::fire(Kind::Dequeue, t, 0);
    t.t_waitrq.set(0);
    cp.cpu_dispthread.set(Some(t));
    cp.cpu_dispatch_pri.set(pri as i16);
    count_migration(cp, t);
    thread_onproc(t, cp);
    dp.disp_lock.exit_high();
    Some(t)
}

fn choose_idle(cp: &'static Cpu) -> &'static Kthread {
    let idle = cp.cpu_idle_thread.get().expect("invariant: a CPU has an idle thread");
    cp.cpu_dispthread.set(Some(idle));
    cp.cpu_dispatch_pri.set(CPU_IDLE_PRI);
    cp.cpu_runrun.set(0);
    cp.cpu_kprunrun.set(0);
    cp.cpu_chosen_level.set(-1);
    idle
}

/// Clears the flags that asked for this choice, then makes sure that it is still right: a better thread may have come between
/// the choice and the clearing (`disp.c disp_ratify`). False: `t` is back on a queue.
pub(super) fn disp_ratify(t: &'static Kthread, kpq: &'static Disp) -> bool {
    let cp = platform::cpu();
    cp.cpu_runrun.set(0);
    cp.cpu_kprunrun.set(0);
    if cp.cpu_chosen_level.get() != -1 {
        cp.cpu_chosen_level.set(-1);
    }
    // Clear, then read; the enqueuer writes, then sets. See `enqueue`.
    fence(Ordering::SeqCst);
    platform::interleave();
    let best = cp.cpu_disp.disp_maxrunpri.get().max(kpq.disp_maxrunpri.get());
    if i32::from(best) <= t.pri() {
        return true;
    }
    let me = platform::curthread();
    cp.cpu_dispthread.set(Some(me));
    cp.cpu_dispatch_pri.set(me.pri() as i16);
    thread_lock_high(t);
    thread_transition(t);
    setfrontdq(t);
    thread_unlock_high(t);
    false
}

/// Counts a thread that comes from another CPU; called before `t_cpu` changes.
pub(super) fn count_migration(cp: &'static Cpu, t: &Kthread) {
    if !t.t_cpu.is(cp) {
        cp.cpu_stats.cpumigrate.bump();
    }
}
