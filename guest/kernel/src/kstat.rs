//! The kstats of a CPU and of the system, in Solaris's names: `cpu:N:sys`, `cpu:N:intrstat`, `unix:0:sysinfo`.
//!
//! # Invariants
//! - Every counter has one writer: a CPU's own are bumped on that CPU at `DISP_LEVEL` or above, or through [`count`];
//!   those of [`CpuSnap`] and [`Sysinfo`] are written by `clock()`.
//! - Counters never go back. What they count is at most one switch, interrupt or event away from what has happened.
//!
//! # What is not here
//! What belongs to file systems, terminals, modules and paging; nothing here would count it.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use crate::cell::{Cell, Counter};
use crate::mstate::cms;
use crate::sys::{Cpu, NANOSEC};
use crate::{platform, spl};

/// `cpu:N:sys`: what a CPU counts itself. Its times are in [`CpuSnap`].
#[repr(C)]
#[derive(Debug, Default)]
pub struct CpuStats {
    /// Switches.
    pub pswitch: AtomicU64,
    /// Switches that the thread did not ask for.
    pub inv_swtch: AtomicU64,
    /// Threads that came from another CPU.
    pub cpumigrate: AtomicU64,
    /// Interrupts.
    pub intr: AtomicU64,
    /// Interrupts handled by an interrupt thread.
    pub intrthread: AtomicU64,
    /// Twice the interrupt threads that blocked: once as one leaves its pinned thread, once as it ends.
    pub intrblk: AtomicU64,
    /// Pinned threads that were let go because interrupts kept coming.
    pub intrunpin: AtomicU64,
    /// Switches to the idle thread.
    pub idlethread: AtomicU64,
    /// Threads stolen by this CPU.
    pub steal: AtomicU64,
    /// Mutexes that had to wait.
    pub mutex_adenters: AtomicU64,
    /// Times that a walk along a blocking chain had to begin anew (`turnstile_interlock`).
    pub turnstile_losses: AtomicU64,
    /// Readers that had to wait for an rwlock.
    pub rw_rdfails: AtomicU64,
    /// Writers that had to wait for an rwlock.
    pub rw_wrfails: AtomicU64,
    /// Pokes and cross calls that this CPU sent.
    pub xcalls: AtomicU64,
    /// System calls: entries from user mode that the thread asked for.
    pub syscall: AtomicU64,
    /// Traps: entries from user mode for an AST.
    pub trap: AtomicU64,
    /// Threads created by this CPU.
    pub nthreads: AtomicU64,
    /// Probes that fired while events were wanted.
    pub dtrace_probes: AtomicU64,
    /// `kpreempt_cnts`: preempted from an interrupt's return.
    pub kpc_apreempt: AtomicU64,
    /// Preempted synchronously.
    pub kpc_spreempt: AtomicU64,
    /// The idle thread ran.
    pub kpc_idle: AtomicU64,
    /// An interrupt handler ran.
    pub kpc_intr: AtomicU64,
    /// That handler was the clock's.
    pub kpc_clock: AtomicU64,
    /// `t_preempt` forbade it.
    pub kpc_blocked: AtomicU64,
    /// The thread was not on the CPU any more.
    pub kpc_notonproc: AtomicU64,
    /// A switch was in progress.
    pub kpc_inswtch: AtomicU64,
    /// The priority level forbade it.
    pub kpc_prilevel: AtomicU64,
}

/// The times of `cpu:N:sys`, as `clock()` found them at the last full second.
#[repr(C)]
#[derive(Debug, Default)]
pub struct CpuSnap {
    /// `gethrtime` of the look. The four `cpu_nsec_*` add up to it, except for the time in which the CPU was disabled.
    pub snaptime: AtomicU64,
    /// ns in the idle thread.
    pub cpu_nsec_idle: AtomicU64,
    /// ns in user mode.
    pub cpu_nsec_user: AtomicU64,
    /// ns in the kernel, interrupts not counted.
    pub cpu_nsec_kernel: AtomicU64,
    /// ns in interrupts.
    pub cpu_nsec_intr: AtomicU64,
    /// `cpu_nsec_idle` in clock ticks.
    pub cpu_ticks_idle: AtomicU64,
    /// `cpu_nsec_user` in clock ticks.
    pub cpu_ticks_user: AtomicU64,
    /// `cpu_nsec_kernel` and `cpu_nsec_intr` in clock ticks.
    pub cpu_ticks_kernel: AtomicU64,
    /// Percent of its time that interrupts take, 0 to 99: rises at once, falls slowly (`cpu_intrload`).
    pub cpu_load_intr: AtomicU32,
}

/// Interrupt levels that are counted: 1 to 15.
pub const NLEVELS: usize = 15;

/// `cpu:N:intrstat`: `level-1` to `level-15`, at place level - 1.
#[repr(C)]
#[derive(Debug, Default)]
pub struct IntrStat {
    /// ns in handlers of the level, nested ones of higher levels not counted.
    pub level_time: [AtomicU64; NLEVELS],
    /// Handlers of the level that have begun.
    pub level_count: [AtomicU64; NLEVELS],
}

impl IntrStat {
    #[inline(always)]
    pub(crate) fn bump(&self, level: u32) {
        self.level_count[level as usize - 1].bump();
    }

    #[inline(always)]
    pub(crate) fn charge(&self, level: u32, ns: u64) {
        let time = &self.level_time[level as usize - 1];
        time.set(time.get() + ns);
    }
}

/// `unix:0:sysinfo`: accumulated by `clock()` once a second; averages are quotients with `updates`.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Sysinfo {
    /// Seconds counted.
    pub updates: AtomicU64,
    /// Threads on run queues.
    pub runque: AtomicU64,
    /// Seconds at which any thread was on one.
    pub runocc: AtomicU64,
    /// Threads that wait for block I/O: of a kernel without file systems, none.
    pub waiting: AtomicU64,
}

impl Sysinfo {
    /// One more second, at which so many threads are on run queues.
    pub fn update(&self, nrunnable: u64) {
        self.updates.bump();
        self.runque.set(self.runque.get() + nrunnable);
        self.runocc.set(self.runocc.get() + u64::from(nrunnable != 0));
    }
}

/// Bumps a counter of the caller's CPU from any level. The level is raised meanwhile, or a preemption between load and store could
/// leave the counter with two writers.
#[inline]
pub fn count(counter: impl FnOnce(&CpuStats) -> &AtomicU64) {
    let level = spl::splhigh();
    counter(&platform::cpu().cpu_stats).bump();
    spl::splx(level);
}

/// Brings `cp`'s times up to date (`cpu.c cpu_sys_stats_ks_update`); called by `clock()` once a second. A CPU that changes its
/// state at each of the few looks keeps the times of the second before.
pub fn cpu_snap_update(cp: &Cpu, hz: u32) {
    let snap = &cp.cpu_snap;
    let Some((now, acct, intracct)) = (0..LOOKS).find_map(|_| look(cp)) else { return };
    let own = |state: u8| acct[usize::from(state)].saturating_sub(intracct[usize::from(state)]);
    let intr: u64 = [cms::IDLE, cms::USER, cms::SYSTEM].iter().map(|&s| intracct[usize::from(s)]).sum();
    let elapsed = now.saturating_sub(snap.snaptime.get()).max(1);
    let load = (intr.saturating_sub(snap.cpu_nsec_intr.get()) * 100 / elapsed).min(99) as u32;
    let old = snap.cpu_load_intr.get();
    snap.cpu_load_intr.set(if load >= old { load } else { old - (old - load).div_ceil(4) });
    snap.snaptime.set(now);
    let (idle, user, kernel) = (own(cms::IDLE), own(cms::USER), own(cms::SYSTEM));
    snap.cpu_nsec_idle.set(idle);
    snap.cpu_nsec_user.set(user);
    snap.cpu_nsec_kernel.set(kernel);
    snap.cpu_nsec_intr.set(intr);
    let ticks = |ns: u64| ns / (NANOSEC / u64::from(hz));
    snap.cpu_ticks_idle.set(ticks(idle));
    snap.cpu_ticks_user.set(ticks(user));
    snap.cpu_ticks_kernel.set(ticks(kernel + intr));
}

const LOOKS: usize = 8;

/// Now, and the CPU's time in each state and in interrupts of each, the current stays included; `None` if the CPU
/// changed its state meanwhile. For the states see the invariants of [`crate::mstate`]; for the interrupts:
///
/// ```text
///   the CPU, in charge_intr               this look
///                                          reads cpu_intr_start
///   cpu_intr_start = next
///   (release)
///   cpu_intracct += ns
///                                          reads cpu_intracct, with that charge in it
///                                          (acquire)
///                                          cpu_intr_start has changed: None
/// ```
fn look(cp: &Cpu) -> Option<(u64, [u64; cms::COUNT], [u64; cms::COUNT])> {
    let ms = &cp.cpu_ms;
    // Acquire: see `new_mstate`.
    let start = ms.cpu_mstate_start.load(Ordering::Acquire);
    let state = usize::from(ms.cpu_mstate.get());
    let intr_start = ms.cpu_intr_start.load(Ordering::Acquire);
    let mut acct = ms.cpu_acct.each_ref().map(Cell::get);
    let mut intracct = ms.cpu_intracct.each_ref().map(Cell::get);
    // Acquire is enough: a charge is made after its start was moved on, so a look that sees the charge sees the start moved.
    fence(Ordering::Acquire);
    if acct.iter().sum::<u64>() != start || ms.cpu_intr_start.get() != intr_start {
        return None;
    }
    let now = platform::now().max(start);
    acct[state] += now - start;
    if intr_start != 0 {
        intracct[state] = (intracct[state] + now.saturating_sub(intr_start)).min(acct[state]);
    }
    Some((now, acct, intracct))
}
