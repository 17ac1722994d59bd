//! CPU caps (`cpucaps.c`): a project, or a zone with all its projects, gets so much of the CPUs and no more, however idle they
//! are.
//!
//! What a project or zone uses is added up as its threads' microstates tell it, and one per cent of the sum is forgotten each tick. If
//! it uses the part `p` of a CPU for long, its sum is therefore `100 * p` ticks, and a cap of `n` per cent is a sum of `n` ticks.
//!
//! | when | what |
//! |---|---|
//! | a tick is charged, a preemption | the thread is charged; if its project or zone is at its cap it is flagged, and asked to leave |
//! | it is preempted on its way to user mode | a flagged thread goes onto a cap's wait queue (`sync/waitq.rs`), the project's before the zone's |
//! | it sleeps, it ends | it is charged, no more |
//! | the clock ticks | usage decays; below the cap the best waiter is released |
//!
//! A thread waits on one queue at a time. A thread that was flagged for both has an AST when its project's queue lets it go, so it comes
//! to the zone's queue before it is in user mode. The project's queue is first: in the zone's, the thread would take a place from
//! threads that may run.
//!
//! Only classes TS, IA, FX and FSS ask; SYS, RT and SDC know no caps. A thread in the kernel may hold what others need, so it is
//! charged and never parked: no cap stops a loop there.
//!
//! # Invariants
//! - A thread waits only while the queue's project or zone has a cap: taking the cap away blocks the queue and empties it, and a thread
//!   that changes its class is released.
//! - `csc_cputime` and `TS_ANYWAITQ` change under the thread's lock. A thread's time is charged once: what could not be read
//!   this time is charged the next.
//! - Every CPU adds to `cap_usage` and the clock ages it, each by one read-modify-write, so no charge is lost and it
//!   never falls below 0. Nothing else depends on it: relaxed.
//! - A thread that sets a cap holds `caps_lock`. All other code reads `caps_on` and `cap_value` without it and may be late by as long
//!   as a store takes to be seen. A queue that is blocked by then turns the thread away:
//!
//! ```text
//!   CPU A: a thread is parked               CPU B: change_cap takes the cap away
//!   the cap is reached? -> yes
//!                                           cap_value = 0
//!                                           waitq_clear blocks the queue, then empties it
//!   waitq_enqueue: the queue is blocked
//!   does not park the thread
//! ```
//! - Without a cap all this costs a load and a branch where a class calls it.
//!
//! # What is not here
//! A thread that yields is charged at its next tick.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use alloc::boxed::Box;

use crate::cell::{Cell, Counter};
use crate::kernel::Kernel;
use crate::lock::thread_unlock_nopreempt;
use crate::mstate::mstate_thread_onproc_time;
use crate::platform;
use crate::sync::waitq::{WaitQueue, waitq_clear, waitq_enqueue, waitq_runone, waitq_setrun, waitq_unblock};
use crate::sync::{Mutex, mutex_enter, mutex_exit};
use crate::sys::thread::{schedflag, ts};
use crate::sys::{Kthread, NANOSEC};
use umpire_shared::program::Program;
use umpire_shared::{errno, tunable};

/// Parts of which one is forgotten a tick.
const DECAY: u64 = 100;
/// `csc_cputime` of a thread whose time could not be read when it came: from the next reading on it is charged.
const UNREAD: u64 = u64::MAX;

/// `cpucap_t`: the cap of a project or a zone.
#[repr(C)]
#[derive(Debug)]
pub struct Cpucap {
    /// The usage at which its threads wait, in ns; 0 for no cap.
    pub cap_value: AtomicU64,
    /// Decayed usage, in ns.
    pub cap_usage: AtomicU64,
    /// The greatest usage at a tick, in ns.
    pub cap_maxusage: AtomicU64,
    /// `gethrtime` when it began: what was used before does not count.
    pub cap_since: AtomicU64,
    /// Ticks at which usage was below the cap. Only the clock counts.
    pub cap_below: AtomicU64,
    /// Ticks at which it was not.
    pub cap_above: AtomicU64,
    /// The threads that wait for usage to be below the cap.
    pub cap_waitq: WaitQueue,
}

/// The caps of every project and zone.
#[repr(C)]
#[derive(Debug)]
pub struct Cpucaps {
    /// Held while a cap is set.
    pub caps_lock: Mutex,
    /// Projects and zones that are capped.
    pub caps_on: AtomicU32,
    /// Caps of projects, in their order.
    pub caps: Box<[Cpucap]>,
    /// Caps of zones: each at its first project's place, the others unused.
    pub zone_caps: Box<[Cpucap]>,
}

/// `caps_sc_t`: what is kept of a thread.
#[repr(C)]
#[derive(Debug, Default)]
pub struct CapsSc {
    /// Time on CPUs that has been charged, or was before the thread came to a class with caps, in ns.
    pub csc_cputime: AtomicU64,
}

impl Cpucaps {
    /// The caps of so many `projects` and of their zones, none of them set: [`cpucaps_start`] sets the program's.
    pub fn new(projects: usize) -> Cpucaps {
        let cap = |_| Cpucap {
            cap_value: AtomicU64::new(0),
            cap_usage: AtomicU64::new(0),
            cap_maxusage: AtomicU64::new(0),
            cap_since: AtomicU64::new(0),
            cap_below: AtomicU64::new(0),
            cap_above: AtomicU64::new(0),
            cap_waitq: WaitQueue::new(),
        };
        Cpucaps {
            caps_lock: Mutex::new(),
            caps_on: AtomicU32::new(0),
            caps: (0..projects).map(cap).collect(),
            zone_caps: (0..projects).map(cap).collect(),
        }
    }
}

/// Sets the program's caps, at boot.
pub fn cpucaps_start(program: Program<'_>) {
    let kernel = platform::kernel();
    let caps = &kernel.k_cpucaps;
    for (n, project) in program.projects().enumerate() {
        if project.cap != 0 {
            change_cap(&caps.caps[n], project.cap);
        }
        if project.zone_cap != 0 && zone_of(n) == n {
            change_cap(&caps.zone_caps[n], project.zone_cap);
        }
    }
}

/// Caps a project at so many per cent of one CPU, 1 to 100 a CPU of the machine; 0 takes the cap away (`project.cpu-cap`). Called
/// at level 0 with no lock held. Returns an errno, 0 for success, `EINVAL` for no such project or number.
pub fn set_cap(project: usize, percent: u32) -> u32 {
    set(project, percent, |kernel| {
        (&kernel.k_cpucaps.caps[project], &kernel.k_class.fss.fss_kprojects[project].kpj_cap)
    })
}

/// The same for the zone in which a project is (`zone.cpu-cap`).
pub fn set_zone_cap(project: usize, percent: u32) -> u32 {
    set(project, percent, |kernel| {
        let zone = zone_of(project);
        (&kernel.k_cpucaps.zone_caps[zone], &kernel.k_class.fss.fss_kprojects[zone].kpj_zone_cap)
    })
}

/// `cpucaps_sc_init`: `t`, which joins a class with caps, is not charged for its time until now.
pub fn cpucaps_sc_init(t: &Kthread) {
    t.t_cldata.caps.csc_cputime.set(mstate_thread_onproc_time(t).unwrap_or(UNREAD));
}

/// Charges a locked thread's project and zone with what the thread has run (`cpucaps_charge`, `CPUCAPS_CHARGE_ONLY`).
#[inline]
pub fn cpucaps_charge(t: &'static Kthread) {
    if is_on() {
        charge(t);
    }
}

/// Charges a locked thread, and flags it if its project or zone is at its cap (`CPUCAPS_CHARGE_ENFORCE`). True: it is to leave its CPU.
#[inline]
pub fn cpucaps_charge_enforce(t: &'static Kthread) -> bool {
    is_on() && charge_and_flag(t)
}

/// `CL_PREEMPT` of a thread, which is locked and in transition: charges it and, if its project or zone is at its cap and it is
/// on its way to user mode, parks it (`CPUCAPS_ENFORCE`). True: the class has nothing more to do until the thread is released.
#[inline]
pub fn cpucaps_enforce(t: &'static Kthread) -> bool {
    // A flag may be older than the end of the last cap.
    (is_on() || is_flagged(t, schedflag::ANYWAITQ)) && park(t)
}

/// A locked thread has changed its class: it does not wait any more, and is not flagged to. Its new class may know no caps; a class
/// that does finds out by itself.
pub fn cpucaps_release(t: &'static Kthread) {
    unflag(t, schedflag::ANYWAITQ);
    if t.t_state.get() == ts::WAIT {
        waitq_setrun(t);
    }
}

/// Once a tick: usage decays, and where it is below the cap one waiter is released (`caps_update`).
pub fn caps_update() {
    if !is_on() {
        return;
    }
    let caps = &platform::kernel().k_cpucaps;
    for cap in caps.caps.iter().chain(&caps.zone_caps) {
        let value = cap.cap_value.get();
        if value == 0 {
            continue;
        }
        let usage = cap.decay();
        cap.cap_maxusage.set(cap.cap_maxusage.get().max(usage));
        if usage >= value {
            cap.cap_above.bump();
            continue;
        }
        cap.cap_below.bump();
        // A thread that is just coming is seen at the next tick.
        if cap.cap_waitq.wq_count.get() != 0
            && let Some(t) = waitq_runone(&cap.cap_waitq)
        {
            thread_unlock_nopreempt(t);
        }
    }
}

impl Cpucap {
    fn is_reached(&self) -> bool {
        let value = self.cap_value.get();
        value != 0 && self.cap_usage.get() >= value
    }

    /// Forgets a part of the usage, at least 1 ns of it, and returns what is left.
    fn decay(&self) -> u64 {
        let left = |usage: u64| usage - (usage / DECAY).max(1).min(usage);
        // The loop ends: it is repeated only if another CPU's change has come through.
        let mut usage = self.cap_usage.get();
        while let Err(now) =
            self.cap_usage.compare_exchange(usage, left(usage), Ordering::Relaxed, Ordering::Relaxed)
        {
            usage = now;
        }
        left(usage)
    }
}

#[inline(always)]
fn is_on() -> bool {
    platform::kernel().k_cpucaps.caps_on.get() != 0
}

/// The caps that hold a thread, each with the flag of its wait queue, in the order in which the thread comes to those queues.
fn caps_of(t: &Kthread) -> [(u16, &'static Cpucap); 2] {
    let caps = &platform::kernel().k_cpucaps;
    let project = t.t_project.get() as usize;
    [(schedflag::PROJWAITQ, &caps.caps[project]), (schedflag::ZONEWAITQ, &caps.zone_caps[zone_of(project)])]
}

/// A zone is named by its first project.
fn zone_of(project: usize) -> usize {
    platform::kernel().k_class.fss.fss_kprojects[project].kpj_zone as usize
}

fn charge(t: &'static Kthread) {
    let charged = &t.t_cldata.caps.csc_cputime;
    let Some(onproc) = mstate_thread_onproc_time(t) else { return };
    if charged.get() == UNREAD {
        charged.set(onproc);
        return;
    }
    let ran = onproc.saturating_sub(charged.get());
    if ran == 0 {
        // The clocks of the CPUs may differ by a little: what was charged stays charged.
        return;
    }
    charged.set(onproc);
    platform::interleave();
    for (_, cap) in caps_of(t) {
        // Acquire: a CPU that sees the cap sees since when it holds.
        if cap.cap_value.load(Ordering::Acquire) != 0 {
            let since = platform::now().saturating_sub(cap.cap_since.get());
            cap.cap_usage.fetch_add(ran.min(since), Ordering::Relaxed);
        }
    }
}

fn charge_and_flag(t: &'static Kthread) -> bool {
    charge(t);
    // A thread that has been parked or put to sleep meanwhile has left already.
    if t.t_state.get() != ts::ONPROC || platform::kernel().tunable(tunable::CPUCAPS_ENFORCE) == 0 {
        return false;
    }
    let reached = caps_of(t).into_iter().filter(|(_, cap)| cap.is_reached());
    let flags = reached.fold(0, |flags, (flag, _)| flags | flag);
    t.t_schedflag.set(t.t_schedflag.get() | flags);
    flags != 0
}

fn park(t: &'static Kthread) -> bool {
    charge_and_flag(t);
    if !is_flagged(t, schedflag::ANYWAITQ) || t.t_to_user.get() == 0 {
        return false;
    }
    let is_parked = caps_of(t).into_iter().filter(|&(flag, _)| is_flagged(t, flag)).any(|(flag, cap)| {
        unflag(t, flag);
        platform::interleave();
        waitq_enqueue(&cap.cap_waitq, t)
    });
    if is_flagged(t, schedflag::ANYWAITQ) {
        t.aston();
    }
    is_parked
}

#[inline(always)]
fn is_flagged(t: &Kthread, flags: u16) -> bool {
    t.t_schedflag.get() & flags != 0
}

fn unflag(t: &Kthread, flags: u16) {
    t.t_schedflag.set(t.t_schedflag.get() & !flags);
}

/// Sets the cap that `which` finds, with its number for display, if there is such a project and such a number.
fn set(
    project: usize,
    percent: u32,
    which: impl FnOnce(&'static Kernel) -> (&'static Cpucap, &'static AtomicU32),
) -> u32 {
    let kernel = platform::kernel();
    if project >= kernel.k_cpucaps.caps.len() || percent > 100 * kernel.k_ncpus {
        return errno::EINVAL;
    }
    let (cap, shown) = which(kernel);
    mutex_enter(&kernel.k_cpucaps.caps_lock);
    shown.set(percent);
    change_cap(cap, percent);
    mutex_exit(&kernel.k_cpucaps.caps_lock);
    0
}

/// The caller holds `caps_lock`, or is alone.
fn change_cap(cap: &'static Cpucap, percent: u32) {
    let kernel = platform::kernel();
    let caps = &kernel.k_cpucaps;
    let was_capped = cap.cap_value.get() != 0;
    if percent == 0 {
        cap.cap_value.set(0);
        if was_capped {
            caps.caps_on.drop_one();
            // A thread whose CPU saw the cap before, and that comes from now on, is turned away.
            waitq_clear(&cap.cap_waitq);
        }
        return;
    }
    if !was_capped {
        cap.cap_usage.set(0);
        cap.cap_since.set(platform::now());
        waitq_unblock(&cap.cap_waitq);
    }
    // Release: see `charge`.
    cap.cap_value.store(u64::from(percent) * (NANOSEC / u64::from(kernel.hz.get())), Ordering::Release);
    if !was_capped {
        caps.caps_on.bump();
    }
}
