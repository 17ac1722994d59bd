//! `clock()`: which threads it charges, and what it counts.
//!
//! # Invariants
//! - A count of ticks is bounded by the time that has passed, never equal to it.

use crate::bench::{MS, Program, SECOND, thread};
use umpire_kernel::cell::Cell;
use umpire_kernel::time::loadavg::FRACTION_BITS;
use umpire_shared::event::Kind;
use umpire_shared::program::class::{SYS, TS};
use umpire_shared::work::compute::{Mode, Spin};
use umpire_shared::work::levels::PilHold;
use umpire_shared::{program, tunable};

/// A thread that computes in user mode (with an LWP) or in the kernel.
fn spin(class: u32, pri: i32, cpu: i32) -> program::Thread {
    thread("spin", class, pri, cpu, Spin { mode: Mode::User, ..Spin::defaults() })
}

#[test]
fn each_busy_cpu_of_16_is_charged_once_a_tick() {
    for seed in 0..3 {
        let p = (0..16).fold(Program::new(16).traced(), |p, cpu| p.thread(spin(TS, 30, cpu)));
        let mut sim = p.boot(seed);
        sim.run_until_ok(500 * MS);
        let mut ticks = [0; 16];
        for record in sim.take_trace() {
            if record.kind == Kind::Tick {
                ticks[record.thread as usize - 16] += 1;
            }
        }
        assert!(ticks.iter().all(|n| (46..=50).contains(n)), "seed {seed}: {ticks:?}");
    }
}

#[test]
fn the_clock_s_own_cpu_comes_first_and_the_others_take_turns() {
    let p = (0..4).fold(Program::new(4).traced(), |p, cpu| p.thread(spin(TS, 30, cpu)));
    let mut sim = p.boot(5);
    sim.run_until_ok(500 * MS);
    let charged: Vec<u32> =
        sim.take_trace().iter().filter(|r| r.kind == Kind::Tick).map(|r| r.thread - 4).collect();
    let rounds: Vec<&[u32]> = charged.chunks_exact(4).collect();
    assert!(rounds.len() > 40 && rounds.iter().all(|round| round[0] == 0), "{charged:?}");
    for cpu in 1..4 {
        assert!(rounds.iter().any(|round| round[1] == cpu), "CPU {cpu} is never second");
    }
}

#[test]
fn threads_without_an_lwp_and_idle_cpus_are_charged_nothing() {
    let mut sim = Program::new(2).traced().thread(spin(SYS, 60, 0)).boot(1);
    sim.run_until_ok(500 * MS);
    assert!(sim.take_trace().iter().all(|r| r.kind != Kind::Tick));
}

#[test]
fn a_cpu_that_its_thread_has_closed_to_the_clock_is_charged_all_the_same() {
    // The thread of CPU 1 holds level 10 there; the clock runs on CPU 0.
    let t = thread("hold", TS, 30, 1, PilHold { hold_us: 10_000_000, ..PilHold::defaults() });
    let mut sim = Program::new(2).traced().thread(t).boot(1);
    sim.run_until_ok(500 * MS);
    let ticks = sim.take_trace().iter().filter(|r| r.kind == Kind::Tick).count();
    assert!((47..=50).contains(&ticks), "{ticks} ticks in half a second");
}

#[test]
fn waiting_threads_and_busy_cpus_make_the_load() {
    for seed in 0..3 {
        // Each of two CPUs has two threads: at any time two run and two wait.
        let p = (0..4).fold(Program::new(2), |p, n| p.thread(spin(TS, 30, n % 2)));
        let mut sim = p.boot(seed);
        sim.run_until_ok(60 * SECOND);
        let kernel = sim.kernel();
        let updates = kernel.k_sysinfo.updates.get();
        assert!((58..=60).contains(&updates), "seed {seed}: {updates} seconds");
        let (runque, runocc) = (kernel.k_sysinfo.runque.get(), kernel.k_sysinfo.runocc.get());
        assert!((110..=130).contains(&runque) && runocc <= updates && runocc > 50, "seed {seed}: {runque}");
        let part = kernel.cp_default();
        assert!(part.cp_nrunning.get() >= 110 && part.cp_nrunnable.get() >= 100, "seed {seed}");
        let per_tick = part.cp_nrunnable_cum.get() / part.cp_updates.get().max(1);
        assert!((1..=2).contains(&per_tick), "seed {seed}: {per_tick} wait on average");
        // After a minute of load 4 the average has come 63 % of the way.
        let one_minute = kernel.k_clock.hp_avenrun[0].get() as f64 / f64::from(1u32 << FRACTION_BITS);
        assert!((2.2..2.9).contains(&one_minute), "seed {seed}: load average {one_minute}");
    }
}

#[test]
fn a_cpu_that_idles_is_no_load() {
    let mut sim = Program::new(2).thread(spin(TS, 30, 0)).boot(1);
    sim.run_until_ok(10 * SECOND);
    let (kernel, part) = (sim.kernel(), sim.kernel().cp_default());
    let running = part.cp_nrunning.get();
    assert!((8..=12).contains(&running), "{running} in ten seconds, of one thread");
    // After ten seconds of load 1 the average has come 15 % of the way.
    let one_minute = kernel.k_clock.hp_avenrun[0].get() as f64 / f64::from(1u32 << FRACTION_BITS);
    assert!((0.1..0.2).contains(&one_minute), "load average {one_minute}");
}

#[test]
fn quanta_in_ticks_make_hz_1000_switch_ten_times_as_often() {
    for seed in 0..3 {
        let switches = |hz| {
            let p = Program::new(1).tunable(tunable::HZ, hz).thread(spin(TS, 30, 0)).thread(spin(TS, 30, 0));
            let mut sim = p.boot(seed);
            sim.run_until_ok(10 * SECOND);
            let threads = sim.kernel().scenario_threads();
            let [a, b] = [0, 1].map(|n: usize| threads[n].t_nivcsw.get());
            let [x, y] = [0, 1].map(|n: usize| threads[n].t_progress.get() as f64);
            assert!(x / y < 1.25 && y / x < 1.25, "hz {hz} seed {seed}: {x} and {y} turns");
            a + b
        };
        let (slow, fast) = (switches(100), switches(1000));
        assert!(fast > 5 * slow && fast < 20 * slow, "seed {seed}: {slow} and {fast} switches");
    }
}
