//! `share`: projects and threads get the share of the CPUs that they were promised.
//!
//! - Projects of class FSS. Of what all of them together used of a processor set in a window, a project that had to wait is entitled
//!   to at least its shares' part of what its zone's shares are among those that wanted anything (`fss.c`). What another does not
//!   want is divided among the rest, so it may get more; it may not get less, unless what it lacks was run where its threads,
//!   which are bound, may not run.
//! - Threads of class SDC. Of the time in which it ran or wanted to, a thread ran no more than the duty cycle that it aims at,
//!   if others waited for its CPU (`sysdc.c`). It may get less: there are better threads than those of SDC.
//! - With `duty` instead: each thread that `threads` means runs that part of the time in which it ran or wanted to, no more
//!   and no less.
//!
//! # How it is charged
//! The deviation is that part of a window which is missing, or too much: a project that got 10 % where it was entitled
//! to 30 % lacks 20 % of the window. The limit is `tolerance` of the window.
//!
//! # Excuses
//! - `no_demand`: it wanted less than it was entitled to, or never had to wait.
//! - `out_of_reach`: no project that had more for its shares ran where the project's waiting threads may run.
//! - `capped`: the project, or its zone, used what its CPU cap allows, to within the tolerance, so its shares do not count.
//! - `uncontended`: the thread ran more than its duty cycle, but nothing else wanted the CPU.
//! - `vcpu_away`: more than the limit was missing, but no longer without what the host kept from the vCPUs in that window: by so
//!   much the guest's microstates may be wrong (`share/kept.rs`). Such a window says neither that the promise was kept nor that it
//!   was not, so the bound that holds with one is doubted.
//!
//! # Invariants
//! - CPU times are looked at once a window, not every pass. The guest adds them up; the host only subtracts.
//! - The first window that is judged begins with the second look. One of which it is not known what the host kept is not judged.
//!
//! # What is not here
//! The project `system`, which is served by a rule of its own, is not judged, and no project in a window in which a thread of the class
//! was bound, or moved to another processor set. A thread that a CPU cap holds is in the microstate of a wait for a CPU, so its
//! wait counts as one for the CPU where it ran last.

mod kept;
mod projects;
mod threads;

use super::evidence::ms;
use super::interval::Ledger;
use super::{
    Breach, Declaration, Evidence, Excuse, Judged, Monitor, Pass, Proof, Subject, Takes, ThreadFilter,
    ThreadTraits,
};
use crate::glass::{Needs, Snapshot, ThreadTime};
use kept::Kept;
use projects::Projects;
use threads::Threads;
use umpire_rows::number::rounded;

pub(super) static SHARE: Declaration = Declaration {
    name: "share",
    broken_when: "in a `window`, a project of class FSS that wanted more got less of what the projects used of its processor set than its shares promise, by more than `tolerance` per cent of the window, or a thread of class SDC ran more than it aims at while others waited for its CPU; with `duty`, a thread ran more or less than `duty` per cent of the time that it wanted to, by more than that",
    charged_with: "the guest's microstates, less what the host kept from the vCPUs in the window",
    judges: "projects and threads that had to wait in a whole window, and that no excuse lets pass",
    takes_threads: true,
    takes: Takes::Promise,
    excuses: &[Excuse::NoDemand, Excuse::OutOfReach, Excuse::Uncontended, Excuse::Capped, Excuse::VcpuAway],
    proof: Proof::Mutant("tolerance = 20\nwindow = \"5s\""),
    standing_ms: None,
    is_exact: true,
    new: |bound| Box::new(Share::new(bound.promise.unwrap_or(Promise::WHOLE), bound.threads.clone())),
};

/// What is promised, to within what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promise {
    /// How far a share may be off, in per cent of the window.
    pub tolerance_percent: u32,
    /// Over what time it is judged, in ns.
    pub window_ns: u64,
    /// The duty cycle of each thread in per cent; `None` for shares of projects, and what each SDC thread aims at.
    pub duty_percent: Option<u32>,
}

impl Promise {
    /// How much of a window may be missing, or too much, in ns.
    pub fn limit_ns(&self) -> u64 {
        self.window_ns / 100 * u64::from(self.tolerance_percent)
    }

    /// Shares of projects to within anything: what a bound without a promise is held to.
    pub const WHOLE: Promise =
        Promise { tolerance_percent: 100, window_ns: 1_000_000_000, duty_percent: None };
}

/// Watches one bound.
#[derive(Debug)]
struct Share {
    ledger: Ledger,
    promise: Promise,
    filter: Option<ThreadFilter>,
    /// The times at the beginning of the window.
    before: Vec<ThreadTime>,
    began_ns: u64,
    /// Nobody looked for a part of the window.
    has_gap: bool,
    kept: Kept,
    /// The window in which most was missing of those that the host may have made so: what, and what it kept.
    doubted: Option<(u64, u64)>,
    projects: Projects,
    threads: Threads,
    found: Option<Found>,
}

/// What broke the bound.
#[derive(Debug, Clone, Copy)]
enum Found {
    Project { project: u32, percent: u64, entitled: u64 },
    Thread { percent: u64, duty: u64 },
}

/// A window that ends now.
#[derive(Debug, Clone, Copy)]
struct Window<'a> {
    promise: Promise,
    seen: &'a Snapshot,
    /// The times at its beginning.
    before: &'a [ThreadTime],
    /// What the host kept from all vCPUs in it, in ns.
    kept_ns: u64,
}

/// Holds what is missing of a window, or too much, against the promise.
#[derive(Debug)]
struct Scales<'a> {
    ledger: &'a mut Ledger,
    judged: &'a mut Judged,
    doubted: &'a mut Option<(u64, u64)>,
}

impl Scales<'_> {
    /// Weighs `missing_ns` of the window, which were found by dividing what was used, `of_ns` in all; the breach of the bound is
    /// returned, once.
    fn weigh(
        &mut self,
        window: &Window<'_>,
        subject: Subject,
        missing_ns: u64,
        of_ns: u64,
    ) -> Option<Breach> {
        let (limit_ns, window_ns) = (self.ledger.limit_ns(), window.promise.window_ns);
        let wrong_ns = u128::from(window.kept_ns) * u128::from(window_ns) / u128::from(of_ns.max(1));
        let proved_ns = missing_ns.saturating_sub(u64::try_from(wrong_ns).unwrap_or(u64::MAX));
        if missing_ns > limit_ns && proved_ns <= limit_ns {
            self.ledger.accept(Excuse::VcpuAway);
            *self.doubted = (*self.doubted).max(Some((missing_ns, window.kept_ns)));
            return None;
        }
        self.judged.met(window_ns);
        // Below the limit nothing is taken off: what was seen is the worst case, and breaks nothing.
        let charged_ns = if missing_ns > limit_ns { proved_ns } else { missing_ns };
        self.ledger.enter(subject, (charged_ns, charged_ns), 0, window.seen.now_ns)
    }
}

/// What one thread had of a window.
#[derive(Debug, Clone, Copy)]
struct Part<'a> {
    thread: u32,
    time: &'a ThreadTime,
    ran_ns: u64,
    waited_ns: u64,
}

impl Window<'_> {
    /// What each thread had of it.
    fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        self.seen.times.iter().zip(self.before).zip(0..).map(|((time, before), thread)| Part {
            thread,
            time,
            ran_ns: time.ran_ns.saturating_sub(before.ran_ns),
            waited_ns: time.waited_ns.saturating_sub(before.waited_ns),
        })
    }

    /// The place of the CPU where a thread is.
    fn cpu_of(&self, time: &ThreadTime) -> Option<usize> {
        self.seen.cpus.iter().position(|cpu| cpu.addr == time.cpu)
    }
}

impl Share {
    /// A watch over this promise to the threads that `filter` means, all if there is none.
    fn new(promise: Promise, filter: Option<ThreadFilter>) -> Share {
        Share {
            ledger: Ledger::new(promise.limit_ns()),
            promise,
            filter,
            before: Vec::new(),
            began_ns: 0,
            has_gap: false,
            kept: Kept::default(),
            doubted: None,
            projects: Projects::default(),
            threads: Threads::default(),
            found: None,
        }
    }
}

impl Monitor for Share {
    fn needs(&self) -> Needs {
        Needs { times_every_ns: self.promise.window_ns, ..Needs::default() }
    }

    fn observe(&mut self, seen: &Snapshot) -> Pass {
        self.kept.step(seen, self.promise.window_ns);
        let lasted = seen.now_ns.saturating_sub(self.began_ns);
        if !seen.has_times || (!self.before.is_empty() && lasted < self.promise.window_ns) {
            return Pass::NOTHING;
        }
        if std::mem::take(&mut self.has_gap) {
            self.before.clear();
        }
        let kept_ns = self.kept.end_window(seen);
        if kept_ns.is_none() {
            self.before.clear();
        }
        let kept_ns = kept_ns.unwrap_or(0);
        let window = Window { promise: self.promise, seen, before: &self.before, kept_ns };
        let filter = self.filter.as_ref();
        let mut judged = Judged::NOTHING;
        let mut scales = Scales { ledger: &mut self.ledger, judged: &mut judged, doubted: &mut self.doubted };
        let by_project = match self.promise.duty_percent {
            None => self.projects.judge(&window, &mut scales),
            Some(_) => None,
        };
        let found = by_project.or_else(|| self.threads.judge(&window, filter, &mut scales));
        self.began_ns = seen.now_ns;
        self.before.clone_from(&seen.times);
        let Some((breach, found)) = found else { return judged.found(None) };
        self.found = Some(found);
        judged.found(Some(breach))
    }

    /// The window is not judged: how long it was by the guest's clocks is not known.
    fn skip(&mut self) {
        self.has_gap = true;
    }

    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn doubts(&self) -> u32 {
        self.kept.doubts()
    }

    fn doubt(&self) -> Option<String> {
        let (missing, kept) = self.doubted?;
        let (missing, kept, window) = (rounded(missing), rounded(kept), rounded(self.promise.window_ns));
        Some(format!(
            "{missing} of a window of {window} were missing, or too much, and the host kept the vCPUs waiting for {kept} in it; free the host"
        ))
    }

    fn sentence(&self, breach: &Breach, evidence: &Evidence) -> String {
        let window = ms(self.promise.window_ns);
        match self.found {
            None => String::new(),
            Some(Found::Project { project, percent, entitled }) => format!(
                "project {project} wanted more and got {percent} % of what the projects used in {window} ms, where its shares are {entitled} %"
            ),
            Some(Found::Thread { percent, duty }) => format!(
                "{} ran {percent} % of the time that it wanted to in {window} ms, where its duty cycle is {duty} %",
                evidence.thread(breach.thread)
            ),
        }
    }
}

#[cfg(test)]
#[path = "share_tests.rs"]
mod tests;
