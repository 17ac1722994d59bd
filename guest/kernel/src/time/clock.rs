//! `clock()`: the tick (`clock.c`, `clock_tick.c`).
//!
//! # Invariants
//! - Runs at level 10 on `k_clock_cpu`, once for each tick owed; `lbolt` is written by nobody else.
//! - A thread is charged only while it runs, has an LWP and is not idle: an in-kernel SYS thread never is.
//!
//! # What is not here
//! The hybrid lbolt of 2009, in which lbolt goes on without `clock()`: here lbolt counts clock ticks.

use super::callout;
use crate::cell::{Cell, Counter};
use crate::class::{self, ts};
use crate::cpu::{Cpu, flag};
use crate::intr::LOCK_LEVEL;
use crate::lock::{thread_lock, thread_unlock_nopreempt};
use crate::thread::lwp;
use crate::{platform, probe};
use umpire_shared::event::Kind;
use umpire_shared::mutant;

/// One tick.
pub fn clock() {
    let kernel = platform::kernel();
    if kernel.is_mutant(mutant::CLOCK_STOPS) && kernel.lbolt.get() >= u64::from(kernel.hz.get()) / 2 {
        return;
    }
    let lbolt = kernel.lbolt.get() + 1;
    kernel.lbolt.set(lbolt);
    kernel.k_clock_ticks.bump();
    let is_second = lbolt.is_multiple_of(u64::from(kernel.hz.get()));
    if is_second {
        kernel.deadman_counter.bump();
    }
    count_runnable(is_second);
    clock_tick_schedule(lbolt);
    callout::callout_schedule(lbolt);
    if is_second {
        ts::ts_update();
    }
}

/// `cp_nrunnable_cum` each tick, `sysinfo.runque` each second.
fn count_runnable(is_second: bool) {
    let kernel = platform::kernel();
    let part = &kernel.k_cpupart;
    let kp = u64::from(part.cp_kp_queue.disp_nrunnable.get());
    part.cp_updates.bump();
    part.cp_nrunnable_cum.set(part.cp_nrunnable_cum.get() + kp);
    if is_second {
        let queued: u64 = kernel.k_cpus.iter().map(|c| u64::from(c.cpu_disp.disp_nrunnable.get())).sum();
        kernel.k_runque.set(kernel.k_runque.get() + kp + queued);
    }
}

/// Charges a tick to what runs on each CPU, starting one CPU further each time (`clock_tick_schedule`).
fn clock_tick_schedule(lbolt: u64) {
    let cpus = &platform::kernel().k_cpus;
    for k in 0..cpus.len() {
        clock_tick_cpu(&cpus[(lbolt as usize + k) % cpus.len()], lbolt);
    }
}

fn clock_tick_cpu(cp: &'static Cpu, lbolt: u64) {
    let Some(t) = cp.cpu_thread.get() else { return };
    // A handler is not charged, nor the thread below it; below the clock itself the thread is.
    let own = if core::ptr::eq(cp, platform::cpu()) { 1 << LOCK_LEVEL } else { 0 };
    let is_chargeable = t.lwp_state.get() != lwp::NONE && cp.cpu_intr_actv.get() & !own == 0;
    if !is_chargeable || cp.cpu_flags.get() & (flag::QUIESCED | flag::OFFLINE) != 0 {
        return;
    }
    thread_lock(t);
    if cp.cpu_thread.is(t) && t.t_lbolt.get() < lbolt {
        t.t_lbolt.set(lbolt);
        probe::fire(Kind::Tick, t, 0);
        class::cl_tick(t);
    }
    thread_unlock_nopreempt(t);
}
