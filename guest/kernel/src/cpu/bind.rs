//! Binding threads to CPUs: affinity, `processor_bind`, and weak bindings (`cpu.c`, `thread.c`, `disp/thread.c`).
//!
//! | binding | by | broken by |
//! |---|---|---|
//! | affinity | the kernel itself, counted (`t_affinitycnt`) | nothing else |
//! | hard | `processor_bind` (`t_bind_cpu`) | `p_online` with force |
//! | soft | `processor_bind` with `TB_CPU_SOFT` | the CPU going offline or to another partition |
//! | weak | `thread_nomigrate`, counted (`t_nomigrate`) | nothing; it is waited for |
//!
//! # Invariants
//! - `t_bound_cpu` and `t_weakbound_cpu` change under the thread's lock; the weak one wins.
//! - A thread with a weak binding does not sleep, so the binding goes away by itself.
//! - A thread that is on a run queue when it is bound or unbound is on the right one, or can be stolen, when its lock is
//!   released. A thread that runs on the wrong CPU leaves it at its next preemption point.

use core::sync::atomic::{Ordering, fence};

use crate::cell::Cell;
use crate::disp::{
    disp_adjust_unbound_pri, disp_lowpri_cpu, dispdeq, kpreempt_disable, kpreempt_enable, poke_cpu,
    raise_kprunrun, raise_runrun, setbackdq, setfrontdq, swtch, thread_unlock,
};
use crate::lgrp::{lgrp_choose, lgrp_move_thread};
use crate::lock::{thread_lock, thread_unlock_high, thread_unlock_nopreempt};
use crate::sys::thread::{lwp, role, tflag, thread_transition, ts};
use crate::sys::{Cpu, Kthread};
use crate::time::callout::delay;
use crate::{platform, spl};
use umpire_shared::event::why;
use umpire_shared::program::class;
use umpire_shared::sys::machlock::DISP_LEVEL;
pub use umpire_shared::sys::processor::{PBIND_NONE, bindflag};
use umpire_shared::{errno, mutant};

/// How many times an operation on a CPU looks whether the threads bound to it have gone.
const BOUND_TRIES: u32 = 5;

/// Binds `t` to `cp`, which is online, on behalf of the kernel; calls nest (`thread_affinity_set`). A caller that binds itself runs
/// on `cp` on return; it is at level 0 then.
///
/// # Panics
/// If `t` has an affinity to another CPU.
pub fn thread_affinity_set(t: &'static Kthread, cp: &'static Cpu) {
    thread_lock(t);
    let count = t.t_affinitycnt.get();
    assert!(
        count == 0 || t.t_bound_cpu.is(cp),
        "affinity_set: setting thread {} to CPU {} but it is bound to another",
        t.t_did,
        cp.cpu_id
    );
    t.t_affinitycnt.set(count + 1);
    t.t_bound_cpu.set(Some(cp));
    if is_well_placed(t) {
        thread_unlock(t);
    } else if core::ptr::eq(t, platform::curthread()) {
        let level = t.t_oldspl.get();
        thread_transition(t);
        setfrontdq(t);
        thread_unlock_high(t);
        swtch();
        spl::splx(level);
    } else {
        leave_cpu(t);
        thread_unlock(t);
    }
}

/// Takes one [`thread_affinity_set`] back (`thread_affinity_clear`). A `processor_bind` binding is in force again then.
///
/// # Panics
/// If there was none.
pub fn thread_affinity_clear(t: &'static Kthread) {
    thread_lock(t);
    let count = t.t_affinitycnt.get();
    assert!(count != 0, "affinity_clear: thread {} has no affinity", t.t_did);
    t.t_affinitycnt.set(count - 1);
    if count == 1 {
        set_bound_cpu(t, t.t_bind_cpu.get());
    }
    thread_unlock(t);
}

/// Binds a thread to a CPU, or to none for [`PBIND_NONE`] (`processor_bind`, `cpu_bind_thread`). The caller holds `cpu_lock`.
/// Returns an errno, 0 for success.
///
/// EPERM: class SYS, or no LWP. ESRCH: it has ended. EINVAL: there is no such CPU online in its partition.
pub fn processor_bind(t: &'static Kthread, cpu: i32, flags: u8) -> u32 {
    if u32::from(t.t_cid.get()) == class::SYS || t.lwp_state.get() == lwp::NONE {
        return errno::EPERM;
    }
    thread_lock(t);
    let target = usize::try_from(cpu).ok().and_then(|n| platform::kernel().k_cpus.get(n));
    let refused = match (t.t_state.get(), target) {
        (ts::FREE | ts::ZOMB, _) => errno::ESRCH,
        (_, None) if cpu != PBIND_NONE => errno::EINVAL,
        (_, Some(cp)) if !t.part().has_online(cp) => errno::EINVAL,
        _ => 0,
    };
    if refused == 0 {
        t.t_bind_cpu.set(cpu);
        t.t_bindflag.set(flags);
        if t.t_affinitycnt.get() == 0 {
            set_bound_cpu(t, cpu);
        }
    }
    thread_unlock(t);
    refused
}

/// Keeps the current thread on its CPU until [`thread_allowmigrate`]; calls nest. It may be preempted meanwhile but must not
/// sleep (`thread_nomigrate`).
///
/// On a CPU that is being taken away (`cpu_inmotion`) the thread first goes elsewhere, so that the operation need not wait for it.
/// While weak bindings are stopped, preemption is disabled instead, and `t_nomigrate` counts below zero to remember that.
pub fn thread_nomigrate() {
    let t = platform::curthread();
    let kernel = platform::kernel();
    loop {
        kpreempt_disable();
        let cp = platform::cpu();
        if cannot_migrate(t, cp) {
            kpreempt_enable();
            return;
        }
        thread_lock(t);
        let depth = t.t_nomigrate.get();
        if depth < 0 || depth == 0 && kernel.k_cpu_ops.weakbindingbarrier.load(Ordering::SeqCst) != 0 {
            t.t_nomigrate.set(depth - 1);
            thread_unlock_nopreempt(t);
            return;
        }
        // A trip through the dispatcher would end here again in the last three cases.
        let is_granted = !is_leaving(cp) || depth > 0 || t.t_preempt.get() > 1 || t.t_bound_cpu.is(cp);
        if is_granted {
            t.t_nomigrate.set(depth + 1);
            t.t_weakbound_cpu.set(Some(cp));
        } else {
            raise_kprunrun(cp, why::BIND, -1);
        }
        thread_unlock_nopreempt(t);
        // Preempts if kprunrun is set, and setfrontdq looks for another CPU.
        kpreempt_enable();
        if is_granted {
            return;
        }
    }
}

/// Ends [`thread_nomigrate`] (`thread_allowmigrate`).
///
/// # Panics
/// If the caller did not call it.
pub fn thread_allowmigrate() {
    let t = platform::curthread();
    if cannot_migrate(t, platform::cpu()) {
        return;
    }
    let depth = t.t_nomigrate.get();
    if depth < 0 {
        t.t_nomigrate.set(depth + 1);
        kpreempt_enable();
        return;
    }
    assert!(depth != 0, "thread_allowmigrate: thread {} may migrate", t.t_did);
    kpreempt_disable();
    let cp = platform::cpu();
    thread_lock(t);
    t.t_nomigrate.set(depth - 1);
    if depth == 1 {
        t.t_weakbound_cpu.set(None);
        // What had to wait for the weak binding happens now.
        let is_wanted_elsewhere = t.t_bound_cpu.get().is_some_and(|b| !core::ptr::eq(b, cp));
        let must_go = t.t_bound_cpu.is_null() && (is_leaving(cp) || !t.part().has_online(cp));
        if is_wanted_elsewhere || must_go {
            raise_kprunrun(cp, why::BIND, -1);
        }
    }
    thread_unlock_nopreempt(t);
    kpreempt_enable();
}

/// From now on [`thread_nomigrate`] makes no new weak bindings (`weakbindingstop`).
pub(super) fn weakbinding_stop() {
    platform::kernel().k_cpu_ops.weakbindingbarrier.store(1, Ordering::SeqCst);
}

/// Ends [`weakbinding_stop`] (`weakbindingstart`).
pub(super) fn weakbinding_start() {
    platform::kernel().k_cpu_ops.weakbindingbarrier.store(0, Ordering::SeqCst);
}

/// Breaks the soft bindings to `cp`, and the hard ones too if `is_forced` (`cpu_unbind`). EBUSY: the caller is bound there.
pub(super) fn break_bindings(cp: &Cpu, is_forced: bool) -> Result<(), u32> {
    let me = platform::curthread();
    if me.t_bound_cpu.is(cp) || me.t_weakbound_cpu.is(cp) {
        return Err(errno::EBUSY);
    }
    for t in platform::kernel().threads() {
        thread_lock(t);
        if t.t_bind_cpu.get() == cp.cpu_id as i32 && (is_forced || is_soft(t)) {
            unbind(t);
        }
        thread_unlock(t);
    }
    Ok(())
}

/// Takes a soft binding off a locked thread; false if it stays bound.
pub(super) fn unbind_soft(t: &'static Kthread) -> bool {
    if t.t_bind_cpu.get() != PBIND_NONE && is_soft(t) {
        unbind(t);
    }
    t.t_bound_cpu.is_null()
}

fn is_soft(t: &Kthread) -> bool {
    t.t_bindflag.get() & bindflag::TB_CPU_SOFT != 0
}

fn unbind(t: &'static Kthread) {
    t.t_bind_cpu.set(PBIND_NONE);
    t.t_bindflag.set(0);
    if t.t_affinitycnt.get() == 0 {
        set_bound_cpu(t, PBIND_NONE);
    }
}

/// True if a thread must stay on `cp` (`disp_bound_threads`). The CPU's own threads go idle with it; its interrupt threads
/// count while they are active, unless `no_quiesce`.
pub(super) fn has_bound_threads(cp: &Cpu, no_quiesce: bool) -> bool {
    let kernel = platform::kernel();
    let minds_weak = !kernel.is_mutant(mutant::WEAK_FORGOTTEN);
    kernel.threads().any(|t| {
        let is_bound = t.t_bound_cpu.is(cp) || t.t_weakbound_cpu.is(cp) && minds_weak;
        let counts = match t.t_role.get() {
            role::IDLE | role::PAUSE | role::CALLOUT => false,
            role::INTR => !no_quiesce,
            _ => true,
        };
        is_bound && counts && !matches!(t.t_state.get(), ts::FREE | ts::ZOMB)
    })
}

/// Waits a little for the threads bound to `cp` to go (`cpu_offline`). The delays need the clock: with that stopped this
/// waits for ever, and its caller holds `cpu_lock`. EBUSY: some are still there.
pub(super) fn wait_for_bound(cp: &Cpu, no_quiesce: bool) -> Result<(), u32> {
    for _ in 0..BOUND_TRIES {
        if !has_bound_threads(cp, no_quiesce) {
            return Ok(());
        }
        delay(u64::from(platform::kernel().hz.get() / 100).max(1));
    }
    if has_bound_threads(cp, no_quiesce) { Err(errno::EBUSY) } else { Ok(()) }
}

/// Gives another home to every thread of whose home `cp` was the last CPU, and another last CPU to every thread that last ran on
/// `cp` and may run elsewhere. Called with the CPUs paused, after `cp` was taken off its partition's list.
pub(super) fn rehome_threads(cp: &'static Cpu) {
    let is_last = cp.lpl().lpl_ncpu.get() == 0;
    for t in platform::kernel().threads() {
        if is_last && t.t_lpl.is(cp.lpl()) && !matches!(t.t_state.get(), ts::FREE | ts::ZOMB) {
            lgrp_move_thread(t, lgrp_choose(t.part()));
        }
        let is_free_to_go = t.t_cpu.is(cp) && !t.t_bound_cpu.is(cp) && !t.t_weakbound_cpu.is(cp);
        if is_free_to_go && !matches!(t.t_state.get(), ts::FREE | ts::ZOMB) {
            t.t_cpu.set(Some(disp_lowpri_cpu(cp, t, i32::from(t.t_pri.get()))));
        }
    }
}

/// Makes a locked thread leave the CPU or the queue where it may not be any more. A thread that runs is asked to leave, in the kernel
/// too; one that waits to run is put on another queue. One that sleeps goes to the right queue when it wakes.
pub(super) fn leave_cpu(t: &'static Kthread) {
    match t.t_state.get() {
        ts::RUN => {
            dispdeq(t);
            setbackdq(t);
        }
        ts::ONPROC => {
            let cp = t.cpu();
            // The binding is written before the flags: a CPU that is choosing the thread clears the flags and then looks at the
            // binding. See the picture at `belongs_here` in `disp/swtch.rs`.
            fence(Ordering::SeqCst);
            raise_runrun(cp, why::BIND, -1);
            raise_kprunrun(cp, why::BIND, -1);
            t.aston();
            // The flags must be visible before the poke arrives.
            fence(Ordering::SeqCst);
            if !core::ptr::eq(cp, platform::cpu()) {
                poke_cpu(cp);
            }
        }
        _ => {}
    }
}

/// Sets a locked thread's strong binding and makes the thread follow it.
fn set_bound_cpu(t: &'static Kthread, cpu: i32) {
    let cp = usize::try_from(cpu).ok().map(|n| &platform::kernel().k_cpus[n]);
    if cp.is_none() && !t.t_bound_cpu.is_null() {
        disp_adjust_unbound_pri(t);
    }
    t.t_bound_cpu.set(cp);
    if platform::kernel().is_mutant(mutant::WEAK_OVERRULED) {
        t.t_weakbound_cpu.set(None);
    }
    if !is_well_placed(t) {
        leave_cpu(t);
    }
}

/// True if a locked thread may stay where it runs or waits. A thread that waits does so on a queue that need not be its last CPU's,
/// and no CPU would take a bound thread from the kp queue. A weak binding comes first.
pub(super) fn is_well_placed(t: &Kthread) -> bool {
    if !t.t_weakbound_cpu.is_null() {
        return true;
    }
    if t.t_state.get() == ts::RUN {
        let queue = t.disp_queue();
        return match (t.t_bound_cpu.get(), queue.disp_cpu.get()) {
            (Some(bound), at) => at.is_some_and(|at| core::ptr::eq(at, bound)),
            (None, Some(at)) => t.pri() < platform::kernel().k_disp.kpqpri.get() && t.part().has_online(at),
            (None, None) => core::ptr::eq(queue, &t.part().cp_kp_queue),
        };
    }
    match t.t_bound_cpu.get() {
        Some(bound) => t.t_cpu.is(bound),
        None => t.part().has_online(t.cpu()),
    }
}

/// True if `cp` is about to be taken away, and a thread that is on it and has a choice should go.
fn is_leaving(cp: &Cpu) -> bool {
    let kernel = platform::kernel();
    kernel.k_disp.cpu_inmotion.is(cp) && !kernel.is_mutant(mutant::UNHEEDED_MOTION)
}

/// True in an interrupt or at `DISP_LEVEL`: such a caller stays on its CPU anyway.
fn cannot_migrate(t: &Kthread, cp: &Cpu) -> bool {
    t.t_flag.get() & tflag::INTR_THREAD != 0 || cp.on_intr() || platform::pil() >= DISP_LEVEL
}
