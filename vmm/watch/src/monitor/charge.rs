//! `charge`: time and ticks are charged to who had them.
//!
//! - A thread's microstates add up to its life, and a CPU's to the guest's time: nothing is lost, nothing is counted twice.
//! - A thread that has not run between two looks is charged neither with time on a CPU nor with a tick, and its microstate is not
//!   that of a thread that runs; on a run queue it is `LMS_WAIT_CPU`.
//! - What interrupts took of the states of a CPU is what they took by their levels.
//! - A CPU that has not switched between two looks is idle for its account if it runs its idle thread, and only then.
//!
//! # How it is charged
//! With the time itself that is charged wrongly, or lost; with a tick's length for a tick; with the time that a CPU had while its state
//! is wrong, beyond the first millisecond of a stay. What one thread or one CPU has of that adds up over the run. No host can add to it: whatever it does to a vCPU happens in
//! some state, and is that state's.
//!
//! # Excuses
//! - `torn`: an account changed while it was copied.
//! - `put_back`: a thread that did not run was put to the front of a queue between the looks between which it was charged with a tick. One
//!   that is chosen, and charged before its choice is refused (`disp_ratify`), has run by what the clock can know.
//!
//! # Invariants
//! - All that is compared of one thread held at one moment: see `glass/accounts.rs`.
//! - A thread that has only just left its CPU, or is still on its way, may be charged there. Who was seen away from every CPU, at rest
//!   since before that, may not.

use umpire_shared::sys::cpuvar::cms;
use umpire_shared::sys::msacct::{is_running, lms};
use umpire_shared::sys::thread::ts;

use super::evidence::ms;
use super::interval::{Interval, Ledger, Subject};
use super::{Breach, Declaration, Evidence, Excuse, Judged, Monitor, Pass, Proof, Takes};
use crate::glass::{CpuAccount, CpuSample, Needs, Snapshot, ThreadAccount};

/// How often the accounts are read, in ns.
const EVERY_NS: u64 = 4_000_000;
/// What a CPU may have while it goes from one state to another, in ns: a few instructions, in which a host that takes it off again and
/// again has it be at two looks. On a run of an hour a few microseconds of each such moment would come to a breach.
const CHANGING_NS: u64 = 1_000_000;

pub(super) static CHARGE: Declaration = Declaration {
    name: "charge",
    broken_when: "more than `limit` of a thread's or a CPU's time has been charged to nobody, twice, or to who did not have it; a tick \
                  counts as its length",
    charged_with: "the time that was charged wrongly, in the guest's time",
    judges: "accounts of threads and of CPUs that could be read",
    takes_threads: false,
    takes: Takes::Limit,
    excuses: &[Excuse::Torn, Excuse::PutBack],
    proof: Proof::Mutant("limit = \"5ms\""),
    standing_ms: Some(5),
    is_exact: true,
    new: |bound| Box::new(Charge::new(bound.limit_ns)),
};

/// Watches one bound.
#[derive(Debug)]
struct Charge {
    ledger: Ledger,
    interval: Interval,
    threads: Vec<Held>,
    cpus: Vec<OfCpu>,
    /// By thread: true if a CPU has it at this pass.
    claimed: Vec<bool>,
    /// When the accounts were read last, in the sampler's ns.
    read_ns: Option<u64>,
    found: Option<Wrong>,
}

/// What is kept of a thread from one look to the next.
#[derive(Debug, Clone, Default)]
struct Held {
    /// What it was at the last look, if that was whole.
    before: Option<ThreadAccount>,
    /// True if it was at rest then and away from every CPU, and at rest at the look before that.
    has_rested: bool,
    books: Books,
}

/// What is kept of a CPU.
#[derive(Debug, Clone, Default)]
struct OfCpu {
    /// What it was in at the last look, if that was whole.
    before: Option<Stay>,
    /// What it has had since the last look, in ns.
    had_ns: u64,
    /// What it has had in its present stay in a state that is not its own, in ns.
    strange_ns: u64,
    books: Books,
    of_interrupts: Books,
}

/// What a CPU is in: the same stay as long as this is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stay {
    pswitch: u64,
    mstate: u8,
    since_ns: u64,
    is_idle: bool,
}

impl Stay {
    fn of(cpu: &CpuSample, account: &CpuAccount) -> Stay {
        let CpuAccount { mstate, since_ns, .. } = *account;
        Stay { pswitch: cpu.runner.pswitch, mstate, since_ns, is_idle: cpu.dispatch_pri < 0 }
    }

    /// True if the state says that the CPU idles, and it does not, or the other way round.
    fn is_strange(&self) -> bool {
        let states: &[u8] = if self.is_idle { &[cms::USER, cms::SYSTEM] } else { &[cms::IDLE] };
        states.contains(&self.mstate)
    }
}

/// What of one account is wrong.
#[derive(Debug, Clone, Default)]
struct Books {
    /// What was charged wrongly so far.
    wrong_ns: u64,
    /// The most that did not add up.
    uneven_ns: u64,
    /// What did not add up at the last look, and how far the account was then.
    open: Option<(u64, u64)>,
}

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    /// Time that no account has.
    Lost,
    /// Time that accounts have twice.
    Twice,
    /// A tick, for a thread that was away.
    Tick,
    /// Time on a CPU, for a thread that was away.
    Ran,
    /// A thread that is away is in this microstate.
    State(u8),
    /// A CPU is in this microstate, and is idle or not idle.
    CpuState(u8),
    /// What interrupts took of states and by levels.
    Interrupts,
}

impl Wrong {
    /// What it is that so much is missing of an account.
    fn of(missing_ns: i64) -> Wrong {
        if missing_ns > 0 { Wrong::Lost } else { Wrong::Twice }
    }
}

impl Books {
    fn total_ns(&self) -> u64 {
        self.wrong_ns.saturating_add(self.uneven_ns)
    }

    /// Looks whether accounts add up; `missing_ns` is below 0 if there is too much in them. A change may be under way, so that it
    /// counts only if it was so when the account was not yet so far: each change is over before the next begins.
    fn add_up(&mut self, missing_ns: i64, how_far: u64) -> bool {
        let off = missing_ns.unsigned_abs();
        let before = self.open.take().filter(|_| off != 0);
        let least = match before {
            Some((at, least)) if at != how_far => least.min(off),
            _ => 0,
        };
        // What did not add up so far stays with the account of then, until that goes on.
        self.open = match before {
            Some((at, least)) if at == how_far => Some((at, least.min(off))),
            _ => (off != 0).then_some((how_far, off)),
        };
        let is_more = least > self.uneven_ns;
        self.uneven_ns = self.uneven_ns.max(least);
        is_more
    }
}

impl Charge {
    /// A watch with this limit.
    fn new(limit_ns: u64) -> Charge {
        Charge {
            ledger: Ledger::new(limit_ns),
            interval: Interval::default(),
            threads: Vec::new(),
            cpus: Vec::new(),
            claimed: Vec::new(),
            read_ns: None,
            found: None,
        }
    }

    /// Notes which threads the CPUs have.
    fn claim(&mut self, seen: &Snapshot) {
        self.claimed.clear();
        self.claimed.resize(seen.accounts.len(), false);
        let Some(arena) = seen.arena else { return };
        for addr in seen.cpus.iter().flat_map(|cpu| [cpu.thread, cpu.dispthread, cpu.idle_thread]) {
            if let Some(claimed) = arena.index_of(addr).and_then(|n| self.claimed.get_mut(n as usize)) {
                *claimed = true;
            }
        }
    }

    fn observe_thread(&mut self, seen: &Snapshot, index: usize, elapsed_ns: u64) -> Option<Breach> {
        let (now, held) = (&seen.accounts[index], &mut self.threads[index]);
        if !now.is_whole {
            self.ledger.accept(Excuse::Torn);
            (held.before, held.has_rested) = (None, false);
            return None;
        }
        let had = held.books.total_ns();
        let missing = now.missing_ns();
        let mut wrong = held.books.add_up(missing, now.since_ns).then(|| Wrong::of(missing));
        let rested = held.before.replace(*now).filter(|before| is_away(before, now));
        let had_rested = std::mem::replace(&mut held.has_rested, false);
        if let Some(before) = rested {
            let tick_ns = 1_000_000_000 / u64::from(seen.hz.max(1));
            let ran = now.ran_ns().saturating_sub(before.ran_ns());
            held.has_rested = !self.claimed[index] && before.since_ns == now.since_ns;
            if had_rested && ran > 0 {
                held.books.wrong_ns = held.books.wrong_ns.saturating_add(ran);
                wrong = Some(Wrong::Ran);
            }
            if had_rested && held.has_rested && is_strange(now) {
                held.books.wrong_ns = held.books.wrong_ns.saturating_add(elapsed_ns);
                wrong = Some(Wrong::State(now.mstate));
            }
            if had_rested && now.does.lbolt != before.does.lbolt {
                if now.does.moves != before.does.moves {
                    self.ledger.accept(Excuse::PutBack);
                } else {
                    held.books.wrong_ns = held.books.wrong_ns.saturating_add(tick_ns);
                    wrong = Some(Wrong::Tick);
                }
            }
        }
        let has = held.books.total_ns();
        let subject = Subject { thread: Some(index as u32), ..Subject::default() };
        self.enter(seen, subject, (had, has), elapsed_ns, wrong)
    }

    fn observe_cpu(&mut self, seen: &Snapshot, n: usize, elapsed_ns: u64) -> Option<Breach> {
        let (now, kept) = (seen.cpu_accounts.get(n)?, &mut self.cpus[n]);
        let had_ns = std::mem::take(&mut kept.had_ns);
        if !now.is_whole {
            self.ledger.accept(Excuse::Torn);
            kept.before = None;
            return None;
        }
        let total = |kept: &OfCpu| kept.books.total_ns().saturating_add(kept.of_interrupts.total_ns());
        let before = total(kept);
        let missing = now.missing_ns();
        let mut wrong = kept.books.add_up(missing, now.since_ns).then(|| Wrong::of(missing));
        if kept.of_interrupts.add_up(now.missing_interrupts_ns(), now.interrupts_ns()) {
            wrong = Some(Wrong::Interrupts);
        }
        let stay = Stay::of(&seen.cpus[n], now);
        let is_same = kept.before.replace(stay) == Some(stay) && stay.is_strange();
        let before_ns = if is_same { kept.strange_ns } else { 0 };
        kept.strange_ns = if is_same { before_ns.saturating_add(had_ns) } else { 0 };
        let wrong_ns = kept.strange_ns.saturating_sub(CHANGING_NS.max(before_ns));
        if wrong_ns > 0 {
            kept.books.wrong_ns = kept.books.wrong_ns.saturating_add(wrong_ns);
            wrong = Some(Wrong::CpuState(stay.mstate));
        }
        let after = total(kept);
        let subject = Subject { cpu: Some(n as u32), ..Subject::default() };
        self.enter(seen, subject, (before, after), elapsed_ns, wrong)
    }

    /// Enters what is wrong with one account, if there is more of it than before.
    fn enter(
        &mut self,
        seen: &Snapshot,
        subject: Subject,
        wrong_ns: (u64, u64),
        elapsed_ns: u64,
        what: Option<Wrong>,
    ) -> Option<Breach> {
        let what = what?;
        let breach = self.ledger.enter(subject, wrong_ns, elapsed_ns, seen.now_ns);
        if breach.is_some() {
            self.found = Some(what);
        }
        breach
    }
}

impl Monitor for Charge {
    fn needs(&self) -> Needs {
        Needs { runners: true, accounts_every_ns: EVERY_NS, ..Needs::default() }
    }

    fn observe(&mut self, seen: &Snapshot) -> Pass {
        self.interval.step(seen);
        self.cpus.resize(seen.cpus.len(), OfCpu::default());
        for (n, kept) in self.cpus.iter_mut().enumerate() {
            kept.had_ns += self.interval.had(n as u32);
        }
        if !seen.has_accounts {
            return Pass::NOTHING;
        }
        self.threads.resize(seen.accounts.len(), Held::default());
        self.claim(seen);
        let read_ns = self.read_ns.replace(seen.now_ns);
        let elapsed_ns = read_ns.map_or(0, |read_ns| seen.now_ns.saturating_sub(read_ns));
        let mut first = None;
        for index in 0..seen.accounts.len() {
            first = first.or(self.observe_thread(seen, index, elapsed_ns));
        }
        for n in 0..seen.cpus.len() {
            first = first.or(self.observe_cpu(seen, n, elapsed_ns));
        }
        let of_threads = seen.accounts.iter().filter(|account| account.is_whole).count();
        let of_cpus = seen.cpu_accounts.iter().filter(|account| account.is_whole).count();
        Judged::of((of_threads + of_cpus) as u64, elapsed_ns).found(first)
    }

    /// What began before the gap is not compared with what comes after it.
    fn skip(&mut self) {
        for held in &mut self.threads {
            (held.before, held.has_rested) = (None, false);
        }
        self.cpus.iter_mut().for_each(|cpu| cpu.before = None);
    }

    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn sentence(&self, breach: &Breach, evidence: &Evidence) -> String {
        let Some(found) = self.found else { return String::new() };
        let who = match (breach.thread, breach.cpu) {
            (None, Some(cpu)) => format!("cpu {cpu}"),
            (thread, _) => evidence.thread(thread),
        };
        let lasted = ms(breach.lasted_ns);
        match found {
            Wrong::Lost => format!("{lasted} ms of the time of {who} are in none of its microstates"),
            Wrong::Twice => format!("{who} has {lasted} ms more in its microstates than its time is"),
            Wrong::Tick => {
                format!("{who} was charged with a tick while it did not run; {lasted} ms altogether")
            }
            Wrong::Ran => format!("{who} was charged with {lasted} ms on a CPU while it did not run"),
            Wrong::State(state) => {
                let state = lms::NAMES.shown(u64::from(state));
                format!("{who} has been in {state} for {lasted} ms while it did not run")
            }
            Wrong::CpuState(state) => {
                let runs = if state == cms::IDLE { "a thread" } else { "its idle thread" };
                let state = cms::NAMES.shown(u64::from(state));
                format!("{who} has been in {state} for {lasted} ms while it ran {runs}")
            }
            Wrong::Interrupts => {
                format!(
                    "interrupts of {who} took {lasted} ms more or less of its states than by their levels"
                )
            }
        }
    }
}

/// True if a thread was away from the CPUs at both looks, and has not run in between.
fn is_away(before: &ThreadAccount, now: &ThreadAccount) -> bool {
    let is_off = |t: &ThreadAccount| matches!(t.does.state, ts::SLEEP | ts::RUN | ts::STOPPED | ts::WAIT);
    now.is_ordinary() && is_off(before) && is_off(now) && before.does.runs == now.does.runs
}

/// True if a thread that is away is in a microstate of one that is not, or waits to run in another one than that.
fn is_strange(t: &ThreadAccount) -> bool {
    is_running(t.mstate) || t.does.state == ts::RUN && t.mstate != lms::WAIT_CPU
}

#[cfg(test)]
#[path = "charge_tests.rs"]
mod tests;
