//! The host's CPUs as a budget: what runs beside what.
//!
//! Virtual CPUs that spin need a CPU of the host each. Where they have to share one, the host decides who comes first, and a
//! run may not see what it is about. `trials.rs` repeats alone what did not pass in company: that costs time, never a verdict.
//!
//! # Invariants
//! - The tests that run at a time have together asked for no more than the host has. A test that asks for more gets the whole
//!   host.
//! - A test that fits goes. One that needs the whole host gets it at the latest when every thread of the program waits for that.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;

use libtest_mimic::Trial;

use crate::trials;

/// What one CPU has to give.
pub const CPU: u64 = 1000;
/// The least that a share is: a process has to start as well, and its sampler to run.
const LEAST: u64 = CPU / 4;

/// The CPUs of this host.
pub static HOST: LazyLock<Budget> =
    LazyLock::new(|| Budget::of(thread::available_parallelism().map_or(1, usize::from)));

/// CPUs that are shared out.
#[derive(Debug)]
pub struct Budget {
    whole: u64,
    state: Mutex<State>,
    returned: Condvar,
}

#[derive(Debug, Default)]
struct State {
    taken: u64,
    holders: u64,
    /// How many shares were ever taken.
    begun: u64,
    /// How many are waited for.
    waiting: u64,
}

/// A part of the budget, until it is dropped.
#[derive(Debug)]
pub struct Share<'b> {
    budget: &'b Budget,
    part: u64,
    /// Which of all shares it is, and whether it found others.
    number: u64,
    came_to_others: bool,
}

impl Budget {
    /// A budget of so many CPUs.
    pub fn of(cpus: usize) -> Budget {
        Budget { whole: cpus as u64 * CPU, state: Mutex::default(), returned: Condvar::new() }
    }

    /// How many CPUs there are.
    pub fn cpus(&self) -> usize {
        (self.whole / CPU) as usize
    }

    /// Waits for so much of the CPUs, in thousandths of one, or for all if that is less.
    pub fn take(&self, part: u64) -> Share<'_> {
        let part = part.max(LEAST).min(self.whole);
        let has_no_room = |state: &mut State| state.taken + part > self.whole;
        let mut state = self.state();
        state.waiting += 1;
        let state = self.returned.wait_while(state, has_no_room);
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
        let came_to_others = state.holders > 0;
        state.taken += part;
        state.holders += 1;
        state.begun += 1;
        Share { budget: self, part, number: state.begun, came_to_others }
    }

    /// Waits for all of them.
    pub fn take_all(&self) -> Share<'_> {
        self.take(self.whole)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share<'_> {
    /// Whether there has been no other share since this one was taken.
    pub fn was_alone(&self) -> bool {
        !self.came_to_others && self.budget.state().begun == self.number
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        let mut state = self.budget.state();
        state.taken -= self.part;
        state.holders -= 1;
        drop(state);
        self.budget.returned.notify_all();
    }
}

/// The budget's own tests.
pub fn trials() -> Vec<Trial> {
    vec![
        trials::anywhere("budget::no_more_is_taken_than_there_is", no_more_than_there_is),
        trials::anywhere("budget::whole_budget_is_had_by_one_alone", whole_is_alone),
        trials::anywhere("budget::company_before_or_after_is_noticed", company_is_noticed),
    ]
}

fn no_more_than_there_is() {
    let budget = Budget::of(2);
    let (now, most) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for n in 0..8 {
            let (budget, now, most) = (&budget, &now, &most);
            scope.spawn(move || {
                let part = [500, 1000, 1500, 9000][n % 4];
                for _ in 0..200 {
                    let _share = budget.take(part);
                    let taken = part.min(2000);
                    most.fetch_max(now.fetch_add(taken, Ordering::SeqCst) + taken, Ordering::SeqCst);
                    thread::yield_now();
                    now.fetch_sub(taken, Ordering::SeqCst);
                }
            });
        }
    });
    assert_eq!(most.into_inner(), 2000, "the whole is used, and no more");
}

fn whole_is_alone() {
    let budget = Arc::new(Budget::of(2));
    let small = budget.take(0);
    let has_all = Arc::new(AtomicBool::new(false));
    let waiter = thread::spawn({
        let (budget, has_all) = (Arc::clone(&budget), Arc::clone(&has_all));
        move || {
            let share = budget.take_all();
            has_all.store(true, Ordering::SeqCst);
            share.was_alone()
        }
    });
    while budget.state().waiting == 0 && !has_all.load(Ordering::SeqCst) {
        thread::yield_now();
    }
    assert!(!has_all.load(Ordering::SeqCst), "somebody else has a share");
    drop(small);
    assert!(waiter.join().expect("it only waits"));
}

fn company_is_noticed() {
    let budget = Budget::of(2);
    let first = budget.take(CPU);
    assert!(first.was_alone());
    let second = budget.take(CPU);
    assert!(!first.was_alone() && !second.was_alone());
    drop(first);
    assert!(!second.was_alone(), "it had company once");
    drop(second);
    assert!(budget.take(CPU).was_alone());
}
