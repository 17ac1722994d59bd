//! Tests of the monitor `share`, on CPU times made by hand.
//!
//! # Invariants
//! - Time is what a test says it is.

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
    let thread = |class, project| ThreadTime { class, project, cpu, duty_cycle: 80, ..ThreadTime::default() };
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

/// Three threads of class FSS: of projects with 3 shares, 1 and 1, bound to these CPUs, in these partitions.
fn bound(places: [(Option<usize>, u64); 3]) -> Bench {
    let mut bench = bench(None);
    bench.seen.projects.push(bench.seen.projects[1]);
    bench.seen.times[2] = ThreadTime { class: FSS, project: 2, ..ThreadTime::default() };
    for (n, (cpu, part)) in places.into_iter().enumerate() {
        bench.seen.times[n].bound_cpu = cpu.map_or(0, |cpu| bench.seen.cpus[cpu].addr);
        bench.seen.times[n].part = part;
    }
    bench
}

#[test]
fn observe_project_that_lacks_what_ran_where_it_may_not_run_is_excused() {
    // The second has a CPU for itself, and the third is beside the first.
    let apart = || bound([(Some(0), 0), (Some(1), 0), (Some(0), 0)]);
    let mut fair = apart();
    assert_eq!(run(&mut fair, [(750, 250), (1000, 0), (250, 750)]), 0);
    assert!(fair.excused(Excuse::OutOfReach) > 0);
    // Where they can meet it is held to what it could have: a fair part of that CPU.
    let mut unfair = apart();
    assert_eq!(run(&mut unfair, [(900, 100), (1000, 0), (100, 900)]), 1);
    assert!((7 * MS..=8 * MS).contains(&unfair.monitor.ledger().worst_ns()));
    // Who is bound to nothing could run there too.
    let free = bound([(Some(0), 0), (None, 0), (Some(0), 0)]);
    assert_eq!(run(&mut { free }, [(750, 250), (1000, 0), (250, 750)]), 1);
}

#[test]
fn observe_each_processor_set_is_divided_by_itself() {
    let sets = || bound([(None, 1), (None, 2), (None, 1)]);

    assert_eq!(run(&mut sets(), [(750, 250), (1000, 1000), (250, 750)]), 0);
    assert_eq!(run(&mut sets(), [(500, 500), (1000, 1000), (500, 500)]), 1);
}

#[test]
fn observe_window_in_which_a_thread_is_bound_is_not_judged() {
    let mut bench = bound([(None, 0), (None, 0), (None, 0)]);
    let mut breaches = 0;
    for n in 0..300 {
        bench.seen.times[0].bound_cpu = if n / 100 % 2 == 0 { bench.seen.cpus[0].addr } else { 0 };
        for time in &mut bench.seen.times {
            time.ran_ns += 333_000;
            time.waited_ns += 667_000;
        }
        breaches += usize::from(bench.pass([1, 1]).is_some());
    }
    assert_eq!(breaches, 0);
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
fn observe_what_the_host_can_have_made_is_excused_and_doubted_and_what_is_beyond_that_is_not() {
    // Each project has 1 s of 1 s, so that what is missing is 25 % of a window of 100 ms, and the limit 5.
    let run_stolen = |stolen_us: u64| {
        let mut bench = bench(None);
        let mut breaches = 0;
        for _ in 0..300 {
            for (time, (ran, waited)) in bench.seen.times.iter_mut().zip([(500, 500), (500, 500), (0, 0)]) {
                time.ran_ns += ran * 1000;
                time.waited_ns += waited * 1000;
            }
            bench.seen.readings[1].steal_ns += stolen_us * 1000;
            breaches += usize::from(bench.pass([1, 1]).is_some());
        }
        (breaches, bench)
    };
    let (breaches, bench) = run_stolen(210);
    assert_eq!((breaches, bench.excused(Excuse::VcpuAway) > 0), (0, true));
    let doubt = bench.monitor.doubt().unwrap_or_default();
    assert!(doubt.starts_with("25ms of a window of 100ms were missing, or too much"), "{doubt}");

    let (breaches, bench) = run_stolen(190);
    assert_eq!((breaches, bench.excused(Excuse::VcpuAway)), (1, 0));
    assert_eq!(bench.monitor.doubt(), None);
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

#[test]
fn observe_filter_sees_the_effective_priority_and_the_cpu() {
    let breaches = |filter: &str| {
        let promise = Promise { tolerance_percent: 5, window_ns: 100 * MS, duty_percent: Some(80) };
        let mut bench = bench(None);
        bench.monitor = Box::new(Share::new(promise, ThreadFilter::parse(filter).ok()));
        bench.seen.times[0].own_pri = 10;
        bench.seen.times[0].epri = 60;
        bench.seen.times[1].own_pri = 10;
        bench.seen.times[0].cpu = bench.seen.cpus[1].addr;
        run(&mut bench, [(200, 800), (800, 200), (0, 0)])
    };

    assert_eq!(breaches("pri >= 60"), 1);
    assert_eq!(breaches("pri < 60"), 0);
    assert_eq!(breaches("cpu == 1"), 1);
    assert_eq!(breaches("cpu == 0"), 0);
}
