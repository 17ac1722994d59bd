//! FSS: shares on one and two CPUs, no shares at all, processor sets, many threads in a project, shares that change.
//!
//! # Invariants
//! - CPU time is counted in turns of spinners: every turn costs the same.

use std::collections::BTreeMap;
use umpire_shared::work::compute::{Mode, Periodic, Spin};

use crate::bench::{Bench, MS, Program, SECOND, thread};
use umpire_kernel::cell::Cell;
use umpire_kernel::sys::thread::ts;
use umpire_kernel::time::callout::delay;
use umpire_kernel::{class, platform};
use umpire_shared::event::Kind;
use umpire_shared::program::class::{FSS, SYS};
use umpire_shared::{errno, mutant, program, tunable};

/// A user-mode spinner of a project.
fn member(project: u32, cpu: i32) -> program::Thread {
    let mut t = thread("member", FSS, 29, cpu, Spin { mode: Mode::User, chunk_us: 500, ..Spin::defaults() });
    t.lwp = true;
    t.project = project;
    t
}

/// Turns by project since the counts in `before`.
fn turns(sim: &Bench, before: &BTreeMap<u32, u64>) -> BTreeMap<u32, u64> {
    let mut by = BTreeMap::new();
    for t in sim.kernel().scenario_threads() {
        *by.entry(t.t_project.get()).or_insert(0) += t.t_progress.get();
    }
    by.iter().map(|(p, n)| (*p, n - before.get(p).copied().unwrap_or(0))).collect()
}

/// What project 0 gets of all, in per cent, from second 10 to 40.
fn percent(p: &Program, seed: u64) -> u64 {
    let mut sim = p.boot(seed);
    sim.run_until_ok(10 * SECOND);
    let before = turns(&sim, &BTreeMap::new());
    sim.run_until_ok(40 * SECOND);
    let by = turns(&sim, &before);
    100 * by[&0] / by.values().sum::<u64>()
}

/// Projects with these shares; `threads` each, unbound.
fn projects(ncpus: u32, shares: [u32; 2], threads: u32) -> Program {
    let p = Program::new(ncpus).project("a", shares[0]).project("b", shares[1]);
    (0..2 * threads).fold(p, |p, n| p.thread(member(n % 2, -1)))
}

#[test]
fn shares_as_far_apart_as_can_be_fill_no_word() {
    // Each project has a CPU for itself, so the first uses far more than its share.
    let p = Program::new(2).project("a", 1).project("b", 65_535).zones([1, 65_535]);
    let mut sim = p.thread(member(0, 0)).thread(member(1, 1)).boot(1);
    sim.run_until_ok(20 * SECOND);
    let psets = &sim.kernel().k_class.fss.fss_psets;
    assert!(psets[0].fssps_maxfsspri.get() > u64::MAX / 128, "the priorities fill their word");
}

#[test]
fn projects_get_what_their_shares_say() {
    for (ncpus, threads) in [(1, 1), (1, 3), (2, 3)] {
        // With the rule of #5029, threads of one project take turns at the bottom; that rule has its own test.
        let p = || projects(ncpus, [3, 1], threads).tunable(tunable::FSS_QUANTA_UP, i64::from(threads == 1));
        let fair = percent(&p(), 1);
        assert!((67..=83).contains(&fair), "{ncpus} CPUs, {threads} threads: {fair} %");
        let blind = percent(&p().mutant(mutant::FSS_IGNORES_SHARES), 1);
        assert!((42..=58).contains(&blind), "{ncpus} CPUs, {threads} threads: {blind} % without shares");
    }
}

#[test]
fn a_project_with_more_threads_gets_no_more() {
    let p = Program::new(1).project("one", 1).project("many", 1).thread(member(0, -1));
    let p = (0..5).fold(p, |p, _| p.thread(member(1, -1)));
    let one = percent(&p.tunable(tunable::FSS_QUANTA_UP, 0), 3);
    assert!((38..=62).contains(&one), "{one} % for one thread against five");
}

#[test]
fn a_project_without_shares_runs_only_when_nobody_else_wants_to() {
    for (shares, most) in [([0, 1], 2), ([1, 1], 60)] {
        let got = percent(&projects(1, shares, 1), 1);
        assert!(got <= most, "shares {shares:?}: {got} %");
    }
    // Alone it has the whole CPU.
    let mut sim = Program::new(1).project("a", 0).thread(member(0, -1)).boot(1);
    sim.run_until_ok(SECOND);
    assert!(turns(&sim, &BTreeMap::new())[&0] > 1_500);
}

/// The longest time for which a thread of project "a" waited between two stretches on the CPU, in ms.
fn longest_wait_ms(quanta_up: i64) -> u64 {
    // The eight threads of project "a" share a half of the CPU; the one thread of "b" has the other half.
    let p =
        Program::new(1).tunable(tunable::FSS_QUANTA_UP, quanta_up).project("a", 1).project("b", 1).traced();
    let p = (0..8).fold(p, |p, _| p.thread(member(0, -1)));
    let mut sim = p.thread(member(1, -1)).boot(2);
    let first = sim.kernel().k_ncpus;
    let (mut off, mut worst) = (BTreeMap::new(), 0);
    for second in 1..=30 {
        sim.run_until_ok(second * SECOND);
        for e in sim.take_trace() {
            match e.kind {
                Kind::OffCpu if (first..first + 8).contains(&e.thread) => {
                    off.insert(e.thread, e.time_ns);
                }
                Kind::OnCpu => {
                    if let Some(at) = off.remove(&e.thread) {
                        worst = worst.max(e.time_ns - at);
                    }
                }
                _ => {}
            }
        }
    }
    let still = off.values().map(|at| 30 * SECOND - at).max().unwrap_or(0);
    worst.max(still) / MS
}

#[test]
fn a_used_quantum_sends_a_thread_behind_the_others_of_its_project() {
    // Eight threads with half a CPU: a round of 11 ticks each takes 1.8 s.
    let with = longest_wait_ms(1);
    assert!(with < 6_000, "{with} ms with the rule");
    let without = longest_wait_ms(0);
    assert!(without > with + with / 5, "{without} ms without the rule, {with} ms with it");
}

#[test]
fn shares_count_within_a_processor_set_only() {
    // Project 0 has 1 share against 9, but CPU 1 to itself; on CPU 0 project 1 competes with project 2, 9 to 3.
    let p = Program::new(2).pset("set", 0b10).project("a", 1).project("b", 9).project("c", 3);
    let p = p.thread(member(0, 1)).thread(member(1, 0)).thread(member(2, 0));
    let mut sim = p.boot(1);
    sim.run_instead(|t| {
        if t.t_project.get() == 0 {
            t.t_cpupart.set(Some(&platform::kernel().k_parts.parts[1]));
        }
        false
    });
    sim.run_until_ok(10 * SECOND);
    let before = turns(&sim, &BTreeMap::new());
    sim.run_until_ok(30 * SECOND);
    let by = turns(&sim, &before);
    assert!(by[&0] > (by[&1] + by[&2]) * 9 / 10, "{by:?}");
    let b = 100 * by[&1] / (by[&1] + by[&2]);
    assert!((67..=83).contains(&b), "{b} % of CPU 0");
    let k = sim.kernel();
    let shares: Vec<u32> = k.k_class.fss.fss_zones.iter().map(|z| z.fssz_shares.get()).collect();
    assert_eq!(shares, [12, 0, 0, 1, 0, 0], "shares of who is runnable, by set");
}

#[test]
fn shares_that_change_are_followed() {
    let p = projects(1, [1, 1], 1).thread(thread("admin", SYS, 60, -1, Spin::defaults()));
    let mut sim = p.boot(1);
    sim.run_instead(|t| {
        let is_admin = u32::from(t.t_cid.get()) == SYS;
        if is_admin {
            delay(10);
            assert_eq!(class::set_shares(0, 3), 0);
            assert_eq!(class::set_shares(0, 65_536), errno::EINVAL);
            assert_eq!(class::set_shares(2, 1), errno::EINVAL);
        }
        is_admin
    });
    sim.run_until_ok(10 * SECOND);
    assert_eq!(sim.kernel().scenario_threads()[2].t_state.get(), ts::ZOMB, "the admin came to its end");
    let before = turns(&sim, &BTreeMap::new());
    sim.run_until_ok(40 * SECOND);
    let by = turns(&sim, &before);
    let a = 100 * by[&0] / (by[&0] + by[&1]);
    assert!((67..=83).contains(&a), "{a} %");
}

#[test]
fn an_update_begins_with_the_list_in_which_a_priority_changed_first() {
    // Threads 1 and 7 wait behind a thread of class SYS; the first update gives both what their project deserves.
    let mut p = Program::new(1).project("a", 1).thread(thread("hog", SYS, 60, 0, Spin::defaults()));
    for n in 1..=7 {
        let is_member = n == 1 || n == 7;
        p = p.thread(if is_member { member(0, 0) } else { thread("waiter", SYS, 60, 0, Spin::defaults()) });
    }
    let mut sim = p.boot(1);
    let marker = |sim: &Bench| sim.kernel().k_class.fss.fss_update_marker.get();
    sim.run_until_ok(SECOND / 2);
    assert_eq!(marker(&sim), 0);
    sim.run_until_ok(SECOND + 50 * MS);
    assert_eq!(marker(&sim), 1);
}

/// A project's account, as the facts describe it.
#[derive(Clone, Copy, Default)]
struct Account {
    usage: u64,
    ticks: u64,
}

#[test]
fn usage_follows_the_model_tick_by_tick() {
    // Random shares, nice values and sleepers; the model learns of ticks only from the events.
    for seed in 0..25_u64 {
        let shares = [1 + (seed % 5) as u32, 1 + (seed / 5) as u32];
        let mut p =
            Program::new(1 + (seed % 2) as u32).project("a", shares[0]).project("b", shares[1]).traced();
        for n in 0..4_u64 {
            let mut t = member((n % 2) as u32, -1);
            t.upri = [0, 60, -60, 12][((seed + n) % 4) as usize];
            if (seed + n) % 3 == 0 {
                let (busy_us, sleep_ticks) = (15_000, 1 + n);
                t.work = Periodic { busy_us, sleep_ticks, mode: Mode::User, ..Periodic::defaults() }.into();
            }
            p = p.thread(t);
        }
        let mut sim = p.boot(seed);
        let mut model = [Account::default(); 2];
        for second in 1..=5 {
            // Between two updates as well: the shares of those that have runnable threads are what a share is of.
            sim.run_until_ok(second * SECOND - SECOND / 2);
            let kernel = sim.kernel();
            let runnable = |n: usize| kernel.k_class.projects[n].fssp_runnable.get() != 0;
            let of_zones = (0..2).any(runnable).then_some(kernel.k_class.fss.fss_zones[0].fssz_rshares.get());
            assert_eq!(
                kernel.k_class.fss.fss_psets[0].fssps_shares.get(),
                of_zones.unwrap_or(0),
                "seed {seed}"
            );
            let of_projects = (0..2).filter(|&n| runnable(n)).map(|n| shares[n]).sum::<u32>();
            assert_eq!(kernel.k_class.fss.fss_zones[0].fssz_shares.get(), of_projects, "seed {seed}");
            // The update is a tick at the full second or just behind it.
            sim.run_until_ok(second * SECOND + 5 * MS);
            let ncpus = sim.kernel().k_ncpus;
            let mut late = [0; 2];
            for e in sim.take_trace().into_iter().filter(|e| e.kind == Kind::Tick) {
                let t = &sim.kernel().scenario_threads()[(e.thread - ncpus) as usize];
                let cost = match t.t_cldata.fss.fss_nice.get() {
                    0 => 1500,
                    20 => 1000,
                    39 => 525,
                    16 => 1100,
                    other => panic!("nice {other}"),
                };
                late[t.t_project.get() as usize] += cost;
            }
            for (n, account) in model.iter_mut().enumerate() {
                account.ticks = late[n];
                account.usage = account.usage * 96 / 128 + account.ticks;
                let proj = &sim.kernel().k_class.projects[n];
                assert_eq!(proj.fssp_usage.get(), account.usage, "seed {seed} second {second} project {n}");
                let runs = sim.kernel().scenario_threads().iter().filter(|t| {
                    t.t_project.get() as usize == n && matches!(t.t_state.get(), ts::RUN | ts::ONPROC)
                });
                assert_eq!(proj.fssp_runnable.get() as usize, runs.count(), "seed {seed} second {second}");
            }
        }
    }
}
