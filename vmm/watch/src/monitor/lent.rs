//! `lent`: a thread is above its own priority only as long as, and as far as, a better thread waits for a lock that it owns.
//!
//! What a thread inherits (`t_epri`) is the best of what the locks that it owns bring it, and ends with the release of the lock that
//! brought it (`turnstile.c turnstile_pi_waive`). A loan that stays makes a bad thread a good one for ever; one that is
//! too high lets a thread pass by others that nobody asked it to pass. The other way round, a thread that owns a lock and
//! inherits nothing, is what `inheritance` watches.
//!
//! # How it is charged
//! With the running time of the CPU that has the thread: the thread itself takes its loan back, with interrupts off. With wall time
//! while no CPU has the thread, because then it is in no release. The condition lasts while the loan is the same.
//!
//! # Excuses
//! - `torn`: a chain of turnstiles could not be read consistently. Its waiters are not known, and nothing is judged in that pass.
//! - `vcpu_away`: the host did not run the vCPU of the CPU that has the thread.
//! - `waiter_sank`: somebody waits who has been as good as the loan, and has become worse since. The kernel lends for good:
//!   what was lent stays until the lock is released.
//!
//! # Invariants
//! - Only the scenario's threads are judged.
//! - What is known of a waiter from before is forgotten when nobody waits for the lock any more, or another thread owns it.

use super::evidence::ms;
use super::interval::{Interval, Ledger, Stretch, Subject};
use super::{Breach, Declaration, Evidence, Excuse, Exhibits, Judged, Monitor, Pass, Proof, Takes};
use crate::glass::{Needs, OwnerSample, Snapshot, WorkerSample};
use umpire_shared::sys::thread::ts;

pub(super) static LENT: Declaration = Declaration {
    name: "lent",
    broken_when: "a thread of the scenario has had an inherited priority for longer than `limit` that is better than its own and \
                  than those of all who wait for the locks that it owns",
    charged_with: "running time of the CPU that has the thread; wall time while none has it",
    judges: "threads of the scenario that inherit a priority better than their own; not what is excused",
    takes_threads: false,
    takes: Takes::Limit,
    excuses: &[Excuse::Torn, Excuse::VcpuAway, Excuse::WaiterSank],
    proof: Proof::Mutant("limit = \"20ms\""),
    standing_ms: Some(50),
    is_exact: false,
    new: |bound| Box::new(Lent::new(bound.limit_ns)),
};

/// Watches one bound.
#[derive(Debug)]
struct Lent {
    ledger: Ledger,
    interval: Interval,
    /// By thread: a loan that nobody's wait explains.
    unfounded: Vec<Stretch<i16>>,
    /// By turnstile: whom it serves, and the best that has waited there.
    peaks: Vec<Peak>,
    /// By thread: what those wait with who wait for its locks.
    due: Vec<Due>,
    /// By thread: its effective priority at the last pass.
    last_pri: Vec<i16>,
    found: Option<Found>,
}

/// The best that has waited at a turnstile.
#[derive(Debug, Clone, Copy, Default)]
struct Peak {
    sobj: u64,
    owner: u32,
    pri: i16,
    /// The judged pass that met it last.
    met: u64,
}

/// What a thread may inherit.
#[derive(Debug, Clone, Copy, Default)]
struct Due {
    /// The judged pass that this is of.
    pass: u64,
    /// The best who waits now, and its priority.
    now: Option<(u32, i16)>,
    /// The best that those who wait have had.
    peak: i16,
}

/// What broke the bound.
#[derive(Debug, Clone, Copy)]
struct Found {
    epri: i16,
    waiter: Option<(u32, i16)>,
}

impl Lent {
    /// A watch with this limit.
    fn new(limit_ns: u64) -> Lent {
        Lent {
            ledger: Ledger::new(limit_ns),
            interval: Interval::default(),
            unfounded: Vec::new(),
            peaks: Vec::new(),
            due: Vec::new(),
            last_pri: Vec::new(),
            found: None,
        }
    }

    /// Notes what a lock brings its owner.
    fn note(&mut self, seen: &Snapshot, sample: &OwnerSample) {
        let Some(owner) = sample.owner else { return };
        let n = sample.turnstile as usize;
        if n >= self.peaks.len() {
            self.peaks.resize(n + 1, Peak::default());
        }
        let before = self.last_pri.get(sample.waiter as usize).copied().unwrap_or(0);
        let peak = &mut self.peaks[n];
        let goes_on = peak.met + 1 == seen.seq && (peak.sobj, peak.owner) == (sample.sobj, owner);
        let best = sample.waiter_pri.max(before).max(if goes_on { peak.pri } else { 0 });
        *peak = Peak { sobj: sample.sobj, owner, pri: best, met: seen.seq };
        let Some(due) = self.due.get_mut(owner as usize) else { return };
        if due.pass != seen.seq {
            *due = Due { pass: seen.seq, ..Due::default() };
        }
        due.peak = due.peak.max(best);
        if due.now.is_none_or(|(_, pri)| pri < sample.waiter_pri) {
            due.now = Some((sample.waiter, sample.waiter_pri));
        }
    }

    /// What the interval is worth for a thread that has to give its loan back.
    fn worth(&self, seen: &Snapshot, worker: &WorkerSample) -> u64 {
        let at = seen.arena.map(|arena| arena.address_of(worker.index));
        let has_it = |addr: u64| Some(addr) == at;
        match seen.cpus.iter().position(|cpu| has_it(cpu.thread) || has_it(cpu.dispthread)) {
            Some(n) => self.interval.ran(n as u32),
            None if worker.state == ts::ONPROC => 0,
            None => self.interval.wall_ns(),
        }
    }

    fn observe_worker(
        &mut self,
        seen: &Snapshot,
        worker: &WorkerSample,
        judged: &mut Judged,
    ) -> Option<Breach> {
        let n = worker.index as usize;
        let due = self.due.get(n).copied().filter(|due| due.pass == seen.seq).unwrap_or_default();
        let most = due.now.map_or(0, |(_, pri)| pri);
        let inherits = worker.epri > worker.own_pri;
        let worth = if inherits { self.worth(seen, worker) } else { 0 };
        let mut loan = (inherits && worker.epri > most).then_some(worker.epri);
        if loan.is_some_and(|epri| epri <= due.peak) {
            self.ledger.accept(Excuse::WaiterSank);
            loan = None;
        } else if inherits {
            judged.met(worth);
        }
        let charged = self.unfounded.get_mut(n)?.see(loan, worth)?;
        if worth == 0 {
            self.ledger.accept(Excuse::VcpuAway);
        }
        let subject = Subject { thread: Some(worker.index), ..Subject::default() };
        let breach = self.ledger.enter(subject, charged, self.interval.wall_ns(), seen.now_ns);
        if breach.is_some() {
            self.found = loan.map(|epri| Found { epri, waiter: due.now });
        }
        breach
    }
}

impl Monitor for Lent {
    fn needs(&self) -> Needs {
        Needs { owners: true, workers: true, ..Needs::default() }
    }

    fn observe(&mut self, seen: &Snapshot) -> Pass {
        self.interval.step(seen);
        let threads = seen.names.len();
        self.unfounded.resize(threads, Stretch::default());
        self.due.resize(threads, Due::default());
        self.last_pri.resize(threads, 0);
        if seen.torn_chains > 0 {
            self.ledger.accept(Excuse::Torn);
            // What waits on the chain that could not be read goes on waiting, as far as is known.
            self.peaks.iter_mut().filter(|peak| peak.met + 1 == seen.seq).for_each(|peak| peak.met += 1);
            return Pass::NOTHING;
        }
        seen.owners.iter().for_each(|sample| self.note(seen, sample));
        let (mut first, mut judged) = (None, Judged::NOTHING);
        for worker in &seen.workers {
            let breach = self.observe_worker(seen, worker, &mut judged);
            first = first.or(breach);
            if let Some(last) = self.last_pri.get_mut(worker.index as usize) {
                *last = worker.pri;
            }
        }
        judged.found(first)
    }

    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Also the name of the thread that waits.
    fn exhibits(&self, _seen: &Snapshot, breach: &Breach) -> Exhibits {
        Exhibits::of(breach).naming(self.found.and_then(|found| found.waiter).map(|(waiter, _)| waiter))
    }

    fn sentence(&self, breach: &Breach, evidence: &Evidence) -> String {
        let Some(Found { epri, waiter }) = self.found else { return String::new() };
        let (thread, lasted) = (evidence.thread(breach.thread), ms(breach.lasted_ns));
        match waiter {
            None => format!(
                "{thread} has kept an inherited priority of {epri} for {lasted} ms, and nobody waits for a lock that it owns"
            ),
            Some((waiter, pri)) => format!(
                "{thread} has had an inherited priority of {epri} for {lasted} ms, and the best who waits for a lock that it \
                 owns is {} with {pri}",
                evidence.thread(Some(waiter))
            ),
        }
    }
}

#[cfg(test)]
#[path = "lent_tests.rs"]
mod tests;
