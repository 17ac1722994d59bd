//! FX and RT: fixed priorities, quanta by which equals take turns, and RT above the system's own threads.
//!
//! # Invariants
//! - How long a thread ran at a stretch is read off the on-cpu and off-cpu events.

use crate::bench::{Bench, MS, Program, SECOND, thread};
use umpire_kernel::Kthread;
use umpire_kernel::cell::Cell;
use umpire_shared::event::Kind;
use umpire_shared::program::class::{FX, RT, SYS, TS};
use umpire_shared::program::{QUANTUM_DEFAULT, QUANTUM_INFINITE};
use umpire_shared::work::IntrRef;
use umpire_shared::work::compute::{Mode, Periodic, Spin};
use umpire_shared::work::network::SoftRing;
use umpire_shared::{program, tunable};

const KERNEL: Mode = Mode::Kernel;
const USER: Mode = Mode::User;

/// A spinner bound to CPU 0, with an LWP unless it is SYS.
fn spinner(class: u32, pri: i32, mode: Mode) -> program::Thread {
    let mut t = thread("spin", class, pri, 0, Spin { mode, ..Spin::defaults() });
    t.lwp = class != SYS;
    t
}

fn nth(sim: &Bench, n: usize) -> &Kthread {
    &sim.kernel().scenario_threads()[n]
}

/// ns of each full stretch that a scenario's thread had on CPU 0, in order.
fn stretches(sim: &Bench) -> Vec<u64> {
    let ncpus = sim.kernel().k_ncpus;
    let threads = ncpus..ncpus + sim.kernel().k_nthreads;
    let of_scenario = |e: &&umpire_sim::TraceRecord| threads.contains(&e.thread);
    let events: Vec<_> = sim
        .take_trace()
        .into_iter()
        .filter(|e| matches!(e.kind, Kind::OnCpu | Kind::OffCpu))
        .filter(|e| of_scenario(&e))
        .collect();
    let pairs = events.windows(2).filter(|w| w[0].kind == Kind::OnCpu && w[1].kind == Kind::OffCpu);
    pairs.map(|w| w[1].time_ns - w[0].time_ns).collect()
}

/// Two equal spinners for 3 s; their stretches in ticks, rounded.
fn turns(class: u32, pri: i32, quantum: i32, hz: i64) -> Vec<u64> {
    let mut t = spinner(class, pri, USER);
    t.quantum = quantum;
    let mut sim = Program::new(1).tunable(tunable::HZ, hz).thread(t).thread(t).traced().boot(7);
    sim.run_until_ok(3 * SECOND);
    let tick = SECOND / hz as u64;
    stretches(&sim).into_iter().map(|ns| (ns + tick / 2) / tick).collect()
}

#[test]
fn equals_take_turns_by_the_quantum() {
    for (class, pri, quantum, expected) in [
        (FX, 0, QUANTUM_DEFAULT, 20),
        (FX, 60, QUANTUM_DEFAULT, 2),
        (FX, 30, 5, 5),
        (RT, 0, QUANTUM_DEFAULT, 100),
        (RT, 59, QUANTUM_DEFAULT, 10),
        (RT, 10, 3, 3),
    ] {
        let found = turns(class, pri, quantum, 100);
        assert!(found.len() >= 2, "class {class} pri {pri}: {found:?}");
        assert!(found.iter().all(|&n| n == expected), "class {class} pri {pri}: {found:?}");
    }
}

#[test]
fn a_quantum_of_a_faster_clock_is_shorter() {
    let found = turns(FX, 0, QUANTUM_DEFAULT, 1000);
    assert!(found.len() > 140 && found.iter().all(|&n| n == 20), "{found:?}");
}

#[test]
fn a_quantum_without_end_gives_equals_no_turn() {
    for class in [FX, RT] {
        assert!(turns(class, 30, QUANTUM_INFINITE, 100).is_empty(), "class {class}");
    }
}

#[test]
fn who_is_preempted_within_its_quantum_goes_on_before_its_equal() {
    for class in [FX, RT] {
        let mut equal = spinner(class, 30, USER);
        equal.quantum = 50;
        // An interrupt wakes it some 25 times in each quantum.
        let better = thread("better", RT, 50, 0, SoftRing::defaults(IntrRef(0)));
        let p = Program::new(1).thread(equal).thread(equal).thread(better).interrupt("nic", 0, 6, 50);
        let mut sim = p.traced().boot(7);
        sim.run_until_ok(3 * SECOND);
        let first = sim.kernel().k_ncpus;
        let ran = sim.take_trace().into_iter().filter(|e| e.kind == Kind::OnCpu);
        let ran: Vec<u32> = ran.map(|e| e.thread).filter(|n| (first..first + 2).contains(n)).collect();
        let changes = ran.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!(ran.len() > 80 && (3..=6).contains(&changes), "class {class}: {changes} of {}", ran.len());
    }
}

#[test]
fn fx_keeps_its_priority_where_ts_decays() {
    for (class, is_fixed) in [(FX, true), (TS, false)] {
        let mut sim = Program::new(1).thread(spinner(class, 29, USER)).boot(1);
        sim.run_until_ok(900 * MS);
        assert_eq!(nth(&sim, 0).t_pri.get() == 29, is_fixed, "class {class}");
    }
}

#[test]
fn fx_at_60_keeps_every_ts_thread_out() {
    for (pri, is_out) in [(60, true), (30, false)] {
        let p = Program::new(1).thread(spinner(FX, pri, USER)).thread(spinner(TS, 59, USER));
        let mut sim = p.boot(1);
        sim.run_until_ok(5 * SECOND);
        assert_eq!(nth(&sim, 1).t_progress.get() < 5, is_out, "FX at {pri}");
    }
}

/// The turns in a second of a thread of this class that an interrupt wakes 50 times a second, beside a kernel-resident SYS 60
/// spinner. A thread that slept by the clock would wait for a callout thread at 99.
fn turns_over_sys(class: u32, pri: i32, kpreemptpri: i64) -> u64 {
    let mut t = thread("ring", class, pri, 0, SoftRing { cost_us: 100, ..SoftRing::defaults(IntrRef(0)) });
    t.lwp = true;
    let p = Program::new(1).tunable(tunable::KPREEMPTPRI, kpreemptpri);
    let mut sim = p.thread(spinner(SYS, 60, KERNEL)).thread(t).interrupt("nic", 0, 6, 50).boot(3);
    sim.run_until_ok(SECOND);
    nth(&sim, 1).t_progress.get()
}

#[test]
fn rt_preempts_the_kernel_whatever_kpreemptpri_was_before_1532() {
    for kpreemptpri in [99, 100] {
        assert!(turns_over_sys(RT, 0, kpreemptpri) > 40, "kpreemptpri {kpreemptpri}");
    }
    // The twins: a thread of FX at 60 is below a `kpreemptpri` of 99, and one of RT is below 170, which is above every priority.
    for (class, pri, kpreemptpri) in [(FX, 60, 99), (RT, 0, 170)] {
        assert!(turns_over_sys(class, pri, kpreemptpri) < 3, "class {class}, kpreemptpri {kpreemptpri}");
    }
}

#[test]
fn an_rt_hog_starves_sys_99_and_the_clock_goes_on() {
    for (class, pri, is_starved) in [(RT, 0, true), (TS, 59, false)] {
        let worker = thread("worker", SYS, 99, 0, Periodic::defaults());
        let mut hog = spinner(class, pri, KERNEL);
        hog.quantum = QUANTUM_INFINITE;
        let mut sim = Program::new(1).thread(hog).thread(worker).boot(5);
        sim.run_until_ok(2 * SECOND);
        assert_eq!(nth(&sim, 1).t_progress.get() == 0, is_starved, "class {class}");
        assert!(sim.kernel().lbolt.get() >= 199, "the clock runs");
    }
}
