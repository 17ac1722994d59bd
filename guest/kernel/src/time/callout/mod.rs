//! Callouts (`callout.c`): calls that are to be made once, later.
//!
//! | file | what |
//! |---|---|
//! | `timeout.rs` | `timeout`, `realtime_timeout`, `timeout_generic`, `untimeout` |
//! | `wait.rs` | timed waits and `delay` |
//! | `expire.rs` | a table's cyclic fires: what is due is run in place, or given to the table's threads |
//! | `execute.rs` | running callouts, and the threads that do so |
//!
//! Each CPU has two tables. REALTIME callouts run in the table's cyclic at the low level and must not block. NORMAL ones
//! run in the CPU's `callout_taskq`, a task queue of two threads at 99: a thread that waits for a normal callout waits for those two.
//!
//! # Invariants
//! - `ct_lock` guards a table's heap, its list of expired callouts, and the callouts that are in either. Order: sleep queue >
//!   `ct_lock` > `cyp_lock`. A thread is never locked under it.
//! - A callout is in the heap (`PENDING`), in the list (`EXPIRED`), being run (`EXECUTING`) or in no table (`FREE`).
//! - Each thread has a callout of its own, number `t_did`, for the one wait that it can be in; the others come from a pool.
//!   So a wait never fails for want of a callout, and nothing is allocated.
//! - After an expiry a table's cyclic is armed for the first callout that is left, or for [`CALLOUT_TOLERANCE`] from then,
//!   whichever is later. A callout that is put in afterwards and is due sooner arms it for its own time.
//!
//! # What is not here
//! The hash of lists by expiration and the queue beside the heap: equal expirations are in the heap one by one, in the order
//! in which they came. The hash by id: an id holds its callout's place. Callouts in `hrestime`, which is never set here.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};

use super::cyclic::{
    CY_INFINITY, CY_LOCK_LEVEL, CY_LOW_LEVEL, CycFunc, CycHandler, CyclicId, ON_DEMAND, anywhere,
    cyclic_add_at, cyclic_bind, flag, handler,
};
use super::heap::{Due, Heap, NOWHERE};
use crate::cell::Cell;
use crate::lock::{DispLock, SharedPtr};
use crate::platform;
use crate::sys::{Cpu, Kthread};

mod execute;
mod expire;
mod timeout;
mod wait;

pub use execute::callout_execute;
pub use expire::callout_expire;
pub use timeout::{
    Call, CalloutFunc, CalloutId, realtime_timeout, round, timeout, timeout_generic, untimeout,
};
pub use umpire_shared::sys::callo::{CALLOUT_NORMAL, CALLOUT_REALTIME, state};
pub use wait::{arm, cv_reltimedwait, cv_timedwait, delay, disarm, sleep_until};

/// ns that the callouts left after an expiry wait at least for the next one, so that one expiry takes several along.
pub const CALLOUT_TOLERANCE: u64 = 200_000;
/// Callouts of the pool for each CPU, beside one for each thread.
const POOL_PER_CPU: u32 = 64;
/// "None" in a list.
const NIL: u32 = u32::MAX;

/// Callouts and their tables.
#[repr(C)]
#[derive(Debug)]
pub struct CalloutState {
    /// Callouts: one a thread in the order of `k_threads`, then those of `timeout`.
    pub callouts: Box<[Callout]>,
    /// The callouts of `timeout` that are free.
    pub callout_pool: CalloutPool,
    /// Callout tables: two a CPU, realtime and normal.
    pub callout_tables: Box<[CalloutTable]>,
    /// Has a thread of the table's task queue call [`callout_execute`]; fixed at boot, as task queues are a floor above.
    pub ct_dispatch: fn(&'static CalloutTable),
}

impl CalloutState {
    /// Two tables for each of so many CPUs, and a callout for each of so many threads beside the pool.
    pub fn new(nthreads: u32, ncpus: u32, ct_dispatch: fn(&'static CalloutTable)) -> CalloutState {
        let (callouts, callout_pool) = callouts_for(nthreads, ncpus);
        let room = callouts.len() as u32;
        let callout_tables = (0..2 * ncpus).map(|n| CalloutTable::new(n, room)).collect();
        CalloutState { callouts, callout_pool, callout_tables, ct_dispatch }
    }
}

/// One callout (`callout_t`).
#[repr(C)]
#[derive(Debug)]
pub struct Callout {
    /// When it is due, in ns of `gethrtime`.
    pub c_expiration: AtomicU64,
    /// The table's count when the callout was put in: decides between equal expirations.
    pub c_order: AtomicU64,
    /// See `c_func`.
    pub c_arg: AtomicU64,
    /// The thread that runs it, while it is `EXECUTING`.
    pub c_executor: SharedPtr<Kthread>,
    /// What a floor above has called.
    pub c_call: SharedPtr<CalloutFunc>,
    /// Grows with each use, so that the id of an earlier use does not name the next one.
    pub c_gen: AtomicU32,
    /// Its table: `cpu_id << 1 | type`.
    pub c_table: AtomicU32,
    /// Place in the heap.
    c_place: AtomicU32,
    /// Next of the expired list, or of the pool.
    c_next: AtomicU32,
    /// The one before in the expired list.
    c_prev: AtomicU32,
    /// One of [`state`].
    pub c_state: AtomicU8,
    /// What it does: 0 wakes the thread whose own it is, others are a [`Call`].
    pub c_func: AtomicU8,
    /// Non-zero while a thread sleeps until it has been run.
    pub c_waiting: AtomicU8,
}

impl Callout {
    /// A free callout.
    pub fn new() -> Callout {
        Callout {
            c_expiration: AtomicU64::new(0),
            c_order: AtomicU64::new(0),
            c_arg: AtomicU64::new(0),
            c_executor: SharedPtr::null(),
            c_call: SharedPtr::null(),
            c_gen: AtomicU32::new(0),
            c_table: AtomicU32::new(0),
            c_place: AtomicU32::new(NOWHERE),
            c_next: AtomicU32::new(NIL),
            c_prev: AtomicU32::new(NIL),
            c_state: AtomicU8::new(state::FREE),
            c_func: AtomicU8::new(timeout::WAKE),
            c_waiting: AtomicU8::new(0),
        }
    }
}

impl Default for Callout {
    fn default() -> Self {
        Callout::new()
    }
}

impl Due for Callout {
    type Key = (u64, u64);

    fn key(&self) -> (u64, u64) {
        (self.c_expiration.get(), self.c_order.get())
    }

    fn place(&self) -> &AtomicU32 {
        &self.c_place
    }
}

/// One table (`callout_table_t`). The counters are those of the kstat `unix:N:callout`.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct CalloutTable {
    /// Guards everything here.
    pub ct_lock: DispLock,
    /// Its cyclic, as a word; 0 before its CPU has started.
    pub ct_cyclic: AtomicU64,
    /// The time that the cyclic is armed for.
    pub ct_armed: AtomicU64,
    /// Callouts ever put in.
    pub ct_order: AtomicU64,
    /// First of the expired list.
    ct_expired_first: AtomicU32,
    /// Last of the expired list.
    ct_expired_last: AtomicU32,
    /// Its number: `cpu_id << 1 | type`.
    pub ct_number: u32,
    /// `callout_timeouts`: callouts made.
    pub callout_timeouts: AtomicU64,
    /// `callout_timeouts_pending`: callouts now in the heap or expired.
    pub callout_timeouts_pending: AtomicU64,
    /// `callout_untimeouts_unexpired`: callouts taken back in time.
    pub callout_untimeouts_unexpired: AtomicU64,
    /// `callout_untimeouts_executing`: callouts that ran when they were to be taken back.
    pub callout_untimeouts_executing: AtomicU64,
    /// `callout_untimeouts_expired`: callouts that were over when they were to be taken back.
    pub callout_untimeouts_expired: AtomicU64,
    /// `callout_expirations`: callouts run.
    pub callout_expirations: AtomicU64,
    /// Times that a thread of the taskq was called for (`taskq_dispatch`).
    pub ct_dispatches: AtomicU64,
    ct_heap: Heap,
}

impl CalloutTable {
    /// Table number `n`, empty, with room for `callouts`.
    pub fn new(n: u32, callouts: u32) -> CalloutTable {
        CalloutTable {
            ct_lock: DispLock::new(),
            ct_cyclic: AtomicU64::new(0),
            ct_armed: AtomicU64::new(CY_INFINITY),
            ct_order: AtomicU64::new(0),
            ct_expired_first: AtomicU32::new(NIL),
            ct_expired_last: AtomicU32::new(NIL),
            ct_number: n,
            callout_timeouts: AtomicU64::new(0),
            callout_timeouts_pending: AtomicU64::new(0),
            callout_untimeouts_unexpired: AtomicU64::new(0),
            callout_untimeouts_executing: AtomicU64::new(0),
            callout_untimeouts_expired: AtomicU64::new(0),
            callout_expirations: AtomicU64::new(0),
            ct_dispatches: AtomicU64::new(0),
            ct_heap: Heap::new(callouts as usize),
        }
    }
}

/// The callouts that belong to no thread, while they are not in use.
#[repr(C)]
#[derive(Debug)]
pub struct CalloutPool {
    /// Guards the list. Held for a few steps, with no other lock taken under it.
    pub cp_lock: DispLock,
    cp_first: AtomicU32,
}

/// The callouts of a kernel with so many threads and CPUs: the threads' own, then the pool's, linked.
pub fn callouts_for(nthreads: u32, ncpus: u32) -> (Box<[Callout]>, CalloutPool) {
    let total = nthreads + ncpus * POOL_PER_CPU;
    let callouts: Box<[Callout]> = (0..total).map(|_| Callout::new()).collect();
    for n in nthreads..total - 1 {
        callouts[n as usize].c_next.set(n + 1);
    }
    (callouts, CalloutPool { cp_lock: DispLock::new(), cp_first: AtomicU32::new(nthreads) })
}

/// A table's cyclic: its argument is the table's number.
static EXPIRE: CycFunc =
    CycFunc { number: handler::CALLOUT, run: |n| callout_expire(n as usize), moved: anywhere };

/// Gives a CPU's two tables their cyclics, which stay on it while it is online (`callout_mp_init`).
pub fn callout_start(cp: &'static Cpu) {
    for (kind, level) in [(CALLOUT_REALTIME, CY_LOW_LEVEL), (CALLOUT_NORMAL, CY_LOCK_LEVEL)] {
        let ct = table_of(cp, kind);
        let what = CycHandler { func: &EXPIRE, arg: ct.ct_number, level };
        let id = cyclic_add_at(cp, what, ON_DEMAND, flag::CPU_BOUND);
        let id = id.expect("callout_start: too many cyclics on one CPU");
        // A thread on another CPU never uses this table, but one that runs here already may have done so.
        ct.ct_lock.enter_high();
        ct.ct_cyclic.set(id.word());
        expire::program(ct);
        ct.ct_lock.exit_high();
    }
}

/// Unbinds the callouts of a CPU that goes offline, so that its cyclics may move (`callout_cpu_offline`). Callouts that were
/// asked for there still expire, wherever the cyclics are. A cyclic whose owed calls are not made in time stays bound, and then
/// the CPU cannot go offline.
pub fn callout_cpu_offline(cp: &'static Cpu) {
    bind_tables(cp, None);
}

/// A CPU is online again: its callouts come back (`callout_cpu_online`).
pub fn callout_cpu_online(cp: &'static Cpu) {
    bind_tables(cp, Some(cp));
}

fn bind_tables(cp: &'static Cpu, to: Option<&'static Cpu>) {
    for kind in [CALLOUT_REALTIME, CALLOUT_NORMAL] {
        let id = CyclicId::from_word(table_of(cp, kind).ct_cyclic.get());
        // A cyclic that cannot move now works on where it is.
        cyclic_bind(id, to, None);
    }
}

/// A CPU's table of this type.
fn table_of(cp: &Cpu, kind: u32) -> &'static CalloutTable {
    &platform::kernel().k_callout.callout_tables[(cp.cpu_id << 1 | kind) as usize]
}
