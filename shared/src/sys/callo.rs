//! `sys/callo.h`: what a callout is at, and which of its CPU's two tables it is in.
//!
//! # Invariants
//! - A table's number is `cpu_id << 1 | type`.

/// Type of a table whose callouts run in place, at the low level.
pub const CALLOUT_REALTIME: u32 = 0;
/// Type of a table whose callouts run in threads.
pub const CALLOUT_NORMAL: u32 = 1;

/// Values of `c_state`.
pub mod state {
    /// Not in use.
    pub const FREE: u8 = 0;
    /// In its table's heap.
    pub const PENDING: u8 = 1;
    /// Due, and not yet begun.
    pub const EXPIRED: u8 = 2;
    /// Being run (`CALLOUT_EXECUTING`).
    pub const EXECUTING: u8 = 3;
}

/// Values of `c_func`: what a callout does, and what its `c_arg` holds. A kernel without function pointers in its arenas has these.
pub mod func {
    /// Wakes the thread whose own it is from wait number `c_arg`.
    pub const WAKE: u8 = 0;
    /// Sends the signal in the low 32 bits.
    pub const SEND: u8 = 1;
    /// Waits for the signal in the low 16 bits, as often as the high 32 say; then sends the one in the 16 between.
    pub const AWAIT: u8 = 2;
    /// Computes for as many ns as the high 32 bits say, then sends the signal in the low 16.
    pub const SPIN: u8 = 3;
    /// Takes itself back, and sends the signal in the low 32 bits.
    pub const CANCEL: u8 = 4;
    /// Calls number `c_arg` of `clock_funcs`, then has that called again.
    pub const CLOCK_FUNC: u8 = 5;
    /// Calls `c_call` with `c_arg`.
    pub const CALL: u8 = 6;

    /// The signal that a callout sends, if it sends one.
    pub const fn sends(func: u8, arg: u64) -> Option<u64> {
        match func {
            SEND | CANCEL => Some(arg & 0xffff_ffff),
            AWAIT => Some(arg >> 16 & 0xffff),
            SPIN => Some(arg & 0xffff),
            _ => None,
        }
    }
}
