//! Caps of zones: what the projects of a zone get together, which of two caps holds, and that no thread is left waiting.
//!
//! # Invariants
//! - CPU time is what the microstates say; shares are bounds, and are never looked at before usage has settled.

use crate::bench::caps::{USER, ran, spinner, waiting_after};
use crate::bench::{Bench, MS, Program, SECOND};
use umpire_kernel::cell::Cell;
use umpire_kernel::cpucaps::{set_cap, set_zone_cap};
use umpire_kernel::sys::thread::schedflag;
use umpire_shared::program::Verb;
use umpire_shared::program::class::{FSS, FX, IA, TS};
use umpire_shared::{errno, tunable};

/// Caps in per cent of one CPU, 0 for none.
#[derive(Debug, Clone, Copy)]
struct Caps {
    web: u32,
    batch: u32,
    zone: u32,
}

/// The projects `web` and `batch` of one zone, and `free` of another.
fn two_zones(ncpus: u32, caps: Caps) -> Program {
    let p = Program::new(ncpus).tunable(tunable::HZ, 1000);
    let p = p.project("web", 1).cap(caps.web).zone(1, caps.zone);
    p.project("batch", 1).cap(caps.batch).zone(1, caps.zone).project("free", 1)
}

/// ns that a project's threads have been on CPUs by `now`.
fn project_ran(sim: &Bench, project: u32, now: u64) -> u64 {
    let threads = sim.kernel().scenario_threads().iter().filter(|t| t.t_project.get() == project);
    threads.map(|t| ran(t, now)).sum()
}

/// What `web` and `batch` get of one CPU from 500 to 1500 ms, in per cent.
fn percents(p: &Program, seed: u64) -> [u64; 2] {
    let mut sim = p.boot(seed);
    let used = |sim: &Bench, now| [0, 1].map(|project| project_ran(sim, project, now));
    sim.run_until_ok(500 * MS);
    let before = used(&sim, 500 * MS);
    sim.run_until_ok(1500 * MS);
    let after = used(&sim, 1500 * MS);
    [0, 1].map(|n| (after[n] - before[n]) * 100 / SECOND)
}

#[test]
fn a_zones_cap_holds_what_its_projects_use_together_and_nobody_else() {
    for seed in 0..20 {
        for class in [TS, IA, FX, FSS] {
            let p = two_zones(1, Caps { web: 0, batch: 0, zone: 20 });
            let p = (0..3).fold(p, |p, project| p.thread(spinner(class, 20, 0, project, USER)));

            let [web, batch] = percents(&p, seed);

            let both = web + batch;
            assert!((16..=24).contains(&both), "seed {seed} class {class}: {web} + {batch} %");
            assert!(web >= 5 && batch >= 5, "seed {seed} class {class}: {web} and {batch} %");
            if seed < 5 {
                let [web, batch] = percents(&p.tunable(tunable::CPUCAPS_ENFORCE, 0), seed);
                assert!(web + batch > 40, "seed {seed} class {class} not enforced: {web} + {batch} %");
            }
        }
    }
}

#[test]
fn of_the_caps_of_zone_and_project_the_tighter_one_holds() {
    for seed in 0..20 {
        let both =
            |caps| (0..2).fold(two_zones(2, caps), |p, n| p.thread(spinner(TS, 20, n, n as u32, USER)));

        let [web, batch] = percents(&both(Caps { web: 10, batch: 0, zone: 50 }), seed);
        assert!((6..=14).contains(&web), "seed {seed}: {web} % where the project's cap is 10");
        assert!((44..=56).contains(&(web + batch)), "seed {seed}: {web} + {batch} % where the zone's is 50");

        let [web, batch] = percents(&both(Caps { web: 40, batch: 40, zone: 20 }), seed);
        assert!((15..=25).contains(&(web + batch)), "seed {seed}: {web} + {batch} % where the zone's is 20");
    }
}

/// Six threads of `web` and `batch`, which want all of every CPU.
fn crowded(p: Program) -> Program {
    (0..6).fold(p, |p, n| p.thread(spinner([TS, FX, FSS][n % 3], 20, -1, n as u32 % 2, USER)))
}

#[test]
fn taking_one_cap_away_leaves_nobody_on_its_queue_and_the_other_in_force() {
    for seed in 0..40 {
        let ncpus = 1 + seed as u32 % 3;
        let caps = Caps { web: 5, batch: 0, zone: 8 };

        let (_, sim) =
            waiting_after(crowded(two_zones(ncpus, caps)), seed, || assert_eq!(set_zone_cap(1, 0), 0));
        let all = &sim.kernel().k_cpucaps;
        assert_eq!(all.zone_caps[0].cap_waitq.wq_count.get(), 0, "seed {seed}");
        assert_eq!(all.caps_on.get(), 1, "seed {seed}");
        assert!(all.caps[0].cap_waitq.wq_count.get() > 0, "seed {seed}: the project's cap is in force");

        let (waiting, sim) =
            waiting_after(crowded(two_zones(ncpus, caps)), seed, || assert_eq!(set_cap(0, 0), 0));
        let all = &sim.kernel().k_cpucaps;
        assert_eq!(all.caps[0].cap_waitq.wq_count.get(), 0, "seed {seed}");
        assert!(waiting > 0, "seed {seed}: the zone's cap is in force");
    }
}

#[test]
fn taking_both_caps_away_releases_everybody_and_for_good() {
    for seed in 0..40 {
        let remove = || {
            assert_eq!(set_zone_cap(0, 0), 0);
            assert_eq!(set_cap(0, 0), 0);
        };
        let p = two_zones(1 + seed as u32 % 3, Caps { web: 5, batch: 0, zone: 8 });
        let (waiting, sim) = waiting_after(crowded(p), seed, remove);
        assert_eq!(waiting, 0, "seed {seed}");
        assert_eq!(sim.kernel().k_cpucaps.caps_on.get(), 0, "seed {seed}");
        for t in sim.kernel().scenario_threads() {
            assert_eq!(t.t_schedflag.get() & schedflag::ANYWAITQ, 0, "seed {seed}: thread {}", t.t_did);
        }
    }
}

#[test]
fn a_zone_is_capped_by_an_event_whichever_of_its_projects_names_it() {
    for seed in 0..10 {
        let p = two_zones(1, Caps { web: 0, batch: 0, zone: 0 }).thread(spinner(TS, 20, -1, 1, USER));
        let mut sim = p.event(100 * MS, Verb::ZoneCap, 1, &[30]).boot(seed);
        sim.run_until_ok(700 * MS);
        let before = project_ran(&sim, 1, 700 * MS);
        sim.run_until_ok(1700 * MS);
        let got = (project_ran(&sim, 1, 1700 * MS) - before) * 100 / SECOND;
        assert!((25..=35).contains(&got), "seed {seed}: {got} %");
        assert_eq!(sim.kernel().k_class.fss.fss_kprojects[0].kpj_zone_cap.get(), 30);
    }
}

#[test]
fn caps_of_zones_out_of_range_are_refused() {
    let check = || {
        assert_eq!(set_zone_cap(3, 10), errno::EINVAL, "no such project");
        assert_eq!(set_zone_cap(0, 201), errno::EINVAL, "two CPUs");
        assert_eq!(set_zone_cap(0, 200), 0);
        assert_eq!(set_zone_cap(0, 8), 0);
    };
    waiting_after(crowded(two_zones(2, Caps { web: 0, batch: 0, zone: 8 })), 1, check);
}
