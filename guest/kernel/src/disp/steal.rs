//! Taking work from other queues: `disp_getwork` and `disp_getbest`.
//!
//! # Invariants
//! - A bound thread is never taken from a CPU's queue.
//! - An idle CPU that is neither halted nor interrupted is scanning already: no other CPU scans past it on the same level.
//! - What is near is taken first: a CPU looks at another leaf only if its own has nothing to give.
//! - Two idle CPUs of one leaf that both look end each other's search, on every level, because each begins with its own leaf. Each
//!   looks past the other as soon as the other has halted or is interrupted; with `halt_idle` 0 only the latter happens.
//! - Queue words are read without locks to choose a victim; a thread is taken under the lock of the victim's queue.
//! - No two CPUs' queue locks are held at once.
//!
//! # What is not here
//! `disp_steal`, which in illumos can never become other than 0 (facts 2.15).

use super::MINCLSYSPRI;
use super::swtch::{count_migration, disp_ratify};
use crate::cell::{Cell, Counter};
use crate::disp::cmt::pg_cmt_can_migrate;
use crate::sys::cpu::{CPU_IDLE_PRI, disp_flag};
use crate::sys::thread::{lwp, schedflag, thread_onproc, thread_transition};
use crate::sys::{Cpu, Disp, Kthread};
use crate::{platform, probe, spl};
use umpire_shared::event::{Kind, not_stolen, on_queue};
use umpire_shared::{mutant, tunable};

/// How long a CPU that steals and is not serialised waits before it notes what it stole: a thread that arrives meanwhile finds an
/// idle CPU.
const MUTANT_WINDOW_NS: u64 = 100_000;

/// What there is to take.
#[derive(Debug, Clone, Copy)]
pub(super) enum Best {
    /// Nothing.
    None,
    /// Something that has not waited long enough: look again soon (`T_DONTSTEAL`).
    DontSteal,
    /// This thread; it is `ONPROC` here and `cpu_dispthread` already.
    Thread(&'static Kthread),
}

/// Finds work for a CPU whose own queue is empty (`disp.c disp_getwork`). If it returns a thread, that is ratified and the level is
/// `DISP_LEVEL`; else the level is what it was. The caller may not be preempted: other CPUs are looked at with interrupts open.
pub(super) fn disp_getwork(cp: &'static Cpu) -> Best {
    let kpq = &cp.part().cp_kp_queue;
    let level = platform::pil();
    let best = get_ratified(cp, kpq);
    if !matches!(best, Best::Thread(_)) {
        spl::splx(level);
    }
    if matches!(best, Best::None) {
        probe::fire_masked(Kind::SearchEmpty, 0);
    }
    best
}

fn get_ratified(cp: &'static Cpu, kpq: &'static Disp) -> Best {
    while kpq.disp_maxrunpri.get() >= 0 {
        spl::splhigh();
        if let Best::Thread(t) = disp_getbest(kpq) {
            return if disp_ratify(t, kpq) { Best::Thread(t) } else { Best::None };
        }
    }
    let Some(victim) = choose_victim(cp) else { return Best::None };
    spl::splhigh();
    if cp.cpu_disp.disp_nrunnable.get() != 0 {
        return Best::None;
    }
    match disp_getbest(&victim.cpu_disp) {
        Best::Thread(t) => {
            cp.cpu_stats.steal.bump();
            probe::fire(Kind::Steal, t, u64::from(victim.cpu_id));
            let is_final = platform::kernel().is_mutant(mutant::NO_STEAL_BARRIER);
            if is_final || disp_ratify(t, kpq) { Best::Thread(t) } else { Best::None }
        }
        other => other,
    }
}

/// The CPU with the best thread that might be unbound: one of `cp`'s own leaf if there is one, else one of the levels above.
fn choose_victim(cp: &'static Cpu) -> Option<&'static Cpu> {
    let mut level = Some(cp.lpl());
    while let Some(lpl) = level {
        let mut best = (-1, None);
        for other in lpl.others(cp) {
            if cp.cpu_disp.disp_nrunnable.get() != 0 {
                return None;
            }
            if ends_scan(other) {
                break;
            }
            if other.cpu_dispatch_pri.get() == CPU_IDLE_PRI || is_about_to_run_its_last(other) {
                continue;
            }
            let pri = other.cpu_disp.disp_max_unbound_pri.get();
            if pri > best.0 {
                best = (pri, Some(other));
            }
        }
        if best.1.is_some() {
            return best.1;
        }
        level = lpl.next_level();
    }
    None
}

/// True if a CPU that is about to idle would find something (`disp.c disp_anywork`).
pub(super) fn disp_anywork(cp: &'static Cpu) -> bool {
    if cp.part().cp_kp_queue.disp_maxrunpri.get() != -1 || cp.cpu_disp.disp_maxrunpri.get() != -1 {
        return true;
    }
    if cp.is_offline() {
        return false;
    }
    let mut level = Some(cp.lpl());
    while let Some(lpl) = level {
        for other in lpl.others(cp) {
            if other.cpu_dispatch_pri.get() == CPU_IDLE_PRI {
                if ends_scan(other) {
                    return false;
                }
            } else if other.cpu_disp.disp_max_unbound_pri.get() != -1 && !is_about_to_run_its_last(other) {
                return true;
            }
        }
        level = lpl.next_level();
    }
    false
}

/// Takes the best thread of `dp` that may run here (`disp.c disp_getbest`).
pub(super) fn disp_getbest(dp: &'static Disp) -> Best {
    dp.disp_lock.enter_high();
    let best = find_best(dp);
    let Best::Thread(t) = best else {
        dp.disp_lock.exit_high();
        return best;
    };
    let pri = t.pri();
    dp.remove(t, pri);
    probe::fire(Kind::Dequeue, t, on_queue(dp.disp_cpu.get().map(|c| c.cpu_id), false));
    t.t_schedflag.set(t.t_schedflag.get() | schedflag::DONT_SWAP);
    // Releases the victim's lock before this CPU takes its own, because two CPUs may be stealing from each other. If they did not:
    //
    //   CPU A steals from B              CPU B steals from A
    //   holds the lock of B's queue       holds the lock of A's queue
    //   waits for that of A's queue       waits for that of B's queue
    thread_transition(t);
    let cp = platform::cpu();
    t.t_disp_queue.set(Some(&cp.cpu_disp));
    if platform::kernel().is_mutant(mutant::NO_STEAL_BARRIER) {
        platform::spin(MUTANT_WINDOW_NS);
    }
    cp.cpu_dispthread.set(Some(t));
    cp.cpu_dispatch_pri.set(pri as i16);
    serialise_with_resched(cp);
    count_migration(cp, t);
    thread_onproc(t, cp);
    best
}

fn serialise_with_resched(cp: &Cpu) {
    if platform::kernel().is_mutant(mutant::NO_STEAL_BARRIER) {
        return;
    }
    // A cpu_resched for this CPU runs under the lock of this CPU's queue. Either it read the old dispthread, and then it is over
    // when this CPU has had the lock; or it begins later, and then it reads the new one (6482861):
    //
    //   this CPU                         a CPU that enqueues here
    //                                     disp_lock
    //                                     cpu_resched reads cpu_dispthread, the old one
    //   cpu_dispthread = t
    //   disp_lock: waits                  sets the flags
    //   ...                               unlocks
    //   unlocks
    //                                     disp_lock
    //                                     cpu_resched reads cpu_dispthread: t
    cp.cpu_disp.disp_lock.enter_high();
    cp.cpu_disp.disp_lock.exit_high();
}

/// The first thread of the best level that is not bound, if it may be taken. `dp` is locked.
fn find_best(dp: &'static Disp) -> Best {
    let pri = i32::from(dp.disp_max_unbound_pri.get());
    if pri == -1 {
        return Best::None;
    }
    let victim = dp.disp_cpu.get();
    if victim.is_some_and(is_about_to_run_its_last) {
        return Best::None;
    }
    let mut is_all_bound = true;
    let mut at = dp.level(pri).dq_first.get();
    while let Some(t) = at {
        if !t.is_bound() {
            is_all_bound = false;
            if may_take(t, pri, victim) {
                return Best::Thread(t);
            }
        }
        at = t.t_link.get();
    }
    if is_all_bound {
        fix_unbound_pri(dp, pri);
        return Best::None;
    }
    Best::DontSteal
}

/// True if `t` need not wait longer for its own CPU.
fn may_take(t: &'static Kthread, pri: i32, victim: Option<&'static Cpu>) -> bool {
    let Some(victim) = victim else { return true };
    let nosteal = platform::kernel().tunable(tunable::NOSTEAL_NSEC);
    // Threads without an LWP are those of process 0.
    let is_system = pri >= MINCLSYSPRI && t.lwp_state.get() == lwp::NONE;
    let is_near = pg_cmt_can_migrate(victim, platform::cpu());
    if is_system || !t.t_cpu.is(victim) || is_near || nosteal == 0 {
        return true;
    }
    let age = platform::now() as i64 - t.t_waitrq.get() as i64;
    let is_old = age > nosteal || age < 0;
    if !is_old {
        probe::fire(Kind::NoSteal, t, not_stolen(victim.cpu_id, age as u64));
    }
    is_old
}

/// Every thread at `pri` is bound: lowers `disp_max_unbound_pri` to the next level that has an unbound one
/// (`disp.c disp_fix_unbound_pri`).
fn fix_unbound_pri(dp: &'static Disp, pri: i32) {
    let mut level = pri;
    while level >= 0 {
        let mut at = dp.level(level).dq_first.get();
        while let Some(t) = at {
            if !t.is_bound() {
                dp.disp_max_unbound_pri.set(level as i16);
                return;
            }
            at = t.t_link.get();
        }
        level = if level == 0 { -1 } else { dp.highest_at_or_below(level - 1) };
    }
    dp.disp_max_unbound_pri.set(-1);
}

/// True if another CPU's search need not go past `cp`, because `cp` looks there itself (6420092: an idle CPU that is halted, or
/// whose idle thread is pinned, does not).
fn ends_scan(cp: &Cpu) -> bool {
    is_scanning(cp)
        || platform::kernel().is_mutant(mutant::BLINDED_IDLE) && cp.cpu_dispatch_pri.get() == CPU_IDLE_PRI
}

/// True for an idle CPU that is looking for work itself right now.
fn is_scanning(cp: &Cpu) -> bool {
    cp.cpu_dispatch_pri.get() == CPU_IDLE_PRI
        && !cp.has_disp_flags(disp_flag::HALTED)
        && cp.cpu_intr_actv.get() == 0
}

/// True if the only thread on the queue is about to be picked by its own CPU.
fn is_about_to_run_its_last(cp: &Cpu) -> bool {
    cp.has_disp_flags(disp_flag::DONTSTEAL) && cp.cpu_disp.disp_nrunnable.get() == 1
}
