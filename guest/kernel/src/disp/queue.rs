//! Levels of a run queue: put a thread on one, take it off, keep map, counts and maxima right.
//!
//! # Invariants
//! - Every function here is called with the queue's `disp_lock` held and leaves invariants 1 to 3 of the module true,
//!   unless the kernel is one of the `runq` mutants.

use super::NPRI;
use crate::cell::{Cell, Counter};
use crate::platform;
use crate::sys::cpu::CPU_IDLE_PRI;
use crate::sys::disp::DispQ;
use crate::sys::{Disp, Kthread};
use umpire_shared::mutant;

/// Which end of a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Behind the others.
    Back,
    /// Before the others.
    Front,
}

/// Every so many enqueues a mutant breaks its rule.
const MUTANT_PERIOD: u64 = 64;

impl Disp {
    /// The level of this priority.
    #[inline(always)]
    pub(super) fn level(&self, pri: i32) -> &DispQ {
        debug_assert!((0..NPRI as i32).contains(&pri), "no such dispatcher level");
        &self.disp_q[pri as usize]
    }

    /// Puts `t` on level `pri`; true if the level was empty. Does not touch `disp_maxrunpri`.
    #[inline]
    pub(super) fn insert(&self, t: &'static Kthread, pri: i32, end: End) -> bool {
        let dq = self.level(pri);
        t.t_level.set(pri as i16);
        self.disp_enqueues.bump();
        self.disp_nrunnable.bump();
        let was_empty = match dq.dq_last.get() {
            None => {
                t.t_link.set(None);
                dq.dq_first.set(Some(t));
                dq.dq_last.set(Some(t));
                self.set_bit(pri);
                true
            }
            Some(last) if end == End::Back && !platform::kernel().is_mutant(mutant::LIFO_LEVEL) => {
                t.t_link.set(None);
                last.t_link.set(Some(t));
                dq.dq_last.set(Some(t));
                false
            }
            Some(_) => {
                t.t_link.set(dq.dq_first.get());
                dq.dq_first.set(Some(t));
                false
            }
        };
        dq.dq_sruncnt.bump();
        self.mutate_insert(pri, was_empty);
        was_empty
    }

    /// Takes the head of the highest level.
    #[inline]
    pub(super) fn pop(&self) -> Option<(&'static Kthread, i32)> {
        loop {
            let pri = i32::from(self.disp_maxrunpri.get());
            if pri == i32::from(CPU_IDLE_PRI) {
                return None;
            }
            let dq = self.level(pri);
            let Some(t) = dq.dq_first.get() else {
                self.repair(pri);
                continue;
            };
            if let Some(second) = t.t_link.get()
                && platform::kernel().is_mutant(mutant::SECOND_FIRST)
            {
                self.remove(second, pri);
                return Some((second, pri));
            }
            dq.dq_first.set(t.t_link.get());
            self.removed(dq, pri);
            t.t_link.set(None);
            return Some((t, pri));
        }
    }

    /// Takes `t` off level `pri`, wherever it stands there.
    ///
    /// # Panics
    /// If it is not there (`disp.c dispdeq`: "dispdeq: thread not on queue").
    pub(super) fn remove(&self, t: &'static Kthread, pri: i32) {
        let dq = self.level(pri);
        let mut before: Option<&'static Kthread> = None;
        let mut at = dq.dq_first.get();
        while let Some(here) = at {
            if core::ptr::eq(here, t) {
                let next = t.t_link.get();
                match before {
                    None => dq.dq_first.set(next),
                    Some(b) => b.t_link.set(next),
                }
                if next.is_none() {
                    dq.dq_last.set(before);
                }
                self.removed(dq, pri);
                t.t_link.set(None);
                return;
            }
            before = at;
            at = here.t_link.get();
        }
        panic!("dispdeq: thread {} not on queue at level {pri}", t.t_did);
    }

    /// The first thread of the best level with an unbound one.
    pub(super) fn best_unbound(&self) -> Option<&'static Kthread> {
        let mut level = i32::from(self.disp_max_unbound_pri.get());
        while level >= 0 {
            let mut at = self.level(level).dq_first.get();
            while let Some(t) = at {
                if !t.is_bound() {
                    return Some(t);
                }
                at = t.t_link.get();
            }
            level = if level == 0 { -1 } else { self.highest_at_or_below(level - 1) };
        }
        None
    }

    /// Highest non-empty level at or below `pri` that the map shows, -1 if none.
    pub(super) fn highest_at_or_below(&self, pri: i32) -> i32 {
        let mut word = pri >> 6;
        let mut mask = u64::MAX >> (63 - (pri & 63));
        while word >= 0 {
            let bits = self.disp_qactmap[word as usize].get() & mask;
            if bits != 0 {
                return word * 64 + 63 - bits.leading_zeros() as i32;
            }
            mask = u64::MAX;
            word -= 1;
        }
        -1
    }

    #[inline]
    fn removed(&self, dq: &DispQ, pri: i32) {
        self.disp_nrunnable.drop_one();
        dq.dq_sruncnt.drop_one();
        if dq.dq_first.is_null() {
            dq.dq_last.set(None);
            self.clear_bit(pri);
            if pri == i32::from(self.disp_maxrunpri.get()) {
                self.lower_maxrunpri(pri);
            }
        }
    }

    #[inline]
    fn lower_maxrunpri(&self, pri: i32) {
        let max = self.highest_at_or_below(pri) as i16;
        if self.disp_max_unbound_pri.get() > max {
            self.disp_max_unbound_pri.set(max);
        }
        if !platform::kernel().is_mutant(mutant::STALE_MAXRUNPRI) {
            self.disp_maxrunpri.set(max);
        }
    }

    #[inline(always)]
    fn set_bit(&self, pri: i32) {
        let word = &self.disp_qactmap[(pri >> 6) as usize];
        word.set(word.get() | 1 << (pri & 63));
    }

    #[inline(always)]
    fn clear_bit(&self, pri: i32) {
        let word = &self.disp_qactmap[(pri >> 6) as usize];
        word.set(word.get() & !(1 << (pri & 63)));
    }

    /// What the mutants `skewed_nrunnable` and `wrong_qactmap` do to an enqueue.
    #[inline(always)]
    fn mutate_insert(&self, pri: i32, was_empty: bool) {
        if !platform::kernel().is_honest() {
            self.mutate(pri, was_empty);
        }
    }

    #[cold]
    fn mutate(&self, pri: i32, was_empty: bool) {
        let kernel = platform::kernel();
        if kernel.is_mutant(mutant::SKEWED_NRUNNABLE) {
            // One too many, taken back half a period later, so that only the count is ever wrong. Not sooner: enqueues come in bursts,
            // and a sampler sees nothing of what begins and ends within one.
            let (enqueues, half) = (self.disp_enqueues.get(), MUTANT_PERIOD / 2);
            match enqueues % MUTANT_PERIOD {
                0 => self.disp_nrunnable.bump(),
                n if n == half && enqueues > MUTANT_PERIOD => self.disp_nrunnable.drop_one(),
                _ => {}
            }
        }
        if kernel.is_mutant(mutant::WRONG_QACTMAP)
            && was_empty
            && self.disp_enqueues.get() % MUTANT_PERIOD < 8
            && pri > 0
            && self.level(pri - 1).dq_first.is_null()
        {
            self.set_bit(pri - 1);
        }
    }

    /// The highest level turned out to be empty: only a mutant gets here. Puts map and maximum right again.
    #[cold]
    fn repair(&self, pri: i32) {
        assert!(!platform::kernel().is_honest(), "disp: level {pri} is empty but is disp_maxrunpri");
        self.clear_bit(pri);
        self.disp_maxrunpri.set(self.highest_at_or_below(pri) as i16);
    }
}
