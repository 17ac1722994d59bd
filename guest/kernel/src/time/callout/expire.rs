//! A table's heap and its cyclic: putting callouts in, taking them out, and what happens when the first is due (`callout.c
//! callout_heap_delete`, `callout_expire`, `callout_normal`, `callout_realtime`).
//!
//! # Invariants
//! - Functions that take a table and no level are called with its lock held.
//! - `ct_armed` is the time that the cyclic was last told, so a callout that is due later costs no reprogramming.

use super::execute::{callout_dispatch, callout_execute};
use super::{CALLOUT_NORMAL, CALLOUT_TOLERANCE, Callout, CalloutTable, NIL, state};
use crate::cell::{Cell, Counter};
use crate::time::cyclic::{CY_INFINITY, CyclicId, cyclic_reprogram};
use crate::{platform, spl};

/// Callouts taken off the heap at a time: the lock is released between two lots.
const LOT: u32 = 32;

/// The cyclic of table `number` fired.
pub fn callout_expire(number: usize) {
    let ct = &platform::kernel().k_callout.callout_tables[number];
    let mut due = 0;
    let next = loop {
        let level = spl::splhigh();
        ct.ct_lock.enter_high();
        let (lot, next) = take_due(ct);
        ct.ct_armed.set(CY_INFINITY);
        program(ct);
        ct.ct_lock.exit_high();
        spl::splx(level);
        due += lot;
        if lot < LOT {
            break next;
        }
    };
    if ct.ct_number & 1 == CALLOUT_NORMAL {
        callout_dispatch(ct, due, next);
    } else {
        callout_execute(ct);
    }
}

/// Puts callout `n` into a table. Its time, function and argument are filled in already.
pub(super) fn insert(ct: &CalloutTable, n: u32) {
    let c = &platform::kernel().k_callout.callouts[n as usize];
    debug_assert!(c.c_state.get() == state::FREE, "callout {n} is in use");
    c.c_table.set(ct.ct_number);
    c.c_order.set(ct.ct_order.get());
    c.c_state.set(state::PENDING);
    ct.ct_order.bump();
    ct.callout_timeouts.bump();
    ct.callout_timeouts_pending.bump();
    ct.ct_heap.insert(&platform::kernel().k_callout.callouts, n);
    if c.c_expiration.get() < ct.ct_armed.get() {
        arm_cyclic(ct, c.c_expiration.get());
    }
}

/// Takes a callout that is `PENDING` or `EXPIRED` out.
pub(super) fn take_out(ct: &CalloutTable, n: u32) {
    let callouts = &platform::kernel().k_callout.callouts;
    let c = &callouts[n as usize];
    if c.c_state.get() == state::PENDING {
        // The cyclic stays armed: it fires, finds nothing due, and arms itself for the callout that is first by then.
        ct.ct_heap.remove(callouts, n);
    } else {
        unlink(ct, callouts, n);
    }
    ct.callout_timeouts_pending.drop_one();
    c.c_state.set(state::FREE);
}

/// Takes the callout that expired first off the list; afterwards it is in no list and no heap.
pub(super) fn take_expired(ct: &CalloutTable) -> Option<u32> {
    let n = ct.ct_expired_first.get();
    if n == NIL {
        return None;
    }
    take_out(ct, n);
    Some(n)
}

/// Arms the table's cyclic for its first callout, but for no time sooner than the tolerance from now.
pub(super) fn program(ct: &CalloutTable) {
    let next = first_due(ct);
    if next != CY_INFINITY {
        arm_cyclic(ct, next.max(platform::now() + CALLOUT_TOLERANCE));
    }
}

fn arm_cyclic(ct: &CalloutTable, at: u64) {
    let word = ct.ct_cyclic.get();
    // A table has no cyclic before its CPU has started; `callout_start` then arms it for what is in the heap.
    if word != 0 {
        ct.ct_armed.set(at);
        cyclic_reprogram(CyclicId::from_word(word), at);
    }
}

/// Moves callouts that are due from the heap to the list, one lot at most. Returns how many, and when the next is due.
fn take_due(ct: &CalloutTable) -> (u32, u64) {
    let callouts = &platform::kernel().k_callout.callouts;
    let now = platform::now();
    let mut lot = 0;
    while lot < LOT && first_due(ct) <= now {
        let n = ct.ct_heap.first().expect("invariant: what is due is in the heap");
        ct.ct_heap.remove(callouts, n);
        append(ct, callouts, n);
        lot += 1;
    }
    (lot, first_due(ct))
}

fn first_due(ct: &CalloutTable) -> u64 {
    let callouts = &platform::kernel().k_callout.callouts;
    ct.ct_heap.first().map_or(CY_INFINITY, |n| callouts[n as usize].c_expiration.get())
}

fn append(ct: &CalloutTable, callouts: &[Callout], n: u32) {
    let c = &callouts[n as usize];
    let last = ct.ct_expired_last.get();
    c.c_state.set(state::EXPIRED);
    c.c_next.set(NIL);
    c.c_prev.set(last);
    if last == NIL {
        ct.ct_expired_first.set(n);
    } else {
        callouts[last as usize].c_next.set(n);
    }
    ct.ct_expired_last.set(n);
}

fn unlink(ct: &CalloutTable, callouts: &[Callout], n: u32) {
    let c = &callouts[n as usize];
    let (prev, next) = (c.c_prev.get(), c.c_next.get());
    if prev == NIL {
        ct.ct_expired_first.set(next);
    } else {
        callouts[prev as usize].c_next.set(next);
    }
    if next == NIL {
        ct.ct_expired_last.set(prev);
    } else {
        callouts[next as usize].c_prev.set(prev);
    }
}
