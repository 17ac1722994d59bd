//! On which queue a thread is put, case by case: what its last CPU, its caches, who waits there and how many decide.
//!
//! # Invariants
//! - A case differs from its neighbour by the one thing that it is about.

use std::cell::Cell as StdCell;
use std::rc::Rc;

use crate::bench::{Program, SECOND, name, thread};
use umpire_kernel::cell::Cell;
use umpire_kernel::disp::{dispdeq, setbackdq, setfrontdq};
use umpire_kernel::lock::{thread_lock, thread_unlock_nopreempt};
use umpire_kernel::sys::thread::{schedflag, ts};
use umpire_kernel::time::callout::delay;
use umpire_kernel::{Kthread, platform};
use umpire_shared::program::class::{SYS, TS};
use umpire_shared::work::compute::Spin;

/// A thread that ran last on CPU 1, where threads at 70 and CPU 2, where threads at 65 run, is put on a queue.
#[derive(Clone, Copy)]
struct Case {
    /// Puts it there.
    put: fn(&'static Kthread),
    /// Its priority.
    pri: i32,
    /// It ran a moment ago.
    is_warm: bool,
    /// The CPU that is about to be taken away.
    in_motion: Option<usize>,
    /// It is balanced at every priority.
    is_matched: bool,
    /// How many wait on CPU 1, and at which priority.
    waiters: (u32, i32),
}

const BACK: Case = Case {
    put: |t| setbackdq(t),
    pri: 30,
    is_warm: true,
    in_motion: None,
    is_matched: false,
    waiters: (1, 50),
};
const FRONT: Case = Case { put: |t| setfrontdq(t), ..BACK };

/// The CPU on whose queue it is.
fn place(case: Case) -> usize {
    let bound = |name: &str, class, pri, cpu| thread(name, class, pri, cpu, Spin::defaults());
    let mut p = Program::new(3)
        .thread(bound("actor", SYS, 98, 0))
        .thread(bound("runs", SYS, 70, 1))
        .thread(bound("runs", SYS, 65, 2))
        .thread(bound("moved", TS, case.pri, -1));
    for _ in 0..case.waiters.0 {
        p = p.thread(bound("waiter", TS, case.waiters.1, 1));
    }
    let mut sim = p.boot(1);
    let found = Rc::new(StdCell::new(None));
    let sink = Rc::clone(&found);
    sim.run_instead(move |t| {
        if name(t) != "actor" {
            return false;
        }
        let kernel = platform::kernel();
        let moved = &kernel.scenario_threads()[3];
        delay(20);
        while moved.t_state.get() != ts::RUN {
            delay(1);
        }
        thread_lock(moved);
        dispdeq(moved);
        moved.t_pri.set(case.pri as i16);
        moved.t_cpu.set(Some(&kernel.k_cpus[1]));
        moved.t_disp_time.set(if case.is_warm { kernel.lbolt.get() } else { 0 });
        let flags = moved.t_schedflag.get() & !schedflag::RUNQMATCH;
        moved.t_schedflag.set(if case.is_matched { flags | schedflag::RUNQMATCH } else { flags });
        kernel.k_disp.cpu_inmotion.set(case.in_motion.map(|n| &kernel.k_cpus[n]));
        (case.put)(moved);
        sink.set(moved.disp_queue().disp_cpu.get().map(|cp| cp.cpu_id as usize));
        kernel.k_disp.cpu_inmotion.set(None);
        thread_unlock_nopreempt(moved);
        true
    });
    sim.run_until_ok(SECOND);
    found.get().expect("the actor has put it on a CPU's queue")
}

#[test]
fn who_was_preempted_goes_back_where_it_was_if_it_is_the_best_there_or_its_caches_are_warm() {
    let cold = Case { is_warm: false, ..FRONT };
    for (what, case, expected) in [
        ("warm behind a better one", FRONT, 1),
        ("cold behind a better one", cold, 2),
        ("cold behind an equal", Case { pri: 50, ..cold }, 1),
        ("cold behind a worse one", Case { pri: 51, ..cold }, 1),
        ("cold on a CPU in motion", Case { pri: 51, in_motion: Some(1), ..cold }, 2),
        ("warm on a CPU in motion", Case { in_motion: Some(1), ..FRONT }, 2),
        ("cold, and the other CPU is in motion", Case { in_motion: Some(2), ..cold }, 1),
    ] {
        assert_eq!(place(case), expected, "{what}");
    }
}

#[test]
fn who_becomes_runnable_stays_where_its_caches_are_warm_and_else_goes_where_it_displaces_the_least() {
    for (what, case, expected) in [
        ("warm", BACK, 1),
        ("cold", Case { is_warm: false, ..BACK }, 2),
        ("warm on a CPU in motion", Case { in_motion: Some(1), ..BACK }, 2),
    ] {
        assert_eq!(place(case), expected, "{what}");
    }
}

#[test]
fn a_level_that_is_longer_by_more_than_is_tolerated_is_left_for_the_next_cpu_s() {
    let level = |n, pri| Case { pri, waiters: (n, pri), ..BACK };
    let matched = |n, pri| Case { is_matched: true, ..level(n, pri) };
    for (what, case, expected) in [
        ("two equals are tolerated from 16 on", level(2, 16), 1),
        ("three are not", level(3, 16), 2),
        ("one is not below 16", level(1, 15), 2),
        ("nor for a thread that is always matched", matched(1, 30), 2),
        ("nobody else waits at its level", matched(0, 30), 1),
        ("the next CPU is in motion", Case { in_motion: Some(2), ..level(3, 16) }, 1),
    ] {
        assert_eq!(place(case), expected, "{what}");
    }
}
