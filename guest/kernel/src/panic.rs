//! How the kernel dies.
//!
//! # Invariants
//! - Ordinary panics go through Rust's `panic!`; the platform turns them into an epitaph.
//! - The deadman's panic says so in the epitaph's reason, since the referee tells it from others.

use crate::platform;
use umpire_shared::boot::reason;

/// The panic of `clock.c deadman`: the clock has made no progress for so many seconds.
pub fn deadman_panic(seconds: u32) -> ! {
    platform::stop(
        reason::DEADMAN,
        format_args!("deadman: timed out after {seconds} seconds of clock inactivity"),
    )
}
