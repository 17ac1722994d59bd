//! `sys/cyclic_impl.h`: levels and flags of cyclics, and what they run.
//!
//! # Invariants
//! - [`handler`] is Umpire's: a cyclic names what it runs by a number instead of an address.

use super::machlock::{HIGH_PIL, LOCK_LEVEL};

/// Level 0: a soft interrupt of [`LOW_PIL`].
pub const CY_LOW_LEVEL: u8 = 0;
/// Level 1: a soft interrupt of `LOCK_LEVEL`.
pub const CY_LOCK_LEVEL: u8 = 1;
/// Level 2: in the timer's own interrupt.
pub const CY_HIGH_LEVEL: u8 = 2;
/// The priority level of [`CY_LOW_LEVEL`] (`CBE_LOW_PIL` on i86pc).
pub const LOW_PIL: u32 = 2;

/// The priority level that handlers of a `CY_*_LEVEL` run at.
pub const fn pil_of(level: u8) -> u32 {
    match level {
        CY_LOW_LEVEL => LOW_PIL,
        CY_LOCK_LEVEL => LOCK_LEVEL,
        _ => HIGH_PIL,
    }
}

flags! {
    /// Bits of `cy_flags`.
    flag: u16, "CYF_" {
        /// The slot is in use; Solaris has the opposite, `CYF_FREE`.
        USED = 0x0001;
        /// Stays on its CPU.
        CPU_BOUND = 0x0002;
        /// Stays in its CPU's partition.
        PART_BOUND = 0x0004;
        /// Part of an omni cyclic: leaves with its CPU and comes back with it.
        OMNI = 0x0008;
        /// Out of the heap for good: calls still owed are not made.
        REMOVED = 0x0010;
        /// Out of the heap, on its way to another CPU.
        MOVING = 0x0020;
    }
}

values! {
    /// What a record of the cyclic trace tells; see `cyt_why`. Solaris has texts, which say the same in more words.
    why: u8, "" {
        /// Nothing: the record was never written.
        NONE = 0;
        /// The timer fired, which was armed for `cyt_arg0`.
        FIRE = 1;
        /// The cyclic in slot `cyt_arg0`, due at `cyt_arg1`, is run at the high level.
        EXPIRE = 2;
        /// The cyclic in slot `cyt_arg0` is due at a lower level, and owed `cyt_arg1` calls.
        POST = 3;
        /// The soft interrupt calls the cyclic in slot `cyt_arg0`, which is owed `cyt_arg1` calls.
        SOFTINT = 4;
        /// The cyclic in slot `cyt_arg0` is due at `cyt_arg1` from now on.
        REPROGRAM = 5;
        /// The timer is armed for `cyt_arg0`.
        ARM = 6;
    }
}

values! {
    /// What a cyclic runs; see `cy_handler`.
    handler: u8, "" {
        /// Nothing.
        NONE = 0;
        /// `clock()`.
        CLOCK = 1;
        /// `deadman()`.
        DEADMAN = 2;
        /// Device number `cy_arg` interrupts.
        DEVICE = 3;
        /// `hres_tick()`.
        HRES_TICK = 4;
        /// Callout table number `cy_arg` expires.
        CALLOUT = 5;
        /// Signal number `cy_arg` is sent.
        SIGNAL = 6;
        /// The CPU looks whether its console's key was pressed.
        CONSOLE = 7;
        /// The pool's disk is done with an I/O.
        DISK = 8;
    }
}
