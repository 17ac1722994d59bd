//! Many simulations at a time: one on each CPU of the host.
//!
//! # Invariants
//! - A simulation belongs to the thread that runs it, from its boot to its end.
//! - A check that panics fails the test; what it says is printed.

use std::sync::{Mutex, PoisonError};
use std::thread;

/// Checks everything that `cases` yields, in no order, as many at a time as the host has CPUs.
///
/// # Panics
/// If a check did, once the others have ended.
pub fn for_each<T: Send>(cases: impl Iterator<Item = T> + Send, check: impl Fn(T) + Sync) {
    let cases = Mutex::new(cases);
    let next = || cases.lock().unwrap_or_else(PoisonError::into_inner).next();
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(case) = next() {
                    check(case);
                }
            });
        }
    });
}
