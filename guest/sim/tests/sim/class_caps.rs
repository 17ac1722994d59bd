//! CPU caps: what a capped project gets, which waiter is released first, and that no thread is left waiting.
//!
//! # Invariants
//! - CPU time is what the microstates say; shares are bounds, and are never looked at before usage has settled.

use std::rc::Rc;

use crate::bench::caps::{KERNEL, USER, ran, spinner, waiters, waiting_after};
use crate::bench::{Bench, MS, Program, SECOND, thread};
use umpire_kernel::cell::Cell;
use umpire_kernel::cpucaps::set_cap;
use umpire_kernel::intr::{user_enter, user_exit};
use umpire_kernel::sys::thread::{schedflag, ts};
use umpire_kernel::time::callout::delay;
use umpire_kernel::{Kthread, class, platform};
use umpire_shared::event::Kind;
use umpire_shared::program::class::{FSS, FX, IA, RT, SDC, SYS, TS};
use umpire_shared::program::{NO_CHANGE, Verb};
use umpire_shared::work::Workload;
use umpire_shared::work::compute::{Compute, Mode, Periodic};
use umpire_shared::{errno, program, tunable};

/// The capped project of [`capped`].
const CAPPED: u32 = 0;
/// The other one.
const FREE: u32 = 1;

/// A project that is capped, and one that is not, at a clock that lets usage settle within half a second.
fn capped(ncpus: u32, percent: u32) -> Program {
    Program::new(ncpus).tunable(tunable::HZ, 1000).project("capped", 1).cap(percent).project("free", 1)
}

/// What the capped project's threads get of one CPU from 500 ms to 1500 ms, in per cent.
fn percent(p: &Program, seed: u64) -> u64 {
    let mut sim = p.boot(seed);
    let of_project = |sim: &Bench, now| -> u64 {
        sim.kernel()
            .scenario_threads()
            .iter()
            .filter(|t| t.t_project.get() == CAPPED)
            .map(|t| ran(t, now))
            .sum()
    };
    sim.run_until_ok(500 * MS);
    let before = of_project(&sim, 500 * MS);
    sim.run_until_ok(1500 * MS);
    (of_project(&sim, 1500 * MS) - before) * 100 / SECOND
}

#[test]
fn a_cap_holds_in_every_class_that_knows_caps_and_not_without_enforcement() {
    for seed in 0..20 {
        for class in [TS, IA, FX, FSS] {
            for cap in [10, 20, 30] {
                let p = || {
                    let of = |project| spinner(class, 20, 0, project, USER);
                    capped(1, cap).thread(of(CAPPED)).thread(of(FREE))
                };
                let got = percent(&p(), seed);
                let allowed = u64::from(cap).saturating_sub(4)..=u64::from(cap) + 4;
                assert!(allowed.contains(&got), "seed {seed} class {class} cap {cap}: {got} %");
                if cap == 10 && seed < 5 {
                    let got = percent(&p().tunable(tunable::CPUCAPS_ENFORCE, 0), seed);
                    assert!(got > 35, "seed {seed} class {class} not enforced: {got} %");
                }
            }
        }
    }
}

#[test]
fn a_cap_holds_on_an_idle_cpu_and_over_several_cpus() {
    for seed in 0..20 {
        let got = percent(&capped(1, 50).thread(spinner(TS, 20, -1, CAPPED, USER)), seed);
        assert!((45..=55).contains(&got), "seed {seed}: {got} % alone");
        // Each tick charges up to four of them, and releases one.
        let many = (0..6).fold(capped(4, 150), |p, _| p.thread(spinner(FX, 20, -1, CAPPED, USER)));
        let got = percent(&many, seed);
        assert!((120..=165).contains(&got), "seed {seed}: {got} % of four CPUs");
    }
}

#[test]
fn what_stays_in_the_kernel_and_classes_without_caps_run_through_a_cap() {
    for seed in 0..20 {
        for (class, mode) in [(TS, KERNEL), (FX, KERNEL), (FSS, KERNEL), (RT, USER), (SYS, USER), (SDC, USER)]
        {
            let pri = if class == SYS { 60 } else { 20 };
            let mut t = spinner(class, pri, 0, CAPPED, mode);
            t.duty_cycle = 100;
            // Every third tick a better thread preempts it in the kernel. That does not bring it to user mode.
            let mut visitor = thread(
                "visitor",
                SYS,
                99,
                0,
                Periodic { busy_us: 50, sleep_ticks: 3, ..Periodic::defaults() },
            );
            visitor.project = FREE;
            let p = capped(1, 10).thread(t).thread(visitor);
            let got = percent(&p, seed);
            assert!(got > 90, "seed {seed} class {class} mode {mode:?}: {got} %");
            let mut sim = p.boot(seed);
            sim.run_until_ok(SECOND);
            let cap = &sim.kernel().k_cpucaps.caps[0];
            let is_charged = cap.cap_usage.get() > cap.cap_value.get();
            assert_eq!(is_charged, mode == KERNEL, "seed {seed} class {class}: who asks is charged");
        }
    }
}

#[test]
fn a_thread_that_comes_out_of_the_kernel_is_parked_then() {
    for seed in 0..20 {
        // It sleeps, then computes in user mode for 3 ms: most ticks find it in user mode.
        let mut t = spinner(TS, 20, 0, CAPPED, USER);
        t.work = Periodic { busy_us: 3_000, mode: Mode::User, ..Periodic::defaults() }.into();
        let got = percent(&capped(1, 20).thread(t), seed);
        assert!((14..=26).contains(&got), "seed {seed}: {got} %");
    }
}

#[test]
fn who_has_been_parked_on_its_way_out_is_not_parked_in_the_kernel_afterwards() {
    for seed in 0..10 {
        let p = capped(1, 20).thread(spinner(TS, 20, 0, CAPPED, KERNEL)).tunable(tunable::KPREEMPTPRI, 60);
        // It preempts the kernel again and again.
        let periodic = Periodic { busy_us: 50, sleep_ticks: 1, ..Periodic::defaults() };
        let mut sim = p.thread(thread("periodic", SYS, 99, 0, periodic)).boot(seed);
        let in_kernel = Rc::new(std::cell::Cell::new(false));
        let told = Rc::clone(&in_kernel);
        sim.run_instead(move |t| {
            while matches!(t.workload(), Workload::Compute(Compute::Spin(_))) {
                told.set(true);
                platform::spin(10 * MS);
                told.set(false);
                user_enter();
                platform::spin(10 * MS);
                user_exit();
            }
            false
        });
        let mut parked = 0;
        for look in 1..=2000 {
            sim.run_until_ok(look * MS / 2);
            if sim.kernel().scenario_threads()[0].t_state.get() == ts::WAIT {
                assert!(
                    !in_kernel.get(),
                    "seed {seed} look {look}: parked with whatever it holds in the kernel"
                );
                parked += 1;
            }
        }
        assert!(parked > 200, "seed {seed}: parked at {parked} of 2000 looks");
    }
}

/// Wait queues as the facts describe them: the best priority comes first, and equals are served in the order in which they came.
#[derive(Default)]
struct Model(Vec<(i32, u32)>);

impl Model {
    fn insert(&mut self, pri: i32, thread: u32) {
        let at = self.0.iter().position(|&(other, _)| other < pri).unwrap_or(self.0.len());
        self.0.insert(at, (pri, thread));
    }

    fn remove(&mut self, thread: u32) -> bool {
        let at = self.0.iter().position(|&(_, t)| t == thread);
        at.map(|at| self.0.remove(at)).is_some()
    }
}

/// Eight threads of three priorities under one cap, whose priorities change every few milliseconds.
fn crowd(ncpus: u32, seed: u64) -> Program {
    let mut p = capped(ncpus, 60);
    for n in 0..8 {
        p = p.thread(spinner(FX, 10 + n % 3, -1, CAPPED, USER));
    }
    let mut draw = seed;
    for at in (20..290).step_by(5) {
        draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (target, pri) = ((draw >> 40) as u32 % 8, 10 + (draw >> 50) as i64 % 4);
        p = p.event(at * MS, Verb::Priocntl, target, &[NO_CHANGE, pri]);
    }
    p.traced()
}

#[test]
fn waiters_leave_by_priority_and_among_equals_in_the_order_in_which_they_came() {
    for seed in 0..60 {
        let mut sim = crowd(1 + seed as u32 % 3, seed).boot(seed);
        sim.run_until_ok(300 * MS);
        let (mut model, mut released, mut had_a_choice, mut moved) = (Model::default(), 0, 0, 0);
        for e in sim.take_trace() {
            match e.kind {
                Kind::CpucapsSleep => model.insert(e.pri, e.thread),
                Kind::ChangePri if model.remove(e.thread) => {
                    moved += 1;
                    model.insert(e.arg as i32, e.thread);
                }
                Kind::CpucapsWakeup => {
                    let best = model.0.first().map(|&(_, t)| t);
                    assert_eq!(best, Some(e.thread), "seed {seed} at {} ns: {:?}", e.time_ns, model.0);
                    released += 1;
                    had_a_choice += usize::from(model.0.len() > 1);
                    model.remove(e.thread);
                }
                _ => {}
            }
        }
        assert!(
            released > 50 && had_a_choice > 50 && moved > 10,
            "seed {seed}: {released} {had_a_choice} {moved}"
        );
        let still = sim.kernel().k_cpucaps.caps[0].cap_waitq.wq_count.get() as usize;
        assert_eq!((still, model.0.len()), (waiters(&sim), waiters(&sim)), "seed {seed}: wq_count");
    }
}

#[test]
fn probes_of_a_thread_come_in_pairs_and_one_waiter_a_tick_is_released() {
    for seed in 0..20 {
        let mut sim = crowd(2, seed).boot(seed);
        sim.run_until_ok(300 * MS);
        let mut is_waiting = vec![false; sim.kernel().k_threads.len()];
        let mut released = 0;
        for e in sim.take_trace() {
            let waits = &mut is_waiting[e.thread as usize];
            match e.kind {
                Kind::CpucapsSleep | Kind::CpucapsWakeup => {
                    let sleeps = e.kind == Kind::CpucapsSleep;
                    assert_ne!(*waits, sleeps, "seed {seed} at {} ns: thread {}", e.time_ns, e.thread);
                    *waits = sleeps;
                    released += u64::from(!sleeps);
                }
                Kind::OnCpu | Kind::Enqueue | Kind::Sleep => {
                    assert!(!*waits, "seed {seed} at {} ns: {:?} of a waiter", e.time_ns, e.kind);
                }
                _ => {}
            }
        }
        let below = sim.kernel().k_cpucaps.caps[0].cap_below.get();
        assert!(released > 0 && released <= below, "seed {seed}: {released} in {below} ticks below the cap");
    }
}

/// Two threads of each class that knows caps; together they are over their cap at once.
fn all_classes(ncpus: u32) -> Program {
    let classes = [TS, IA, FX, FSS].into_iter().cycle().take(8);
    classes.fold(capped(ncpus, 5), |p, class| p.thread(spinner(class, 20, -1, CAPPED, USER)))
}

/// The first waiter in the order of the threads. It may have stopped waiting by the time the caller uses it.
fn some_waiter() -> Option<&'static Kthread> {
    platform::kernel().scenario_threads().iter().find(|t| t.t_state.get() == ts::WAIT)
}

#[test]
fn taking_the_cap_away_releases_everybody_and_for_good() {
    for seed in 0..40 {
        let remove = || assert_eq!(set_cap(0, 0), 0);
        let (waiting, sim) = waiting_after(all_classes(1 + seed as u32 % 3), seed, remove);
        assert_eq!(waiting, 0, "seed {seed}");
        let caps = &sim.kernel().k_cpucaps;
        assert_eq!((caps.caps_on.get(), caps.caps[0].cap_waitq.wq_count.get()), (0, 0), "seed {seed}");
        let flagged = |t: &&Kthread| t.t_schedflag.get() & schedflag::PROJWAITQ != 0;
        let stuck: Vec<_> = sim.kernel().scenario_threads().iter().filter(flagged).map(|t| t.t_did).collect();
        assert!(stuck.is_empty(), "seed {seed}: flagged without a cap: {stuck:?}");
    }
}

#[test]
fn raising_the_cap_releases_everybody_and_lowering_it_parks_them_again() {
    for seed in 0..20 {
        let (waiting, _) = waiting_after(all_classes(1), seed, || assert_eq!(set_cap(0, 100), 0));
        // One CPU cannot use more than a cap of one CPU; when its usage is exactly the cap, a thread may wait for a tick.
        assert!(waiting <= 1, "seed {seed}: {waiting}");
        let both = || {
            assert_eq!(set_cap(0, 0), 0);
            delay(50);
            assert_eq!(set_cap(0, 5), 0);
        };
        let (waiting, _) = waiting_after(all_classes(1), seed, both);
        assert!(waiting >= 6, "seed {seed}: {waiting}");
    }
}

#[test]
fn caps_out_of_range_are_refused() {
    let check = || {
        assert_eq!(set_cap(2, 10), errno::EINVAL, "no such project");
        assert_eq!(set_cap(0, 201), errno::EINVAL, "two CPUs");
        assert_eq!(set_cap(0, 200), 0);
        assert_eq!(platform::kernel().k_class.fss.fss_kprojects[0].kpj_cap.get(), 200);
        assert_eq!(set_cap(0, 5), 0);
    };
    waiting_after(all_classes(2), 1, check);
}

#[test]
fn a_waiter_whose_class_changes_is_released_and_runs_if_the_new_one_knows_no_caps() {
    for seed in 0..40 {
        let to_rt = || {
            let t = loop {
                if let Some(t) = some_waiter() {
                    break t;
                }
                delay(1);
            };
            assert_eq!(class::priocntl(t, &[i64::from(RT), 5, NO_CHANGE, NO_CHANGE, NO_CHANGE]), 0);
            assert_ne!(t.t_state.get(), ts::WAIT, "released with the change");
        };
        let p = all_classes(2).tunable(tunable::RT_LOADED, 1);
        let (_, sim) = waiting_after(p, seed, to_rt);
        let rt = sim.kernel().scenario_threads().iter().find(|t| u32::from(t.t_cid.get()) == RT);
        let rt = rt.expect("the one that was moved");
        assert_ne!(rt.t_state.get(), ts::WAIT, "seed {seed}");
        assert!(ran(rt, 400 * MS) > 200 * MS, "seed {seed}: {} ns", ran(rt, 400 * MS));
    }
}

#[test]
fn waiters_whose_class_changes_to_another_with_caps_stay_capped() {
    for seed in 0..20 {
        let p = (0..40).fold(all_classes(2), |p, n| {
            let class = [FX, FSS, TS, IA][n as usize % 4];
            p.event((100 + 5 * n) * MS, Verb::Priocntl, n as u32 % 8, &[i64::from(class), 10 + n as i64 % 5])
        });
        let mut sim = p.boot(seed);
        let sum = |sim: &Bench, now| sim.kernel().scenario_threads().iter().map(|t| ran(t, now)).sum::<u64>();
        sim.run_until_ok(300 * MS);
        let before = sum(&sim, 300 * MS);
        sim.run_until_ok(800 * MS);
        let got = (sum(&sim, 800 * MS) - before) * 100 / (500 * MS);
        assert!(got <= 10, "seed {seed}: {got} % where the cap is 5");
        let accounts = &sim.kernel().k_class.projects[0];
        let fss = sim.kernel().scenario_threads().iter().filter(|t| u32::from(t.t_cid.get()) == FSS);
        assert_eq!(accounts.fssp_runnable.get() as usize, fss.count(), "seed {seed}: who waits is runnable");
    }
}

#[test]
fn a_flag_does_not_outlive_the_cap_or_the_class() {
    for seed in 0..20 {
        for (verb, args) in [(Verb::Cap, vec![0]), (Verb::Priocntl, vec![i64::from(RT), 5])] {
            let p = capped(1, 10).thread(spinner(TS, 20, 0, CAPPED, KERNEL)).tunable(tunable::RT_LOADED, 1);
            let mut sim = p.event(100 * MS, verb, 0, &args).boot(seed);
            sim.run_instead(|t| {
                platform::spin(150 * MS);
                user_enter();
                platform::spin(SECOND);
                user_exit();
                matches!(t.workload(), Workload::Compute(Compute::Spin(_)))
            });
            let is_flagged = |sim: &Bench| {
                sim.kernel().scenario_threads()[0].t_schedflag.get() & schedflag::PROJWAITQ != 0
            };
            sim.run_until_ok(90 * MS);
            assert!(is_flagged(&sim), "seed {seed}: the loop in the kernel is over its cap");
            sim.run_until_ok(300 * MS);
            assert!(!is_flagged(&sim), "seed {seed} verb {verb:?}");
        }
    }
}

#[test]
fn a_waiter_whose_cpu_goes_offline_is_released_elsewhere() {
    for seed in 0..20 {
        let p = (0..4).fold(capped(2, 30), |p, _| p.thread(spinner(TS, 20, -1, CAPPED, USER)));
        let mut soft = spinner(TS, 20, 1, CAPPED, USER);
        soft.binding = program::binding::SOFT;
        let p = p.thread(soft).event(100 * MS, Verb::Offline, 1, &[0]);
        let mut sim = p.boot(seed);
        sim.run_until_ok(300 * MS);
        assert_eq!(sim.kernel().k_events[0].ev_errno.get(), 0, "seed {seed}: offline");
        let turns = |sim: &Bench| -> Vec<u64> {
            sim.kernel().scenario_threads().iter().map(|t| t.t_progress.get()).collect()
        };
        let before = turns(&sim);
        sim.run_until_ok(1300 * MS);
        let gained: Vec<u64> = turns(&sim).iter().zip(&before).map(|(now, before)| now - before).collect();
        assert!(gained.iter().all(|&n| n > 100), "seed {seed}: {gained:?}");
    }
}

#[test]
fn a_cap_that_begins_late_does_not_count_what_was_before() {
    for seed in 0..20 {
        let p = Program::new(1).tunable(tunable::HZ, 1000).project("late", 1);
        let p = p.thread(spinner(TS, 20, -1, CAPPED, USER)).event(500 * MS, Verb::Cap, 0, &[50]);
        let mut sim = p.boot(seed);
        sim.run_until_ok(510 * MS);
        let cap = &sim.kernel().k_cpucaps.caps[0];
        assert!(cap.cap_usage.get() < 12 * MS, "seed {seed}: {} ns", cap.cap_usage.get());
        sim.run_until_ok(SECOND);
        let before = ran(&sim.kernel().scenario_threads()[0], SECOND);
        sim.run_until_ok(2 * SECOND);
        let got = (ran(&sim.kernel().scenario_threads()[0], 2 * SECOND) - before) * 100 / SECOND;
        assert!((45..=55).contains(&got), "seed {seed}: {got} %");
    }
}

#[test]
fn what_was_charged_by_a_clock_that_is_ahead_is_not_charged_again() {
    let mut sim = capped(1, 90).thread(spinner(FX, 20, 0, CAPPED, KERNEL)).boot(1);
    sim.run_until_ok(20 * MS);
    // What the thread was charged for, and what its project used.
    let seen = |sim: &Bench| {
        let charged = sim.kernel().scenario_threads()[0].t_cldata.caps.csc_cputime.get();
        (charged, sim.kernel().k_cpucaps.caps[CAPPED as usize].cap_usage.get())
    };
    let (charged, used) = seen(&sim);
    assert!(charged > 0, "it is charged");
    // As a CPU whose clock is 30 ms ahead would leave it.
    let ahead = charged + 30 * MS;
    sim.kernel().scenario_threads()[0].t_cldata.caps.csc_cputime.set(ahead);
    sim.run_until_ok(40 * MS);
    let (charged, now_used) = seen(&sim);
    assert_eq!(charged, ahead, "what was charged stays charged");
    assert!(now_used <= used, "nothing is charged twice");
    sim.run_until_ok(80 * MS);
    assert!(seen(&sim).0 > ahead, "from there on it is charged");
}
