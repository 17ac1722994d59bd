//! Running what is due: the timer's interrupt, and the soft interrupts that it posts.
//!
//! # Invariants
//! - `cyclic_fire` runs at `HIGH_PIL` on the CPU whose cyclics it looks at, and does not nest.
//! - A call of a handler that is held off is owed, not lost: each time that is due counts up `cy_pend`, and the soft interrupt
//!   calls the handler until the count is 0 again. Only times that are more than a second late are forgotten.

use core::sync::atomic::Ordering;

use super::trace::trace;
use super::{CY_HIGH_LEVEL, CY_INFINITY, Cyclic, CyclicCpu, LOW_PIL, MAX_CYCLICS, flag, pil_of};
use crate::cell::{Cell, Counter};
use crate::sys::{Cpu, NANOSEC};
use crate::{platform, probe, spl};
use umpire_shared::event::Kind;
use umpire_shared::mutant;
use umpire_shared::sys::cyclic::why;
use umpire_shared::sys::machlock::{HIGH_PIL, LOCK_LEVEL};

/// The timer fired: runs or posts what is due, and arms the timer again (`cyclic.c cyclic_fire`).
pub fn cyclic_fire(_: u32) -> bool {
    let cyp = &platform::cpu().cpu_cyclic;
    cyp.cyp_fires.bump();
    trace(why::FIRE, cyp.cyp_armed.get(), 0);
    cyp.cyp_lock.enter_high();
    while let Some(n) = cyp.cyp_heap.first() {
        let c = &cyp.cyp_cyclics[n as usize];
        let due = c.cy_expire.get();
        if due > platform::now() {
            break;
        }
        if c.cy_level.get() == CY_HIGH_LEVEL {
            trace(why::EXPIRE, n.into(), due);
            // Not under the lock: the handler may reprogram. The count keeps the cyclic here meanwhile.
            c.cy_pend.store(1, Ordering::Relaxed);
            cyp.cyp_lock.exit_high();
            run(c);
            cyp.cyp_lock.enter_high();
            // Release: a thread that waits for the handler to end sees what it did.
            c.cy_pend.store(0, Ordering::Release);
        } else {
            post(cyp, n as u8, c);
        }
        // The handler may have given it another time, or another CPU may have removed it.
        if c.cy_expire.get() == due && !c.has(flag::REMOVED) {
            c.cy_expire.set(next_time(c, due));
            // A cyclic on its way to another CPU takes the next time along, so that it is not due there a second time for this
            // one: see the picture in `mod.rs`.
            if !c.has(flag::MOVING) {
                cyp.cyp_heap.moved(&cyp.cyp_cyclics, n);
            }
        }
    }
    if !loses_timer() {
        arm_timer(cyp);
    }
    cyp.cyp_lock.exit_high();
    true
}

/// A poke arrived: another CPU may have made something due earlier here.
pub fn cyclic_poked(_: u32) -> bool {
    let cyp = &platform::cpu().cpu_cyclic;
    // Acquire: the CPU that set it had changed the heap before, under the lock that is taken below anyway.
    let must_arm = cyp.cyp_rearm.swap(0, Ordering::Acquire) != 0;
    if must_arm {
        let level = spl::splr(HIGH_PIL);
        cyp.cyp_lock.enter_high();
        arm_timer(cyp);
        cyp.cyp_lock.exit_high();
        spl::splx(level);
    }
    must_arm
}

/// The soft interrupt of priority level `pil`: makes the calls owed at it (`cyclic.c cyclic_softint`).
/// True if there were any.
pub fn cyclic_softint(pil: u32) -> bool {
    let place = match pil {
        LOW_PIL => 0,
        LOCK_LEVEL => 1,
        _ => return false,
    };
    let mut has_run = false;
    let cyp = &platform::cpu().cpu_cyclic;
    let buffer = &cyp.cyp_softbuf[place];
    // Acquire, against `post`: a consumer that sees the count sees the index. The producer is an interrupt on this CPU.
    while buffer.cypc_cons.get() != buffer.cypc_prod.load(Ordering::Acquire) {
        let cons = buffer.cypc_cons.get();
        let n = buffer.cypc_buf[cons as usize % MAX_CYCLICS].get();
        buffer.cypc_cons.set(cons.wrapping_add(1));
        let c = &cyp.cyp_cyclics[usize::from(n)];
        trace(why::SOFTINT, n.into(), c.cy_pend.get().into());
        call_until_paid(c);
        has_run = true;
    }
    has_run
}

/// Something is due earlier than it was: arms the timer of this CPU, or has another arm its own. The caller holds
/// `cyp_lock` of `cp`. True: the caller must poke `cp` before it lowers its level (`add.rs finish`).
#[must_use = "the other CPU's timer is late unless it is poked"]
pub(super) fn must_poke(cp: &Cpu) -> bool {
    let cyp = &cp.cpu_cyclic;
    if cyp.first_due() >= cyp.cyp_armed.get() {
        // The timer fires early enough; then `cyclic_fire` arms it anew, whatever it finds.
        return false;
    }
    if core::ptr::eq(cp, platform::cpu()) {
        arm_timer(cyp);
        return false;
    }
    cyp.cyp_rearm.store(1, Ordering::Release);
    true
}

/// Arms this CPU's timer for its first cyclic.
pub(super) fn arm_timer(cyp: &CyclicCpu) {
    let due = cyp.first_due();
    cyp.cyp_armed.set(due);
    trace(why::ARM, due, 0);
    platform::timer(due);
}

/// Counts one more call that a low- or lock-level cyclic is owed, and posts the soft interrupt if none was owed before.
fn post(cyp: &CyclicCpu, n: u8, c: &Cyclic) {
    let level = c.cy_level.get();
    let owed = c.cy_pend.load(Ordering::Relaxed);
    trace(why::POST, n.into(), u64::from(owed) + 1);
    if owed == 0 {
        c.cy_pend.store(1, Ordering::Relaxed);
        let buffer = &cyp.cyp_softbuf[usize::from(level)];
        let prod = buffer.cypc_prod.get();
        buffer.cypc_buf[prod as usize % MAX_CYCLICS].set(n);
        buffer.cypc_prod.store(prod.wrapping_add(1), Ordering::Release);
        if !loses_softints() {
            platform::post(pil_of(level));
        }
    } else if !platform::kernel().is_mutant(mutant::CYCLIC_PEND_LOST) {
        // A plain store: the consumer is the soft interrupt below this one on this CPU, and cannot come in between.
        c.cy_pend.store(owed.saturating_add(1), Ordering::Relaxed);
    }
}

/// What the mutant `lost_softint` does after half a second.
fn loses_softints() -> bool {
    platform::kernel().is_mutant(mutant::LOST_SOFTINT) && is_half_a_second_old()
}

/// What the mutant `lost_timer` does after half a second, on other CPUs than the first.
fn loses_timer() -> bool {
    platform::kernel().is_mutant(mutant::LOST_TIMER) && platform::cpu().cpu_id != 0 && is_half_a_second_old()
}

fn is_half_a_second_old() -> bool {
    let kernel = platform::kernel();
    2 * kernel.lbolt.get() >= u64::from(kernel.hz.get())
}

fn call_until_paid(c: &Cyclic) {
    let mut kind = Kind::CyclicFire;
    loop {
        probe::fire_masked(kind, u64::from(c.cy_handler.get()));
        kind = Kind::CyclicReplay;
        run(c);
        // A read-modify-write: the timer may interrupt and count up. Release: a thread that waits for 0 sees what the handler
        // did.
        let before = c.cy_pend.fetch_sub(1, Ordering::Release);
        debug_assert!(before > 0, "cyclic_softint: a cyclic in the buffer owes nothing");
        if before == 1 {
            return;
        }
    }
}

/// When a cyclic that was due at `due` is due again. A cyclic that is more than a second behind goes on at the next boundary,
/// and is owed nothing for the times that were missed (`cyclic.c cyclic_expire`).
fn next_time(c: &Cyclic, due: u64) -> u64 {
    let interval = c.cy_interval.get();
    if interval == CY_INFINITY {
        return CY_INFINITY;
    }
    let next = due + interval;
    let now = platform::now();
    if now > next + NANOSEC && !platform::kernel().is_mutant(mutant::CYCLIC_NO_CATCHUP) {
        return next + (now - next) / interval * interval + interval;
    }
    next
}

fn run(c: &Cyclic) {
    if c.has(flag::REMOVED) {
        return;
    }
    (c.func().run)(c.cy_arg.get());
}
