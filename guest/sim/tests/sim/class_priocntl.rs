//! `priocntl` of threads in every state: on the caller's CPU, on another, queued, asleep, ended.
//!
//! # Invariants
//! - After each change the thread is where a thread of its class and priority belongs, whatever the seed.

use std::cell::RefCell;
use std::rc::Rc;
use umpire_shared::work::compute::{Mode, Periodic, Spin};

use crate::bench::{Bench, MS, Program, SECOND, thread};
use umpire_kernel::cell::Cell;
use umpire_kernel::class::{donice, priocntl};
use umpire_kernel::sys::thread::ts;
use umpire_kernel::time::callout::delay;
use umpire_kernel::{Kthread, platform};
use umpire_shared::errno::{EINVAL, ENOSYS, EPERM, ESRCH};
use umpire_shared::program::class::{FSS, FX, IA, RT, SDC, SYS, TS};
use umpire_shared::program::{NO_CHANGE, Thread};
use umpire_shared::tunable::RT_LOADED;

const SAME: i64 = NO_CHANGE;

/// `[class, pri, upri, quantum, duty cycle]`.
type Request = [i64; 5];

/// A SYS thread on CPU 0 makes the requests to their targets one after the other, a tick apart. Returns their results.
fn administer(p: Program, seed: u64, requests: Vec<(usize, Request)>) -> (Bench, Vec<u32>) {
    let mut sim = p.thread(thread("admin", SYS, 98, 0, Spin::defaults())).boot(seed);
    let results = Rc::new(RefCell::new(Vec::new()));
    let sink = Rc::clone(&results);
    sim.run_instead(move |t| {
        let is_admin = t.t_pri.get() == 98 && u32::from(t.t_cid.get()) == SYS;
        if is_admin {
            delay(2);
            for (target, request) in &requests {
                let error = priocntl(&platform::kernel().scenario_threads()[*target], request);
                sink.borrow_mut().push(error);
                delay(1);
            }
        }
        is_admin
    });
    sim.run_until_ok(SECOND);
    let results = results.borrow().clone();
    (sim, results)
}

fn spinner(class: u32, pri: i32, cpu: i32) -> Thread {
    let mut t = thread("spin", class, pri, cpu, Spin { mode: Mode::User, ..Spin::defaults() });
    t.lwp = true;
    t
}

fn nth(sim: &Bench, n: usize) -> &Kthread {
    &sim.kernel().scenario_threads()[n]
}

#[test]
fn requests_that_a_class_refuses_change_nothing() {
    let p =
        || Program::new(1).thread(spinner(TS, 20, 0)).thread(spinner(SYS, 60, 0)).thread(spinner(SDC, 0, 0));
    let fx = i64::from(FX);
    for (target, request, expected) in [
        (0, [99, SAME, SAME, SAME, SAME], EINVAL),
        (0, [-1, SAME, SAME, SAME, SAME], EINVAL),
        (0, [SAME, 60, SAME, SAME, SAME], EINVAL),
        (0, [SAME, SAME, 61, SAME, SAME], EINVAL),
        (0, [fx, 61, SAME, SAME, SAME], EINVAL),
        (0, [fx, 10, SAME, 0, SAME], EINVAL),
        (0, [i64::from(SYS), 60, SAME, SAME, SAME], EINVAL),
        // RT is not loaded, and a thread enters SDC only from SYS.
        (0, [i64::from(RT), 10, SAME, SAME, SAME], EINVAL),
        (0, [i64::from(SDC), SAME, SAME, SAME, 50], EINVAL),
        (1, [SAME, 70, SAME, SAME, SAME], EINVAL),
        (2, [fx, 10, SAME, SAME, SAME], EPERM),
        (2, [SAME, SAME, SAME, SAME, 50], ENOSYS),
    ] {
        let (sim, results) = administer(p(), 1, vec![(target, request)]);
        assert_eq!(results, [expected], "{target}: {request:?}");
        let classes = [0, 1, 2].map(|n| u32::from(nth(&sim, n).t_cid.get()));
        assert_eq!(classes, [TS, SYS, SDC], "{target}: {request:?}");
        assert_eq!(nth(&sim, 1).t_pri.get(), 60, "{target}: {request:?}");
    }
}

#[test]
fn a_class_takes_its_ranges_to_their_ends_and_nothing_beyond() {
    let (mut requests, mut expected) = (Vec::new(), Vec::new());
    for (class, most, knows_upri) in
        [(TS, 59, true), (IA, 59, true), (FX, 60, false), (FSS, 59, true), (RT, 59, false)]
    {
        // The first moves the thread to the class, and the others find it there.
        for (pri, error) in [(0, 0), (most, 0), (most + 1, EINVAL), (-1, EINVAL)] {
            requests.push((0, [i64::from(class), pri, SAME, SAME, SAME]));
            expected.push(error);
        }
        for (upri, error) in
            [(-60, 0), (60, 0), (-61, EINVAL), (61, EINVAL)].into_iter().filter(|_| knows_upri)
        {
            requests.push((0, [SAME, SAME, upri, SAME, SAME]));
            expected.push(error);
        }
    }
    let p = Program::new(2).project("batch", 1).tunable(RT_LOADED, 1).thread(spinner(TS, 20, 1));
    let (_, results) = administer(p, 1, requests.clone());
    for ((request, result), expected) in requests.iter().zip(results).zip(expected) {
        assert_eq!(result, expected, "{request:?}");
    }
}

#[test]
fn nice_moves_the_user_s_offset_by_three_a_step_up_to_its_ends() {
    let p = Program::new(2).project("batch", 1);
    let p = p.thread(spinner(TS, 20, 1)).thread(spinner(IA, 20, 1)).thread(spinner(FSS, 20, 1));
    let p = p.thread(spinner(FX, 10, 1)).thread(thread("admin", SYS, 98, 0, Spin::defaults()));
    let (mut sim, steps) = (p.boot(1), [(4, -12), (4, -24), (39, -57), (-39, 60)]);
    let seen = Rc::new(RefCell::new(Vec::new()));
    let sink = Rc::clone(&seen);
    sim.run_instead(move |t| {
        let is_admin = t.t_pri.get() == 98 && u32::from(t.t_cid.get()) == SYS;
        if is_admin {
            let place = |n: usize| &platform::kernel().scenario_threads()[n];
            let upri = |n: usize| match u32::from(place(n).t_cid.get()) {
                FSS => place(n).t_cldata.fss.fss_upri.get(),
                _ => place(n).t_cldata.ts_upri.get(),
            };
            for (incr, _) in steps {
                sink.borrow_mut().push([0, 1, 2].map(|n| (donice(place(n), incr), upri(n))));
            }
            // FX has no offset: its `nice` of 17 and its priority of 10 are one.
            assert_eq!((donice(place(3), -3), place(3).t_cldata.fx.fx_pri.get()), (0, 18));
            assert_eq!((donice(place(3), 39), place(3).t_cldata.fx.fx_pri.get()), (0, 0));
        }
        is_admin
    });
    sim.run_until_ok(SECOND);
    assert_eq!(*seen.borrow(), steps.map(|(_, upri)| [(0, upri); 3]));
}

#[test]
fn nice_is_refused_by_who_knows_none() {
    let p = Program::new(1).thread(spinner(SYS, 60, 0)).thread(spinner(RT, 1, 0)).thread(spinner(SDC, 0, 0));
    let mut sim = p.thread(thread("admin", SYS, 98, 0, Spin::defaults())).boot(1);
    let results = Rc::new(RefCell::new(Vec::new()));
    let sink = Rc::clone(&results);
    sim.run_instead(move |t| {
        if t.t_pri.get() != 98 || u32::from(t.t_cid.get()) != SYS {
            // The targets end at once; the request for one that has ended is made last.
            delay(5);
            return true;
        }
        let error = |n: usize| donice(&platform::kernel().scenario_threads()[n], 1);
        sink.borrow_mut().extend((0..3).map(error));
        delay(20);
        sink.borrow_mut().push(error(0));
        true
    });
    sim.run_until_ok(SECOND);
    assert_eq!(*results.borrow(), [EINVAL, EINVAL, EINVAL, ESRCH]);
}

/// The global priority that a request leads to, `None` where the class changes it by itself.
fn settled(class: u32, pri: i16) -> Option<i16> {
    match class {
        FX => Some(pri),
        RT => Some(100 + pri),
        _ => None,
    }
}

#[test]
fn a_thread_in_any_state_is_where_it_belongs_afterwards() {
    // Targets: running on CPU 1, queued behind a hog on CPU 2, asleep for long, sleeping and waking all the time.
    for seed in 0..200 {
        let hog = Thread { lwp: false, work: Spin::defaults().into(), ..spinner(SYS, 97, 2) };
        let sleeper = thread("sleeper", TS, 30, -1, Periodic { sleep_ticks: 10_000, ..Periodic::defaults() });
        let restless = thread("sleeper", TS, 30, -1, Periodic::defaults());
        let p = Program::new(3).project("a", 1).thread(spinner(TS, 30, 1)).thread(spinner(TS, 30, 2));
        let p = p.thread(sleeper).thread(restless).thread(hog);
        let p = p.tunable(umpire_shared::tunable::RT_LOADED, 1);
        let last = [FX, RT, FX, RT][(seed % 4) as usize];
        let pri = 10 + (seed % 40) as i16;
        let mut requests = Vec::new();
        for class in [FSS, IA, RT, FX, TS, FSS, last] {
            let pri = if class == last { i64::from(pri) } else { 5 };
            requests.extend((0..4).map(|n| (n, [i64::from(class), pri, SAME, SAME, SAME])));
        }
        let mut sim = administer_quickly(p, seed, requests.clone());
        sim.run_until_ok(100 * MS);
        for n in 0..4 {
            let t = nth(&sim, n);
            assert_eq!(u32::from(t.t_cid.get()), last, "seed {seed} thread {n}");
            assert_eq!(Some(t.t_pri.get()), settled(last, pri), "seed {seed} thread {n}");
            if t.t_state.get() == ts::RUN {
                let level = t.disp_queue().disp_q[t.pri() as usize].dq_sruncnt.get();
                assert!(level > 0, "seed {seed} thread {n}: its level is empty");
            }
        }
        assert_eq!(nth(&sim, 2).t_state.get(), ts::SLEEP, "seed {seed}");
        assert_eq!(sim.kernel().k_class.projects[0].fssp_runnable.get(), 0, "seed {seed}: all have left FSS");
    }
}

/// Like `administer`, but without a pause between two requests, and every request must succeed.
fn administer_quickly(p: Program, seed: u64, requests: Vec<(usize, Request)>) -> Bench {
    let mut sim = p.thread(thread("admin", SYS, 98, 0, Spin::defaults())).boot(seed);
    sim.run_instead(move |t| {
        let is_admin = t.t_pri.get() == 98;
        if is_admin {
            delay(2);
            for (target, request) in &requests {
                assert_eq!(priocntl(&platform::kernel().scenario_threads()[*target], request), 0);
                platform::spin(20_000);
            }
        }
        is_admin
    });
    sim
}
