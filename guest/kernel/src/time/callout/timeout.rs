//! `timeout`, its variants, and `untimeout`.
//!
//! # Invariants
//! - An id names one use of one callout: slot and generation. The generation changes when the callout has been run or taken back,
//!   under its table's lock.
//! - When `untimeout` returns, the callout does not run and will not run, unless the callout itself was the caller. If the
//!   callout runs, the caller sleeps until it is over. It announces that under both locks, so its wake-up is not lost:
//!
//! ```text
//!   CPU A: untimeout                          CPU B: finish
//!   sq_lock, ct_lock: EXECUTING
//!   c_waiting = 1, releases ct_lock
//!                                             ct_lock: new generation, FREE, c_waiting? -> 1
//!                                             spins for sq_lock
//!   sleeps on the queue, releases sq_lock
//!                                             sq_lock: finds the sleeper, wakes it
//!   looks again: the generation is another
//! ```

use super::expire::{insert, take_out};
use super::{CALLOUT_NORMAL, CALLOUT_REALTIME, CalloutTable, NIL, state, table_of};
use crate::cell::{Cell, Counter};
use crate::disp::{disp_lock_exit, swtch};
use crate::lock::{disp_lock_enter, disp_lock_exit_nopreempt, thread_unlock_nopreempt};
use crate::sync::sleepq;
use crate::sys::NANOSEC;
use crate::sys::thread::sobj;
use crate::time::{clock, signal};
use crate::{platform, spl};
use umpire_shared::mutant;
pub(super) use umpire_shared::sys::callo::func::WAKE;
use umpire_shared::sys::callo::func::{AWAIT, CALL, CANCEL, CLOCK_FUNC, SEND, SPIN};

/// A function of a floor above, which gets the callout's argument.
#[derive(Debug)]
pub struct CalloutFunc(pub fn(u64));

/// What a callout does: mostly one of these, which a reader from outside can name.
#[derive(Debug, Clone, Copy)]
pub enum Call {
    /// Sends a signal.
    Send(u32),
    /// Waits until signal `of` has been sent `count` times, then sends another. Blocks: for normal callouts only.
    Await {
        /// The signal waited for.
        of: u16,
        /// How often that signal must have been sent.
        count: u32,
        /// The signal then sent.
        send: u16,
    },
    /// Computes for so many ns, then sends a signal.
    Spin {
        /// ns.
        ns: u32,
        /// The signal then sent.
        send: u16,
    },
    /// Calls `untimeout` for itself, and sends a signal if that returns -1.
    CancelItself(u32),
    /// Calls the function of this number in `clock_funcs`, and has it called again. For normal callouts only.
    ClockFunc(u32),
    /// Calls a function with this argument.
    Call(&'static CalloutFunc, u64),
}

/// Names one callout (`callout_id_t`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CalloutId(u64);

/// Flags of [`timeout_generic`] (`sys/callo.h`).
pub mod round {
    /// The expiration is rounded up to the resolution, not down.
    pub const ROUNDUP: u32 = 0x1;
    /// The time is one of `gethrtime`, not from now on.
    pub const ABSOLUTE: u32 = 0x2;
}

/// Has a thread of this CPU's `callout_taskq` make a call after so many ticks. `None`: too many callouts.
pub fn timeout(call: Call, ticks: u64) -> Option<CalloutId> {
    let tick = NANOSEC / u64::from(platform::kernel().hz.get());
    timeout_generic(CALLOUT_NORMAL, call, ticks * tick, tick, round::ROUNDUP)
}

/// Has a soft interrupt of this CPU make a call after so many ticks; the call must not block. `None`: too many callouts.
pub fn realtime_timeout(call: Call, ticks: u64) -> Option<CalloutId> {
    let tick = NANOSEC / u64::from(platform::kernel().hz.get());
    timeout_generic(CALLOUT_REALTIME, call, ticks * tick, tick, round::ROUNDUP)
}

/// Has a call made at a time: `kind` is `CALLOUT_REALTIME` or `CALLOUT_NORMAL`, `resolution` in ns, at least 1, `flags` of
/// [`round`]. `None`: too many callouts.
pub fn timeout_generic(kind: u32, call: Call, ns: u64, resolution: u64, flags: u32) -> Option<CalloutId> {
    let n = take_from_pool()?;
    let c = &platform::kernel().k_callout.callouts[n as usize];
    let mut at = if flags & round::ABSOLUTE != 0 { ns } else { platform::now().saturating_add(ns) };
    if flags & round::ROUNDUP != 0 {
        at = at.saturating_add(resolution - 1);
    }
    let (func, arg) = encode(call);
    c.c_expiration.set(at / resolution * resolution);
    c.c_func.set(func);
    c.c_arg.set(arg);
    c.c_call.set(if let Call::Call(of, _) = call { Some(of) } else { None });
    let id = CalloutId(u64::from(c.c_gen.get()) << 32 | u64::from(n));
    let level = spl::splhigh();
    let ct = table_of(platform::cpu(), kind);
    ct.ct_lock.enter_high();
    insert(ct, n);
    ct.ct_lock.exit_high();
    spl::splx(level);
    Some(id)
}

/// Takes a callout back. Returns the ticks that were left, or -1 if the callout had been run already or is the caller. If
/// another thread or an interrupt runs it, waits until it is over. From threads only.
#[inline(never)]
pub fn untimeout(id: CalloutId) -> i64 {
    let kernel = platform::kernel();
    let t = platform::curthread();
    let (n, generation) = (id.0 as u32, (id.0 >> 32) as u32);
    let c = &kernel.k_callout.callouts[n as usize];
    let wchan = core::ptr::from_ref(c) as usize;
    let sq = sleepq::hash(wchan);
    loop {
        disp_lock_enter(&sq.sq_lock);
        // The callout's generation changes under this table's lock before the callout can be in another table.
        let ct = &kernel.k_callout.callout_tables[c.c_table.get() as usize];
        ct.ct_lock.enter_high();
        if c.c_gen.get() != generation {
            ct.callout_untimeouts_expired.bump();
            ct.ct_lock.exit_high();
            disp_lock_exit_nopreempt(&sq.sq_lock);
            return -1;
        }
        if c.c_state.get() != state::EXECUTING {
            take_out(ct, n);
            c.c_gen.bump();
            ct.callout_untimeouts_unexpired.bump();
            ct.ct_lock.exit_high();
            disp_lock_exit_nopreempt(&sq.sq_lock);
            return taken_back(n);
        }
        ct.callout_untimeouts_executing.bump();
        if c.c_executor.is(t) || kernel.is_mutant(mutant::STALE_CALLOUTS) {
            ct.ct_lock.exit_high();
            disp_lock_exit_nopreempt(&sq.sq_lock);
            return -1;
        }
        // Both locks are held: `finish` sees this, and then finds this thread on the queue.
        c.c_waiting.set(1);
        ct.ct_lock.exit_high();
        sleepq::sleep_on(t, sq, wchan, sobj::CV);
        thread_unlock_nopreempt(t);
        swtch();
    }
}

/// Does what a callout of the pool is for.
pub(super) fn run(n: u32, func: u8, arg: u64) {
    let low = arg as u32;
    let (first, second) = (usize::from(arg as u16), usize::from((arg >> 16) as u16));
    match func {
        SEND => signal::signal_send(low as usize),
        AWAIT => {
            signal::signal_wait(first, arg >> 32, u64::MAX);
            signal::signal_send(second);
        }
        SPIN => {
            platform::spin(arg >> 32);
            signal::signal_send(first);
        }
        CANCEL => {
            let generation = platform::kernel().k_callout.callouts[n as usize].c_gen.get();
            if untimeout(CalloutId(u64::from(generation) << 32 | u64::from(n))) == -1 {
                signal::signal_send(low as usize);
            }
        }
        CLOCK_FUNC => clock::run_as_callout(low),
        CALL => {
            let of = platform::kernel().k_callout.callouts[n as usize].c_call.get();
            (of.expect("invariant: who asks for a call says of what").0)(arg);
        }
        other => unreachable!("callout: no function {other}"),
    }
}

/// A callout of the pool has been run: frees it, and wakes the threads that wait for that.
pub(super) fn finish(ct: &CalloutTable, n: u32) {
    let c = &platform::kernel().k_callout.callouts[n as usize];
    let level = spl::splhigh();
    ct.ct_lock.enter_high();
    c.c_gen.bump();
    c.c_executor.set(None);
    c.c_state.set(state::FREE);
    let is_awaited = c.c_waiting.get() != 0;
    c.c_waiting.set(0);
    ct.ct_lock.exit_high();
    spl::splx(level);
    if is_awaited {
        let wchan = core::ptr::from_ref(c) as usize;
        let sq = sleepq::hash(wchan);
        disp_lock_enter(&sq.sq_lock);
        sleepq::wake_all(sq, wchan, || {});
        disp_lock_exit(&sq.sq_lock);
    }
    give_to_pool(n);
}

/// Frees a callout that was taken back; returns the ticks that were left.
fn taken_back(n: u32) -> i64 {
    let kernel = platform::kernel();
    let left = kernel.k_callout.callouts[n as usize].c_expiration.get().saturating_sub(platform::now());
    give_to_pool(n);
    (left / (NANOSEC / u64::from(kernel.hz.get()))) as i64
}

fn encode(call: Call) -> (u8, u64) {
    match call {
        Call::Send(signal) => (SEND, u64::from(signal)),
        Call::Await { of, count, send } => {
            (AWAIT, u64::from(of) | u64::from(send) << 16 | u64::from(count) << 32)
        }
        Call::Spin { ns, send } => (SPIN, u64::from(send) | u64::from(ns) << 32),
        Call::CancelItself(signal) => (CANCEL, u64::from(signal)),
        Call::ClockFunc(n) => (CLOCK_FUNC, u64::from(n)),
        Call::Call(_, arg) => (CALL, arg),
    }
}

fn take_from_pool() -> Option<u32> {
    let kernel = platform::kernel();
    let pool = &kernel.k_callout.callout_pool;
    let level = spl::splhigh();
    pool.cp_lock.enter_high();
    let n = pool.cp_first.get();
    if n != NIL {
        pool.cp_first.set(kernel.k_callout.callouts[n as usize].c_next.get());
    }
    pool.cp_lock.exit_high();
    spl::splx(level);
    (n != NIL).then_some(n)
}

fn give_to_pool(n: u32) {
    let kernel = platform::kernel();
    let pool = &kernel.k_callout.callout_pool;
    let level = spl::splhigh();
    pool.cp_lock.enter_high();
    kernel.k_callout.callouts[n as usize].c_next.set(pool.cp_first.get());
    pool.cp_first.set(n);
    pool.cp_lock.exit_high();
    spl::splx(level);
}
