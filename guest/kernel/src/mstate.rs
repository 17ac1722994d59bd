//! Microstates: where the time of each thread and of each CPU goes (`msacct.c`).
//!
//! # Invariants
//! - A thread's states add up to its life: the sum of `t_acct` is `t_mstart - t_ms_start`, and the stay that has begun at
//!   `t_mstart` belongs to `t_mstate`. The same holds for a CPU's `cpu_acct` and `cpu_mstate_start`, from time 0.
//! - That is also how an outside reader knows that its copy is whole. A change is written in the order account, state, start;
//!   a reader that reads in the order start, state, accounts and finds the sum right has read one moment. Accounts only grow, and
//!   everything that was added before the start that it read is in them (release here, acquire there), so a sum that is not
//!   too great has nothing of a later change in it:
//!
//! ```text
//!   the CPU that changes the state         a reader
//!   account += now - start
//!   state = the new one
//!   start = now             (release)
//!                                          reads start     (acquire): that account and state are seen
//!   account += ..., the next change
//!                                          reads state, accounts
//!                                          the sum is greater than start: looks again, or gives up
//! ```
//! - A thread's states are changed only by a CPU that has the thread to itself: one that holds its lock and takes it on or off a
//!   queue, or one that switches to it. A running thread changes its own at `DISP_LEVEL`, so that no preemption comes in between.
//! - A CPU's states are changed by that CPU alone, at `DISP_LEVEL` or above; interrupt times at level 15.
//! - Interrupts are charged to the CPU, not to a thread: the state of the thread that was interrupted goes on, as for a pinned
//!   thread in Solaris. What they took of each CPU state is in `cpu_intracct`, and is taken out of it for the kstats.
//! - A switch reads the clock once. The reading by which its thread went to sleep or back to a queue serves for
//!   the thread that comes next, unless an interrupt came in between or events are traced.

use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering, fence};

use crate::cell::Cell;
use crate::sys::thread::{lms, lwp, role, sobj};
use crate::sys::{Cpu, Kthread};
use crate::{platform, spl};
use umpire_shared::mutant;
pub use umpire_shared::sys::cpuvar::cms;

/// A CPU's microstates, and its interrupt time.
#[repr(C)]
#[derive(Debug)]
pub struct CpuMstate {
    /// The state that it is in: one of [`cms`].
    pub cpu_mstate: AtomicU8,
    /// `gethrtime` when it entered that state.
    pub cpu_mstate_start: AtomicU64,
    /// ns in each state, the current stay not counted, interrupts included.
    pub cpu_acct: [AtomicU64; cms::COUNT],
    /// ns that interrupts took of each state.
    pub cpu_intracct: [AtomicU64; cms::COUNT],
    /// `gethrtime` since when the interrupt of `cpu_intr_level` is charged; 0 if none is.
    pub cpu_intr_start: AtomicU64,
    /// Level of the interrupt that is being charged; 0 if none is.
    pub cpu_intr_level: AtomicU32,
    /// `gethrtime` of the last switch.
    pub cpu_swtch_time: AtomicU64,
    /// The reading by which the current thread left the CPU; 0 if the coming switch must take its own.
    pub cpu_left: AtomicU64,
}

impl CpuMstate {
    /// A CPU that has not begun.
    pub fn new() -> CpuMstate {
        CpuMstate {
            cpu_mstate: AtomicU8::new(cms::DISABLED),
            cpu_mstate_start: AtomicU64::new(0),
            cpu_acct: [const { AtomicU64::new(0) }; cms::COUNT],
            cpu_intracct: [const { AtomicU64::new(0) }; cms::COUNT],
            cpu_intr_start: AtomicU64::new(0),
            cpu_intr_level: AtomicU32::new(0),
            cpu_swtch_time: AtomicU64::new(0),
            cpu_left: AtomicU64::new(0),
        }
    }
}

impl Default for CpuMstate {
    fn default() -> Self {
        CpuMstate::new()
    }
}

/// A new thread's life begins, stopped (`init_mstate`). One that has ended before begins anew: nothing of that life is charged to this
/// one.
pub fn init_mstate(t: &Kthread) {
    let now = platform::now();
    t.t_mstate.set(lms::STOPPED);
    for acct in &t.t_acct {
        acct.set(0);
    }
    t.t_ms_start.set(now);
    // Release, as in `new_mstate`: a reader that sees the new start sees that nothing is charged up to it.
    t.t_mstart.store(now, Ordering::Release);
}

/// Thread `t` is in `state` from `now` on (`new_mstate`). A `now` before the state's start counts as the start: CPUs'
/// clocks may differ by a little.
#[inline(always)]
pub fn new_mstate(t: &Kthread, state: u8, now: u64) {
    let old = t.t_mstate.get();
    if old == state {
        return;
    }
    let start = t.t_mstart.get();
    let now = now.max(start);
    let acct = &t.t_acct[usize::from(old)];
    if old != lms::WAIT_CPU || !platform::kernel().is_mutant(mutant::LOST_WAIT_CPU) {
        acct.set(acct.get() + (now - start));
    }
    t.t_mstate.set(state);
    // Release: a reader that sees the new start sees what was charged up to it.
    t.t_mstart.store(now, Ordering::Release);
}

/// The current thread goes to sleep on a synchronisation object of this kind ([`sobj`]); its lock is held.
#[inline(always)]
pub fn mstate_sleep(t: &Kthread, kind: u8) {
    leave(t, if matches!(kind, sobj::MUTEX | sobj::RWLOCK) { lms::USER_LOCK } else { lms::SLEEP });
}

/// The current thread ends, or stops; its lock is held.
pub fn mstate_stop(t: &Kthread) {
    leave(t, lms::STOPPED);
}

/// A thread that the caller has in transition goes onto a run queue or onto the wait queue of a CPU cap; returns `gethrtime`, for
/// `t_waitrq`.
#[inline(always)]
pub fn mstate_enqueue(t: &Kthread) -> u64 {
    if core::ptr::eq(t, platform::curthread()) {
        return leave(t, lms::WAIT_CPU);
    }
    let now = platform::now();
    new_mstate(t, lms::WAIT_CPU, now);
    now
}

/// ns that a locked thread has been on a CPU up to now (`mstate_thread_onproc_time`); `None` if it runs elsewhere and is
/// just changing its state.
pub fn mstate_thread_onproc_time(t: &Kthread) -> Option<u64> {
    // The order in which an outside reader reads; see the invariants.
    let start = t.t_mstart.load(Ordering::Acquire);
    let state = t.t_mstate.get();
    let acct = t.t_acct.each_ref().map(Cell::get);
    if t.t_ms_start.get() + acct.iter().sum::<u64>() != start {
        return None;
    }
    let running = [lms::USER, lms::SYSTEM, lms::TRAP];
    let stay = if running.contains(&state) { platform::now().saturating_sub(start) } else { 0 };
    Some(running.iter().map(|&of| acct[usize::from(of)]).sum::<u64>() + stay)
}

/// The current thread will leave its CPU by the next `swtch`, for which the reading is kept.
#[inline(always)]
fn leave(t: &Kthread, state: u8) -> u64 {
    let now = platform::now();
    new_mstate(t, state, now);
    platform::cpu().cpu_ms.cpu_left.set(now);
    now
}

/// The time of the switch that `cp` is making, noted in `cpu_swtch_time`. With tracing on it is always read anew, so that
/// a CPU's events are in the order of their times.
#[inline(always)]
pub fn swtch_time(cp: &Cpu) -> u64 {
    let ms = &cp.cpu_ms;
    let left = ms.cpu_left.get();
    ms.cpu_left.set(0);
    let now = if left == 0 || platform::kernel().k_trace.get() != 0 { platform::now() } else { left };
    ms.cpu_swtch_time.set(now);
    now
}

/// Thread `t` leaves its CPU by a switch. Its state changed when it went to sleep or onto a queue, and other CPUs may have it since;
/// only the idle thread does neither.
#[inline(always)]
pub fn mstate_off_cpu(t: &Kthread, now: u64) {
    if t.t_role.get() == role::IDLE {
        new_mstate(t, lms::STOPPED, now);
    }
}

/// Thread `t` comes onto `cp` (`restore_mstate`). The caller is `cp` at `DISP_LEVEL`, and has chosen `t`.
/// Here its wait ends: not where it was chosen, because `disp_ratify` may put it back before it has run. No other CPU stamps it
/// before it has run here.
#[inline(always)]
pub fn restore_mstate(cp: &Cpu, t: &Kthread, now: u64) {
    t.t_waitrq.set(0);
    t.t_runs.set(t.t_runs.get().wrapping_add(1));
    let (state, of_cpu) = match t.t_role.get() {
        role::IDLE => (lms::SYSTEM, cms::IDLE),
        _ if t.lwp_state.get() == lwp::USER => (lms::USER, cms::USER),
        _ => (lms::SYSTEM, cms::SYSTEM),
    };
    new_mstate(t, state, now);
    new_cpu_mstate(cp, of_cpu, now);
}

/// `cp`, the caller's CPU, is in `state` from `now` on (`new_cpu_mstate`).
#[inline(always)]
pub fn new_cpu_mstate(cp: &Cpu, state: u8, now: u64) {
    let ms = &cp.cpu_ms;
    let old = ms.cpu_mstate.get();
    if old == state {
        return;
    }
    let start = ms.cpu_mstate_start.get();
    let now = now.max(start);
    let acct = &ms.cpu_acct[usize::from(old)];
    acct.set(acct.get() + (now - start));
    ms.cpu_mstate.set(state);
    // Release: as in `new_mstate`.
    ms.cpu_mstate_start.store(now, Ordering::Release);
}

/// The current thread's LWP changes its mode ([`lwp::USER`] or [`lwp::SYS`]), and thread and CPU their states
/// (`syscall_mstate`). `at_high` is done in the same step, on a CPU that stays.
#[inline]
pub fn mode_mstate(t: &Kthread, mode: u8, at_high: impl FnOnce(&Cpu)) {
    // An interrupt that comes before this store returns to the old mode. So the mode is the kernel's as soon as the kernel is entered.
    if mode == lwp::SYS {
        t.lwp_state.set(mode);
    }
    let level = spl::splhigh();
    let cp = platform::cpu();
    let now = platform::now();
    let (state, of_cpu) = if mode == lwp::USER { (lms::USER, cms::USER) } else { (lms::SYSTEM, cms::SYSTEM) };
    new_mstate(t, state, now);
    new_cpu_mstate(cp, of_cpu, now);
    at_high(cp);
    // This is the last step: when an interrupt finds user mode at this level, only the lowering of the level is left to do.
    t.lwp_state.set(mode);
    spl::splx(level);
}

/// What an interrupt found when it began: given back to [`intr_end`].
#[derive(Debug)]
pub struct Interrupted {
    /// Level of the interrupt that was being charged, 0 if none was.
    outer: u32,
    /// `gethrtime` then.
    pub since: u64,
}

/// A handler of `level` begins on `cp`; at level 15 (`intr.c`: `hilevel_intr_prolog`, `intr_thread_prolog`). What was being
/// charged before is charged up to here.
#[inline]
pub fn intr_begin(cp: &Cpu, level: u32) -> Interrupted {
    let ms = &cp.cpu_ms;
    let since = platform::now();
    let outer = ms.cpu_intr_level.get();
    if outer == 0 {
        ms.cpu_intr_start.set(since);
    } else {
        charge_intr(cp, outer, since, since);
    }
    ms.cpu_intr_level.set(level);
    cp.cpu_intrstat.bump(level);
    Interrupted { outer, since }
}

/// The handler of `level` is over, or its thread has blocked: control is back where the handler began, at level 15. What it
/// interrupted goes on being charged. A thread that blocked is from then on charged like any other. Returns `gethrtime`.
#[inline]
pub fn intr_end(cp: &Cpu, level: u32, interrupted: &Interrupted) -> u64 {
    let now = platform::now();
    charge_intr(cp, level, now, if interrupted.outer == 0 { 0 } else { now });
    cp.cpu_ms.cpu_intr_level.set(interrupted.outer);
    // A reading from before would charge the interrupt to the thread that comes next.
    cp.cpu_ms.cpu_left.set(0);
    now
}

/// Charges what `level` took up to `now`; the handler that is active then is charged from `next` on. The start moves first, so that an
/// outside reader misses a charge rather than counts it twice.
#[inline(always)]
fn charge_intr(cp: &Cpu, level: u32, now: u64, next: u64) {
    let ms = &cp.cpu_ms;
    let ns = now.saturating_sub(ms.cpu_intr_start.get());
    ms.cpu_intr_start.set(next);
    // Release: a reader that sees the charge sees the start moved.
    fence(Ordering::Release);
    cp.cpu_intrstat.charge(level, ns);
    if platform::kernel().is_mutant(mutant::UNCHARGED_INTR) {
        return;
    }
    let of_state = &ms.cpu_intracct[usize::from(ms.cpu_mstate.get())];
    of_state.set(of_state.get() + ns);
}
