//! What the time between two passes is worth to each CPU, and what a condition that lasts has been charged.
//!
//! # Invariants
//! - A CPU is credited with time only if it could have used it: while its vCPU ran, or while it was halted and had not been
//!   woken.
//! - A condition is charged from the second pass on that saw it: when it began in the first interval is not known.
//! - Nothing here allocates once every CPU has been met.

use super::{Breach, Excuse, Excuses};
use crate::glass::{CpuSample, Snapshot};

/// One CPU at one pass.
#[derive(Debug, Clone, Copy, Default)]
struct Moment {
    ran_ns: u64,
    is_halted: bool,
    is_called: bool,
    is_ready: bool,
    is_interrupted: bool,
    is_locked: bool,
    dispatch: Dispatch,
}

/// Which dispatch of a thread a CPU is in: as long as this is the same, the CPU has neither switched nor preempted. An
/// interrupt thread that pins the thread does not end its dispatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Dispatch {
    pswitch: u64,
    inv_swtch: u64,
    dispthread: u64,
}

impl Dispatch {
    /// The dispatch that goes on at this pass. Needs [`crate::glass::Needs::runners`].
    pub(super) fn of(cpu: &CpuSample) -> Dispatch {
        Dispatch { pswitch: cpu.runner.pswitch, inv_swtch: cpu.runner.inv_swtch, dispthread: cpu.dispthread }
    }
}

/// The time from one pass to the next.
#[derive(Debug, Default)]
pub(super) struct Interval {
    before: Vec<Moment>,
    now: Vec<Moment>,
    at_ns: u64,
    wall_ns: u64,
}

impl Interval {
    /// Goes on to this pass.
    pub(super) fn step(&mut self, seen: &Snapshot) {
        std::mem::swap(&mut self.before, &mut self.now);
        self.wall_ns = if self.at_ns == 0 { 0 } else { seen.now_ns.saturating_sub(self.at_ns) };
        self.at_ns = seen.now_ns;
        self.now.clear();
        self.now.extend(seen.cpus.iter().zip(&seen.readings).map(|(cpu, reading)| Moment {
            ran_ns: reading.ran_ns,
            is_halted: cpu.is_halted(),
            is_called: cpu.is_called,
            is_ready: reading.is_ready,
            is_interrupted: cpu.handles.is_some(),
            is_locked: cpu.is_locked(),
            dispatch: Dispatch::of(cpu),
        }));
    }

    /// How long it was, in the sampler's ns.
    pub(super) fn wall_ns(&self) -> u64 {
        self.wall_ns
    }

    /// How long the vCPU ran in it.
    pub(super) fn ran(&self, cpu: u32) -> u64 {
        self.both(cpu).map_or(0, |(before, now)| now.ran_ns.saturating_sub(before.ran_ns))
    }

    /// How long the CPU had: what its vCPU ran, or all of it if it was halted at both ends and the host did not keep it waiting. One
    /// that has been called out of its halt sleeps on only if the host says so at the second pass that finds it called.
    pub(super) fn had(&self, cpu: u32) -> u64 {
        let is_asleep = |(before, now): (&Moment, &Moment)| {
            before.is_halted && now.is_halted && !now.is_ready && before.is_called == now.is_called
        };
        if self.both(cpu).is_some_and(is_asleep) { self.wall_ns.max(self.ran(cpu)) } else { self.ran(cpu) }
    }

    /// The same of a CPU that owes something: if it sleeps, the thread that is to do that may be blocked on what another CPU's has, so
    /// what the host kept from another is no time that it had.
    pub(super) fn had_for_others(&self, cpu: u32) -> u64 {
        let kept_ns = if self.is_asleep(cpu) { self.kept_from_others(cpu) } else { 0 };
        self.had(cpu).saturating_sub(kept_ns)
    }

    /// The least that any CPU had which takes work: whoever could have done something had at least that.
    pub(super) fn least_had(&self, seen: &Snapshot) -> u64 {
        let online = (0..).zip(&seen.cpus).filter(|(_, sample)| sample.takes_work());
        online.map(|(cpu, _)| self.had(cpu)).min().unwrap_or(0)
    }

    /// How long the host kept the CPU from running: what it did not run although it was awake at both ends, or halted and ready. One
    /// that was halted at one end may have slept.
    pub(super) fn kept(&self, cpu: u32) -> u64 {
        let was_kept = |(before, now): (&Moment, &Moment)| match (before.is_halted, now.is_halted) {
            (true, true) => now.is_ready,
            (before, now) => before == now,
        };
        let idle_ns = self.wall_ns.saturating_sub(self.ran(cpu));
        if self.both(cpu).is_some_and(was_kept) { idle_ns } else { 0 }
    }

    /// The most that the host kept any other CPU from running.
    pub(super) fn kept_from_others(&self, cpu: u32) -> u64 {
        (0..self.now.len() as u32).filter(|&n| n != cpu).map(|n| self.kept(n)).max().unwrap_or(0)
    }

    /// True if the CPU's queue, or the thread that runs there, was locked at either end.
    pub(super) fn is_locked(&self, cpu: u32) -> bool {
        self.both(cpu).is_some_and(|(before, now)| before.is_locked || now.is_locked)
    }

    /// True if the CPU slept in its halt: halted at both ends, and in no interrupt, whose handler might do anything.
    pub(super) fn is_asleep(&self, cpu: u32) -> bool {
        let sleeps = |moment: &Moment| moment.is_halted && !moment.is_interrupted;
        self.both(cpu).is_some_and(|(before, now)| sleeps(before) && sleeps(now))
    }

    /// True if the CPU handled an interrupt at both ends.
    pub(super) fn is_interrupted(&self, cpu: u32) -> bool {
        self.both(cpu).is_some_and(|(before, now)| before.is_interrupted && now.is_interrupted)
    }

    /// True if the CPU had been called out of its halt at either end, and had not woken.
    pub(super) fn is_called(&self, cpu: u32) -> bool {
        self.both(cpu).is_some_and(|(before, now)| before.is_called || now.is_called)
    }

    /// True if the CPU was halted at its end.
    pub(super) fn is_halted(&self, cpu: u32) -> bool {
        self.now.get(cpu as usize).is_some_and(|now| now.is_halted)
    }

    /// The dispatch that its end saw.
    pub(super) fn dispatch(&self, cpu: u32) -> Dispatch {
        self.now.get(cpu as usize).map_or_else(Dispatch::default, |now| now.dispatch)
    }

    fn both(&self, cpu: u32) -> Option<(&Moment, &Moment)> {
        self.before.get(cpu as usize).zip(self.now.get(cpu as usize))
    }
}

/// A condition on one subject, and what it has been charged since it began. `K` is what makes it the same condition.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stretch<K> {
    key: Option<K>,
    charge_ns: u64,
}

impl<K> Default for Stretch<K> {
    fn default() -> Self {
        Stretch { key: None, charge_ns: 0 }
    }
}

impl<K: PartialEq + Copy> Stretch<K> {
    /// Takes the condition as this pass saw it, `None` if it is not met. Returns what it had been charged and has been now, if
    /// it is the one that the last pass saw.
    pub(super) fn see(&mut self, key: Option<K>, elapsed_ns: u64) -> Option<(u64, u64)> {
        let goes_on = key.is_some() && self.key == key;
        let before = if goes_on { self.charge_ns } else { 0 };
        self.key = key;
        self.charge_ns = if goes_on { before + elapsed_ns } else { 0 };
        goes_on.then_some((before, self.charge_ns))
    }

    /// What the last pass saw.
    pub(super) fn key(&self) -> Option<K> {
        self.key
    }

    /// What it has been charged.
    pub(super) fn charge_ns(&self) -> u64 {
        self.charge_ns
    }
}

/// Something that does not go away again, and since when it has been seen: charged with wall time, from the first pass on.
#[derive(Debug, Default)]
pub(super) struct Since {
    first_ns: Option<u64>,
    last_pass_ns: u64,
}

impl Since {
    /// Goes on to a pass; the wall time since the last one, in ns.
    pub(super) fn step(&mut self, seen: &Snapshot) -> u64 {
        let last_ns = std::mem::replace(&mut self.last_pass_ns, seen.now_ns);
        if last_ns == 0 { 0 } else { seen.now_ns.saturating_sub(last_ns) }
    }

    /// What it had been charged and has been now, as this pass sees it. With a limit of 0 the first pass that does breaks the bound.
    pub(super) fn see(&mut self, seen: &Snapshot, interval_ns: u64) -> (u64, u64) {
        let lasted_ns = seen.now_ns.saturating_sub(*self.first_ns.get_or_insert(seen.now_ns));
        (lasted_ns.saturating_sub(interval_ns), lasted_ns.max(1))
    }
}

/// What a condition concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Subject {
    /// The thread that suffers.
    pub thread: Option<u32>,
    /// The CPU that owes.
    pub cpu: Option<u32>,
    /// The partition whose kp queue is concerned.
    pub part: Option<u32>,
}

/// What a monitor keeps for its bound: the limit, the worst case, the verdict, the excuses.
#[derive(Debug)]
pub struct Ledger {
    limit_ns: u64,
    worst_ns: u64,
    nearest: Subject,
    is_broken: bool,
    excuses: Excuses,
}

impl Ledger {
    pub(super) fn new(limit_ns: u64) -> Ledger {
        Ledger {
            limit_ns,
            worst_ns: 0,
            nearest: Subject::default(),
            is_broken: false,
            excuses: Excuses::default(),
        }
    }

    /// The limit, in ns.
    pub fn limit_ns(&self) -> u64 {
        self.limit_ns
    }

    /// The worst that was charged, in ns.
    pub fn worst_ns(&self) -> u64 {
        self.worst_ns
    }

    /// What that concerned.
    pub fn nearest(&self) -> Subject {
        self.nearest
    }

    /// True once the bound has been broken.
    pub fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// What was let pass.
    pub fn excuses(&self) -> &Excuses {
        &self.excuses
    }

    pub(super) fn accept(&mut self, excuse: Excuse) {
        self.excuses.accept(excuse);
    }

    /// Enters a condition whose charge grew from the first to the second number within `interval_ns`; the breach of the
    /// bound is returned, once.
    pub(super) fn enter(
        &mut self,
        subject: Subject,
        (before, after): (u64, u64),
        interval_ns: u64,
        at_ns: u64,
    ) -> Option<Breach> {
        if after > self.worst_ns {
            (self.worst_ns, self.nearest) = (after, subject);
        }
        if after <= self.limit_ns || self.is_broken {
            return None;
        }
        self.is_broken = true;
        Some(Breach {
            thread: subject.thread,
            cpu: subject.cpu,
            part: subject.part,
            lasted_ns: after,
            detect_after_ns: since_crossing(before, after, self.limit_ns, interval_ns),
            at_ns,
        })
    }
}

/// How long ago a charge that grew from `before` to `after` within `interval_ns` passed `limit`.
fn since_crossing(before: u64, after: u64, limit: u64, interval_ns: u64) -> u64 {
    let over = u128::from(after.saturating_sub(limit));
    let grown = u128::from(after.saturating_sub(before)).max(1);
    (over.min(grown) * u128::from(interval_ns) / grown) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn see_same_condition_adds_up_and_another_begins_anew() {
        let mut stretch = Stretch::default();

        assert_eq!(stretch.see(Some(1), 5), None);
        assert_eq!(stretch.see(Some(1), 5), Some((0, 5)));
        assert_eq!(stretch.see(Some(1), 7), Some((5, 12)));
        assert_eq!(stretch.see(Some(2), 7), None);
        assert_eq!(stretch.see(None, 7), None);
        assert_eq!(stretch.charge_ns(), 0);
    }

    #[test]
    fn enter_past_the_limit_returns_one_breach_and_keeps_the_worst() {
        let mut ledger = Ledger::new(10);
        let subject = Subject { cpu: Some(3), ..Subject::default() };

        assert_eq!(ledger.enter(subject, (4, 10), 6, 100), None);
        let breach = ledger.enter(subject, (10, 14), 4, 104);
        assert_eq!(breach.map(|b| (b.cpu, b.lasted_ns, b.detect_after_ns)), Some((Some(3), 14, 4)));
        assert_eq!(ledger.enter(subject, (14, 20), 6, 110), None);
        assert_eq!((ledger.worst_ns(), ledger.is_broken()), (20, true));
    }
}
