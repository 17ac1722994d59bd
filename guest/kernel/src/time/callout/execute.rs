//! Running callouts, and calling for the threads of a CPU's `callout_taskq` that run the normal ones.
//!
//! # Invariants
//! - One thread or interrupt at a time runs a callout, and it holds no lock while it does what the callout is for.
//! - What has expired is on the list before a thread is called for, so that whichever thread looks next finds it.
//! - There are two threads because a callout may wait for another one: a single thread would never run the other one.

use super::expire::{take_expired, take_out};
use super::timeout::{finish, run};
use super::{CalloutTable, state, timeout};
use crate::cell::{Cell, Counter};
use crate::disp::{setrun_locked, thread_unlock};
use crate::lock::thread_lock;
use crate::sys::NANOSEC;
use crate::sys::thread::ts;
use crate::{platform, probe, spl};
use umpire_shared::event::Kind;
use umpire_shared::mutant;

/// Calls for threads after `due` callouts have expired: for one thread if it was one callout, for two if there were several;
/// but for only one if the next expiry comes within a tick and so calls again soon (`callout.c callout_normal`).
pub(super) fn callout_dispatch(ct: &'static CalloutTable, due: u32, next: u64) {
    let kernel = platform::kernel();
    let tick = NANOSEC / u64::from(kernel.hz.get());
    let is_next_soon = next <= platform::now().saturating_add(tick);
    let calls_two = due > 1 && !is_next_soon && !kernel.is_mutant(mutant::LONE_CALLOUT);
    let calls = if calls_two { 2 } else { due.min(1) };
    for _ in 0..calls {
        ct.ct_dispatches.bump();
        (kernel.k_callout.ct_dispatch)(ct);
    }
}

/// Runs the expired callouts until there are none (`callout.c callout_execute`).
pub fn callout_execute(ct: &CalloutTable) {
    loop {
        let level = spl::splhigh();
        ct.ct_lock.enter_high();
        let Some(n) = take_expired(ct) else {
            ct.ct_lock.exit_high();
            spl::splx(level);
            return;
        };
        let c = &platform::kernel().k_callout.callouts[n as usize];
        let (func, arg, due_ns) = (c.c_func.get(), c.c_arg.get(), c.c_expiration.get());
        ct.callout_expirations.bump();
        if func != timeout::WAKE {
            c.c_state.set(state::EXECUTING);
            c.c_executor.set(Some(platform::curthread()));
        }
        ct.ct_lock.exit_high();
        spl::splx(level);
        platform::interleave();
        if probe::is_wanted() {
            probe::fire_masked(Kind::CalloutStart, platform::now().saturating_sub(due_ns));
        }
        if func == timeout::WAKE {
            // The callout is the thread's own again: the thread may use it before this call returns.
            wake(n, arg);
        } else {
            run(n, func, arg);
            finish(ct, n);
        }
        probe::fire_masked(Kind::CalloutEnd, 0);
    }
}

/// Takes thread `n`'s callout out of its table if it is still there.
pub(super) fn withdraw(n: u32) {
    let kernel = platform::kernel();
    let c = &kernel.k_callout.callouts[n as usize];
    // Without the lock: only the thread itself puts its callout in, and only that thread calls this, so a callout that is free
    // here stays free.
    if c.c_state.get() == state::FREE {
        return;
    }
    let ct = &kernel.k_callout.callout_tables[c.c_table.get() as usize];
    let level = spl::splhigh();
    ct.ct_lock.enter_high();
    if c.c_state.get() != state::FREE {
        take_out(ct, n);
        ct.callout_untimeouts_unexpired.bump();
    }
    ct.ct_lock.exit_high();
    spl::splx(level);
}

/// The time of wait number `wait` of thread `n` is up: wakes it, unless it is not in that wait any more.
fn wake(n: u32, wait: u64) {
    let kernel = platform::kernel();
    let t = &kernel.k_threads[n as usize];
    thread_lock(t);
    let is_same = t.t_callout_wait.get() == wait || kernel.is_mutant(mutant::STALE_CALLOUTS);
    if is_same && t.t_state.get() == ts::SLEEP {
        t.t_timedout.set(1);
        setrun_locked(t);
    }
    thread_unlock(t);
}
