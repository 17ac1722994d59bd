//! What TS and IA do besides decay and relief: focus, nice, sections without preemption, the order of relief.
//!
//! # Invariants
//! - Kernel functions that a system call would make are called by threads of the tests, through `run_instead`.

use crate::bench::{Bench, MS, Program, SECOND, thread};
use umpire_kernel::cell::Cell;
use umpire_kernel::class::schedctl;
use umpire_kernel::intr::{user_enter, user_exit};
use umpire_kernel::sys::thread::ts;
use umpire_kernel::time::callout::delay;
use umpire_kernel::{Kthread, class, platform};
use umpire_shared::program::class::{IA, SYS, TS};
use umpire_shared::work::compute::{Mode, Spin};
use umpire_shared::{errno, mutant, program};

/// A user-mode spinner bound to CPU 0.
fn spinner(name: &str, class: u32, pri: i32) -> program::Thread {
    let mut t = thread(name, class, pri, 0, Spin { mode: Mode::User, ..Spin::defaults() });
    t.lwp = class != SYS;
    t
}

/// A SYS thread that never leaves the kernel.
fn hog() -> program::Thread {
    thread("hog", SYS, 60, 0, Spin { chunk_us: 1_000, ..Spin::defaults() })
}

/// A SYS thread that the test gives something to do.
fn actor() -> program::Thread {
    thread("actor", SYS, 60, 0, Spin::defaults())
}

fn nth(sim: &Bench, n: usize) -> &Kthread {
    &sim.kernel().scenario_threads()[n]
}

fn is_named(t: &Kthread, name: &str) -> bool {
    t.name(&mut [0; umpire_shared::NAME_LEN]) == name
}

fn place(n: usize) -> &'static Kthread {
    &platform::kernel().scenario_threads()[n]
}

#[test]
fn focus_decides_who_of_two_windows_runs() {
    for (focused, seed) in [(0, 1), (1, 2)] {
        let p = Program::new(1).thread(spinner("a", IA, 20)).thread(spinner("b", IA, 20)).thread(actor());
        let mut sim = p.boot(seed);
        sim.run_instead(move |t| {
            if is_named(t, "actor") {
                delay(1);
                assert_eq!(class::set_focus(place(1 - focused), false), 0);
                assert_eq!(class::set_focus(place(focused), true), 0);
                delay(10_000);
            }
            is_named(t, "actor")
        });
        sim.run_until_ok(900 * MS);
        let [a, b] = [0, 1].map(|n| nth(&sim, n).t_progress.get());
        let (with, without) = if focused == 0 { (a, b) } else { (b, a) };
        assert!(with > 3 * without, "focus on {focused}: {with} against {without} turns");
        assert_eq!(nth(&sim, focused).t_cldata.ts_boost.get(), 10);
        assert_eq!(nth(&sim, 1 - focused).t_cldata.ts_boost.get(), -10);
    }
}

#[test]
fn focus_of_a_thread_of_another_class_is_refused() {
    let mut sim = Program::new(1).thread(spinner("a", TS, 20)).thread(actor()).boot(1);
    sim.run_instead(|t| {
        if is_named(t, "actor") {
            assert_eq!(class::set_focus(place(0), true), errno::EINVAL);
        }
        is_named(t, "actor")
    });
    sim.run_until_ok(50 * MS);
    assert_eq!(nth(&sim, 1).t_state.get(), ts::ZOMB, "the actor came to its end");
}

#[test]
fn a_nice_step_is_three_user_priorities() {
    // (nice, and the priority that row 29 then amounts to)
    for (incr, pri) in [(0, 29), (1, 26), (5, 14), (19, 0), (-5, 44), (-20, 59), (99, 0)] {
        let mut t = spinner("a", TS, 29);
        t.cpu = 1;
        let mut sim = Program::new(2).thread(t).thread(actor()).boot(1);
        sim.run_instead(move |t| {
            if is_named(t, "actor") {
                assert_eq!(class::donice(place(0), incr), 0);
            }
            is_named(t, "actor")
        });
        sim.run_until_ok(5 * MS);
        let t = nth(&sim, 0);
        assert_eq!((t.t_pri.get(), t.t_cldata.ts_umdpri.get()), (pri, pri), "nice {incr}");
    }
}

/// Ticks that a thread at 29 with a quantum of 12 runs while an equal waits, in a section without preemption or not.
fn ticks_in_a_section(asks: bool, seed: u64) -> (i32, bool) {
    let mut sim = Program::new(1).thread(spinner("b", TS, 29)).thread(spinner("section", TS, 29)).boot(seed);
    sim.run_instead(move |t| {
        if !is_named(t, "section") {
            return false;
        }
        if asks {
            schedctl::schedctl_start();
        }
        user_enter();
        platform::spin(SECOND);
        user_exit();
        true
    });
    let mut ticks = 0;
    // At boot the thread that comes last runs first.
    while nth(&sim, 0).t_progress.get() == 0 {
        ticks += 1;
        sim.run_until_ok(ticks * 10 * MS + 5 * MS);
        assert!(ticks < 50, "seed {seed}: the other never ran");
    }
    (ticks as i32, nth(&sim, 1).t_schedctl.get() & schedctl::sc::NOPREEMPT == 0)
}

#[test]
fn a_section_without_preemption_gets_two_more_ticks_and_no_more() {
    for seed in 0..20 {
        assert_eq!(ticks_in_a_section(false, seed), (12, true), "seed {seed}");
        // The thread may run on for two ticks; the third clears its request.
        assert_eq!(ticks_in_a_section(true, seed), (14, true), "seed {seed}");
    }
}

/// The priority of a thread that has waited behind a spinner of class SYS for 2.5 s.
fn waiter(mutants: impl Into<mutant::Set>) -> i16 {
    let p = Program::new(1).mutant(mutants).thread(hog());
    let mut sim = p.thread(spinner("waiter", TS, 5)).boot(1);
    sim.run_until_ok(2500 * MS);
    nth(&sim, 1).t_pri.get()
}

#[test]
fn relief_raises_who_waits_and_the_mutant_does_not() {
    assert_eq!(waiter(mutant::Set::NONE), 59);
    assert_eq!(waiter(mutant::TS_NO_LWAIT), 5);
}

#[test]
fn relief_begins_with_another_list_each_time() {
    // Threads 1 and 7 wait low enough to be raised; in each second in which one rises, the marker goes from one to the other.
    let mut p = Program::new(1).thread(hog());
    for n in 1..=7 {
        let pri = if n == 1 || n == 7 { 0 } else { 59 };
        p = p.thread(spinner("waiter", TS, pri));
    }
    let mut sim = p.boot(1);
    let mut markers = Vec::new();
    for second in 1..=3 {
        sim.run_until_ok(second * SECOND + 50 * MS);
        markers.push(sim.kernel().k_class.ts.ts_update_marker.get());
    }
    // First both rise to 50; then to 59, the best there is; then no thread rises.
    assert_eq!(markers, [1, 7, 7]);
}

#[test]
fn an_interactive_thread_with_the_focus_wakes_to_the_front() {
    for (class, is_front) in [(IA, true), (TS, false)] {
        // Both wait at 30: IA's boost is taken back by the user's offset.
        let mut sleeper = spinner("sleeper", class, 30);
        sleeper.upri = if class == IA { -10 } else { 0 };
        let p = Program::new(1).thread(spinner("queued", TS, 30)).thread(sleeper).thread(actor());
        let mut sim = p.boot(1);
        sim.run_instead(|t| {
            if is_named(t, "sleeper") {
                delay(4);
                platform::spin(SECOND);
            } else if is_named(t, "actor") {
                // It is in the kernel from before the sleeper wakes until after the test looks.
                delay(2);
                platform::spin(SECOND);
            }
            !is_named(t, "queued")
        });
        sim.run_until_ok(65 * MS);
        let level = &sim.kernel().k_cpus[0].cpu_disp.disp_q[30];
        assert_eq!(level.dq_sruncnt.get(), 2, "both wait");
        let first = level.dq_first.get().expect("two wait");
        assert_eq!(is_named(first, "sleeper"), is_front, "class {class}");
    }
}
