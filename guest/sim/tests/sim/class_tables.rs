//! Tables and levels: the rows of FX and RT, tables that the scenario brings, 110 levels or 170.
//!
//! # Invariants
//! - The tables are written out here again, not read from the kernel.

use crate::bench::{Bench, MS, Program, thread};
use umpire_kernel::cell::Cell;
use umpire_kernel::class::fss_proj::Nice;
use umpire_kernel::class::fx_table::FX_DPTBL;
use umpire_kernel::class::rt_table::RT_DPTBL;
use umpire_shared::program::class::{FSS, FX, IA, RT, SYS, TS};
use umpire_shared::program::{NO_CHANGE, Verb};
use umpire_shared::work::compute::{Mode, Spin};
use umpire_shared::{program, roster, tunable};

/// `runs` of `(how many rows, value)`, written out.
fn rows(runs: &[(usize, i32)]) -> Vec<i32> {
    runs.iter().flat_map(|&(n, value)| std::iter::repeat_n(value, n)).collect()
}

/// A spinner in user mode, with an LWP.
fn spinner(class: u32, pri: i32) -> program::Thread {
    let mut t = thread("spin", class, pri, 0, Spin { mode: Mode::User, ..Spin::defaults() });
    t.lwp = true;
    t
}

#[test]
fn the_fx_table_has_the_rows_of_fx_dptbl() {
    assert_eq!(FX_DPTBL.to_vec(), rows(&[(10, 20), (10, 16), (10, 12), (10, 8), (19, 4), (2, 2)]));
}

#[test]
fn the_rt_table_has_the_rows_of_rt_dptbl() {
    assert_eq!(RT_DPTBL.to_vec(), rows(&[(10, 100), (10, 80), (10, 60), (10, 40), (10, 20), (10, 10)]));
}

#[test]
fn nice_costs_and_decays_as_in_fss() {
    assert_eq!([0, 20, 39].map(Nice::tick), [1500, 1000, 525]);
    assert_eq!([0, 20, 39].map(Nice::decay), [83, 95, 108]);
}

/// `kpreemptpri` with `only_intr_kpreempt`, levels, and the pause thread's priority.
fn levels(sim: &Bench) -> (i32, i32, i32, i16) {
    let k = sim.kernel();
    let pause = &k.k_threads[roster::pause_thread(k.k_ncpus, k.k_nthreads, 0) as usize];
    (k.k_disp.kpreemptpri.get(), k.v_nglobpris.get(), k.intr_pri(), pause.t_pri.get())
}

#[test]
fn levels_are_110_without_rt_and_170_with_it() {
    let plain = || Program::new(1).thread(spinner(TS, 10)).tunable(tunable::ONLY_INTR_KPREEMPT, 1);
    let event = [i64::from(RT), 10, NO_CHANGE, NO_CHANGE, NO_CHANGE];
    let without = (100, 110, 99, 109);
    let with = (160, 170, 159, 169);
    for (program, expected) in [
        (plain(), without),
        (plain().event(900 * MS, Verb::Priocntl, 0, &[i64::from(FX), 10]), without),
        (plain().thread(spinner(RT, 10)), with),
        (plain().event(900 * MS, Verb::Priocntl, 0, &event), with),
        (plain().tunable(tunable::RT_LOADED, 1), with),
    ] {
        let mut sim = program.boot(1);
        sim.run_until_ok(MS);
        assert_eq!(levels(&sim), expected);
    }
}

#[test]
fn a_table_of_the_scenario_replaces_the_quanta() {
    // FX: 7 ticks in every row. RT: 33. FSS: 5. IA: its own 60 rows, while TS keeps the built-in ones.
    let ts_row = [9, 3, 55, 0, 57];
    let p = Program::new(1)
        .table(FX, &[[7, 0, 0, 0, 0]; 61])
        .table(RT, &[[33, 0, 0, 0, 0]; 60])
        .table(FSS, &[[5, 0, 0, 0, 0]])
        .table(IA, &[ts_row; 60]);
    let p = [FX, RT, FSS, IA, TS, SYS].iter().fold(p, |p, &class| p.thread(spinner(class, 40)));
    let mut sim = p.boot(1);
    sim.run_until_ok(MS / 10);
    let k = sim.kernel();
    let quanta: Vec<i32> = k
        .scenario_threads()
        .iter()
        .take(5)
        .map(|t| match u32::from(t.t_cid.get()) {
            FX => t.t_cldata.fx.fx_timeleft.get(),
            RT => t.t_cldata.rt.rt_timeleft.get(),
            FSS => t.t_cldata.fss.fss_timeleft.get(),
            _ => t.t_cldata.ts_timeleft.get(),
        })
        .collect();
    assert_eq!(quanta, [7, 33, 5, 9, 4]);
}

#[test]
fn a_table_of_the_scenario_replaces_where_a_used_quantum_leads() {
    for (table, expected) in [(None, 19), (Some([[12, 42, 55, 0, 57]; 60]), 42)] {
        let mut p = Program::new(1).thread(spinner(TS, 29));
        if let Some(rows) = table {
            p = p.table(TS, &rows);
        }
        let mut sim = p.boot(1);
        sim.run_until_ok(200 * MS);
        assert_eq!(sim.kernel().scenario_threads()[0].t_cldata.ts_cpupri.get(), expected);
    }
}
