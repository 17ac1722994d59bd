//! What a class keeps of a thread begins anew when the thread enters it, whatever was left there.
//!
//! # Invariants
//! - The thread waits on a run queue meanwhile, so that nothing but the request changes it.

use std::cell::RefCell;
use std::rc::Rc;

use crate::bench::{Program, SECOND, name, thread};
use umpire_kernel::cell::Cell;
use umpire_kernel::class::priocntl;
use umpire_kernel::sys::thread::schedflag;
use umpire_kernel::time::callout::delay;
use umpire_kernel::{Kthread, platform};
use umpire_shared::program::NO_CHANGE;
use umpire_shared::program::class::{FSS, FX, RT, SYS, TS};
use umpire_shared::tunable::RT_LOADED;
use umpire_shared::work::compute::{Mode, Spin};

const SAME: i64 = NO_CHANGE;

/// What is left of a class that the thread was in before.
fn soil(t: &Kthread) {
    let d = &t.t_cldata;
    d.ts_flags.set(0xff);
    d.ts_dispwait.set(9);
    d.ts_boost.set(9);
    d.ts_upri.set(9);
    d.ts_timeleft.set(-9);
    d.fx.fx_flags.set(0xff);
    d.fx.fx_timeleft.set(-9);
    d.fx.fx_pquantum.set(-9);
    d.rt.rt_flags.set(0xff);
    d.rt.rt_timeleft.set(-9);
    d.rt.rt_pquantum.set(-9);
    d.fss.fss_flags.set(0);
    d.fss.fss_fsspri.set(9);
    d.fss.fss_ticks.set(9);
    d.fss.fss_upri.set(9);
    d.fss.fss_timeleft.set(-9);
}

/// What the class keeps, and last the thread's priority.
fn kept(t: &Kthread) -> Vec<i64> {
    let d = &t.t_cldata;
    let pri = i64::from(t.t_pri.get());
    let of_class: &[i64] = match u32::from(t.t_cid.get()) {
        TS => &[
            d.ts_flags.get().into(),
            d.ts_dispwait.get().into(),
            d.ts_boost.get().into(),
            d.ts_upri.get().into(),
            d.ts_timeleft.get().into(),
            d.ts_cpupri.get().into(),
            d.ts_umdpri.get().into(),
        ],
        FX => &[
            d.fx.fx_flags.get().into(),
            d.fx.fx_timeleft.get().into(),
            d.fx.fx_pquantum.get().into(),
            d.fx.fx_pri.get().into(),
        ],
        RT => &[
            d.rt.rt_flags.get().into(),
            d.rt.rt_timeleft.get().into(),
            d.rt.rt_pquantum.get().into(),
            d.rt.rt_pri.get().into(),
        ],
        FSS => &[
            d.fss.fss_fsspri.get() as i64,
            d.fss.fss_ticks.get().into(),
            d.fss.fss_upri.get().into(),
            d.fss.fss_timeleft.get().into(),
            d.fss.fss_umdpri.get().into(),
        ],
        other => panic!("class {other}"),
    };
    [of_class, &[pri]].concat()
}

/// What a thread of class `from` that waits on CPU 1 has after each of the requests.
fn after(from: u32, requests: Vec<[i64; 5]>) -> Vec<Vec<i64>> {
    let spin = |class, pri| thread("moved", class, pri, 1, Spin { mode: Mode::User, ..Spin::defaults() });
    let mut moved = spin(from, 5);
    moved.lwp = true;
    let p = Program::new(2).project("batch", 1).tunable(RT_LOADED, 1).thread(moved);
    let p = p.thread(thread("runs", SYS, 99, 1, Spin::defaults()));
    let mut sim = p.thread(thread("admin", SYS, 98, 0, Spin::defaults())).boot(1);
    let all = Rc::new(RefCell::new(Vec::new()));
    let sink = Rc::clone(&all);
    sim.run_instead(move |t| {
        if name(t) != "admin" {
            return false;
        }
        let moved = &platform::kernel().scenario_threads()[0];
        delay(5);
        for request in &requests {
            soil(moved);
            let before = i64::from(moved.t_cid.get());
            assert_eq!(priocntl(moved, request), 0, "{request:?}");
            if request[0] != SAME && request[0] != before {
                let is_matched = moved.t_schedflag.get() & schedflag::RUNQMATCH != 0;
                assert_eq!(is_matched, request[0] == i64::from(FSS), "queues matched after {request:?}");
            }
            sink.borrow_mut().push(kept(moved));
        }
        true
    });
    // The thread at 99 is not preempted: nobody else runs on its CPU.
    sim.run_until_ok(SECOND / 2);
    all.take()
}

#[test]
fn a_thread_that_enters_a_class_brings_nothing_along() {
    let to = |class: u32, pri: i64, quantum: i64| [i64::from(class), pri, SAME, quantum, SAME];
    let cases = [
        (FX, to(TS, 20, SAME), vec![0, 0, 0, 0, 12, 20, 20, 20]),
        (FX, to(TS, SAME, SAME), vec![0, 0, 0, 0, 12, 29, 29, 29]),
        (TS, to(FX, 10, SAME), vec![0, 16, 16, 10, 10]),
        (TS, to(FX, SAME, SAME), vec![0, 20, 20, 0, 0]),
        (TS, to(FX, 10, 3), vec![0, 3, 3, 10, 10]),
        (TS, to(RT, 10, SAME), vec![0, 80, 80, 10, 110]),
        (TS, to(RT, SAME, SAME), vec![0, 100, 100, 0, 100]),
        (TS, to(RT, 10, 3), vec![0, 3, 3, 10, 110]),
        (TS, to(FSS, 20, SAME), vec![0, 0, 0, 11, 20, 20]),
        (TS, to(FSS, SAME, SAME), vec![0, 0, 0, 11, 29, 29]),
    ];
    for (from, request, expected) in cases {
        assert_eq!(after(from, vec![request]), [expected], "{request:?}");
    }
}

#[test]
fn parameters_of_a_class_change_alone() {
    let all = after(
        TS,
        vec![
            [i64::from(FX), 10, SAME, 3, SAME],
            [SAME, SAME, SAME, 5, SAME],
            [SAME, 20, SAME, SAME, SAME],
            [i64::from(RT), 10, SAME, 3, SAME],
            [SAME, SAME, SAME, 5, SAME],
            [SAME, 20, SAME, SAME, SAME],
        ],
    );
    // A quantum that is given stays at its priority; another priority brings its row's.
    let of: Vec<[i64; 4]> = all.iter().map(|kept| [kept[1], kept[2], kept[3], kept[4]]).collect();
    assert_eq!(of[0], [3, 3, 10, 10]);
    assert_eq!(of[1], [5, 5, 10, 10]);
    assert_eq!(of[2], [12, 12, 20, 20]);
    assert_eq!(of[3], [3, 3, 10, 110]);
    assert_eq!(of[4], [5, 5, 10, 110]);
    assert_eq!(of[5], [60, 60, 20, 120]);
}
