//! A list of sleepers in the order in which they wake (`sleepq_t`).
//!
//! # Invariants
//! - By `t_link` from `sq_first`: best priority first, equal ones in the order in which they came. `t_priback` is the way back.
//! - The first sleeper of each priority knows the last one (`t_prilast`), so joining passes over a priority in one step: it costs
//!   as much with ten sleepers of one priority as with a thousand.
//! - The caller holds the lock that is the `t_lockp` of every thread on the list, and a sleeper's priority changes only
//!   between `remove` and `insert`.

use crate::lock::SharedPtr;
use crate::sys::Kthread;

/// `sleepq_t`.
#[repr(C)]
#[derive(Debug, Default)]
pub struct SleepList {
    /// The sleeper that wakes first.
    pub sq_first: SharedPtr<Kthread>,
}

impl SleepList {
    /// An empty list.
    pub const fn new() -> SleepList {
        SleepList { sq_first: SharedPtr::null() }
    }

    /// The sleeper that wakes first, if any thread sleeps here.
    #[inline(always)]
    pub fn first(&self) -> Option<&'static Kthread> {
        self.sq_first.get()
    }

    /// The best sleeper's priority; -1 if nobody sleeps here.
    pub fn best_pri(&self) -> i32 {
        self.first().map_or(-1, Kthread::pri)
    }

    /// Puts `t` behind every thread of its priority or a better one (`sleepq_insert`).
    #[inline]
    pub fn insert(&'static self, t: &'static Kthread) {
        let pri = t.pri();
        let mut before: Option<&'static Kthread> = None;
        let mut level = self.first();
        let mut is_first_of_level = true;
        while let Some(head) = level {
            let head_pri = head.pri();
            if head_pri < pri {
                break;
            }
            let last = last_of(head);
            before = Some(last);
            if head_pri == pri {
                head.t_prilast.set(Some(t));
                is_first_of_level = false;
                break;
            }
            level = last.t_link.get();
        }
        if is_first_of_level {
            t.t_prilast.set(Some(t));
        }
        let after = before.map_or_else(|| self.first(), |b| b.t_link.get());
        t.t_sleepq.set(Some(self));
        t.t_priback.set(before);
        t.t_link.set(after);
        self.join(before, Some(t));
        if let Some(a) = after {
            a.t_priback.set(Some(t));
        }
    }

    /// Takes `t`, which is on this list, off it (`sleepq_dequeue`).
    #[inline]
    pub fn remove(&self, t: &'static Kthread) {
        debug_assert!(t.t_sleepq.is(self), "unsleep: thread {} not on its sleep queue", t.t_did);
        let (before, after, pri) = (t.t_priback.get(), t.t_link.get(), t.pri());
        let is_equal = |other: Option<&'static Kthread>| other.filter(|o| o.pri() == pri);
        match (is_equal(before), is_equal(after)) {
            // The first of several: the next one is the first now.
            (None, Some(a)) => a.t_prilast.set(Some(last_of(t))),
            // The last of several.
            (Some(b), None) => self.level(pri).t_prilast.set(Some(b)),
            // In the middle, or alone.
            _ => {}
        }
        self.join(before, after);
        if let Some(a) = after {
            a.t_priback.set(before);
        }
        t.t_link.set(None);
        t.t_priback.set(None);
        t.t_sleepq.set(None);
    }

    /// Makes `t` follow `before`, or the list begin with it.
    #[inline(always)]
    fn join(&self, before: Option<&'static Kthread>, t: Option<&'static Kthread>) {
        match before {
            None => self.sq_first.set(t),
            Some(b) => b.t_link.set(t),
        }
    }

    /// The first sleeper of a priority that has one.
    fn level(&self, pri: i32) -> &'static Kthread {
        let mut level = self.first();
        while let Some(head) = level {
            if head.pri() == pri {
                return head;
            }
            level = last_of(head).t_link.get();
        }
        unreachable!("invariant: somebody of priority {pri} sleeps here")
    }
}

#[inline(always)]
fn last_of(head: &'static Kthread) -> &'static Kthread {
    head.t_prilast.get().expect("invariant: the first of a priority knows the last")
}
