//! Threads with a duty cycle: those of class SDC, or those that a bound with `duty` means.
//!
//! # Invariants
//! - A thread is held to the part of the time in which it ran or wanted to, not to a part of the window.

use super::{Breach, Excuse, Found, Scales, ThreadFilter, ThreadTraits, Window};
use crate::glass::has_duty_cycle;
use crate::monitor::Subject;

/// The sums that the search needs; kept so that a window allocates nothing.
#[derive(Debug, Default)]
pub(super) struct Threads {
    /// By CPU: what all threads waited that were there at the window's end.
    waited: Vec<u64>,
}

impl Threads {
    /// Holds each thread to the promised duty cycle or, without one, each SDC thread to what it aims at; the breach of the
    /// bound is returned, once.
    pub(super) fn judge(
        &mut self,
        window: &Window<'_>,
        filter: Option<&ThreadFilter>,
        scales: &mut Scales<'_>,
    ) -> Option<(Breach, Found)> {
        self.sum_waits(window);
        let window_ns = window.promise.window_ns;
        let promised = window.promise.duty_percent;
        let mut first = None;
        for part in window.parts() {
            let (time, ran, waited) = (part.time, part.ran_ns, part.waited_ns);
            let wanted = ran.saturating_add(waited);
            if promised.is_none() && !has_duty_cycle(time.class) {
                continue;
            }
            let duty = promised.map_or(u64::from(time.duty_cycle), u64::from);
            let name = window.seen.names.get(part.thread as usize).map_or("", String::as_str);
            let cpu = window.cpu_of(time).map(|cpu| cpu as u32);
            let traits = ThreadTraits { pri: time.effective_pri(), class: time.class, name, cpu };
            if !filter.is_none_or(|filter| filter.matches(&traits)) || wanted == 0 {
                continue;
            }
            // A thread that wanted little has had few turns between too much and too little.
            if wanted < window_ns / 2 {
                scales.ledger.accept(Excuse::NoDemand);
                continue;
            }
            let percent = (u128::from(ran) * 100 / u128::from(wanted)) as u64;
            let there = window.cpu_of(time).map_or(0, |cpu| self.waited[cpu]);
            if percent > duty && there.saturating_sub(waited) < window_ns / 10 {
                scales.ledger.accept(Excuse::Uncontended);
                continue;
            }
            let off = if promised.is_some() { percent.abs_diff(duty) } else { percent.saturating_sub(duty) };
            let off_ns = off.saturating_mul(window_ns) / 100;
            let subject = Subject { thread: Some(part.thread), ..Subject::default() };
            let breach = scales.weigh(window, subject, off_ns, wanted);
            first = first.or(breach.map(|breach| (breach, Found::Thread { percent, duty })));
        }
        first
    }

    /// Adds up by CPU what threads waited there.
    fn sum_waits(&mut self, window: &Window<'_>) {
        self.waited.clear();
        self.waited.resize(window.seen.cpus.len(), 0);
        for part in window.parts() {
            if let Some(cpu) = window.cpu_of(part.time) {
                self.waited[cpu] = self.waited[cpu].saturating_add(part.waited_ns);
            }
        }
    }
}
