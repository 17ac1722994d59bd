//! `sys/mutex_impl.h`: the word of an adaptive mutex.
//!
//! # Invariants
//! - The owner is an address whose lowest bits are 0, so that a flag can share its word.

/// The bit that says that a thread waits (`MUTEX_WAITERS`).
pub const WAITERS: usize = 1;
/// The bits that may name the owner (`MUTEX_THREAD`).
pub const OWNER: usize = !7;
