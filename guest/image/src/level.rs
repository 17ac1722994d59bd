//! The priority level, and the interrupts that wait for it to be lowered.
//!
//! # Invariants
//! - Reading the level and setting it are two instructions, and nothing that matters can come between them: an
//!   interrupt restores the level that it found, and a preemption carries it along (see [`crate::words`]).
//! - Each arrival of an interrupt is acknowledged exactly once: when it is delivered, or, if the gate masked it, by the next
//!   `umpire_take_pending` that takes any.
#![allow(unsafe_code)]

use core::arch::asm;

use crate::{apic, words};
use umpire_kernel::spl;

/// Keeps the level at 15 for as long as it lives: nothing interrupts, nothing moves the caller to another CPU.
pub struct Masked {
    old: u32,
}

impl Masked {
    /// Raises the level to 15.
    #[inline(always)]
    pub fn new() -> Masked {
        Masked { old: swap_pil(15) }
    }
}

impl Drop for Masked {
    /// Goes back to the old level, and lets in the interrupts that came meanwhile, as if they came now.
    #[inline(always)]
    fn drop(&mut self) {
        words::set_pil(self.old);
        if pending() >> self.old > 1 {
            spl::splx(self.old);
        }
    }
}

/// The platform's `pil`.
#[inline(always)]
pub fn pil() -> u32 {
    words::pil()
}

/// The platform's `set_pil`.
#[inline(always)]
pub fn set_pil(pil: u32) {
    words::set_pil(pil);
}

/// The platform's `swap_pil`.
#[inline(always)]
pub fn swap_pil(pil: u32) -> u32 {
    words::swap_pil(pil)
}

/// The platform's `post`.
#[inline(always)]
pub fn post(pil: u32) {
    words::post(pil);
}

/// The platform's `pending`.
#[inline(always)]
pub fn pending() -> u32 {
    let both = words::pending();
    both as u32 | (both >> 32) as u32
}

/// The kernel asks at level 15, so acknowledgements go to the APIC that delivered.
///
/// The APIC does not say what it takes an acknowledgement for: it is the highest interrupt in service, and a higher one may come
/// between any two instructions here. So it is counted what came, not what it was, and as many are acknowledged:
///
/// ```text
///   this CPU                                   the gate, on this CPU          in service   count
///                                              masks a poke (11)              11           1
///   pending: 11
///                                              masks the timer (14)           14, 11       2
///   clears 11; takes one off, acknowledges                                    11           1     (that was the timer's)
///                                              masks the timer again          14, 11       2     (its bit is set already)
///   takes one off, acknowledges, twice                                        -            0
/// ```
///
/// One acknowledgement for each bit would leave 11 in service for good, and this CPU would get no poke any more.
/// What stays pending is acknowledged as well: its bit remembers it, and it may arrive, be masked and be counted again.
pub fn take_pending(above: u32) -> u32 {
    let bits = pending();
    if bits >> above <= 1 {
        return 0;
    }
    let level = bits.ilog2();
    if !words::clear_hw(level) {
        words::clear_soft(level);
    }
    while words::take_unacknowledged() {
        apic::acknowledge();
    }
    level
}

/// `hlt` at CPL 3 traps to the gate, which halts only if nothing is pending.
pub fn halt() {
    // SAFETY: `hlt` at CPL 3 is a trap to the gate, which preserves every register and returns to the instruction after it.
    unsafe { asm!("hlt", options(nostack, preserves_flags)) };
}

/// The platform's `relax`.
#[inline(always)]
pub fn relax() {
    core::hint::spin_loop();
}

/// The platform's `interleave`.
#[inline(always)]
pub fn interleave() {}
