//! What the referee of a run has found so far, for whoever asks: the sampler posts it when somebody has asked, and not otherwise.
//!
//! # Invariants
//! - A pass of the sampler in which nobody has asked costs one load.
//! - Who asks waits for a bounded time, and is told what was posted last if nothing new comes: the sampler may be held.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use umpire_watch::glass::Verdicts;

/// For how long who asks waits for the sampler's next pass.
const PATIENCE: Duration = Duration::from_millis(200);

/// Verdicts so far.
#[derive(Debug, Default)]
pub struct Bulletin {
    /// Somebody waits. It is only a reason to lock: what is posted is under the lock.
    is_wanted: AtomicBool,
    /// The last that was posted, and how often something was.
    posted: Mutex<(u64, Verdicts)>,
    changed: Condvar,
    /// True from the moment at which nothing new will come.
    is_over: AtomicBool,
}

impl Bulletin {
    /// True if somebody waits for a post.
    pub fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed)
    }

    /// Posts what is known now.
    pub fn post(&self, verdicts: Verdicts) {
        let mut posted = self.posted.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_wanted.store(false, Ordering::Relaxed);
        *posted = (posted.0 + 1, verdicts);
        drop(posted);
        self.changed.notify_all();
    }

    /// Says that nothing new will come.
    pub fn close(&self) {
        self.is_over.store(true, Ordering::Release);
        // Who waits looks at it under the lock.
        drop(self.posted.lock());
        self.changed.notify_all();
    }

    /// What is known now; `is_held`: the sampler is, so what was posted last is all there is.
    pub fn read(&self, is_held: bool) -> Verdicts {
        let posted = self.posted.lock().unwrap_or_else(PoisonError::into_inner);
        let before = posted.0;
        if is_held && before > 0 || self.is_over.load(Ordering::Acquire) {
            return posted.1.clone();
        }
        self.is_wanted.store(true, Ordering::Relaxed);
        let is_old =
            |posted: &mut (u64, Verdicts)| posted.0 == before && !self.is_over.load(Ordering::Acquire);
        let waited = self.changed.wait_timeout_while(posted, PATIENCE, is_old);
        waited.unwrap_or_else(PoisonError::into_inner).0.1.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_waits_for_a_post_that_comes_after_it_and_not_when_all_is_over() {
        let bulletin = Bulletin::default();
        bulletin.post(Verdicts { samples: 1, ..Verdicts::default() });
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !bulletin.is_wanted() {
                    std::thread::yield_now();
                }
                bulletin.post(Verdicts { samples: 2, ..Verdicts::default() });
            });
            assert_eq!(bulletin.read(false).samples, 2);
        });
        assert_eq!(bulletin.read(true).samples, 2);
        bulletin.close();
        assert_eq!(bulletin.read(false).samples, 2);
        assert!(!bulletin.is_wanted());
    }
}
