//! Cross calls: a function run on other CPUs, whose answers the caller waits for (`i86pc x_call.c`).
//!
//! ```text
//!   caller, at level 13                      a CPU of the set
//!   writes what to run, and xc_wait
//!   its bit in the others' xc_msgs, XC ---->  level 13: takes the bits
//!   waits until xc_wait is 0,                 runs each caller's function
//!     serving its own xc_msgs meanwhile  <--  takes its bit out of the caller's xc_wait
//! ```
//!
//! # Invariants
//! - A caller is at `XC_SYS_PIL` or above from the first message to the last answer: it does not move, it makes one call at a
//!   time, and its level 13 is closed, so that it serves only where it waits and not in an interrupt on top of that.
//! - A CPU that waits also serves. So if callers call each other, each gets its answer, however many they are. And no CPU waits
//!   inside the service of one message: for an `xc_sync` it only notes that it has come, and goes on serving until all have:
//!
//! ```text
//!   CPU A: xc_sync of A and B                 CPU B: xc_sync of A and B
//!   bit A in B's xc_msgs                      bit B in A's xc_msgs
//!   waits, and serves B's call:               waits, and serves A's call:
//!     B's xc_missing loses A                    A's xc_missing loses B
//!     B's xc_missing is 0: runs B's             A's xc_missing is 0: runs A's
//!     B's xc_wait loses A                       A's xc_wait loses B
//!   xc_missing is 0: runs its own             xc_missing is 0: runs its own
//!   xc_wait is 0: returns                     xc_wait is 0: returns
//! ```
//! - A bit in `xc_msgs` is set after the call's words are written (release) and taken before they are read (acquire); a bit in
//!   `xc_wait` is cleared after the function has run (release), and the caller goes on after it has seen that (acquire). The
//!   caller writes the words of its next call only then.
//! - A bit and its interrupt may arrive apart. A CPU that finds no bit does nothing, and a caller sends the interrupt after it has
//!   set the bit:
//!
//! ```text
//!   CPU A: xc_call                            CPU B: xc_serv, because of an earlier interrupt
//!   bit A in B's xc_msgs
//!                                             takes bit A, answers
//!   XC  ------------------------------------> level 13 again: finds no bit
//! ```
//! - A CPU answers as long as its level is below 13, whatever else it does: also offline, quiesced or paused. A CPU that waits at
//!   13 or above for something that the caller has does not answer, and then both stop (6915132). So no lock of such a level is
//!   held across a cross call; the tunable `xc_level_check` makes it a panic:
//!
//! ```text
//!   CPU A, has a lock of level 13             CPU B
//!                                             level = 13, spins for A's lock
//!   xc_call: waits for B's answer             level 13 is masked, so B never answers
//! ```
//!
//! # What is not here
//! Calls that do not wait for the answer (`xc_call_nowait`), and those at `XC_HI_PIL`. `mutex_sync()`, by which the reaper makes
//! sure that no CPU looks at a dead thread any more: threads are never reused here.

use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering, fence};

use crate::cell::{Cell, Counter};
use crate::sys::Cpu;
use crate::sys::cpu::flag;
use crate::sys::spin::Spin;
use crate::{platform, spl};
use umpire_shared::sys::machlock::XC_SYS_PIL;
use umpire_shared::tunable;

/// What a cross call runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum XcFunc {
    /// Nothing: that the CPU has taken the interrupt is all that is wanted.
    Sync = 0,
    /// Adds the argument to the CPU's `xc_sum`.
    Add = 1,
}

/// A CPU's part in cross calls: those that it is to serve, and the one that it makes.
#[repr(C)]
#[derive(Debug, Default)]
pub struct XcCpu {
    /// Callers whose calls this CPU has not looked at, a bit each.
    pub xc_msgs: AtomicU32,
    /// Callers of `xc_sync` whose calls this CPU has come for, and whose function it has not run. Only this CPU touches it.
    pub xc_held: AtomicU32,
    /// What this CPU's own call runs, an [`XcFunc`].
    pub xc_func: AtomicU8,
    /// Nonzero if no CPU may run the function before all CPUs of the call have come.
    pub xc_is_sync: AtomicU8,
    /// The function's argument.
    pub xc_arg: AtomicU64,
    /// CPUs that have not come yet, a bit each; `xc_sync` only.
    pub xc_missing: AtomicU32,
    /// CPUs that have not answered yet, a bit each.
    pub xc_wait: AtomicU32,
    /// What `XcFunc::Add` has added here. Only this CPU writes it.
    pub xc_sum: AtomicU64,
    /// Calls served. Only this CPU writes it.
    pub xc_served: AtomicU64,
}

/// Runs `func` on each CPU of the set that is up, this one included if it is in the set, and returns when all have run it
/// (`xc_call`).
/// Bit `n` of `set` is CPU `n`.
///
/// # Panics
/// In a high-level interrupt handler. With the tunable `xc_level_check` also if other CPUs are in the set and the caller is at
/// `XC_SYS_PIL` or above.
pub fn xc_call(set: u32, func: XcFunc, arg: u64) {
    xc_common(set, func, arg, false);
}

/// As [`xc_call`], but no CPU runs `func` before every CPU of the set has stopped to do so (`xc_sync`).
///
/// # Panics
/// As [`xc_call`].
pub fn xc_sync(set: u32, func: XcFunc, arg: u64) {
    xc_common(set, func, arg, true);
}

fn xc_common(set: u32, func: XcFunc, arg: u64, is_sync: bool) {
    let level = spl::splr(XC_SYS_PIL);
    let cp = platform::cpu();
    assert!(!cp.on_intr(), "xc_call: from a high-level interrupt handler of CPU {}", cp.cpu_id);
    let me = 1 << cp.cpu_id;
    let others = set & ready_cpus() & !me;
    if others != 0 && level >= XC_SYS_PIL {
        check_level(cp, level);
    }
    let call = &cp.cpu_xc;
    call.xc_func.set(func as u8);
    call.xc_is_sync.set(u8::from(is_sync));
    call.xc_arg.set(arg);
    call.xc_missing.set(others);
    call.xc_wait.set(others);
    for target in cpus_of(others) {
        platform::interleave();
        target.cpu_xc.xc_msgs.fetch_or(me, Ordering::Release);
        cp.cpu_stats.xcalls.bump();
        platform::xcall(target.cpu_id);
    }
    let mut spin = Spin::for_word(&call.xc_wait);
    while is_sync && call.xc_missing.load(Ordering::Acquire) != 0 {
        xc_serv(cp);
        spin.turn_for(waited_for(call));
    }
    if set & me != 0 {
        run(cp, call);
    }
    // The caller of an `xc_sync` that this CPU has come for counts on it: so this CPU stays until that call is over as well.
    while call.xc_wait.load(Ordering::Acquire) != 0 || call.xc_held.get() != 0 {
        xc_serv(cp);
        spin.turn_for(waited_for(call));
    }
    drop(spin);
    spl::splx(level);
}

/// The interrupt of a cross call. At `XC_SYS_PIL`.
pub(super) fn xc_intr(cp: &Cpu) {
    xc_serv(cp);
    let mut spin = Spin::for_word(&cp.cpu_xc.xc_held);
    while cp.cpu_xc.xc_held.get() != 0 {
        spin.turn_for(waited_for(&cp.cpu_xc));
        xc_serv(cp);
    }
}

/// The CPUs that a CPU in a cross call waits for: those that owe it an answer, and those that the callers of its `xc_held` wait
/// for to come.
fn waited_for(own: &XcCpu) -> u64 {
    // The function runs on the CPUs of `xc_missing` as well: they are in `xc_wait`.
    let mut cpus = own.xc_wait.get();
    for caller in cpus_of(own.xc_held.get()) {
        cpus |= caller.cpu_xc.xc_missing.get() | 1 << caller.cpu_id;
    }
    u64::from(cpus)
}

/// Looks once at what other CPUs want of this one; waits for none of them (`xc_serv`).
fn xc_serv(cp: &Cpu) {
    let own = &cp.cpu_xc;
    let me = 1 << cp.cpu_id;
    if own.xc_msgs.get() != 0 {
        platform::interleave();
        for caller in cpus_of(own.xc_msgs.swap(0, Ordering::Acquire)) {
            let call = &caller.cpu_xc;
            if call.xc_is_sync.get() == 0 {
                answer(cp, call);
            } else {
                own.xc_held.set(own.xc_held.get() | 1 << caller.cpu_id);
                // Release: what this CPU did before it came is visible to every CPU that runs the function.
                call.xc_missing.fetch_and(!me, Ordering::Release);
            }
        }
    }
    for caller in cpus_of(own.xc_held.get()) {
        let call = &caller.cpu_xc;
        if call.xc_missing.load(Ordering::Acquire) == 0 {
            own.xc_held.set(own.xc_held.get() & !(1 << caller.cpu_id));
            answer(cp, call);
        }
    }
}

fn answer(cp: &Cpu, call: &XcCpu) {
    run(cp, call);
    platform::interleave();
    call.xc_wait.fetch_and(!(1 << cp.cpu_id), Ordering::Release);
}

fn run(cp: &Cpu, call: &XcCpu) {
    let own = &cp.cpu_xc;
    if call.xc_func.get() == XcFunc::Add as u8 {
        own.xc_sum.set(own.xc_sum.get().wrapping_add(call.xc_arg.get()));
    } else {
        // What the caller wants ordered is then ordered on this CPU too.
        fence(Ordering::SeqCst);
    }
    own.xc_served.bump();
}

/// A CPU that spins at this level for a lock of the caller's would never answer: see the last of the module's pictures.
#[cold]
fn check_level(cp: &Cpu, level: u32) {
    assert!(
        platform::kernel().tunable(tunable::XC_LEVEL_CHECK) == 0,
        "xc_call: CPU {} at level {level} waits for others: a lock held at or above level {XC_SYS_PIL} across a cross call",
        cp.cpu_id
    );
}

/// The CPUs that have come up and have not been powered off: they take interrupts.
fn ready_cpus() -> u32 {
    let cpus = platform::kernel().k_cpus.iter();
    cpus.filter(|cp| cp.cpu_flags.get() & flag::READY != 0).fold(0, |set, cp| set | 1 << cp.cpu_id)
}

fn cpus_of(set: u32) -> impl Iterator<Item = &'static Cpu> {
    platform::kernel().k_cpus.iter().filter(move |cp| set >> cp.cpu_id & 1 == 1)
}
