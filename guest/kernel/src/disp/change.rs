//! Changing a thread that may be anywhere: its priority, or from not runnable to runnable.
//!
//! # Invariants
//! - Called with the thread locked; it is locked, perhaps by another lock, when they return.

use core::sync::atomic::{Ordering, fence};

use super::{setbackdq, setfrontdq};
use crate::cell::Cell;
use crate::disp::thread_unlock;
use crate::lock::thread_lock;
use crate::sys::sobject::sobj_ops;
use crate::sys::thread::{thread_transition, ts};
use crate::sys::{Kthread, class};
use crate::{platform, probe};
use umpire_shared::event::{Kind, on_queue};
use umpire_shared::mutant;

/// Takes a locked thread off its run queue and leaves it in transition (`disp.c dispdeq`). False if it was on none. It has not
/// run, so that it still waits: it keeps its `t_waitrq` for the queue that it goes to.
pub fn dispdeq(t: &'static Kthread) -> bool {
    if t.t_state.get() != ts::RUN {
        return false;
    }
    let dp = t.disp_queue();
    dp.remove(t, t.pri());
    probe::fire(Kind::Dequeue, t, on_queue(dp.disp_cpu.get().map(|c| c.cpu_id), false));
    t.t_moves.set(t.t_moves.get().wrapping_add(1));
    if platform::kernel().is_mutant(mutant::RESTAMPED_WAIT) {
        t.t_waitrq.set(0);
    }
    thread_transition(t);
    true
}

/// Gives a locked thread another priority. If it was on a run queue it goes to the end of its new level (`front`: to
/// the head), even if the priority is the same, and the answer is true (`thread.c thread_change_pri`).
pub fn thread_change_pri(t: &'static Kthread, pri: i32, front: bool) -> bool {
    probe::fire(Kind::ChangePri, t, pri as u64);
    match t.t_state.get() {
        ts::RUN => {
            dispdeq(t);
            t.t_pri.set(pri as i16);
            if front {
                setfrontdq(t)
            } else {
                setbackdq(t)
            }
            return true;
        }
        ts::SLEEP => {
            if i32::from(t.t_pri.get()) != pri {
                (sobj_ops(t).sobj_change_pri)(t, &|| t.t_pri.set(pri as i16));
            }
        }
        ts::WAIT => (sobj_ops(t).sobj_change_pri)(t, &|| t.t_pri.set(pri as i16)),
        _ => {
            t.t_pri.set(pri as i16);
            note_onproc_pri(t);
        }
    }
    false
}

/// Gives a locked thread another inherited priority (`thread.c thread_change_epri`).
pub fn thread_change_epri(t: &'static Kthread, epri: i32) {
    if i32::from(t.t_epri.get()) == epri {
        return;
    }
    probe::fire(Kind::ChangeEpri, t, epri as u64);
    match t.t_state.get() {
        ts::RUN => {
            dispdeq(t);
            t.t_epri.set(epri as i16);
            setbackdq(t);
        }
        ts::SLEEP | ts::WAIT => (sobj_ops(t).sobj_change_pri)(t, &|| t.t_epri.set(epri as i16)),
        _ => {
            t.t_epri.set(epri as i16);
            note_onproc_pri(t);
        }
    }
}

/// Makes a thread runnable (`setrun`).
pub fn setrun(t: &'static Kthread) {
    thread_lock(t);
    setrun_locked(t);
    thread_unlock(t);
}

/// Makes a locked thread runnable if it is stopped, waits for its project's cap, or sleeps on anything but a lock
/// (`thread.c setrun_locked`).
pub fn setrun_locked(t: &'static Kthread) {
    match t.t_state.get() {
        ts::SLEEP | ts::WAIT if !(sobj_ops(t).sobj_unsleep)(t) => {}
        ts::SLEEP | ts::WAIT | ts::STOPPED => {
            thread_transition(t);
            class::cl_setrun(t);
        }
        _ => {}
    }
}

/// The priority of `t`, which is locked, changed: tells the dispatcher of the CPU that it runs on. The caller may then look whether
/// a better thread waits there. It holds another lock than an enqueue does, so barriers make sure that at least one of the two
/// sees what the other wrote:
///
/// ```text
///   caller                                a CPU that enqueues for the CPU of t
///   cpu_dispatch_pri = the new priority    disp_maxrunpri = the thread's priority
///   (full barrier)                         (full barrier)
///   reads disp_maxrunpri                   cpu_resched reads cpu_dispatch_pri
/// ```
pub fn note_onproc_pri(t: &Kthread) {
    let cp = t.cpu();
    if t.t_state.get() == ts::ONPROC && cp.cpu_dispthread.is(t) {
        cp.cpu_dispatch_pri.set(t.pri() as i16);
        fence(Ordering::SeqCst);
        platform::interleave();
    }
}
