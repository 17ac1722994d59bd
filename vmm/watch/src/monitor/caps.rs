//! Who is let go from the wait queue of a CPU cap, and whether a thread that waits there is passed over.
//!
//! A cap explains that a thread waits while usage is at the cap, and that it waits for its turn after that. In a fair order nobody has
//! a second turn before each has had one. So a wait is explained until one of those that waited on the same queue has been
//! let go twice since it began.
//!
//! ```text
//!   waits      |------------------------------------------>
//!   another      go     back     go
//!   explained  |----------------->|   passed over from here on
//! ```
//!
//! # Invariants
//! - A wait is from when a pass finds a thread on a queue to when one finds it elsewhere, or with another count of turns:
//!   it has run meanwhile. What no pass sees can only make it seem to be explained for longer.
//! - A thread's fields are not read at one moment: the count of turns that comes with the first sight of a wait may be from before it.
//! - A thread that is `TS_WAIT` and names no queue is just coming or going: the pass is not asked.

use crate::glass::WorkerSample;

/// One thread, as the last pass found it.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    /// The address of the queue that it waits on, 0 for none.
    queue: u64,
    /// `t_progress`, and whether it was read when the thread was known to wait there.
    turns: u64,
    is_settled: bool,
    /// The pass that first saw it there.
    since: u64,
    /// The queue that it was let go from last, and in which pass.
    left: (u64, u64),
}

/// One queue.
#[derive(Debug, Clone, Copy)]
struct Queue {
    address: u64,
    /// The latest pass in which somebody was let go that has been let go again since.
    twice_since: u64,
}

/// The wait queues of all caps, as they are seen through the scenario's threads.
#[derive(Debug, Default)]
pub(super) struct CapQueues {
    pass: u64,
    places: Vec<Place>,
    queues: Vec<Queue>,
}

impl CapQueues {
    /// Takes what a pass saw of the scenario's threads.
    pub(super) fn see(&mut self, workers: &[WorkerSample]) {
        self.pass += 1;
        self.places.resize(workers.len(), Place::default());
        for (place, worker) in self.places.iter_mut().zip(workers) {
            let queue = if worker.is_held_by_cap() { worker.waitq } else { 0 };
            if worker.is_held_by_cap() && queue == 0 {
                continue;
            }
            let has_gone = place.is_settled && place.turns != worker.progress;
            if place.queue == queue && !has_gone {
                (place.turns, place.is_settled) = (worker.progress, queue != 0);
                continue;
            }
            if place.queue != 0 {
                if place.left.0 == place.queue {
                    twice(&mut self.queues, place.queue, place.left.1);
                }
                place.left = (place.queue, self.pass);
            }
            (place.queue, place.is_settled, place.since) = (queue, false, self.pass);
        }
    }

    /// True if the thread at this place of the list waits, and another has been let go from its queue twice since it began to.
    pub(super) fn is_passed_over(&self, n: usize) -> bool {
        self.places.get(n).is_some_and(|place| {
            self.queues.iter().any(|queue| queue.address == place.queue && queue.twice_since > place.since)
        })
    }
}

/// Somebody has been let go from the queue that had been let go before, in this pass.
fn twice(queues: &mut Vec<Queue>, address: u64, before: u64) {
    match queues.iter_mut().find(|queue| queue.address == address) {
        Some(queue) => queue.twice_since = queue.twice_since.max(before),
        None => queues.push(Queue { address, twice_since: before }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use umpire_shared::sys::thread::ts;

    const QUEUE: u64 = 0x1000;

    fn waits(queue: u64) -> WorkerSample {
        WorkerSample { state: ts::WAIT, waitq: queue, ..WorkerSample::default() }
    }

    fn runs() -> WorkerSample {
        WorkerSample { state: ts::ONPROC, ..WorkerSample::default() }
    }

    /// Whether the first of the threads is passed over after these passes.
    fn passed(passes: &[[WorkerSample; 3]]) -> bool {
        let mut queues = CapQueues::default();
        passes.iter().for_each(|pass| queues.see(pass));
        queues.is_passed_over(0)
    }

    #[test]
    fn wait_is_explained_until_one_other_has_been_let_go_twice() {
        let (w, r) = (waits(QUEUE), runs());
        assert!(!passed(&[[w, w, w], [w, r, w], [w, w, r]]));
        assert!(!passed(&[[w, w, w], [w, r, w], [w, w, w]]));
        assert!(passed(&[[w, w, w], [w, r, w], [w, w, w], [w, r, w]]));
    }

    #[test]
    fn turn_before_the_wait_began_is_not_counted_and_a_new_wait_begins_anew() {
        let (w, r) = (waits(QUEUE), runs());
        assert!(!passed(&[[r, w, w], [r, r, w], [w, w, w], [w, r, w]]));
        let ends = [[w, w, w], [w, r, w], [w, w, w], [w, r, w], [r, w, w]];
        assert!(!passed(&ends));
        assert!(!passed(&[&ends[..], &[[w, r, w]]].concat()));
    }

    #[test]
    fn thread_that_has_done_a_turn_between_two_passes_has_been_let_go() {
        let w = waits(QUEUE);
        let again = |turns| WorkerSample { progress: turns, ..w };
        let passes: Vec<_> = (0..5).map(|turns| [w, again(turns), w]).collect();
        assert!(!passed(&passes[..4]));
        assert!(passed(&passes));
    }

    #[test]
    fn other_queues_and_threads_that_come_or_go_do_not_count() {
        let (w, r, other) = (waits(QUEUE), runs(), waits(0x2000));
        assert!(!passed(&[[w, other, w], [w, r, w], [w, other, w], [w, r, w]]));
        assert!(!passed(&[[w, w, w], [w, waits(0), w], [w, w, w], [w, waits(0), w], [w, w, w]]));
    }
}
