//! Workloads that wait for each other: nested mutexes, rwlocks, semaphores, herds on a condition variable, spin mutexes,
//! cross calls.
//!
//! # Invariants
//! - Each waits for `after_us` first, so that a scenario decides who comes before whom.
//! - A turn is done when the lock has been given back.

use crate::{US, progress};
use umpire_kernel::cell::Cell;
use umpire_kernel::intr::DISP_LEVEL;
use umpire_kernel::intr::xcall::{XcFunc, xc_call, xc_sync};
use umpire_kernel::sync::{
    Mutex, RwMode, Rwlock, WorkCv, cv_broadcast, cv_reltimedwait, cv_wait, mutex_enter, mutex_exit, rw_enter,
    rw_exit, sema_p, sema_v, spin_enter, spin_exit,
};
use umpire_kernel::time::callout::delay;
use umpire_kernel::{Kthread, platform};

/// Values of `mode`, in the order of the parameter's words.
const MODES: [RwMode; 3] = [RwMode::Reader, RwMode::Writer, RwMode::ReaderStarveWriter];

/// Values of `nested`, in the order of the parameter's words.
mod nested {
    pub const AGAIN: u64 = 1;
    pub const MUTEX_INSIDE: u64 = 2;
    pub const MUTEX_AROUND: u64 = 3;
}

/// `how = "sync"`.
const SYNC: u64 = 1;
/// `part = "caller"`.
const CALLER: u64 = 1;

/// Takes up to three mutexes, each inside the one before it.
pub(crate) fn lock_chain(t: &'static Kthread) {
    let [first, second, third, hold_us, think_us, rest_ticks, after_us] =
        [0, 1, 2, 3, 4, 5, 6].map(|n| t.arg(n));
    let chain = [first, second, third].map(work_lock);
    wait_first(after_us);
    loop {
        for mp in chain.iter().flatten() {
            mutex_enter(mp);
            platform::spin(hold_us * US);
        }
        for mp in chain.iter().rev().flatten() {
            mutex_exit(mp);
        }
        finish_turn(t, think_us, rest_ticks);
    }
}

/// Takes the process lock of another thread, as `/proc` does to look at it.
pub(crate) fn proc_look(t: &'static Kthread) {
    let [at, hold_us, think_us, rest_ticks, after_us] = [0, 1, 2, 3, 4].map(|n| t.arg(n));
    let mp = &platform::kernel().scenario_threads()[at as usize].t_plock;
    wait_first(after_us);
    loop {
        mutex_enter(mp);
        platform::spin(hold_us * US);
        mutex_exit(mp);
        finish_turn(t, think_us, rest_ticks);
    }
}

/// Takes an rwlock, and perhaps a mutex or the same lock again.
pub(crate) fn rw_mix(t: &'static Kthread) {
    let [lock, mode, hold_us, think_us, rest_ticks, after_us, nested, mutex] =
        [0, 1, 2, 3, 4, 5, 6, 7].map(|n| t.arg(n));
    let kernel = platform::kernel();
    let (rw, mp) = (&kernel.k_work_rwlocks[lock as usize], &kernel.k_work_locks[mutex as usize]);
    let mode = MODES[mode as usize];
    wait_first(after_us);
    loop {
        if nested == nested::MUTEX_AROUND {
            mutex_enter(mp);
        }
        rw_enter(rw, mode);
        platform::spin(hold_us * US);
        match nested {
            nested::AGAIN => hold_again(rw, mode, hold_us),
            nested::MUTEX_INSIDE => hold_mutex(mp, hold_us),
            _ => {}
        }
        rw_exit(rw);
        if nested == nested::MUTEX_AROUND {
            mutex_exit(mp);
        }
        finish_turn(t, think_us, rest_ticks);
    }
}

fn hold_again(rw: &'static Rwlock, mode: RwMode, hold_us: u64) {
    rw_enter(rw, mode);
    platform::spin(hold_us * US);
    rw_exit(rw);
}

fn hold_mutex(mp: &'static Mutex, hold_us: u64) {
    mutex_enter(mp);
    platform::spin(hold_us * US);
    mutex_exit(mp);
}

/// Takes a unit of a semaphore, keeps it, gives it back.
pub(crate) fn sema_mix(t: &'static Kthread) {
    let [sema, hold_us, think_us, rest_ticks, after_us] = [0, 1, 2, 3, 4].map(|n| t.arg(n));
    let sp = &platform::kernel().k_work_semas[sema as usize];
    wait_first(after_us);
    loop {
        sema_p(sp);
        platform::spin(hold_us * US);
        sema_v(sp);
        finish_turn(t, think_us, rest_ticks);
    }
}

/// Waits for rounds, or calls them.
pub(crate) fn cv_herd(t: &'static Kthread) {
    let [cv, part, hold_us, rest_ticks, after_us] = [0, 1, 2, 3, 4].map(|n| t.arg(n));
    let work = &platform::kernel().k_work_cvs[cv as usize];
    wait_first(after_us);
    if part == CALLER {
        return call_rounds(t, work, hold_us, rest_ticks);
    }
    mutex_enter(&work.wc_lock);
    loop {
        let round = work.wc_round.get();
        while work.wc_round.get() == round {
            cv_wait(&work.wc_cv, &work.wc_lock);
        }
        platform::spin(hold_us * US);
        progress(t);
    }
}

/// Broadcasts with the mutex held, so that the herd runs into it.
fn call_rounds(t: &'static Kthread, work: &'static WorkCv, hold_us: u64, rest_ticks: u64) {
    loop {
        mutex_enter(&work.wc_lock);
        let round = work.wc_round.get();
        platform::spin(hold_us * US);
        // With the mutex nobody else has called a round meanwhile.
        work.wc_round.set(round + 1);
        cv_broadcast(&work.wc_cv);
        mutex_exit(&work.wc_lock);
        finish_turn(t, 0, rest_ticks);
    }
}

/// Waits for a round with a timeout. A turn is done when one comes; waits that end without one are not counted.
pub(crate) fn timed_wait(t: &'static Kthread) {
    let [cv, timeout_us, after_us] = [0, 1, 2].map(|n| t.arg(n));
    let work = &platform::kernel().k_work_cvs[cv as usize];
    wait_first(after_us);
    mutex_enter(&work.wc_lock);
    loop {
        let round = work.wc_round.get();
        let mut is_timed_out = false;
        while work.wc_round.get() == round && !is_timed_out {
            is_timed_out = cv_reltimedwait(&work.wc_cv, &work.wc_lock, timeout_us * US);
        }
        if !is_timed_out {
            progress(t);
        }
    }
}

/// Takes a spin mutex, holds it at its level.
pub(crate) fn spin_mix(t: &'static Kthread) {
    let [pil, hold_us, think_us, rest_ticks] = [0, 1, 2, 3].map(|n| t.arg(n));
    let mp = &platform::kernel().k_work_spins[(pil as u32 - DISP_LEVEL) as usize];
    loop {
        spin_enter(mp);
        platform::spin(hold_us * US);
        spin_exit(mp);
        finish_turn(t, think_us, rest_ticks);
    }
}

/// Makes cross calls, perhaps with a spin mutex.
pub(crate) fn xcall_mix(t: &'static Kthread) {
    let [pil, how, hold_us, think_us, rest_ticks, after_us] = [0, 1, 2, 3, 4, 5].map(|n| t.arg(n));
    let level = (pil as u32).checked_sub(DISP_LEVEL);
    let mp = level.map(|n| &platform::kernel().k_work_spins[n as usize]);
    let call = if how == SYNC { xc_sync } else { xc_call };
    wait_first(after_us);
    loop {
        if let Some(mp) = mp {
            spin_enter(mp);
        }
        platform::spin(hold_us * US);
        call(u32::MAX, XcFunc::Sync, 0);
        if let Some(mp) = mp {
            spin_exit(mp);
        }
        finish_turn(t, think_us, rest_ticks);
    }
}

/// One of the workload mutexes; `None` for [`umpire_shared::work::NO_LOCK`].
fn work_lock(n: u64) -> Option<&'static Mutex> {
    platform::kernel().k_work_locks.get(n as usize)
}

/// Waits for the first turn, to the microsecond: asleep, so that others may run, and at work for what is less than a tick.
fn wait_first(after_us: u64) {
    let at_ns = platform::now() + after_us * US;
    let ticks = after_us * u64::from(platform::kernel().hz.get()) / 1_000_000;
    if ticks != 0 {
        delay(ticks);
    }
    platform::spin(at_ns.saturating_sub(platform::now()));
}

fn finish_turn(t: &'static Kthread, think_us: u64, rest_ticks: u64) {
    progress(t);
    platform::spin(think_us * US);
    if rest_ticks != 0 {
        delay(rest_ticks);
    }
}
