//! The time-sharing class: both tables row by row, and how a thread moves through them.
//!
//! # Invariants
//! - The tables are written out here again, not read from the kernel.

use crate::bench::{Bench, MS, Program, SECOND, thread};
use umpire_kernel::Kthread;
use umpire_kernel::cell::Cell;
use umpire_kernel::class::ts_table::{TS_DPTBL, TS_DPTBL_EXTENDED, TsRow};
use umpire_kernel::sys::thread::ts;
use umpire_shared::event::Kind;
use umpire_shared::program::class::{SYS, TS};
use umpire_shared::work::compute::{Between, Mode, Periodic, Spin};
use umpire_shared::{program, tunable};

/// A spinner bound to CPU 0.
fn spinner(class: u32, pri: i32, mode: Mode) -> program::Thread {
    thread("spin", class, pri, 0, Spin { mode, ..Spin::defaults() })
}

/// The only scenario thread, or the last.
fn last(sim: &Bench) -> &Kthread {
    sim.kernel().scenario_threads().last().expect("the program has a thread")
}

/// One column of a table.
fn column<T>(table: &[TsRow], of: impl Fn(&TsRow) -> T) -> Vec<T> {
    table.iter().map(of).collect()
}

/// `runs` of `(how many rows, value)`, written out.
fn rows(runs: &[(usize, i32)]) -> Vec<i32> {
    runs.iter().flat_map(|&(n, value)| std::iter::repeat_n(value, n)).collect()
}

#[test]
fn the_default_table_has_the_rows_of_ts_dptbl() {
    let t = &TS_DPTBL;
    assert_eq!(column(t, |r| r.ts_quantum), rows(&[(10, 20), (10, 16), (10, 12), (10, 8), (19, 4), (1, 2)]));
    let tqexp: Vec<i16> = [0; 10].into_iter().chain(0..=49).collect();
    assert_eq!(column(t, |r| r.ts_tqexp), tqexp);
    let first_45 = [(10, 50), (10, 51), (10, 52), (5, 53), (5, 54), (5, 55)];
    let slpret = [&first_45[..], &[(1, 56), (1, 57), (12, 58), (1, 59)]].concat();
    assert_eq!(column(t, |r| i32::from(r.ts_slpret)), rows(&slpret));
    assert_eq!(column(t, |r| r.ts_maxwait), rows(&[(59, 0), (1, 32_000)]));
    let lwait = [&first_45[..], &[(1, 56), (1, 57), (2, 58), (11, 59)]].concat();
    assert_eq!(column(t, |r| i32::from(r.ts_lwait)), rows(&lwait));
}

#[test]
fn the_server_table_has_the_rows_of_ts_dptbl() {
    let t = &TS_DPTBL_EXTENDED;
    assert_eq!(column(t, |r| r.ts_quantum), rows(&[(1, 40), (19, 38), (21, 36), (19, 34)]));
    let halves = [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9];
    let tqexp: Vec<i16> = halves.into_iter().chain(10..=49).collect();
    assert_eq!(column(t, |r| r.ts_tqexp), tqexp);
    let slpret: Vec<i16> = (1..=59).chain([59]).collect();
    assert_eq!(column(t, |r| r.ts_slpret), slpret);
    assert_eq!(column(t, |r| r.ts_maxwait), rows(&[(60, 2)]));
    let lwait: Vec<i16> = [40; 40].into_iter().chain(41..=59).chain([59]).collect();
    assert_eq!(column(t, |r| r.ts_lwait), lwait);
}

#[test]
fn a_user_mode_spinner_decays_by_its_quanta() {
    // The thread is alone on the clock's CPU: tick, AST, preempt, and the quantum of the new row.
    for seed in 0..5 {
        let mut sim = Program::new(1).thread(spinner(TS, 29, Mode::User)).traced().boot(seed);
        sim.run_until_ok(900 * MS);
        let mut ticks = 0;
        let mut steps = Vec::new();
        for event in sim.take_trace() {
            match event.kind {
                Kind::Tick => ticks += 1,
                Kind::ChangePri => steps.push((ticks, event.arg)),
                _ => {}
            }
        }
        assert_eq!(
            steps,
            [(12, 19), (28, 9), (48, 0), (68, 0), (88, 0)],
            "seed {seed}: ticks and new priorities"
        );
    }
}

#[test]
fn a_kernel_resident_spinner_owes_one_more_tick_each_tick() {
    for seed in 0..5 {
        let mut sim = Program::new(1).thread(spinner(TS, 29, Mode::Kernel)).traced().boot(seed);
        let mut ticks = 0;
        for look in 1..=60 {
            sim.run_until_ok(look * 15 * MS + 5 * MS);
            ticks += sim.take_trace().iter().filter(|e| e.kind == Kind::Tick).count() as i32;
            let t = last(&sim);
            assert_eq!(t.t_cldata.ts_timeleft.get(), 12 - ticks, "seed {seed} look {look}");
            let pri = if ticks < 12 { 29 } else { (19 - 10 * (ticks - 12)).max(0) };
            assert_eq!(i32::from(t.t_pri.get()), pri, "seed {seed}: after {ticks} ticks");
        }
        assert!((90..=91).contains(&ticks), "seed {seed}: {ticks} ticks in 905 ms");
    }
}

#[test]
fn a_waiter_is_relieved_by_the_next_ts_update() {
    let mut sim =
        Program::new(1).thread(spinner(SYS, 60, Mode::Kernel)).thread(spinner(TS, 5, Mode::Kernel)).boot(1);
    for (until_ms, pri) in [(950, 5), (1050, 50), (1950, 50), (2050, 59), (5050, 59)] {
        sim.run_until_ok(until_ms * MS);
        let t = last(&sim);
        assert_eq!((t.t_state.get(), t.t_pri.get()), (ts::RUN, pri), "at {until_ms} ms");
        let level = &sim.kernel().k_cpus[0].cpu_disp.disp_q[pri as usize];
        assert!(level.dq_first.is(t), "at {until_ms} ms: not on its level");
    }
}

#[test]
fn relief_that_is_a_callout_starves_with_the_callout_threads() {
    // The threads of callout_taskq are at 99: they preempt a hog at 60, and wait for one at 99.
    for (by_callout, hog, pri) in [(0, 60, 50), (0, 99, 50), (1, 60, 50), (1, 99, 5)] {
        let p = Program::new(1).tunable(tunable::CLASS_CALLOUTS, by_callout);
        let p = p.thread(spinner(SYS, hog, Mode::Kernel)).thread(spinner(TS, 5, Mode::Kernel));
        let mut sim = p.boot(1);
        sim.run_until_ok(950 * MS);
        assert_eq!(last(&sim).t_pri.get(), 5, "class_callouts = {by_callout}, behind {hog}");
        sim.run_until_ok(1050 * MS);
        assert_eq!(last(&sim).t_pri.get(), pri, "class_callouts = {by_callout}, behind {hog}");
    }
}

#[test]
fn the_server_table_relieves_a_waiter_after_three_updates() {
    let p = Program::new(1).tunable(tunable::TS_DISPATCH_EXTENDED, 1);
    let mut sim = p.thread(spinner(SYS, 60, Mode::Kernel)).thread(spinner(TS, 5, Mode::Kernel)).boot(1);
    for (until_ms, pri) in [(2950, 5), (3050, 40)] {
        sim.run_until_ok(until_ms * MS);
        assert_eq!(last(&sim).t_pri.get(), pri, "at {until_ms} ms");
    }
}

/// A TS thread at 50 that sleeps from about 0 to 1.5 s; in row 50 `ts_slpret` is 58 and `ts_lwait` 59.
fn sleeper(promote: i64) -> Bench {
    let t = thread("sleeper", TS, 50, 0, Periodic { sleep_ticks: 150, ..Periodic::defaults() });
    Program::new(1).tunable(tunable::TS_SLEEP_PROMOTE, promote).thread(t).boot(1)
}

#[test]
fn a_sleeper_returns_at_slpret_after_a_second() {
    let mut sim = sleeper(0);
    sim.run_until_ok(1450 * MS);
    assert_eq!((last(&sim).t_state.get(), last(&sim).t_pri.get()), (ts::SLEEP, 50));
    sim.run_until_ok(1600 * MS);
    assert_eq!(last(&sim).t_pri.get(), 58);
    assert_eq!(last(&sim).t_cldata.ts_dispwait.get(), 0);
}

#[test]
fn a_sleeper_is_promoted_to_lwait_while_it_sleeps() {
    let mut sim = sleeper(1);
    sim.run_until_ok(1050 * MS);
    assert_eq!((last(&sim).t_state.get(), last(&sim).t_pri.get()), (ts::SLEEP, 59));
}

#[test]
fn trapret_relieves_a_user_mode_thread_that_runs() {
    // It is on its CPU at each ts_update, so the relief comes when it returns to user mode: row 0's slpret is 50.
    let mut sim = Program::new(1).thread(spinner(TS, 0, Mode::User)).boot(1);
    sim.run_until_ok(990 * MS);
    assert_eq!(last(&sim).t_pri.get(), 0);
    sim.run_until_ok(1005 * MS);
    assert_eq!(last(&sim).t_pri.get(), 50);
}

#[test]
fn yield_lets_equals_take_turns() {
    for (class, pri) in [(TS, 30), (SYS, 70)] {
        for (between, is_fair) in [(Between::Yield, true), (Between::Nothing, false)] {
            let t = thread("spin", class, pri, 0, Spin { between, ..Spin::defaults() });
            let mut sim = Program::new(1).thread(t).thread(t).boot(1);
            sim.run_until_ok(100 * MS);
            let turns = [0, 1].map(|n| sim.kernel().scenario_threads()[n].t_progress.get());
            let (few, many) = (turns[0].min(turns[1]), turns[0].max(turns[1]));
            assert_eq!(many - few <= 1, is_fair, "class {class} between {between:?}: {turns:?}");
        }
    }
}

#[test]
fn yield_of_an_expired_quantum_costs_priority() {
    let work = Spin { chunk_us: 5_000, between: Between::Yield, ..Spin::defaults() };
    let t = thread("spin", TS, 29, 0, work);
    // One chunk and a half a tick; kernel-resident, so only the yield at a chunk's end refills the quantum.
    let mut sim = Program::new(1).thread(t).boot(1);
    sim.run_until_ok(SECOND * 9 / 10);
    let d = &last(&sim).t_cldata;
    assert_eq!(d.ts_cpupri.get(), 0);
    assert!(d.ts_timeleft.get() > 0, "{} ticks left", d.ts_timeleft.get());
}
