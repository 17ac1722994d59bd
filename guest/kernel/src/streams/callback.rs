//! Callbacks: `bufcall` for who found no memory, `qtimeout` and `qbufcall` for who wants to be called inside a perimeter
//! (`stream.c`, `ddi.c`).
//!
//! # Invariants
//! - `bc_lock` guards the list of waiters for memory and which of them is being called; nothing is called under it. Who frees message
//!   memory looks at `bc_waiting` without it: a wake-up that is missed is made up for by the thread's own look once in a while.
//! - A callback that waits at a perimeter's door gives up when it is taken back (`sq_cancelid`), so who takes it back may be inside:
//!
//! ```text
//!   thread, inside alone: quntimeout       callout thread
//!                                          SQLOCK: closed, sleeps
//!   SQLOCK: sq_cancelid = id, wakes
//!   untimeout: waits for it to end
//!                                          SQLOCK: sq_cancelid is its own: ends without calling
//!   has it back
//! ```

use core::sync::atomic::{AtomicU64, Ordering};

use super::allocb::allocb;
use super::arena::Cached;
use super::enter::{Entry, leavesq};
use super::queue::Queue;
use super::streams;
use super::syncq::{await_change, sq, sqtype, wake};
use crate::cell::Cell;
use crate::lock::SharedPtr;
use crate::platform;
use crate::sync::{Condvar, Mutex, cv_broadcast, cv_signal, cv_wait, mutex_enter, mutex_exit};
use crate::sys::{Kthread, NANOSEC};
use crate::time::callout::{Call, CalloutFunc, CalloutId, cv_reltimedwait, timeout, untimeout};

/// ns after which the thread that waits for memory looks by itself.
const LOOK_NS: u64 = 60 * NANOSEC;

/// Who waits for memory.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Bufcalls {
    /// Guards the rest.
    pub bc_lock: Mutex,
    /// The thread sleeps here when nobody waits.
    pub bc_cv: Condvar,
    /// It sleeps here when there is no memory (`memavail_cv`).
    pub memavail_cv: Condvar,
    /// Who waits for a callback to end sleeps here.
    pub bc_done: Condvar,
    /// The first that waits.
    pub bc_head: SharedPtr<Callback>,
    /// The last.
    pub bc_tail: SharedPtr<Callback>,
    /// The one that is being called.
    pub bc_current: SharedPtr<Callback>,
    /// The thread that calls it.
    pub bc_executor: SharedPtr<Kthread>,
    /// Not 0 while there is somebody for whom there was no memory. Relaxed: see the invariants.
    pub bc_waiting: AtomicU64,
    /// The last id, odd. Relaxed additions: ids are distinct.
    pub bc_id: AtomicU64,
}

/// One callback (`bufcall` entry, `callbparams_t`).
#[repr(C)]
#[derive(Debug, Default)]
pub struct Callback {
    /// The next that waits.
    pub cb_next: SharedPtr<Callback>,
    /// What is called.
    pub cb_func: SharedPtr<CalloutFunc>,
    /// With what.
    pub cb_arg: AtomicU64,
    /// Bytes that are wanted.
    pub cb_size: AtomicU64,
    /// Its id, 0 while it is free.
    pub cb_id: AtomicU64,
    /// The queue in whose perimeter it is called, if it is.
    pub cb_queue: SharedPtr<Queue>,
    cb_depot: SharedPtr<Callback>,
}

impl Cached for Callback {
    fn link(&self) -> &SharedPtr<Callback> {
        &self.cb_next
    }

    fn depot_link(&self) -> &SharedPtr<Callback> {
        &self.cb_depot
    }
}

/// Names a callback of [`qtimeout`].
#[derive(Debug, Clone, Copy)]
pub struct QtimeoutId {
    callout: CalloutId,
    callback: &'static Callback,
    id: u64,
}

fn new_callback(
    func: &'static CalloutFunc,
    arg: u64,
    qp: Option<&'static Queue>,
) -> Option<&'static Callback> {
    let state = streams();
    let cb = state.callback_cache.alloc(0, || state.callbacks.take())?;
    cb.cb_next.set(None);
    cb.cb_func.set(Some(func));
    cb.cb_arg.set(arg);
    cb.cb_queue.set(qp);
    cb.cb_id.set(state.bufcalls.bc_id.fetch_add(2, Ordering::Relaxed) + 1);
    Some(cb)
}

fn free_callback(cb: &'static Callback) {
    cb.cb_id.set(0);
    streams().callback_cache.free(0, cb);
}

/// Has `func` called when a message of `size` bytes may be had. Returns an id, 0 if there is no room for one more (`bufcall`).
pub fn bufcall(size: usize, func: &'static CalloutFunc, arg: u64) -> u64 {
    new_callback(func, arg, None).map_or(0, |cb| enqueue(cb, size))
}

/// [`bufcall`] whose function is called inside the queue's perimeter (`qbufcall`).
pub fn qbufcall(qp: &'static Queue, size: usize, func: &'static CalloutFunc, arg: u64) -> u64 {
    new_callback(func, arg, Some(qp)).map_or(0, |cb| enqueue(cb, size))
}

fn enqueue(cb: &'static Callback, size: usize) -> u64 {
    let bc = &streams().bufcalls;
    let id = cb.cb_id.get();
    cb.cb_size.set(size as u64);
    mutex_enter(&bc.bc_lock);
    match bc.bc_tail.get() {
        Some(last) => last.cb_next.set(Some(cb)),
        None => bc.bc_head.set(Some(cb)),
    }
    bc.bc_tail.set(Some(cb));
    streams().strstat().bufcalls.fetch_add(1, Ordering::Relaxed);
    cv_signal(&bc.bc_cv);
    mutex_exit(&bc.bc_lock);
    id
}

/// Takes a [`bufcall`] back; if it is being called by another thread, waits until that is over (`unbufcall`).
pub fn unbufcall(id: u64) {
    let bc = &streams().bufcalls;
    mutex_enter(&bc.bc_lock);
    let mut before: Option<&'static Callback> = None;
    let mut at = bc.bc_head.get();
    while let Some(cb) = at.filter(|cb| cb.cb_id.get() != id) {
        before = Some(cb);
        at = cb.cb_next.get();
    }
    if let Some(cb) = at {
        match before {
            Some(before) => before.cb_next.set(cb.cb_next.get()),
            None => bc.bc_head.set(cb.cb_next.get()),
        }
        if bc.bc_tail.is(cb) {
            bc.bc_tail.set(before);
        }
        mutex_exit(&bc.bc_lock);
        free_callback(cb);
        return;
    }
    let is_called = || bc.bc_current.get().is_some_and(|cb| cb.cb_id.get() == id);
    while is_called() && !bc.bc_executor.is(platform::curthread()) {
        cv_wait(&bc.bc_done, &bc.bc_lock);
    }
    mutex_exit(&bc.bc_lock);
}

/// Takes a [`qbufcall`] back, from inside or outside the perimeter (`qunbufcall`).
pub fn qunbufcall(qp: &'static Queue, id: u64) {
    cancel(qp, id, true);
    unbufcall(id);
    cancel(qp, id, false);
}

/// Message memory has been freed.
#[inline]
pub(super) fn memory_is_back() {
    let bc = &streams().bufcalls;
    if bc.bc_waiting.get() != 0 {
        cv_signal(&bc.memavail_cv);
    }
}

/// The thread that calls back (`strrun` for bufcalls: `streams_bufcall_service`).
pub fn streams_bufcall_service() {
    let bc = &streams().bufcalls;
    mutex_enter(&bc.bc_lock);
    loop {
        let Some(cb) = bc.bc_head.get() else {
            cv_wait(&bc.bc_cv, &bc.bc_lock);
            continue;
        };
        bc.bc_waiting.set(1);
        // A message of this size can be had: whether it still can when the function asks is another matter.
        let Some(mp) = allocb(cb.cb_size.get() as usize) else {
            streams().strstat().bcwaits.fetch_add(1, Ordering::Relaxed);
            _ = cv_reltimedwait(&bc.memavail_cv, &bc.bc_lock, LOOK_NS);
            continue;
        };
        bc.bc_waiting.set(0);
        bc.bc_head.set(cb.cb_next.get());
        if bc.bc_head.is_null() {
            bc.bc_tail.set(None);
        }
        bc.bc_current.set(Some(cb));
        bc.bc_executor.set(Some(platform::curthread()));
        mutex_exit(&bc.bc_lock);
        super::allocb::freeb(mp);
        run(cb);
        mutex_enter(&bc.bc_lock);
        bc.bc_current.set(None);
        bc.bc_executor.set(None);
        cv_broadcast(&bc.bc_done);
        mutex_exit(&bc.bc_lock);
        free_callback(cb);
        mutex_enter(&bc.bc_lock);
    }
}

/// Has `func` called inside the queue's perimeter after so many ticks. `None`: too many callouts (`qtimeout`).
pub fn qtimeout(qp: &'static Queue, func: &'static CalloutFunc, arg: u64, ticks: u64) -> Option<QtimeoutId> {
    let callback = new_callback(func, arg, Some(qp))?;
    let id = callback.cb_id.get();
    let number = streams().callbacks.number_of(callback);
    match timeout(Call::Call(&TIMEOUT, number as u64), ticks) {
        Some(callout) => Some(QtimeoutId { callout, callback, id }),
        None => {
            free_callback(callback);
            None
        }
    }
}

static TIMEOUT: CalloutFunc = CalloutFunc(|number| {
    let cb = &streams().callbacks.ar_objects[number as usize];
    run(cb);
    free_callback(cb);
});

/// Takes a [`qtimeout`] back, from inside or outside the perimeter. Returns the ticks that were left, -1 if it has been called
/// (`quntimeout`).
pub fn quntimeout(qp: &'static Queue, id: QtimeoutId) -> i64 {
    cancel(qp, id.id, true);
    let left = untimeout(id.callout);
    cancel(qp, id.id, false);
    if left != -1 {
        free_callback(id.callback);
    }
    left
}

/// Says that a callback is being taken back, or no longer. One at a time for a perimeter.
fn cancel(qp: &'static Queue, id: u64, begins: bool) {
    let sqp = qp.syncq();
    mutex_enter(&sqp.sq_lock);
    if begins {
        while sqp.sq_cancelid.get() != 0 {
            await_change(sqp, false);
        }
    }
    sqp.sq_cancelid.set(if begins { id } else { 0 });
    wake(sqp);
    mutex_exit(&sqp.sq_lock);
}

/// Calls back, in the perimeter if it is meant for one; gives up at the door if it is taken back there.
fn run(cb: &'static Callback) {
    let func = cb.cb_func.get().expect("invariant: a callback has a function");
    let (arg, id) = (cb.cb_arg.get(), cb.cb_id.get());
    let Some(qp) = cb.cb_queue.get() else {
        (func.0)(arg);
        return;
    };
    let sqp = qp.syncq();
    let excl = !sqp.is(sqtype::CICB);
    let closed = sq::STAYAWAY | sq::EVENTS | sq::EXCL | if excl { sq::MESSAGES } else { 0 };
    mutex_enter(&sqp.sq_lock);
    while sqp.has(closed) || excl && sqp.sq_count.get() != 0 {
        if sqp.sq_cancelid.get() == id {
            mutex_exit(&sqp.sq_lock);
            return;
        }
        await_change(sqp, excl);
    }
    sqp.claim();
    if excl {
        sqp.raise(sq::EXCL);
    }
    mutex_exit(&sqp.sq_lock);
    (func.0)(arg);
    leavesq(sqp, Entry::Callback);
}
