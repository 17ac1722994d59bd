//! `priocntl`: changes of class, priority, shares, `nice` and focus while the system runs (`priocntl.c`).
//!
//! # Invariants
//! - Called by a thread at level 0, with no lock held; an error changes nothing.
//! - The thread may be anywhere: running elsewhere, queued, asleep. It is locked once, changed, and put where it belongs.

use super::{CLASSES, cl_enterclass};
use crate::cell::Cell;
use crate::cpucaps::cpucaps_release;
use crate::disp::thread_unlock;
use crate::lock::thread_lock;
use crate::sys::Kthread;
use crate::sys::class::{Parms, ops};
use crate::sys::thread::{role, ts};
use crate::{platform, probe};
use umpire_shared::errno;
use umpire_shared::event::{Kind, cause, set_to};
use umpire_shared::program::{EVENT_ARGS, NO_CHANGE};
use umpire_shared::sys::class::MAX_SHARES;

/// Changes a thread's class, priority, user's offset, quantum and duty cycle, in this order; a value that is
/// [`umpire_shared::program::NO_CHANGE`] stays, or is the class's default if the class changes.
///
/// Returns an errno, 0 for success. `EINVAL`: no such class or value, or a class that no thread is moved to (SYS, and RT
/// if it is not loaded); `EPERM`: its class keeps it (SDC); `ENOSYS`: its class has nothing to change; `ESRCH`: no such
/// thread any more.
pub fn priocntl(t: &'static Kthread, args: &[i64; EVENT_ARGS]) -> u32 {
    let [cid, pri, upri, quantum, duty_cycle] = args.map(said);
    let parms = Parms { pri, upri, quantum, duty_cycle };
    if cid.is_some_and(|cid| usize::try_from(cid).map_or(true, |cid| cid >= CLASSES.len())) {
        return errno::EINVAL;
    }
    locked(t, || match cid {
        Some(cid) if cid != i32::from(t.t_cid.get()) => change_class(t, cid as u8, &parms),
        _ => (ops(t).cl_parmsset)(t, &parms),
    })
}

/// Gives a project so many shares, 0 to 65535; the class follows within a second (`project.cpu-shares`).
/// Returns an errno, 0 for success, `EINVAL` for no such project or number.
pub fn set_shares(project: usize, shares: u32) -> u32 {
    match platform::kernel().k_class.fss.fss_kprojects.get(project) {
        Some(kpj) if shares <= MAX_SHARES => {
            kpj.kpj_shares.set(shares);
            0
        }
        _ => errno::EINVAL,
    }
}

/// Gives a thread of class IA the focus or takes it away (`ia_set_process_group`).
/// Returns an errno, 0 for success, `EINVAL` for another class.
pub fn set_focus(t: &'static Kthread, has_focus: bool) -> u32 {
    locked(t, || (ops(t).cl_set_process_group)(t, has_focus))
}

/// Makes a thread nicer by `incr`, -39 to 39 (`nice(2)`).
/// Returns an errno, 0 for success, `EINVAL` for a class that knows no `nice` (SYS, RT, SDC).
pub fn donice(t: &'static Kthread, incr: i32) -> u32 {
    locked(t, || (ops(t).cl_donice)(t, incr))
}

/// Moves a thread from its class to another. The thread is locked.
fn change_class(t: &'static Kthread, cid: u8, parms: &Parms) -> u32 {
    let error = match (ops(t).cl_canexit)(t) {
        0 => (CLASSES[usize::from(cid)].cl_parmsin)(t, parms),
        error => error,
    };
    if error == 0 {
        (ops(t).cl_exitclass)(t);
        cl_enterclass(t, cid, parms);
        cpucaps_release(t);
    }
    error
}

fn locked(t: &'static Kthread, change: impl FnOnce() -> u32) -> u32 {
    thread_lock(t);
    let is_there = t.t_role.get() == role::SCENARIO && !matches!(t.t_state.get(), ts::FREE | ts::ZOMB);
    let before = t.t_pri.get();
    let error = if is_there { change() } else { errno::ESRCH };
    if t.t_pri.get() != before {
        probe::fire(Kind::SetPri, t, set_to(t.t_pri.get().into(), cause::PRIOCNTL));
    }
    thread_unlock(t);
    error
}

fn said(arg: i64) -> Option<i32> {
    // What does not fit is out of every range.
    (arg != NO_CHANGE).then(|| i32::try_from(arg).unwrap_or(i32::MAX))
}
