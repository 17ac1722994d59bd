//! Verified reads: a copy out of a running guest, and how far it can be trusted.
//!
//! The lock of a run queue is its generation: the word is odd while the lock is held, even while it is free, and never the
//! same twice. A copy is good if the word was even before it and is the same after it.
//!
//! ```text
//!   reader                                    guest
//!   generation -> 8, which is even: copies
//!                                             locks: 9; changes; unlocks: 10
//!   generation == 8? -> no: again
//!   generation -> 10, which is even: copies
//!   generation == 10? -> yes: Retried(1)
//! ```
//!
//! # Invariants
//! - No retry loop is unbounded: after [`MAX_RETRIES`] retries the verdict is [`Verdict::Torn`] or [`Verdict::Stale`].
//! - A value leaves a [`Read`] either through [`Read::trusted`], which yields nothing unless it was consistent, or through
//!   [`Read::shown`], which hands the verdict out with it.

use std::fmt;
use std::hint;
use std::sync::atomic::{Ordering, fence};

use umpire_machine::memory::GuestMemory;

/// Times that a read is repeated before it is given up.
pub const MAX_RETRIES: u32 = 8;
/// Turns to wait for a holder that is about to release the lock, each a `pause`.
const PATIENCE: u32 = 24;

/// How far a value read from a running guest can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verdict {
    /// No CPU was changing it when the copy began, and none had changed it by the end of the copy.
    Clean,
    /// Consistent, after so many retries.
    Retried(u32),
    /// Copied while a CPU was changing it: for display only.
    Torn,
    /// Not copied this time: the lock was held throughout, or it could not be read. What is shown is older.
    #[default]
    Stale,
}

impl Verdict {
    /// True if the value was consistent when it was copied.
    pub fn is_trusted(self) -> bool {
        matches!(self, Verdict::Clean | Verdict::Retried(_))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Clean => f.write_str("clean"),
            Verdict::Retried(n) => write!(f, "retried {n}"),
            Verdict::Torn => f.write_str("torn"),
            Verdict::Stale => f.write_str("stale"),
        }
    }
}

/// A value with its verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a value from a running guest means nothing without its verdict"]
pub struct Read<T> {
    /// What was copied.
    value: T,
    /// How far it can be trusted.
    verdict: Verdict,
}

impl<T> Read<T> {
    /// A value as it was read.
    pub fn new(value: T, verdict: Verdict) -> Read<T> {
        Read { value, verdict }
    }

    /// The verdict alone.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// The value, if it was consistent.
    pub fn trusted(self) -> Option<T> {
        self.verdict.is_trusted().then_some(self.value)
    }

    /// The value for a person to see, with the verdict to be shown beside it.
    pub fn shown(self) -> (T, Verdict) {
        (self.value, self.verdict)
    }
}

/// Runs `copy` until the generation at `generation` shows that nothing changed meanwhile. `copy` returns false if
/// what it read cannot be (memory that is not there), which counts as a failed try.
pub(super) fn verified(memory: &dyn GuestMemory, generation: u64, mut copy: impl FnMut() -> bool) -> Verdict {
    let mut has_copied = false;
    for retry in 0..=MAX_RETRIES {
        let Some(before) = memory.read_u64(generation) else { return Verdict::Stale };
        if before & 1 == 1 {
            (0..PATIENCE).for_each(|_| hint::spin_loop());
            continue;
        }
        let is_whole = copy();
        // The copies must be done before the word is read again.
        fence(Ordering::Acquire);
        let after = memory.read_u64(generation);
        has_copied |= is_whole;
        if is_whole && after == Some(before) {
            return if retry == 0 { Verdict::Clean } else { Verdict::Retried(retry) };
        }
    }
    if has_copied { Verdict::Torn } else { Verdict::Stale }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glass::fake::FakeMemory;

    const GENERATION: u64 = 0x1000;

    #[test]
    fn verified_even_and_unchanged_returns_clean() {
        let memory = FakeMemory::new(0x1000, 64);
        memory.put_u64(GENERATION, 8);

        assert_eq!(verified(&memory, GENERATION, || true), Verdict::Clean);
    }

    #[test]
    fn verified_changed_twice_returns_retried_two() {
        let memory = FakeMemory::new(0x1000, 64);
        memory.put_u64(GENERATION, 8);
        let mut changes = 2;

        let verdict = verified(&memory, GENERATION, || {
            if changes > 0 {
                changes -= 1;
                let now = memory.read_u64(GENERATION).expect("invariant: the fake memory holds it");
                memory.put_u64(GENERATION, now + 2);
            }
            true
        });

        assert_eq!(verdict, Verdict::Retried(2));
    }

    #[test]
    fn verified_always_changing_returns_torn_after_the_last_retry() {
        let memory = FakeMemory::new(0x1000, 64);
        let mut copies = 0;

        let verdict = verified(&memory, GENERATION, || {
            copies += 1;
            memory.put_u64(GENERATION, copies * 2);
            true
        });

        assert_eq!(verdict, Verdict::Torn);
        assert_eq!(copies, u64::from(MAX_RETRIES) + 1);
    }

    #[test]
    fn verified_lock_held_throughout_returns_stale_without_a_copy() {
        let memory = FakeMemory::new(0x1000, 64);
        memory.put_u64(GENERATION, 9);
        let mut copies = 0;

        let verdict = verified(&memory, GENERATION, || {
            copies += 1;
            true
        });

        assert_eq!((verdict, copies), (Verdict::Stale, 0));
    }

    #[test]
    fn verified_generation_outside_memory_returns_stale() {
        let memory = FakeMemory::new(0x1000, 64);

        assert_eq!(verified(&memory, 0x9000, || true), Verdict::Stale);
    }

    #[test]
    fn trusted_torn_value_returns_none() {
        assert_eq!(Read::new(7, Verdict::Torn).trusted(), None);
        assert_eq!(Read::new(7, Verdict::Retried(3)).trusted(), Some(7));
        assert_eq!(Read::new(7, Verdict::Stale).shown(), (7, Verdict::Stale));
    }
}
