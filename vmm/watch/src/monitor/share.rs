//! `share`: threads get the share of the CPUs that they were promised.
//!
//! - Projects of class FSS. Of what all of them together used in a window, a project that had to wait is entitled to at least
//!   its shares' part of what its zone's shares are among those that wanted anything (`fss.c`). What another does not
//!   want is divided among the rest, so it may get more; it may not get less.
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
//! - `capped`: the project, or its zone, used what its CPU cap allows, to within the tolerance, so its shares do not count.
//! - `uncontended`: the thread ran more than its duty cycle, but nobody else wanted the CPU.
//!
//! # Invariants
//! - CPU times are looked at once a window, not every pass. The guest keeps them; the host only subtracts.
//! - The first window that is judged begins with the second look.
//!
//! # What is not here
//! A project whose threads are spread over several processor sets is judged as if these were one; the project `system`, which is
//! served by a rule of its own, is not judged. The microstate of a thread that a CPU cap holds is that of a wait for a CPU, so its wait
//! counts as one for the CPU where it ran last.

use super::evidence::ms;
use super::interval::{Ledger, Subject};
use super::{Breach, Declaration, Evidence, Excuse, Monitor, Proof, Takes, ThreadFilter, ThreadTraits};
use crate::glass::{Needs, Snapshot, ThreadTime, has_duty_cycle, is_fair_share};

pub(super) static SHARE: Declaration = Declaration {
    name: "share",
    broken_when: "in a `window`, a project of class FSS that wanted more got less of what the projects used than its shares promise, by more than `tolerance` per cent of the window, or a thread of class SDC ran more than it aims at while others waited for its CPU; with `duty`, a thread ran more or less than `duty` per cent of the time that it wanted to, by more than that",
    charged_with: "the guest's microstates",
    takes_threads: true,
    takes: Takes::Promise,
    excuses: &[Excuse::NoDemand, Excuse::Uncontended, Excuse::Capped],
    proof: Proof::Mutant("tolerance = 20\nwindow = \"5s\""),
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
    /// By project: what it used and what it waited in this window.
    used: Vec<(u64, u64)>,
    /// By zone, which is named by its first project: the shares of those of its projects that wanted anything.
    zones: Vec<u64>,
    /// By CPU: what all threads waited that were there at the window's end.
    waited: Vec<u64>,
    found: Option<Found>,
}

/// What broke the bound.
#[derive(Debug, Clone, Copy)]
enum Found {
    Project { project: u32, percent: u64, entitled: u64 },
    Thread { percent: u64, duty: u64 },
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
            used: Vec::new(),
            zones: Vec::new(),
            waited: Vec::new(),
            found: None,
        }
    }

    /// What each thread ran and waited in the window that ends now.
    fn deltas<'a>(&'a self, seen: &'a Snapshot) -> impl Iterator<Item = (u32, &'a ThreadTime, u64, u64)> {
        let pairs = seen.times.iter().zip(&self.before).zip(0..);
        pairs.map(|((now, before), n)| {
            let ran = now.ran_ns.saturating_sub(before.ran_ns);
            (n, now, ran, now.waited_ns.saturating_sub(before.waited_ns))
        })
    }

    fn judge_projects(&mut self, seen: &Snapshot) -> Option<Breach> {
        let mut used = std::mem::take(&mut self.used);
        used.clear();
        used.resize(seen.projects.len(), (0, 0));
        for (_, time, ran, waited) in self.deltas(seen).filter(|(_, time, ..)| is_fair_share(time.class)) {
            if let Some(project) = used.get_mut(time.project as usize) {
                *project = (project.0 + ran, project.1 + waited);
            }
        }
        let total: u64 = used.iter().map(|u| u.0).sum();
        let zones_in_all = self.sum_zones(seen, &used);
        let mut first = None;
        for (n, &(ran, waited)) in used.iter().enumerate() {
            let project = seen.projects[n];
            let in_zone = self.zones.get(project.zone as usize).copied().unwrap_or(0);
            if total == 0 || in_zone == 0 || zones_in_all == 0 || ran + waited == 0 || project.is_system {
                continue;
            }
            let part = |of: u64, all: u64| {
                (u128::from(of) * u128::from(self.promise.window_ns) / u128::from(all)) as u64
            };
            let own = u64::from(project.shares).saturating_mul(u64::from(project.zone_shares));
            let entitled = part(own, in_zone.saturating_mul(zones_in_all));
            let missing = entitled.saturating_sub(part(ran, total));
            if missing == 0 {
                continue;
            }
            if part(ran + waited, total) < entitled {
                self.ledger.accept(Excuse::NoDemand);
                continue;
            }
            let is_at_cap = |percent: u32, ran: u64| {
                let may_use = self.promise.window_ns / 100 * u64::from(percent);
                may_use != 0 && ran.saturating_add(self.ledger.limit_ns()) >= may_use
            };
            let of_zone = || seen.projects.iter().zip(&used).filter(|(other, _)| other.zone == project.zone);
            let zone_cap = seen.projects.get(project.zone as usize).map_or(0, |first| first.zone_cap_percent);
            if is_at_cap(project.cap_percent, ran)
                || is_at_cap(zone_cap, of_zone().map(|(_, used)| used.0).sum())
            {
                self.ledger.accept(Excuse::Capped);
                continue;
            }
            let percent = |of: u64| of * 100 / self.promise.window_ns.max(1);
            let found = Found::Project {
                project: n as u32,
                percent: percent(part(ran, total)),
                entitled: percent(entitled),
            };
            first = first.or(self.enter(seen, Subject::default(), missing, found));
        }
        self.used = used;
        first
    }

    /// Adds up the shares of the projects that wanted anything by zone; the sum of those zones' own shares.
    fn sum_zones(&mut self, seen: &Snapshot, used: &[(u64, u64)]) -> u64 {
        self.zones.clear();
        self.zones.resize(seen.projects.len(), 0);
        let mut all = 0;
        for (project, _) in seen.projects.iter().zip(used).filter(|(_, used)| used.0 + used.1 > 0) {
            let Some(zone) = self.zones.get_mut(project.zone as usize) else { continue };
            if *zone == 0 && project.shares > 0 {
                all += u64::from(project.zone_shares);
            }
            *zone += u64::from(project.shares);
        }
        all
    }

    /// Adds up by CPU what threads waited there.
    fn sum_waits(&mut self, seen: &Snapshot) {
        let mut all = std::mem::take(&mut self.waited);
        all.clear();
        all.resize(seen.cpus.len(), 0);
        for (_, time, _, waited) in self.deltas(seen) {
            if let Some(n) = seen.cpus.iter().position(|cpu| cpu.addr == time.cpu) {
                all[n] += waited;
            }
        }
        self.waited = all;
    }

    /// Each thread against `duty` or, without it, each SDC thread against what it aims at.
    fn judge_threads(&mut self, seen: &Snapshot, duty: Option<u32>) -> Option<Breach> {
        let window = self.promise.window_ns;
        self.sum_waits(seen);
        let is_exact = duty.is_some();
        let mut first = None;
        for n in 0..self.before.len().min(seen.times.len()) {
            let (time, before) = (&seen.times[n], &self.before[n]);
            if !is_exact && !has_duty_cycle(time.class) {
                continue;
            }
            let duty = duty.map_or(u64::from(time.duty_cycle), u64::from);
            let ran = time.ran_ns.saturating_sub(before.ran_ns);
            let waited = time.waited_ns.saturating_sub(before.waited_ns);
            if !self.is_meant(seen, n as u32, time) || ran + waited == 0 {
                continue;
            }
            // One that wanted little has had few turns between too much and too little.
            if ran + waited < window / 2 {
                self.ledger.accept(Excuse::NoDemand);
                continue;
            }
            let percent = ran * 100 / (ran + waited);
            let there =
                seen.cpus.iter().position(|cpu| cpu.addr == time.cpu).map_or(0, |cpu| self.waited[cpu]);
            if percent > duty && there.saturating_sub(waited) < window / 10 {
                self.ledger.accept(Excuse::Uncontended);
                continue;
            }
            let off =
                if is_exact { percent.abs_diff(duty) } else { percent.saturating_sub(duty) } * window / 100;
            let subject = Subject { thread: Some(n as u32), ..Subject::default() };
            first = first.or(self.enter(seen, subject, off, Found::Thread { percent, duty }));
        }
        first
    }

    fn enter(&mut self, seen: &Snapshot, subject: Subject, off_ns: u64, found: Found) -> Option<Breach> {
        let breach = self.ledger.enter(subject, (off_ns, off_ns), 0, seen.now_ns);
        if breach.is_some() {
            self.found = Some(found);
        }
        breach
    }

    fn is_meant(&self, seen: &Snapshot, thread: u32, time: &ThreadTime) -> bool {
        let Some(filter) = &self.filter else { return true };
        let name = seen.names.get(thread as usize).map_or("", String::as_str);
        filter.matches(&ThreadTraits { pri: 0, class: time.class, name, cpu: None })
    }
}

impl Monitor for Share {
    fn needs(&self) -> Needs {
        Needs { times_every_ns: self.promise.window_ns, ..Needs::default() }
    }

    fn observe(&mut self, seen: &Snapshot) -> Option<Breach> {
        let lasted = seen.now_ns.saturating_sub(self.began_ns);
        if !seen.has_times || (!self.before.is_empty() && lasted < self.promise.window_ns) {
            return None;
        }
        let breach = match self.promise.duty_percent {
            None => self.judge_projects(seen).or_else(|| self.judge_threads(seen, None)),
            duty => self.judge_threads(seen, duty),
        };
        self.began_ns = seen.now_ns;
        self.before.clone_from(&seen.times);
        breach
    }

    fn ledger(&self) -> &Ledger {
        &self.ledger
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
mod tests {
    use super::*;
    use crate::glass::ProjectSample;
    use crate::monitor::bench::{Bench, MS};
    use umpire_shared::sys::class;

    const FSS: u8 = class::FSS as u8;
    const SDC: u8 = class::SDC as u8;

    fn bench(duty_percent: Option<u32>) -> Bench {
        let promise = Promise { tolerance_percent: 5, window_ns: 100 * MS, duty_percent };
        let filter = ThreadFilter::parse("class == SDC").ok().filter(|_| duty_percent.is_some());
        let mut bench = Bench::new(Share::new(promise, filter));
        bench.seen.has_times = true;
        let project = |shares| ProjectSample { shares, zone_shares: 1, ..ProjectSample::default() };
        bench.seen.projects = vec![project(3), project(1)];
        let cpu = bench.seen.cpus[0].addr;
        let thread =
            |class, project| ThreadTime { class, project, cpu, duty_cycle: 80, ..ThreadTime::default() };
        bench.seen.times = vec![thread(FSS, 0), thread(FSS, 1), thread(SDC, 0)];
        bench
    }

    /// 300 passes in each of which the threads run and wait for so many us.
    fn run(bench: &mut Bench, each: [(u64, u64); 3]) -> usize {
        let mut breaches = 0;
        for _ in 0..300 {
            for (time, (ran, waited)) in bench.seen.times.iter_mut().zip(each) {
                time.ran_ns += ran * 1000;
                time.waited_ns += waited * 1000;
            }
            breaches += usize::from(bench.pass([1, 1]).is_some());
        }
        breaches
    }

    #[test]
    fn observe_projects_with_their_shares_return_none() {
        assert_eq!(run(&mut bench(None), [(750, 250), (250, 750), (0, 0)]), 0);
        assert_eq!(run(&mut bench(None), [(720, 280), (280, 720), (0, 0)]), 0);
    }

    #[test]
    fn observe_project_that_gets_less_than_its_share_returns_one_breach() {
        let mut bench = bench(None);

        assert_eq!(run(&mut bench, [(500, 500), (500, 500), (0, 0)]), 1);
        assert_eq!(bench.monitor.ledger().worst_ns(), 25 * MS);
    }

    #[test]
    fn observe_project_that_wants_less_is_excused() {
        let mut bench = bench(None);

        assert_eq!(run(&mut bench, [(100, 0), (900, 0), (0, 0)]), 0);
        assert!(bench.excused(Excuse::NoDemand) > 0);
    }

    #[test]
    fn observe_project_that_has_what_its_cap_allows_is_excused_and_one_that_has_less_is_not() {
        let capped = || {
            let mut bench = bench(None);
            bench.seen.projects[0].cap_percent = 20;
            bench
        };
        let in_capped_zone = || {
            let mut bench = bench(None);
            bench.seen.projects[0].zone_cap_percent = 20;
            (bench.seen.projects[1].zone, bench.seen.projects[1].zone_shares) = (1, 1);
            bench
        };
        for case in [capped, in_capped_zone] {
            let mut at_cap = case();

            assert_eq!(run(&mut at_cap, [(190, 810), (810, 190), (0, 0)]), 0);
            assert!(at_cap.excused(Excuse::Capped) > 0);
            assert_eq!(run(&mut case(), [(100, 900), (900, 100), (0, 0)]), 1);
        }
    }

    #[test]
    fn observe_thread_within_its_duty_cycle_returns_none_and_outside_one_breach() {
        assert_eq!(run(&mut bench(Some(80)), [(200, 800), (0, 0), (780, 220)]), 0);
        assert_eq!(run(&mut bench(Some(80)), [(50, 950), (0, 0), (950, 50)]), 1);
        assert_eq!(run(&mut bench(Some(80)), [(500, 500), (0, 0), (500, 500)]), 1);
    }

    #[test]
    fn observe_projects_of_two_zones_are_entitled_by_both() {
        // Each zone has half of all, whatever the shares of its only project are.
        let with_zones = || {
            let mut bench = bench(None);
            bench.seen.projects[1].zone = 1;
            bench
        };

        assert_eq!(run(&mut with_zones(), [(500, 500), (500, 500), (0, 0)]), 0);
        assert_eq!(run(&mut with_zones(), [(750, 250), (250, 750), (0, 0)]), 1);
    }

    #[test]
    fn observe_project_system_is_not_judged() {
        let mut bench = bench(None);
        bench.seen.projects[0].is_system = true;

        assert_eq!(run(&mut bench, [(500, 500), (500, 500), (0, 0)]), 0);
    }

    #[test]
    fn observe_sdc_thread_is_held_to_what_it_aims_at_and_may_have_less() {
        assert_eq!(run(&mut bench(None), [(0, 1000), (0, 0), (950, 50)]), 1);
        assert_eq!(run(&mut bench(None), [(0, 1000), (0, 0), (790, 210)]), 0);
        assert_eq!(run(&mut bench(None), [(0, 1000), (0, 0), (100, 900)]), 0);
    }

    #[test]
    fn observe_sdc_thread_for_whose_cpu_nobody_waits_is_excused() {
        let mut bench = bench(None);
        bench.seen.times[0].cpu = bench.seen.cpus[1].addr;

        assert_eq!(run(&mut bench, [(0, 1000), (0, 0), (950, 50)]), 0);
        assert!(bench.excused(Excuse::Uncontended) > 0);
    }

    #[test]
    fn sentence_names_what_was_promised_and_what_was_had() {
        let said = |duty, each: [(u64, u64); 3]| {
            let mut bench = bench(duty);
            let found = (0..300).find_map(|_| {
                for (time, (ran, waited)) in bench.seen.times.iter_mut().zip(each) {
                    time.ran_ns += ran * 1000;
                    time.waited_ns += waited * 1000;
                }
                bench.pass([1, 1])
            });
            bench.sentence(&found.expect("a breach in three windows"))
        };

        assert_eq!(
            said(None, [(500, 500), (500, 500), (0, 0)]),
            "project 0 wanted more and got 50 % of what the projects used in 100.0 ms, where its shares are 75 %"
        );
        assert_eq!(
            said(Some(80), [(500, 500), (0, 0), (500, 500)]),
            "an unknown thread (SYS 0) ran 50 % of the time that it wanted to in 100.0 ms, where its duty cycle is 80 %"
        );
    }

    #[test]
    fn observe_thread_that_nobody_else_minds_is_excused() {
        let mut bench = bench(Some(80));

        assert_eq!(run(&mut bench, [(0, 0), (0, 0), (1000, 0)]), 0);
        assert!(bench.excused(Excuse::Uncontended) > 0);
    }
}
